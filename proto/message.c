/* SPDX-License-Identifier: MIT
 * The codec: one encoder and one decoder that walk the field tables, and the flat maps of the runner's pipe.
 * msgpack-c packs; what comes in is read by reader.h, which allocates nothing. The only user of msgpack.h. */
#include "proto/message.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "lib/memory.h"
#include "lib/text.h"
#include "proto/fields.h"
#include "proto/reader.h"

#define PAIRS_MAX 64
#define PAIR_KEY_MAX 32
#define SHA256_HEX 64

const char *message_type_name(enum message_type type) {
    return type >= MESSAGE_HELLO && type < MESSAGE_TYPE_COUNT ? message_rows[type].name : "unknown";
}

/* Checks that both directions share. */

static bool is_sha256(const char *text, size_t size) {
    return size == SHA256_HEX && strspn(text, "0123456789abcdef") == SHA256_HEX;
}

/* `text` is NUL-terminated and has no NUL in its `size` bytes. */
static bool is_text_valid(const struct field_row *row, const char *text, size_t size) {
    if (size == 0) {
        return !row->required;
    }
    if (size > row->max) {
        return false;
    }
    switch (row->kind) {
    case FIELD_UUID:
        return text_is_uuid(text);
    case FIELD_SHA256:
        return is_sha256(text, size);
    default:
        return text_is_utf8(text, size);
    }
}

static bool is_number_valid(const struct field_row *row, uint64_t number) {
    return number <= row->max && (number > 0 || !row->required);
}

static bool is_text_kind(enum field_kind kind) {
    return kind == FIELD_TEXT || kind == FIELD_PROSE || kind == FIELD_UUID || kind == FIELD_SHA256;
}

/* Encoding */

static int pack_into_buffer(void *context, const char *bytes, size_t size) {
    return buffer_append(context, bytes, size);
}

static const char *text_of(const struct field_row *row, const void *owner) {
    const char *text = *(const char *const *)((const char *)owner + row->offset);
    return text != NULL ? text : "";
}

static uint64_t number_of(const struct field_row *row, const void *owner) {
    const void *place = (const char *)owner + row->offset;
    return row->kind == FIELD_BOOL ? *(const bool *)place : *(const uint64_t *)place;
}

static size_t list_count(const struct field_row *row, const void *owner) {
    return *(const size_t *)((const char *)owner + row->count_offset);
}

static bool is_written(const struct field_row *row, const void *owner) {
    if (row->required) {
        return true;
    }
    if (is_text_kind(row->kind)) {
        return text_of(row, owner)[0] != '\0';
    }
    return row->kind == FIELD_LIST ? list_count(row, owner) > 0 : number_of(row, owner) != 0;
}

static int pack_text(msgpack_packer *packer, const char *text, size_t size) {
    return msgpack_pack_str(packer, size) != 0 || msgpack_pack_str_body(packer, text, size) != 0 ? -1 : 0;
}

/* Copies at most `max` bytes of whole characters, with '?' for what is not UTF-8. Returns the size. */
static size_t clean_text(char *target, size_t max, const char *text) {
    size_t used = 0;
    while (*text != '\0') {
        size_t length = 1;
        while (length <= 4 && !text_is_utf8(text, length)) {
            length = text[length] == '\0' ? 5 : length + 1;
        }
        size_t taken = length <= 4 ? length : 1;
        if (used + taken > max) {
            break;
        }
        memcpy(target + used, length <= 4 ? text : "?", taken);
        used += taken;
        text += taken;
    }
    return used;
}

static int pack_prose(msgpack_packer *packer, const struct field_row *row, const char *text) {
    char cleaned[1024];
    _Static_assert(sizeof cleaned >= 800, "prose is cut to fit");
    size_t max = row->max < sizeof cleaned ? (size_t)row->max : sizeof cleaned;
    return pack_text(packer, cleaned, clean_text(cleaned, max, text));
}

static int pack_fields(msgpack_packer *packer, const struct field_row *rows, size_t row_count,
                       const void *owner, int type);

