/* SPDX-License-Identifier: MIT
 * Clocks and the three text forms of wall time that Filemill writes. All times are UTC, and no form depends
 * on the locale. A time outside the years 0 to 9999 has no such form and becomes the empty text. */
#include "lib/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_us(clockid_t clock) {
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_monotonic_ms(void) {
    return read_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_monotonic_us(void) {
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void) {
    return read_us(CLOCK_REALTIME) / 1000;
}

/* Splits a stamp; false (and an empty target) when it has no four-digit year. */
static bool split(char *target, size_t size, int64_t wall_ms, struct tm *parts, unsigned *milliseconds) {
    int64_t seconds = wall_ms / 1000;
    int64_t rest = wall_ms % 1000;

    if (rest < 0) {
        rest += 1000;
        seconds--;
    }
    *milliseconds = (unsigned)rest;
    if (size > 0)
        target[0] = '\0';
    return gmtime_r(&(time_t){seconds}, parts) != NULL && parts->tm_year >= -1900 && parts->tm_year <= 8099;
}

void clock_format_iso8601(char *target, size_t size, int64_t wall_ms) {
    struct tm parts;
    unsigned milliseconds;

    if (!split(target, size, wall_ms, &parts, &milliseconds))
        return;
    snprintf(target, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", parts.tm_year + 1900, parts.tm_mon + 1,
             parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, milliseconds);
}

void clock_format_basic(char *target, size_t size, int64_t wall_ms) {
    struct tm parts;
    unsigned milliseconds;

    if (!split(target, size, wall_ms, &parts, &milliseconds))
        return;
    snprintf(target, size, "%04d%02d%02dT%02d%02d%02dZ", parts.tm_year + 1900, parts.tm_mon + 1,
             parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

void clock_format_http(char *target, size_t size, int64_t wall_ms) {
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm parts;
    unsigned milliseconds;

    if (!split(target, size, wall_ms, &parts, &milliseconds))
        return;
    snprintf(target, size, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[parts.tm_wday], parts.tm_mday,
             months[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

/* Reads `count` digits at `text`; -1 when one of them is no digit. */
static int digits(const char *text, size_t count) {
    int value = 0;

    for (size_t i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

int clock_parse_basic(const char *text, int64_t *wall_ms) {
    static const int month_days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    if (strlen(text) != 16 || text[8] != 'T' || text[15] != 'Z')
        return -1;
    int year = digits(text, 4);
    int month = digits(text + 4, 2);
    int day = digits(text + 6, 2);
    int hour = digits(text + 9, 2);
    int minute = digits(text + 11, 2);
    int second = digits(text + 13, 2);
    if (year < 0 || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 23 || minute < 0 ||
        minute > 59 || second < 0 || second > 59)
        return -1;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > month_days[month - 1] + (month == 2 && leap ? 1 : 0))
        return -1;

    struct tm parts = {
        .tm_year = year - 1900,
        .tm_mon = month - 1,
        .tm_mday = day,
        .tm_hour = hour,
        .tm_min = minute,
        .tm_sec = second,
    };
    *wall_ms = (int64_t)timegm(&parts) * 1000;
    return 0;
}

int64_t clock_parse_http(const char *text) {
    struct tm parts = {0};
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &parts);

    return end != NULL && *end == '\0' ? (int64_t)timegm(&parts) : -1;
}
