/* SPDX-License-Identifier: MIT
 * Bodies and queries by rows of every type. What is accepted is what the database takes: times that are,
 * UUIDs, texts without NULs. */
#include "gateway/fields.h"

#include "gateway/json.h"
#include "lib/text.h"
#include "tests/fuzz/fuzz.h"
#include <time.h>

static const struct field fields[] = {
    {"t", FIELD_TEXT, false, 1, 20, NULL, ""},       {"u", FIELD_UUID, false, 0, 0, NULL, ""},
    {"i", FIELD_INTEGER, false, -5, 1000, NULL, ""}, {"c", FIELD_CHOICE, false, 0, 0, "a|bc|d", ""},
    {"m", FIELD_MEDIA_TYPE, false, 0, 60, NULL, ""}, {"s", FIELD_SHA256, false, 0, 0, NULL, ""},
    {"w", FIELD_TIME, false, 0, 0, NULL, ""},        {"o", FIELD_OBJECT, false, 0, 0, NULL, ""},
    {"l", FIELD_LIST, false, 0, 3, NULL, ""},        {"b", FIELD_BOOLEAN, false, 0, 0, NULL, ""},
};
static const struct field_rows rows = {fields, sizeof fields / sizeof fields[0], 0};

static void check_body(const json_t *body) {
    const json_t *number = json_object_get(body, "i"), *text = json_object_get(body, "t");
    const char *when = json_string_value(json_object_get(body, "w"));
    struct tm time = {0};

    require(text == NULL || (strlen(json_string_value(text)) == json_string_length(text) &&
                             json_string_length(text) >= 1 && json_string_length(text) <= 60));
    require(number == NULL || (json_integer_value(number) >= -5 && json_integer_value(number) <= 1000));
    if (when != NULL) {
        require(strptime(when, "%Y-%m-%dT%H:%M:%S", &time) != NULL);
        time_t seconds = timegm(&time);
        struct tm again;
        require(gmtime_r(&seconds, &again) != NULL && again.tm_mday == time.tm_mday &&
                again.tm_mon == time.tm_mon);
    }
}

/* name=value lines as a query's parameters. */
static void check_query(char *text) {
    struct http_header parameters[8];
    size_t count = 0;

    for (char *line = text, *next; line != NULL && count < 8; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        char *equals = strchr(line, '=');
        if (equals != NULL)
            *equals = '\0';
        parameters[count].name = line;
        parameters[count++].value = equals != NULL ? equals + 1 : "";
    }
    json_decref(fields_check_query(&rows, parameters, count));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    const char *reason;
    char *copy = exact_copy(bytes, size), *text = exact_text(bytes, size);
    json_t *body = json_decode(copy, size, &reason),
           *details = body != NULL ? fields_check(&rows, body) : NULL;

    if (body != NULL && details == NULL)
        check_body(body);
    json_decref(details);
    json_decref(body);
    check_query(text);
    free(text);
    free(copy);
    return 0;
}
