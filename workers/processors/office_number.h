/* SPDX-License-Identifier: MIT
 * Numbers of spreadsheet cells as people read them (ECMA-376 part 1, 18.8.30 and 18.17.4). Pure. */
#ifndef WORKERS_PROCESSORS_OFFICE_NUMBER_H
#define WORKERS_PROCESSORS_OFFICE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum office_number {
    OFFICE_NUMBER_PLAIN,
    OFFICE_NUMBER_DATE,
    OFFICE_NUMBER_TIME,
    OFFICE_NUMBER_DATE_TIME,
    OFFICE_NUMBER_ELAPSED, /* hours beyond 24 */
};

#define OFFICE_NUMBER_SIZE 40

/* Of a numFmtId that no format code defines, and of a format code. */
enum office_number office_number_of_builtin(uint64_t id);
enum office_number office_number_of_code(const char *code);

/* "2024-01-31", "2024-01-31 12:30:00", "12:30:00", "36:00:00", or the number without the noise of binary
 * fractions (15 digits). Serial dates outside 0 to 9999-12-31 stay numbers. What is no number is copied (cut
 * to OFFICE_NUMBER_SIZE). */
void office_number_format(char target[OFFICE_NUMBER_SIZE], const char *raw, enum office_number kind,
                          bool epoch_1904);

#endif
