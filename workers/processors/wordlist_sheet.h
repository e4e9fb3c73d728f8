/* SPDX-License-Identifier: MIT
 * Rows of CSV and sheets of XLSX for word lists. */
#ifndef WORKERS_PROCESSORS_WORDLIST_SHEET_H
#define WORKERS_PROCESSORS_WORDLIST_SHEET_H

#include <jansson.h>
#include <stddef.h>

#include "lib/buffer.h"
#include "workers/processors/zip_store.h"

/* One record of RFC 4180 with its line's end. A cell that begins with = + - @, a tab or a carriage return
 * gets an apostrophe before it (OWASP's rule against formulas in CSV). 0, or -1 at the buffer's ceiling. */
int sheet_csv_row(struct buffer *out, const char *left, const char *right);

/* The list as a workbook of one sheet, put into a zip that was begun, and ends it. 0 or -1. */
int sheet_xlsx(struct zip_store *zip, const json_t *list);

#endif
