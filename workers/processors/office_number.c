/* SPDX-License-Identifier: MIT
 * Serial dates count days since the end of 1899, with a 29th of February 1900 that never was; or, in files
 * from old Macs, since the first day of 1904. */
#include "workers/processors/office_number.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/text.h"

#define SECONDS_PER_DAY 86400
#define DAYS_1900 (-25569) /* 1899-12-30, as days since 1970-01-01: right from March 1900 on */
#define DAYS_1904 (-24107)
#define LEAP_1900 60        /* the day that never was */
#define LAST_SERIAL 2958465 /* 9999-12-31 */
#define PLAIN_DIGITS 15

static const struct {
    uint64_t first, last;
    enum office_number kind;
} builtins[] = {
    {14, 17, OFFICE_NUMBER_DATE}, {18, 21, OFFICE_NUMBER_TIME},    {22, 22, OFFICE_NUMBER_DATE_TIME},
    {27, 31, OFFICE_NUMBER_DATE}, {32, 35, OFFICE_NUMBER_TIME},    {36, 36, OFFICE_NUMBER_DATE},
    {45, 45, OFFICE_NUMBER_TIME}, {46, 46, OFFICE_NUMBER_ELAPSED}, {47, 47, OFFICE_NUMBER_TIME},
    {50, 54, OFFICE_NUMBER_DATE}, {55, 56, OFFICE_NUMBER_TIME},    {57, 58, OFFICE_NUMBER_DATE},
};

enum office_number office_number_of_builtin(uint64_t id) {
    for (size_t i = 0; i < sizeof builtins / sizeof builtins[0]; i++) {
        if (id >= builtins[i].first && id <= builtins[i].last)
            return builtins[i].kind;
    }
    return OFFICE_NUMBER_PLAIN;
}

struct letters {
    bool day, month, clock, elapsed;
};

/* "[Red]", "[$-409]", "[h]": only the last kind says something. */
static const char *read_bracket(const char *at, struct letters *letters) {
    size_t size = strcspn(++at, "]");

    if (size > 0 && strspn(at, "hHmMsS") == size)
        letters->elapsed = true;
    at += size;
    return *at == ']' ? at + 1 : at;
}

/* The first section, without what is quoted or escaped. */
static struct letters read_code(const char *at) {
    struct letters letters = {0};

    while (*at != '\0' && *at != ';') {
        if (*at == '[') {
            at = read_bracket(at, &letters);
        } else if (*at == '"') {
            at += 1 + strcspn(at + 1, "\"");
            at += *at == '"';
        } else if (strchr("\\_*", *at) != NULL) {
            at += at[1] == '\0' ? 1 : 2;
        } else if (strncasecmp(at, "General", 7) == 0) {
            at += 7;
        } else {
            char letter = text_lower(*at++);
            letters.day |= letter == 'd' || letter == 'y';
            letters.month |= letter == 'm';
            letters.clock |= letter == 'h' || letter == 's';
        }
    }
    return letters;
}

enum office_number office_number_of_code(const char *code) {
    struct letters letters = read_code(code);

    if (letters.elapsed)
        return OFFICE_NUMBER_ELAPSED;
    if (letters.clock)
        return letters.day ? OFFICE_NUMBER_DATE_TIME : OFFICE_NUMBER_TIME;
    return letters.day || letters.month ? OFFICE_NUMBER_DATE : OFFICE_NUMBER_PLAIN;
}

/* --- writing -------------------------------------------------------------------------------------------- */

/* Howard Hinnant, "chrono-compatible low-level date algorithms": days since 1970-01-01 to a civil date. */
static void put_date(char *target, size_t size, int64_t days) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * of_year + 2) / 153;
    int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;

    (void)text_format(target, size, "%04d-%02d-%02d", (int)(year_of_era + era * 400 + (month <= 2)),
                      (int)month, (int)(of_year - (153 * shifted + 2) / 5 + 1));
}

static void put_serial_date(char *target, size_t size, int64_t day, bool epoch_1904) {
    if (epoch_1904)
        put_date(target, size, day + DAYS_1904);
    else if (day == LEAP_1900)
        (void)text_copy(target, size, "1900-02-29");
    else
        put_date(target, size, day + DAYS_1900 + (day < LEAP_1900));
}

static void put_clock(char *target, size_t size, int64_t seconds) {
    (void)text_format(target, size, "%02" PRId64 ":%02d:%02d", seconds / 3600, (int)(seconds / 60 % 60),
                      (int)(seconds % 60));
}

static void put_plain(char *target, const char *raw, double value) {
    if (strlen(raw) <= PLAIN_DIGITS && strpbrk(raw, "eE") == NULL)
        (void)text_copy(target, OFFICE_NUMBER_SIZE, raw);
    else
        (void)text_format(target, OFFICE_NUMBER_SIZE, "%.*g", PLAIN_DIGITS, value);
}

void office_number_format(char target[OFFICE_NUMBER_SIZE], const char *raw, enum office_number kind,
                          bool epoch_1904) {
    char *end;
    double value = strtod(raw, &end);

    if (end == raw || *end != '\0' || !isfinite(value)) {
        (void)text_copy(target, OFFICE_NUMBER_SIZE, raw);
        return;
    }
    if (kind == OFFICE_NUMBER_PLAIN || value < 0 || value > LAST_SERIAL + 1) {
        put_plain(target, raw, value);
        return;
    }
    int64_t seconds = (int64_t)floor(value * SECONDS_PER_DAY + 0.5);
    int64_t day = kind == OFFICE_NUMBER_DATE ? (int64_t)value : seconds / SECONDS_PER_DAY;
    if (kind == OFFICE_NUMBER_ELAPSED) {
        put_clock(target, OFFICE_NUMBER_SIZE, seconds);
        return;
    }
    if (kind == OFFICE_NUMBER_TIME || (kind == OFFICE_NUMBER_DATE_TIME && day == 0 && !epoch_1904)) {
        put_clock(target, OFFICE_NUMBER_SIZE, seconds % SECONDS_PER_DAY);
        return;
    }
    put_serial_date(target, OFFICE_NUMBER_SIZE, day, epoch_1904);
    if (kind == OFFICE_NUMBER_DATE_TIME) {
        size_t length = strlen(target);
        target[length] = ' ';
        put_clock(target + length + 1, OFFICE_NUMBER_SIZE - length - 1, seconds % SECONDS_PER_DAY);
    }
}
