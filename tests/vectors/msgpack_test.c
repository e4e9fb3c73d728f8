/* SPDX-License-Identifier: MIT
 * The msgpack test suite (kawanet/msgpack-test-suite): every encoding of every value is read by the reader
 * that messages and pairs are decoded with and compared with the value; every one of them is skipped as an
 * unknown field; and every strict prefix of it is refused. Numbers and texts go through the pairs decoder
 * besides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/buffer.h"
#include "lib/text.h"
#include "proto/message.h"
#include "proto/reader.h"
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define SUITE_VALUES 85
#define SUITE_ENCODINGS 233
#define ENCODING_MAX 256

static json_t *suite;

static int set_up(void **state) {
    char path[1024];
    json_error_t error;
    const char *vectors = getenv("FILEMILL_VECTORS");
    vectors = vectors != NULL ? vectors : "../shared/vectors";
    (void)text_format(path, sizeof path, "%s/msgpack/msgpack-test-suite.json", vectors);
    suite = json_load_file(path, 0, &error);
    if (suite == NULL) {
        print_message("skipped: no msgpack vectors at %s\n", path);
    }
    return 0;
}

static int tear_down(void **state) {
    json_decref(suite);
    return 0;
}

/* "82-a1-61": hex bytes with dashes. */
static size_t parse_bytes(const char *dashed, unsigned char *bytes) {
    size_t size = 0;
    for (; *dashed != '\0'; dashed += dashed[2] == '-' ? 3 : 2) {
        const char digits[3] = {dashed[0], dashed[1], '\0'};
        assert_true(size < ENCODING_MAX);
        assert_int_equal(text_hex_decode(&bytes[size], 1, digits), 0);
        size++;
    }
    return size;
}

static double token_real(const struct token *token) {
    switch (token->kind) {
    case TOKEN_UNSIGNED:
        return (double)token->number;
    case TOKEN_NEGATIVE:
        return (double)token->negative;
    default:
        assert_int_equal(token->kind, TOKEN_FLOAT);
        return token->real;
    }
}

/* Integers beyond a double's precision, as decimal text. */
static void check_bignum(const struct token *token, const char *text) {
    char *end;
    errno = 0;
    if (token->kind == TOKEN_FLOAT) {
        assert_true(token->real == strtod(text, &end));
    } else if (text[0] == '-') {
        assert_int_equal(token->kind, TOKEN_NEGATIVE);
        assert_true(token->negative == strtoll(text, &end, 10));
    } else {
        assert_int_equal(token->kind, TOKEN_UNSIGNED);
        assert_true(token->number == strtoull(text, &end, 10));
    }
    assert_int_equal(errno, 0);
    assert_int_equal(*end, '\0');
}

static void check_bytes(const struct token *token, const char *dashed) {
    unsigned char bytes[ENCODING_MAX];
    size_t size = parse_bytes(dashed, bytes);
    assert_int_equal(token->size, size);
    assert_memory_equal(token->bytes, bytes, size);
}

static uint64_t big_endian(const char *bytes, size_t size) {
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++) {
        number = (number << 8) | (unsigned char)bytes[i];
    }
    return number;
}

/* Extension -1: 32, 64 and 96 bits. */
static void check_timestamp(const struct token *token, const json_t *value) {
    int64_t seconds = 0;
    uint64_t nanoseconds = 0;
    assert_int_equal(token->kind, TOKEN_EXTENSION);
    assert_int_equal(token->extension_type, -1);
    if (token->size == 4) {
        seconds = (int64_t)big_endian(token->bytes, 4);
    } else if (token->size == 8) {
        seconds = (int64_t)(big_endian(token->bytes, 8) & ((UINT64_C(1) << 34) - 1));
        nanoseconds = big_endian(token->bytes, 8) >> 34;
    } else {
        assert_int_equal(token->size, 12);
        nanoseconds = big_endian(token->bytes, 4);
        seconds = (int64_t)big_endian(token->bytes + 4, 8);
    }
    assert_true(seconds == json_integer_value(json_array_get(value, 0)));
    assert_true((json_int_t)nanoseconds == json_integer_value(json_array_get(value, 1)));
}

/* Reads one value that must be `expected`, a plain JSON value. */
static void check_json(struct reader *reader, const json_t *expected) {
    struct token token;
    assert_int_equal(reader_next(reader, &token), 0);
    switch (json_typeof(expected)) {
    case JSON_NULL:
        assert_int_equal(token.kind, TOKEN_NIL);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        assert_int_equal(token.kind, TOKEN_BOOL);
        assert_int_equal(token.number, json_is_true(expected));
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        assert_true(token_real(&token) == json_number_value(expected));
        break;
    case JSON_STRING:
        assert_int_equal(token.kind, TOKEN_TEXT);
        assert_int_equal(token.size, json_string_length(expected));
        assert_string_equal(token_terminate(&token), json_string_value(expected));
        break;
    case JSON_ARRAY:
        assert_int_equal(token.kind, TOKEN_ARRAY);
        assert_int_equal(token.size, json_array_size(expected));
        for (size_t i = 0; i < token.size; i++) {
            check_json(reader, json_array_get(expected, i));
        }
        break;
    case JSON_OBJECT:
        assert_int_equal(token.kind, TOKEN_MAP);
        assert_int_equal(token.size, json_object_size(expected));
        for (size_t i = 0; i < token.size; i++) {
            struct token key;
            assert_int_equal(reader_next(reader, &key), 0);
            assert_int_equal(key.kind, TOKEN_TEXT);
            const json_t *value = json_object_get(expected, token_terminate(&key));
            assert_non_null(value);
            check_json(reader, value);
        }
        break;
    }
}

