/* SPDX-License-Identifier: MIT
 * Bounded formatting, strict parsing, UTF-8, random bytes and UUIDs. Encodings (hex, base64url, percent) are
 * in text_code.c. Every parser takes a whole text or nothing. */
#include "lib/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "lib/log.h"

int text_format(char *target, size_t size, const char *format, ...) {
    va_list arguments;

    if (size == 0)
        return -1;
    va_start(arguments, format);
    int length = vsnprintf(target, size, format, arguments);
    va_end(arguments);
    if (length < 0) {
        target[0] = '\0';
        return -1;
    }
    return (size_t)length < size ? 0 : -1;
}

int text_copy(char *target, size_t size, const char *source) {
    if (size == 0)
        return -1;
    size_t length = strlen(source);
    size_t kept = length < size ? length : size - 1;
    memmove(target, source, kept);
    target[kept] = '\0';
    return kept == length ? 0 : -1;
}

int text_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *value) {
    uint64_t result = 0;

    if (*text == '\0')
        return -1;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        uint64_t digit = (uint64_t)(*text - '0');
        if (result > (UINT64_MAX - digit) / 10)
            return -1;
        result = result * 10 + digit;
    }
    if (result < min || result > max)
        return -1;
    *value = result;
    return 0;
}

int text_parse_i64(const char *text, int64_t min, int64_t max, int64_t *value) {
    bool negative = *text == '-';
    uint64_t size;

    if (text_parse_u64(negative ? text + 1 : text, 0, (uint64_t)INT64_MAX + (negative ? 1 : 0), &size) != 0)
        return -1;
    int64_t result = negative ? (size == 0 ? 0 : -(int64_t)(size - 1) - 1) : (int64_t)size;
    if (result < min || result > max)
        return -1;
    *value = result;
    return 0;
}

int text_parse_bool(const char *text, bool *value) {
    static const struct {
        const char *word;
        bool value;
    } words[] = {
        {"on", true},   {"true", true},   {"yes", true}, {"1", true},
        {"off", false}, {"false", false}, {"no", false}, {"0", false},
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(text, words[i].word) == 0) {
            *value = words[i].value;
            return 0;
        }
    }
    return -1;
}

bool text_starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

char text_lower(char character) {
    return character >= 'A' && character <= 'Z' ? (char)(character - 'A' + 'a') : character;
}

bool text_ends_with(const char *text, const char *suffix) {
    size_t text_size = strlen(text);
    size_t suffix_size = strlen(suffix);

    return suffix_size <= text_size && strcmp(text + text_size - suffix_size, suffix) == 0;
}

bool text_is_choice(const char *choices, const char *text, size_t size) {
    while (choices != NULL && *choices != '\0') {
        size_t choice_size = strcspn(choices, "|");
        if (choice_size == size && memcmp(choices, text, size) == 0)
            return true;
        choices += choice_size + (choices[choice_size] == '|' ? 1 : 0);
    }
    return false;
}

/* Bytes of the UTF-8 character that starts at `bytes`, or 0. RFC 3629: the second byte's range depends on the
 * first, and that alone refuses overlong forms, surrogates and everything above U+10FFFF. */
static size_t utf8_length(const unsigned char *bytes, size_t size) {
    unsigned char first = bytes[0];
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    size_t length;

    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first == 0xe0)
        low = 0xa0;
    else if (first == 0xed)
        high = 0x9f;
    else if (first == 0xf0)
        low = 0x90;
    else if (first == 0xf4)
        high = 0x8f;
    if (size < length || bytes[1] < low || bytes[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    }
    return length;
}

bool text_is_utf8(const char *text, size_t size) {
    const unsigned char *bytes = (const unsigned char *)text;

    while (size > 0) {
        size_t length = utf8_length(bytes, size);
        if (length == 0)
            return false;
        bytes += length;
        size -= length;
    }
    return true;
}

void text_random(void *target, size_t size) {
    unsigned char *bytes = target;

    while (size > 0) {
        ssize_t got = getrandom(bytes, size, 0);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            fatal_errno("event=random_failed");
        }
        bytes += got;
        size -= (size_t)got;
    }
}

static void uuid_write(char *target, unsigned char bytes[16], unsigned version) {
    char hex[33];

    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | (version << 4));
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    text_hex_encode(hex, bytes, 16);
    snprintf(target, UUID_TEXT_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

void text_uuid4(char *target) {
    unsigned char bytes[16];

    text_random(bytes, sizeof(bytes));
    uuid_write(target, bytes, 4);
}

void text_uuid7(char *target) {
    static uint64_t last_tick;
    unsigned char bytes[16];
    struct timespec now;

    /* RFC 9562 §6.2, method 3: rand_a is the fraction of the millisecond, so that ids of one process sort
     * in the order of their making; a clock that stands still or steps back only counts on. */
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t milliseconds = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    uint64_t fraction = (uint64_t)now.tv_nsec % 1000000 * 4096 / 1000000;
    uint64_t tick = milliseconds << 12 | fraction;
    if (tick <= last_tick)
        tick = last_tick + 1;
    last_tick = tick;

    text_random(bytes, sizeof(bytes));
    for (size_t i = 0; i < 6; i++)
        bytes[i] = (unsigned char)(tick >> (52 - 8 * i));
    bytes[6] = (unsigned char)(tick >> 8 & 0x0f);
    bytes[7] = (unsigned char)tick;
    uuid_write(target, bytes, 7);
}

bool text_is_uuid(const char *text) {
    static const char hex_digits[] = "0123456789abcdefABCDEF";

    for (size_t i = 0; i < UUID_TEXT_SIZE - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (text[i] == '\0' || (dash ? text[i] != '-' : strchr(hex_digits, text[i]) == NULL))
            return false;
    }
    return text[UUID_TEXT_SIZE - 1] == '\0';
}

uint64_t text_hash(const char *text, uint64_t seed) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ seed;

    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}

bool text_equal_secret(const char *left, const char *right) {
    size_t left_size = strlen(left);
    size_t right_size = strlen(right);
    size_t steps = left_size > right_size ? left_size : right_size;
    volatile unsigned difference = left_size == right_size ? 0 : 1;

    /* Past its end a text gives its NUL again and again: the time tells the longer length, nothing else. */
    for (size_t i = 0; i < steps; i++) {
        unsigned char a = (unsigned char)left[i < left_size ? i : left_size];
        unsigned char b = (unsigned char)right[i < right_size ? i : right_size];
        difference |= (unsigned)(a ^ b);
    }
    return difference == 0;
}

static size_t origin_size(const char *url) {
    const char *host = strstr(url, "://");

    return host == NULL ? 0 : (size_t)(host - url) + 3 + strcspn(host + 3, "/?#");
}

bool text_has_same_origin(const char *url, const char *other) {
    size_t size = origin_size(url);

    return size > 0 && (text_starts_with(url, "https://") || text_starts_with(url, "http://")) &&
           size == origin_size(other) && strncmp(url, other, size) == 0;
}
