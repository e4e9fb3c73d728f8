/* SPDX-License-Identifier: MIT
 * Orders by the line; see admin_orders.h. What the gateway calls jobs[7].type is line 8's type. */
#include "gateway/admin_orders.h"

#include "gateway/json.h"
#include "lib/memory.h"
#include "lib/text.h"
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES ((size_t)64 * 1024)
#define PREFIX "jobs["

static json_t *read_order(const struct admin_orders *orders, const char *line, size_t size) {
    const char *reason = "is no object";
    json_t *order = NULL;

    if (size == LINE_MAX_BYTES - 1 && line[size - 1] != '\n') {
        reason = "is too long";
    } else {
        order = json_decode(line, size, &reason);
    }
    if (json_is_object(order)) {
        return order;
    }
    (void)fprintf(stderr, "filemill: line %zu %s\n", orders->line, reason);
    json_decref(order);
    return NULL;
}

json_t *admin_orders_read(struct admin_orders *orders, FILE *input) {
    json_t *list = json_array();
    char *line = memory_new(LINE_MAX_BYTES);

    while (list != NULL && json_array_size(list) < ADMIN_ORDERS_MOST &&
           fgets(line, (int)LINE_MAX_BYTES, input) != NULL) {
        size_t size = strlen(line);
        orders->line++;
        if (line[strspn(line, " \t\r\n")] == '\0') {
            continue;
        }
        json_t *order = read_order(orders, line, size);
        if (order == NULL) {
            json_decref(list);
            list = NULL;
        } else {
            orders->lines[json_array_size(list)] = orders->line;
            json_array_append_new(list, order);
        }
    }
    free(line);
    return list;
}

static void tell_fault(const struct admin_orders *orders, const char *path, const char *words) {
    const char *number = path + strlen(PREFIX);
    const char *end = strchr(path, ']');
    char digits[24];
    uint64_t place;

    if (!text_starts_with(path, PREFIX) || end == NULL ||
        text_format(digits, sizeof digits, "%.*s", (int)(end - number), number) != 0 ||
        text_parse_u64(digits, 0, ADMIN_ORDERS_MOST - 1, &place) != 0) {
        (void)fprintf(stderr, "filemill: %s: %s\n", path, words);
        return;
    }
    (void)fprintf(stderr, "filemill: line %zu: %s%s%s\n", orders->lines[place], end[1] == '.' ? end + 2 : "",
                  end[1] == '.' ? ": " : "", words);
}

void admin_orders_tell(const struct admin_orders *orders, const json_t *answer, int status) {
    json_t *faults = json_object_get(json_object_get(answer, "details"), "fieldErrors");
    size_t count = json_array_size(json_object_get(answer, "jobs"));
    long long created = (long long)json_integer_value(json_object_get(answer, "created"));
    const char *path;
    json_t *words;

    if (status == 0) {
        printf("%lld queued, %lld were there\n", created, (long long)count - created);
        return;
    }
    json_object_foreach(faults, path, words) {
        tell_fault(orders, path, json_string_value(json_array_get(words, 0)));
    }
}
