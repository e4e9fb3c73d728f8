/* SPDX-License-Identifier: MIT
 * The table of errors and their documents; see problems.h. */
#include "gateway/problems.h"

#include "gateway/json.h"
#include "lib/memory.h"
#include <stdlib.h>

const struct problem_row problem_rows[PROBLEM_COUNT] = {
#define PROBLEM(symbol, text, number, words)                                                                 \
    [PROBLEM_##symbol] = {.code = (text), .status = (number), .title = (words)},
    PROBLEM_ROWS
#undef PROBLEM
};

char *problem_document(enum problem problem, const char *detail, json_t *members) {
    const struct problem_row *row = &problem_rows[problem];
    char *type = memory_format("urn:filemill:problem:%s", row->code);
    json_t *document = json_pack("{s:s,s:s,s:s,s:i}", "error", row->code, "type", type, "title", row->title,
                                 "status", row->status);
    if (detail != NULL) {
        json_object_set_new(document, "detail", json_string(detail));
    }
    if (members != NULL) {
        json_object_update_missing(document, members);
        json_decref(members);
    }
    char *text = json_encode(document);
    json_decref(document);
    free(type);
    return text;
}