static int pack_list(msgpack_packer *packer, const struct field_row *row, const void *owner) {
    size_t count = list_count(row, owner);
    if (count > row->max || msgpack_pack_array(packer, count) != 0) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        const char *item = (const char *)owner + row->offset + i * row->item_size;
        if (pack_fields(packer, row->items, row->item_rows, item, 0) != 0) {
            return -1;
        }
    }
    return 0;
}

static int pack_value(msgpack_packer *packer, const struct field_row *row, const void *owner) {
    switch (row->kind) {
    case FIELD_TEXT:
    case FIELD_UUID:
    case FIELD_SHA256: {
        const char *text = text_of(row, owner);
        size_t size = strnlen(text, (size_t)row->max + 1);
        return is_text_valid(row, text, size) ? pack_text(packer, text, size) : -1;
    }
    case FIELD_PROSE:
        return pack_prose(packer, row, text_of(row, owner));
    case FIELD_NUMBER: {
        uint64_t number = number_of(row, owner);
        return is_number_valid(row, number) ? msgpack_pack_uint64(packer, number) : -1;
    }
    case FIELD_BOOL:
        return number_of(row, owner) != 0 ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
    case FIELD_LIST:
        return pack_list(packer, row, owner);
    }
    return -1;
}

/* One map; `type` 0 for an item of a list, which has none. */
static int pack_fields(msgpack_packer *packer, const struct field_row *rows, size_t row_count,
                       const void *owner, int type) {
    size_t written = type != 0 ? 1 : 0;
    for (size_t i = 0; i < row_count; i++) {
        written += is_written(&rows[i], owner) ? 1 : 0;
    }
    if (msgpack_pack_map(packer, written) != 0) {
        return -1;
    }
    if (type != 0 && (msgpack_pack_uint8(packer, 0) != 0 || msgpack_pack_int(packer, type) != 0)) {
        return -1;
    }
    for (size_t i = 0; i < row_count; i++) {
        if (is_written(&rows[i], owner) &&
            (msgpack_pack_uint8(packer, rows[i].number) != 0 || pack_value(packer, &rows[i], owner) != 0)) {
            return -1;
        }
    }
    return 0;
}

/* Takes back what a failed encoding left behind. */
static int finish_encoding(struct buffer *buffer, size_t start, int result) {
    if (result == 0 && buffer->size - start <= MESSAGE_MAX_BYTES) {
        return 0;
    }
    buffer_cut(buffer, start);
    return -1;
}

int message_encode(struct buffer *buffer, const struct message *message) {
    msgpack_packer packer;
    size_t start = buffer->size;
    if (message->type < MESSAGE_HELLO || message->type >= MESSAGE_TYPE_COUNT) {
        return -1;
    }
    const struct message_row *row = &message_rows[message->type];
    msgpack_packer_init(&packer, buffer, pack_into_buffer);
    int result = pack_fields(&packer, row->fields, row->field_count, &message->hello, (int)message->type);
    return finish_encoding(buffer, start, result);
}

/* Decoding */

static int fail(const char **error, const char *reason) {
    *error = reason;
    return -1;
}

static const struct field_row *find_field(const struct field_row *rows, size_t row_count, uint64_t number) {
    for (size_t i = 0; i < row_count; i++) {
        if (rows[i].number == number) {
            return &rows[i];
        }
    }
    return NULL;
}

/* Texts that are missing are "", not NULL. */
static void set_empty_texts(const struct field_row *rows, size_t row_count, void *owner) {
    for (size_t i = 0; i < row_count; i++) {
        char *place = (char *)owner + rows[i].offset;
        if (is_text_kind(rows[i].kind)) {
            *(const char **)place = "";
        }
        for (size_t item = 0; rows[i].kind == FIELD_LIST && item < rows[i].max; item++) {
            set_empty_texts(rows[i].items, rows[i].item_rows, place + item * rows[i].item_size);
        }
    }
}

static int decode_fields(struct reader *reader, size_t pairs, const struct field_row *rows, size_t row_count,
                         void *owner, const char **error);

