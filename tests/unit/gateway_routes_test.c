/* SPDX-License-Identifier: MIT
 * The routes table: what matches what, what is let through to a parameter, and what the table owes itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/openapi.h"
#include "gateway/routes.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define ID "3b241101-e2bb-4255-8caf-4136c566a962"

struct match_case {
    const char *method;
    const char *path;
    enum route_match match;
    const char *operation; /* of ROUTE_FOUND */
    const char *first;     /* parameter */
    const char *allow;     /* of ROUTE_NO_METHOD */
};

static const struct match_case cases[] = {
    {"GET", "/health", ROUTE_FOUND, "health", "", NULL},
    {"HEAD", "/health", ROUTE_FOUND, "health", "", NULL},
    {"POST", "/health", ROUTE_NO_METHOD, NULL, NULL, "GET, HEAD, OPTIONS"},
    {"get", "/health", ROUTE_NO_METHOD, NULL, NULL, "GET, HEAD, OPTIONS"},
    {"GET", "/health/", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "//health", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/Health", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/healt%68", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "*", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"POST", "/v1/files/init-upload", ROUTE_FOUND, "initUpload", "", NULL},
    {"GET", "/v1/files/init-upload", ROUTE_NO_METHOD, NULL, NULL, "POST, OPTIONS"},
    {"GET", "/v1/files/" ID, ROUTE_FOUND, "getFile", ID, NULL},
    {"GET", "/v1/files/3B241101-E2BB-4255-8CAF-4136C566A962", ROUTE_FOUND, "getFile", ID, NULL},
    {"DELETE", "/v1/files/" ID, ROUTE_FOUND, "deleteFile", ID, NULL},
    {"PUT", "/v1/files/" ID, ROUTE_NO_METHOD, NULL, NULL, "GET, HEAD, DELETE, OPTIONS"},
    {"GET", "/v1/files/" ID "x", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/v1/files/..", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/v1/files/" ID "/", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/v1/files//download", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/v1/files/" ID "/download", ROUTE_FOUND, "downloadFile", ID, NULL},
    {"GET", "/v1/files/" ID "/derivatives/pdf_text", ROUTE_FOUND, "downloadDerivative", ID, NULL},
    {"GET", "/v1/files/" ID "/derivatives/web-1600", ROUTE_FOUND, "downloadDerivative", ID, NULL},
    {"GET", "/v1/files/" ID "/derivatives/", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/v1/files/" ID "/derivatives/PDF", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/v1/files/" ID "/derivatives/a.b", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/v1/files/" ID "/derivatives/a%62", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/v1/files/" ID "/events", ROUTE_FOUND, "streamEvents", ID, NULL},
    {"HEAD", "/v1/files/" ID "/events", ROUTE_NO_METHOD, NULL, NULL, "GET, OPTIONS"},
    {"PATCH", "/v1/tenants/" ID "/members/" ID, ROUTE_FOUND, "changeMember", ID, NULL},
    {"GET", "/console", ROUTE_FOUND, "consoleElsewhere", "", NULL},
    {"GET", "/console/", ROUTE_FOUND, "console", "", NULL},
    {"GET", "/console/console.js", ROUTE_FOUND, "consoleAsset", "console.js", NULL},
    {"POST", "/console/", ROUTE_NO_METHOD, NULL, NULL, "GET, HEAD, OPTIONS"},
    {"GET", "/console/../health", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/console/%2e%2e", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/console/Console.js", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"POST", "/v1/internal/files/" ID "/reprocess", ROUTE_FOUND, "reprocessFile", ID, NULL},
};

static void each_path_finds_its_row(void **state) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct route *route = NULL;
        char parameters[ROUTE_MAX_PARAMETERS][ROUTE_PARAMETER_MAX] = {"", ""};
        char allow[128];
        print_message("%s %s\n", cases[i].method, cases[i].path);
        assert_int_equal(route_find(cases[i].method, cases[i].path, &route, parameters, allow),
                         cases[i].match);
        if (cases[i].match == ROUTE_FOUND) {
            assert_string_equal(route->operation, cases[i].operation);
            assert_string_equal(parameters[0], cases[i].first);
        } else if (cases[i].match == ROUTE_NO_METHOD) {
            assert_string_equal(allow, cases[i].allow);
        }
    }
}

static void a_kind_has_at_most_64_letters(void **state) {
    const struct route *route = NULL;
    char parameters[ROUTE_MAX_PARAMETERS][ROUTE_PARAMETER_MAX];
    char allow[128];
    char path[200] = "/v1/files/" ID "/derivatives/";
    size_t length = strlen(path);
    memset(path + length, 'a', 64);
    assert_int_equal(route_find("GET", path, &route, parameters, allow), ROUTE_FOUND);
    assert_int_equal(strlen(parameters[1]), 64);
    path[length + 64] = 'a';
    assert_int_equal(route_find("GET", path, &route, parameters, allow), ROUTE_NO_PATH);
}

/* Who may come without a token is listed here, too, so that nobody opens a route by forgetting a flag. */
static const char *const open_operations[] = {"health",  "ready",        "openapi",       "consoleElsewhere",
                                              "console", "consoleAsset", "consoleSession", "reportPortalJob",
                                              "readByLink"};

static bool is_open(const struct route *route) {
    for (size_t i = 0; i < sizeof open_operations / sizeof open_operations[0]; i++) {
        if (strcmp(open_operations[i], route->operation) == 0) {
            return true;
        }
    }
    return false;
}

static void the_table_keeps_its_promises(void **state) {
    for (size_t i = 0; i < routes_count(); i++) {
        const struct route *route = routes_at(i);
        bool writes = strcmp(route->method, "GET") != 0;
        assert_non_null(route->handler);
        assert_int_equal((route->flags & ROUTE_AUTHENTICATED) == 0, is_open(route));
        assert_int_equal((route->flags & ROUTE_WRITES) != 0, writes);
        assert_int_equal((route->flags & ROUTE_IDEMPOTENT_KEY) != 0,
                         strcmp(route->method, "POST") == 0 && !is_open(route) &&
                             (route->flags & ROUTE_STREAM_BODY) == 0); /* bodies that nobody keeps */
        assert_true(route->success >= 200 && route->success < 300);
        for (size_t k = 0; k < i; k++) {
            const struct route *other = routes_at(k);
            assert_true(strcmp(other->operation, route->operation) != 0);
            assert_true(strcmp(other->method, route->method) != 0 ||
                        strcmp(other->pattern, route->pattern) != 0);
        }
    }
}

static void the_document_names_every_route_once(void **state) {
    char *text = openapi_document("http://localhost:8080", 5000000000);
    json_t *document = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(document);
    size_t operations = 0;
    const char *path;
    const char *method;
    json_t *item;
    json_t *operation;
    json_object_foreach(json_object_get(document, "paths"), path, item) {
        json_object_foreach(item, method, operation) {
            operations++;
        }
    }
    size_t pages = 0;
    for (size_t i = 0; i < routes_count(); i++) {
        pages += (routes_at(i)->flags & ROUTE_PAGE) != 0;
    }
    assert_int_equal(operations + pages, routes_count());
    json_decref(document);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_path_finds_its_row),
        cmocka_unit_test(a_kind_has_at_most_64_letters),
        cmocka_unit_test(the_table_keeps_its_promises),
        cmocka_unit_test(the_document_names_every_route_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
