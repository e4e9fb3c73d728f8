/* SPDX-License-Identifier: MIT
 * Finding a route in the modules' tables; see routes.h. */
#include "gateway/routes.h"

#include "gateway/module.h"
#include "lib/text.h"
#include <string.h>

size_t routes_count(void) {
    size_t count = 0;
    for (size_t i = 0; i < gateway_module_count; i++) {
        count += gateway_modules[i]->route_count;
    }
    return count;
}

const struct route *routes_at(size_t index) {
    for (size_t i = 0; i < gateway_module_count; i++) {
        if (index < gateway_modules[i]->route_count) {
            return &gateway_modules[i]->routes[index];
        }
        index -= gateway_modules[i]->route_count;
    }
    return NULL;
}

static bool is_kind(const char *text, size_t length) {
    return length > 0 && length < ROUTE_PARAMETER_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") >= length;
}

static bool is_asset(const char *text, size_t length) {
    return length > 0 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-.") >= length;
}

/* One segment of the path that stands where the pattern has a parameter. */
static bool take_parameter(const char *name, const char *segment, size_t length, char *target) {
    if (length >= ROUTE_PARAMETER_MAX) {
        return false;
    }
    (void)text_format(target, ROUTE_PARAMETER_MAX, "%.*s", (int)length, segment);
    if (text_starts_with(name, ":kind") || text_starts_with(name, ":name")) {
        return is_kind(segment, length);
    }
    if (text_starts_with(name, ":asset")) {
        return is_asset(segment, length);
    }
    if (!text_is_uuid(target)) {
        return false;
    }
    fields_lower(target);
    return true;
}

static bool match_path(const char *pattern, const char *path,
                       char parameters[ROUTE_MAX_PARAMETERS][ROUTE_PARAMETER_MAX]) {
    size_t taken = 0;
    while (*pattern == '/' && *path == '/') {
        pattern++;
        path++;
        size_t wanted = strcspn(pattern, "/");
        size_t given = strcspn(path, "/");
        if (*pattern == ':') {
            if (taken == ROUTE_MAX_PARAMETERS || !take_parameter(pattern, path, given, parameters[taken])) {
                return false;
            }
            taken++;
        } else if (wanted != given || memcmp(pattern, path, wanted) != 0) {
            return false;
        }
        pattern += wanted;
        path += given;
    }
    return *pattern == '\0' && *path == '\0';
}

static void add_method(char allow[128], const char *method) {
    size_t length = strlen(allow);
    (void)text_format(allow + length, 128 - length, "%s%s", length > 0 ? ", " : "", method);
}

enum route_match route_find(const char *method, const char *path, const struct route **route,
                            char parameters[ROUTE_MAX_PARAMETERS][ROUTE_PARAMETER_MAX], char allow[128]) {
    char found[ROUTE_MAX_PARAMETERS][ROUTE_PARAMETER_MAX] = {"", ""};
    const struct route *row;
    bool known = false;
    allow[0] = '\0';
    for (size_t i = 0; (row = routes_at(i)) != NULL; i++) {
        if (!match_path(row->pattern, path, found)) {
            continue;
        }
        bool head = strcmp(row->method, "GET") == 0 && (row->flags & ROUTE_NO_HEAD) == 0;
        if (strcmp(row->method, method) == 0 || (head && strcmp(method, "HEAD") == 0)) {
            *route = row;
            memcpy(parameters, found, sizeof found);
            return ROUTE_FOUND;
        }
        known = true;
        add_method(allow, row->method);
        if (head) {
            add_method(allow, "HEAD");
        }
    }
    if (known) {
        add_method(allow, "OPTIONS");
    }
    return known ? ROUTE_NO_METHOD : ROUTE_NO_PATH;
}
