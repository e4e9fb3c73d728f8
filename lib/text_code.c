/* SPDX-License-Identifier: MIT
 * Text encodings: hex, base64url (RFC 4648 §5, no padding) and percent-encoding (RFC 3986 §2.1). Decoders
 * accept exactly one spelling of each value (hex and percent digits: either case) and never write past the
 * target. */
#include <string.h>

#include "lib/text.h"

static const char lower_digits[] = "0123456789abcdef";
static const char upper_digits[] = "0123456789ABCDEF";

static int hex_value(char digit) {
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

void text_hex_encode(char *target, const void *bytes, size_t size) {
    const unsigned char *source = bytes;

    for (size_t i = 0; i < size; i++) {
        target[2 * i] = lower_digits[source[i] >> 4];
        target[2 * i + 1] = lower_digits[source[i] & 0x0f];
    }
    target[2 * size] = '\0';
}

int text_hex_decode(void *target, size_t size, const char *hex) {
    unsigned char *bytes = target;

    if (strlen(hex) / 2 != size || strlen(hex) % 2 != 0)
        return -1;
    for (size_t i = 0; i < size; i++) {
        int high = hex_value(hex[2 * i]);
        int low = hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        bytes[i] = (unsigned char)(high << 4 | low);
    }
    return 0;
}

static const char base64url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

int text_base64url_encode(char *target, size_t target_size, const void *bytes, size_t size) {
    const unsigned char *source = bytes;
    size_t used = 0;

    if (target_size == 0 || size / 3 + (size % 3 != 0 ? 1 : 0) > (target_size - 1) / 4)
        return -1;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t group = (uint32_t)source[i] << 16;
        group |= left > 1 ? (uint32_t)source[i + 1] << 8 : 0;
        group |= left > 2 ? (uint32_t)source[i + 2] : 0;
        target[used++] = base64url_digits[group >> 18 & 63];
        target[used++] = base64url_digits[group >> 12 & 63];
        if (left > 1)
            target[used++] = base64url_digits[group >> 6 & 63];
        if (left > 2)
            target[used++] = base64url_digits[group & 63];
    }
    target[used] = '\0';
    return 0;
}

static int base64url_value(char digit) {
    if (digit >= 'A' && digit <= 'Z')
        return digit - 'A';
    if (digit >= 'a' && digit <= 'z')
        return digit - 'a' + 26;
    if (digit >= '0' && digit <= '9')
        return digit - '0' + 52;
    return digit == '-' ? 62 : digit == '_' ? 63 : -1;
}

int64_t text_base64url_decode(void *target, size_t target_size, const char *text, size_t size) {
    unsigned char *bytes = target;
    uint32_t bits = 0;
    unsigned bit_count = 0;
    size_t used = 0;

    if (size % 4 == 1 || size > INT64_MAX)
        return -1;
    for (size_t i = 0; i < size; i++) {
        int value = base64url_value(text[i]);
        if (value < 0)
            return -1;
        bits = (bits << 6 | (uint32_t)value) & 0xffff;
        bit_count += 6;
        if (bit_count < 8)
            continue;
        bit_count -= 8;
        if (used == target_size)
            return -1;
        bytes[used++] = (unsigned char)(bits >> bit_count);
    }
    /* Bits that are left over must be zero, or two texts would mean the same bytes. */
    if ((bits & ((1u << bit_count) - 1)) != 0)
        return -1;
    return (int64_t)used;
}

static bool is_unreserved(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

int text_percent_encode(char *target, size_t size, const char *text, bool keep_slash) {
    size_t used = 0;

    if (size == 0)
        return -1;
    target[0] = '\0';
    for (; *text != '\0'; text++) {
        bool plain = is_unreserved(*text) || (keep_slash && *text == '/');
        if (size - used <= (plain ? 1u : 3u))
            return -1;
        if (plain) {
            target[used++] = *text;
        } else {
            target[used++] = '%';
            target[used++] = upper_digits[(unsigned char)*text >> 4];
            target[used++] = upper_digits[(unsigned char)*text & 0x0f];
        }
        target[used] = '\0';
    }
    return 0;
}

int text_percent_decode(char *target, size_t size, const char *text, size_t text_size, bool plus_is_space) {
    size_t used = 0;

    if (size == 0)
        return -1;
    target[0] = '\0';
    for (size_t i = 0; i < text_size; i++) {
        char c = text[i] == '+' && plus_is_space ? ' ' : text[i];
        if (text[i] == '%') {
            int high = text_size - i > 2 ? hex_value(text[i + 1]) : -1;
            int low = text_size - i > 2 ? hex_value(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return -1;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0' || size - used <= 1)
            return -1;
        target[used++] = c;
        target[used] = '\0';
    }
    return 0;
}