/* An entry names its value under the name of its kind. */
static void check_entry(const json_t *entry, char *bytes, size_t size) {
    struct reader reader = {.at = bytes, .end = bytes + size};
    struct token token;
    const json_t *value = json_object_get(entry, "bignum");
    if (value != NULL) {
        assert_int_equal(reader_next(&reader, &token), 0);
        check_bignum(&token, json_string_value(value));
    } else if ((value = json_object_get(entry, "binary")) != NULL) {
        assert_int_equal(reader_next(&reader, &token), 0);
        assert_int_equal(token.kind, TOKEN_BINARY);
        check_bytes(&token, json_string_value(value));
    } else if ((value = json_object_get(entry, "ext")) != NULL) {
        assert_int_equal(reader_next(&reader, &token), 0);
        assert_int_equal(token.kind, TOKEN_EXTENSION);
        assert_int_equal(token.extension_type, json_integer_value(json_array_get(value, 0)));
        check_bytes(&token, json_string_value(json_array_get(value, 1)));
    } else if ((value = json_object_get(entry, "timestamp")) != NULL) {
        assert_int_equal(reader_next(&reader, &token), 0);
        check_timestamp(&token, value);
    } else {
        static const char *const kinds[] = {"nil", "bool", "number", "string", "array", "map"};
        for (size_t i = 0; value == NULL && i < sizeof kinds / sizeof kinds[0]; i++) {
            value = json_object_get(entry, kinds[i]);
        }
        assert_non_null(value);
        check_json(&reader, value);
    }
    assert_ptr_equal(reader.at, reader.end);
}

typedef void encoding_fn(const json_t *entry, const unsigned char *bytes, size_t size);

static void for_each_encoding(encoding_fn *check) {
    const char *file;
    json_t *entries;
    json_t *entry;
    json_t *encoding;
    size_t index;
    size_t choice;
    unsigned values = 0;
    unsigned encodings = 0;
    if (suite == NULL) {
        skip();
    }
    json_object_foreach(suite, file, entries) {
        json_array_foreach(entries, index, entry) {
            values++;
            json_array_foreach(json_object_get(entry, "msgpack"), choice, encoding) {
                unsigned char bytes[ENCODING_MAX];
                size_t size = parse_bytes(json_string_value(encoding), bytes);
                encodings++;
                check(entry, bytes, size);
            }
        }
    }
    assert_int_equal(values, SUITE_VALUES);
    assert_int_equal(encodings, SUITE_ENCODINGS);
}

static char *exact_copy(const unsigned char *bytes, size_t size) {
    char *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    return copy;
}

static void check_value(const json_t *entry, const unsigned char *bytes, size_t size) {
    char *copy = exact_copy(bytes, size);
    check_entry(entry, copy, size);
    free(copy);
}

static void check_prefixes(const json_t *entry, const unsigned char *bytes, size_t size) {
    for (size_t cut = 0; cut < size; cut++) {
        char *copy = exact_copy(bytes, cut);
        struct reader reader = {.at = copy, .end = copy + cut};
        assert_int_equal(reader_skip(&reader), -1);
        free(copy);
    }
}

/* As the value of a field that a ping does not have. */
static void check_unknown_field(const json_t *entry, const unsigned char *bytes, size_t size) {
    struct message message;
    struct buffer buffer;
    const char *error = "";
    buffer_init(&buffer, MESSAGE_MAX_BYTES);
    assert_int_equal(buffer_append(&buffer, "\x83\x00\x0e\x63", 4), 0);
    assert_int_equal(buffer_append(&buffer, bytes, size), 0);
    assert_int_equal(buffer_append(&buffer, "\x01\x2a", 2), 0);
    assert_int_equal(message_decode(&message, buffer.data, buffer.size, &error), 0);
    assert_int_equal(message.ping.nonce, 42);
    buffer_clear(&buffer);
}

/* As the value of a pair: texts and integers that are not negative come out, everything else is refused. */
static void check_pair(const json_t *entry, const unsigned char *bytes, size_t size) {
    struct message_pair pair;
    struct buffer buffer;
    const json_t *text = json_object_get(entry, "string");
    bool is_number = json_object_get(entry, "number") != NULL || json_object_get(entry, "bignum") != NULL;
    bool is_float = bytes[0] == 0xca || bytes[0] == 0xcb;
    bool is_negative = json_number_value(json_object_get(entry, "number")) < 0 ||
                       text_starts_with(json_string_value(json_object_get(entry, "bignum")) != NULL
                                            ? json_string_value(json_object_get(entry, "bignum"))
                                            : "",
                                        "-");
    int expected = text != NULL || (is_number && !is_float && !is_negative) ? 1 : -1;
    buffer_init(&buffer, MESSAGE_MAX_BYTES);
    assert_int_equal(buffer_append(&buffer, "\x81\xa1k", 3), 0);
    assert_int_equal(buffer_append(&buffer, bytes, size), 0);
    assert_int_equal(message_pairs_decode(&pair, 1, buffer.data, buffer.size), expected);
    if (text != NULL) {
        assert_string_equal(pair.text, json_string_value(text));
    }
    buffer_clear(&buffer);
}

static void every_encoding_gives_its_value(void **state) {
    for_each_encoding(check_value);
}

static void every_prefix_is_refused(void **state) {
    for_each_encoding(check_prefixes);
}

static void every_encoding_is_skipped_as_an_unknown_field(void **state) {
    for_each_encoding(check_unknown_field);
}

static void pairs_take_texts_and_unsigned_numbers(void **state) {
    for_each_encoding(check_pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_encoding_gives_its_value),
        cmocka_unit_test(every_prefix_is_refused),
        cmocka_unit_test(every_encoding_is_skipped_as_an_unknown_field),
        cmocka_unit_test(pairs_take_texts_and_unsigned_numbers),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
