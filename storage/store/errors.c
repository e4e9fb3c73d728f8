/* SPDX-License-Identifier: MIT
 * The table of errors. */
#include "storage/store/errors.h"

#include <stddef.h>

struct error_row {
    int status;
    const char *code;
    const char *words;
};

static const struct error_row rows[S3_ERROR_COUNT] = {[S3_OK] = {.status = 200, .code = "OK", .words = ""},
#define S3_ERROR_ROW(symbol, error_status, error_code, error_words)                                          \
    [S3_##symbol] = {.status = error_status, .code = error_code, .words = error_words},
                                                      S3_ERRORS(S3_ERROR_ROW)
#undef S3_ERROR_ROW
};

int s3_error_status(enum s3_error error) {
    return rows[error].status;
}

const char *s3_error_code(enum s3_error error) {
    return rows[error].code;
}

const char *s3_error_words(enum s3_error error) {
    return rows[error].words;
}

enum s3_error s3_error_of_status(int status) {
    static const enum s3_error guards[] = {S3_METHOD_NOT_ALLOWED, S3_MISSING_CONTENT_LENGTH,
                                           S3_NOT_IMPLEMENTED, S3_INTERNAL};

    if (status == 413)
        return S3_ENTITY_TOO_LARGE;
    for (size_t i = 0; i < sizeof(guards) / sizeof(guards[0]); i++) {
        if (rows[guards[i]].status == status)
            return guards[i];
    }
    return status >= 500 ? S3_INTERNAL : S3_INVALID_REQUEST;
}