static int decode_list(struct reader *reader, size_t count, const struct field_row *row, void *owner,
                       const char **error) {
    if (count > row->max) {
        return fail(error, "list too long");
    }
    for (size_t i = 0; i < count; i++) {
        struct token token;
        char *item = (char *)owner + row->offset + i * row->item_size;
        if (reader_next(reader, &token) != 0 || token.kind != TOKEN_MAP) {
            return fail(error, "list item is not a map");
        }
        if (decode_fields(reader, token.size, row->items, row->item_rows, item, error) != 0) {
            return -1;
        }
    }
    *(size_t *)((char *)owner + row->count_offset) = count;
    return 0;
}

static int decode_text(struct token *token, const struct field_row *row, char *place, const char **error) {
    if (token->size > row->max) {
        return fail(error, "text too long");
    }
    if (memchr(token->bytes, '\0', token->size) != NULL) {
        return fail(error, "text holds a NUL");
    }
    const char *text = token_terminate(token);
    if (!is_text_valid(row, text, token->size)) {
        return fail(error, "text malformed");
    }
    *(const char **)place = text;
    return 0;
}

static int decode_value(struct reader *reader, const struct field_row *row, void *owner, const char **error) {
    struct token token;
    char *place = (char *)owner + row->offset;
    if (reader_next(reader, &token) != 0) {
        return fail(error, "cut short");
    }
    if (is_text_kind(row->kind) && token.kind == TOKEN_TEXT) {
        return decode_text(&token, row, place, error);
    }
    if (row->kind == FIELD_NUMBER && token.kind == TOKEN_UNSIGNED) {
        *(uint64_t *)place = token.number;
        return is_number_valid(row, token.number) ? 0 : fail(error, "number out of range");
    }
    if (row->kind == FIELD_BOOL && token.kind == TOKEN_BOOL) {
        *(bool *)place = token.number != 0;
        return 0;
    }
    if (row->kind == FIELD_LIST && token.kind == TOKEN_ARRAY) {
        return decode_list(reader, token.size, row, owner, error);
    }
    return fail(error, "wrong type of field");
}

/* The fields of one map. It recurses once, from a message into the items of its lists: no table nests deeper.
 */
