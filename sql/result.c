/* SPDX-License-Identifier: MIT
 * Reading results by column name. */
#include "sql/database.h"

#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/text.h"
#include "sql/transaction.h"

size_t result_rows(const struct database_result *result) {
    return (size_t)PQntuples(result->result);
}

size_t result_affected(const struct database_result *result) {
    uint64_t rows = 0;

    (void)text_parse_u64(PQcmdTuples(result->result), 0, UINT64_MAX, &rows);
    return (size_t)rows;
}

const char *result_text(const struct database_result *result, size_t row, const char *column) {
    static bool warned;
    int number = PQfnumber(result->result, column);

    if (number < 0 || row >= result_rows(result)) {
        if (!warned)
            log_warn("event=unknown_column column=%s row=%zu", column, row);
        warned = true;
        return NULL;
    }
    return PQgetisnull(result->result, (int)row, number) ? NULL
                                                         : PQgetvalue(result->result, (int)row, number);
}

void result_copy(char *target, size_t size, const struct database_result *result, size_t row,
                 const char *column) {
    const char *text = result_text(result, row, column);

    (void)text_copy(target, size, text != NULL ? text : "");
}

int64_t result_number(const struct database_result *result, size_t row, const char *column) {
    const char *text = result_text(result, row, column);
    int64_t value = 0;

    if (text != NULL && text_parse_i64(text, INT64_MIN, INT64_MAX, &value) != 0)
        log_warn("event=column_is_no_number column=%s", column);
    return value;
}

bool result_bool(const struct database_result *result, size_t row, const char *column) {
    const char *text = result_text(result, row, column);

    return text != NULL && strcmp(text, "t") == 0;
}