static int decode_fields(struct reader *reader, size_t pairs, const struct field_row *rows, size_t row_count,
                         void *owner, const char **error) {
    uint64_t seen = 0;
    for (size_t i = 0; i < pairs; i++) {
        struct token key;
        if (reader_next(reader, &key) != 0 || key.kind != TOKEN_UNSIGNED) {
            return fail(error, "field number expected");
        }
        const struct field_row *row = find_field(rows, row_count, key.number);
        if (row == NULL) {
            if (reader_skip(reader) != 0) {
                return fail(error, "cut short");
            }
            continue;
        }
        uint64_t bit = UINT64_C(1) << (row - rows);
        if ((seen & bit) != 0) {
            return fail(error, "field given twice");
        }
        seen |= bit;
        if (decode_value(reader, row, owner, error) != 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < row_count; i++) {
        if (rows[i].required && (seen & (UINT64_C(1) << i)) == 0) {
            return fail(error, "required field missing");
        }
    }
    return 0;
}

/* Field 0, which comes first: what the message is. */
static int decode_type(struct reader *reader, size_t *pairs, enum message_type *type, const char **error) {
    struct token token;
    if (reader_next(reader, &token) != 0 || token.kind != TOKEN_MAP || token.size < 1) {
        return fail(error, "not a map");
    }
    *pairs = token.size - 1;
    if (reader_next(reader, &token) != 0 || token.kind != TOKEN_UNSIGNED || token.number != 0) {
        return fail(error, "type does not come first");
    }
    if (reader_next(reader, &token) != 0 || token.kind != TOKEN_UNSIGNED || token.number < MESSAGE_HELLO ||
        token.number >= MESSAGE_TYPE_COUNT) {
        return fail(error, "unknown type");
    }
    *type = (enum message_type)token.number;
    return 0;
}

int message_decode(struct message *message, char *bytes, size_t size, const char **error) {
    struct reader reader = {.at = bytes, .end = bytes + size};
    size_t pairs = 0;
    if (size > MESSAGE_MAX_BYTES) {
        return fail(error, "message too large");
    }
    memset(message, 0, sizeof *message);
    if (decode_type(&reader, &pairs, &message->type, error) != 0) {
        return -1;
    }
    const struct message_row *row = &message_rows[message->type];
    set_empty_texts(row->fields, row->field_count, &message->hello);
    if (decode_fields(&reader, pairs, row->fields, row->field_count, &message->hello, error) != 0) {
        return -1;
    }
    return reader.at == reader.end ? 0 : fail(error, "bytes behind the end");
}

/* Pairs */

/* A text that is not UTF-8 (an engine's error quoting a document) is sent cleaned. */
static int pack_pair_text(msgpack_packer *packer, const char *text) {
    size_t size = strlen(text);
    if (size > MESSAGE_MAX_BYTES) {
        return -1;
    }
    if (text_is_utf8(text, size)) {
        return pack_text(packer, text, size);
    }
    char *cleaned = memory_new(size);
    int result = pack_text(packer, cleaned, clean_text(cleaned, size, text));
    free(cleaned);
    return result;
}

static int pack_pairs(msgpack_packer *packer, const struct message_pair *pairs, size_t count) {
    if (count > PAIRS_MAX || msgpack_pack_map(packer, count) != 0) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        size_t key_size = strnlen(pairs[i].key, PAIR_KEY_MAX + 1);
        if (key_size == 0 || key_size > PAIR_KEY_MAX || !text_is_utf8(pairs[i].key, key_size) ||
            pack_text(packer, pairs[i].key, key_size) != 0) {
            return -1;
        }
        int result = pairs[i].text != NULL ? pack_pair_text(packer, pairs[i].text)
                                           : msgpack_pack_uint64(packer, pairs[i].number);
        if (result != 0) {
            return -1;
        }
    }
    return 0;
}

int message_pairs_encode(struct buffer *buffer, const struct message_pair *pairs, size_t count) {
    msgpack_packer packer;
    size_t start = buffer->size;
    msgpack_packer_init(&packer, buffer, pack_into_buffer);
    return finish_encoding(buffer, start, pack_pairs(&packer, pairs, count));
}

static const char *take_pair_text(struct token *token) {
    if (token->kind != TOKEN_TEXT || memchr(token->bytes, '\0', token->size) != NULL ||
        !text_is_utf8(token->bytes, token->size)) {
        return NULL;
    }
    return token_terminate(token);
}

static int decode_pair(struct reader *reader, struct message_pair *pair) {
    struct token key;
    struct token value;
    if (reader_next(reader, &key) != 0 || key.size < 1 || key.size > PAIR_KEY_MAX ||
        reader_next(reader, &value) != 0) {
        return -1;
    }
    *pair = (struct message_pair){.key = take_pair_text(&key)};
    if (value.kind == TOKEN_UNSIGNED) {
        pair->number = value.number;
    } else {
        pair->text = take_pair_text(&value);
    }
    return pair->key != NULL && (value.kind == TOKEN_UNSIGNED || pair->text != NULL) ? 0 : -1;
}

int message_pairs_decode(struct message_pair *pairs, size_t max, char *bytes, size_t size) {
    struct reader reader = {.at = bytes, .end = bytes + size};
    struct token token;
    if (size > MESSAGE_MAX_BYTES || reader_next(&reader, &token) != 0 || token.kind != TOKEN_MAP ||
        token.size > max || token.size > PAIRS_MAX) {
        return -1;
    }
    for (size_t i = 0; i < token.size; i++) {
        if (decode_pair(&reader, &pairs[i]) != 0) {
            return -1;
        }
        for (size_t earlier = 0; earlier < i; earlier++) {
            if (strcmp(pairs[earlier].key, pairs[i].key) == 0) {
                return -1;
            }
        }
    }
    return reader.at == reader.end ? (int)token.size : -1;
}
