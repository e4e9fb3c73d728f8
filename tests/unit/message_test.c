/* SPDX-License-Identifier: MIT
 * Messages: every field of every message survives the wire; whatever is cut, mangled, doubled, unknown or too
 * large is refused or skipped, and nothing makes the decoder read or write outside the bytes it was given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buffer.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "proto/fields.h"
#include "proto/message.h"

#define JOB "0190f0a0-1111-7222-8333-444455556666"
#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define MUTATIONS 200000

static char *texts[512]; /* what fill_message made, freed by clear_texts */
static size_t text_count;

static const char *keep(char *text) {
    assert_true(text_count < sizeof texts / sizeof texts[0]);
    texts[text_count++] = text;
    return text;
}

static void clear_texts(void) {
    while (text_count > 0) {
        free(texts[--text_count]);
    }
}

static bool is_text(const struct field_row *row) {
    return row->kind == FIELD_TEXT || row->kind == FIELD_PROSE || row->kind == FIELD_UUID ||
           row->kind == FIELD_SHA256;
}

/* Gives every field a value of its own, derived from a serial number. */
static void fill_fields(const struct field_row *rows, size_t count, char *owner, unsigned *serial) {
    for (size_t i = 0; i < count; i++) {
        char *place = owner + rows[i].offset;
        (*serial)++;
        switch (rows[i].kind) {
        case FIELD_TEXT:
        case FIELD_PROSE:
            *(const char **)place = keep(memory_format("tëxt %u", *serial));
            break;
        case FIELD_UUID:
            *(const char **)place = keep(memory_format("0190f0a0-1111-7222-8333-%012u", *serial));
            break;
        case FIELD_SHA256:
            *(const char **)place = keep(memory_format("%064u", *serial));
            break;
        case FIELD_NUMBER:
            *(uint64_t *)place = rows[i].max < 1000 ? 1 + *serial % rows[i].max : rows[i].max - *serial;
            break;
        case FIELD_BOOL:
            *(bool *)place = true;
            break;
        case FIELD_LIST:
            *(size_t *)(owner + rows[i].count_offset) = (size_t)rows[i].max;
            for (size_t item = 0; item < rows[i].max; item++) {
                fill_fields(rows[i].items, rows[i].item_rows, place + item * rows[i].item_size, serial);
            }
            break;
        }
    }
}

static void fill_message(struct message *message, enum message_type type) {
    unsigned serial = 0;
    memset(message, 0, sizeof *message);
    message->type = type;
    fill_fields(message_rows[type].fields, message_rows[type].field_count, (char *)&message->hello, &serial);
}

static void assert_fields_equal(const struct field_row *rows, size_t count, const char *left,
                                const char *right) {
    for (size_t i = 0; i < count; i++) {
        const char *one = left + rows[i].offset;
        const char *two = right + rows[i].offset;
        if (is_text(&rows[i])) {
            assert_non_null(*(char *const *)two);
            assert_string_equal(*(char *const *)one, *(char *const *)two);
        } else if (rows[i].kind == FIELD_NUMBER) {
            assert_int_equal(*(const uint64_t *)one, *(const uint64_t *)two);
        } else if (rows[i].kind == FIELD_BOOL) {
            assert_int_equal(*(const bool *)one, *(const bool *)two);
        } else {
            size_t items = *(const size_t *)(left + rows[i].count_offset);
            assert_int_equal(items, *(const size_t *)(right + rows[i].count_offset));
            for (size_t item = 0; item < items; item++) {
                assert_fields_equal(rows[i].items, rows[i].item_rows, one + item * rows[i].item_size,
                                    two + item * rows[i].item_size);
            }
        }
    }
}

/* Decodes a copy that ends where its memory ends, so that ASan sees one byte too far. */
static int decode_copy(struct message *message, const char *bytes, size_t size, char **memory) {
    const char *error = NULL;
    *memory = malloc(size > 0 ? size : 1);
    assert_non_null(*memory);
    memcpy(*memory, bytes, size);
    int result = message_decode(message, *memory, size, &error);
    if (result != 0) {
        assert_non_null(error);
    }
    return result;
}

static int decode_once(const char *bytes, size_t size) {
    struct message message;
    char *memory;
    int result = decode_copy(&message, bytes, size, &memory);
    free(memory);
    return result;
}

static void encode(struct buffer *buffer, const struct message *message) {
    buffer_init(buffer, MESSAGE_MAX_BYTES);
    assert_int_equal(message_encode(buffer, message), 0);
}

static void every_message_round_trips(void **state) {
    for (int type = MESSAGE_HELLO; type < MESSAGE_TYPE_COUNT; type++) {
        struct message sent;
        struct message received;
        struct buffer buffer;
        char *memory;
        fill_message(&sent, (enum message_type)type);
        encode(&buffer, &sent);
        assert_int_equal(decode_copy(&received, buffer.data, buffer.size, &memory), 0);
        assert_int_equal(received.type, type);
        assert_fields_equal(message_rows[type].fields, message_rows[type].field_count, (char *)&sent.hello,
                            (char *)&received.hello);
        free(memory);
        buffer_clear(&buffer);
        clear_texts();
    }
}

static void missing_texts_are_empty_not_null(void **state) {
    struct message sent = {.type = MESSAGE_RESULT,
                           .result = {.job = JOB, .epoch = 1, .outcome = OUTCOME_DONE}};
    struct message received;
    struct buffer buffer;
    char *memory;
    encode(&buffer, &sent);
    assert_int_equal(decode_copy(&received, buffer.data, buffer.size, &memory), 0);
    assert_string_equal(received.result.error, "");
    assert_string_equal(received.result.metrics, "");
    assert_string_equal(received.result.outputs[MESSAGE_MAX_OUTPUTS - 1].key, "");
    assert_int_equal(received.result.output_count, 0);
    free(memory);
    buffer_clear(&buffer);
}

static void every_truncation_is_refused(void **state) {
    for (int type = MESSAGE_HELLO; type < MESSAGE_TYPE_COUNT; type++) {
        struct message sent;
        struct buffer buffer;
        fill_message(&sent, (enum message_type)type);
        encode(&buffer, &sent);
        size_t step = buffer.size > 4000 ? 7 : 1;
        for (size_t size = 0; size < buffer.size; size += step) {
            assert_int_equal(decode_once(buffer.data, size), -1);
        }
        assert_int_equal(buffer_append(&buffer, "\0", 1), 0);
        assert_int_equal(decode_once(buffer.data, buffer.size), -1); /* and one byte too many */
        buffer_clear(&buffer);
        clear_texts();
    }
}

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* What a decoded struct promises: texts end inside the bytes, counts are in range. */
static void walk_fields(const struct field_row *rows, size_t count, const char *owner) {
    for (size_t i = 0; i < count; i++) {
        const char *place = owner + rows[i].offset;
        if (is_text(&rows[i])) {
            assert_non_null(*(char *const *)place);
            assert_true(strlen(*(char *const *)place) <= rows[i].max);
        } else if (rows[i].kind == FIELD_LIST) {
            size_t items = *(const size_t *)(owner + rows[i].count_offset);
            assert_true(items <= rows[i].max);
            for (size_t item = 0; item < items; item++) {
                walk_fields(rows[i].items, rows[i].item_rows, place + item * rows[i].item_size);
            }
        }
    }
}

static void mutations_do_no_harm(void **state) {
    unsigned refused = 0;
    for (int type = MESSAGE_HELLO; type < MESSAGE_TYPE_COUNT; type++) {
        struct message sent;
        struct buffer buffer;
        fill_message(&sent, (enum message_type)type);
        encode(&buffer, &sent);
        for (unsigned i = 0; i < MUTATIONS / (MESSAGE_TYPE_COUNT - 1); i++) {
            struct message received;
            size_t size = buffer.size < 600 ? buffer.size : 600;
            char *memory = memory_copy_bytes(buffer.data, size);
            const char *error;
            for (uint64_t change = next_random() % 4; change < 4; change++) {
                memory[next_random() % size] = (char)next_random();
            }
            char *exact = malloc(size);
            memcpy(exact, memory, size);
            if (message_decode(&received, exact, size, &error) == 0) {
                walk_fields(message_rows[received.type].fields, message_rows[received.type].field_count,
                            (char *)&received.hello);
            } else {
                refused++;
            }
            free(exact);
            free(memory);
        }
        buffer_clear(&buffer);
        clear_texts();
    }
    assert_true(refused > MUTATIONS / 2); /* the mutations were not all harmless */
}

#define BYTES(literal) literal, sizeof(literal) - 1

struct wire_case {
    const char *name;
    const char *bytes;
    size_t size;
    int result;
};

static void the_wire_rules_hold(void **state) {
    static const struct wire_case cases[] = {
        {"ping", BYTES("\x82\x00\x0e\x01\x2a"), 0},
        {"ping without its field", BYTES("\x81\x00\x0e"), 0},
        {"number in its widest form", BYTES("\x82\x00\x0e\x01\xd3\0\0\0\0\0\0\0\x2a"), 0},
        {"unknown field with nested value", BYTES("\x83\x00\x0e\x63\x92\x81\x01\xc0\xa1x\x01\x2a"), 0},
        {"unknown field, extension", BYTES("\x82\x00\x0e\x63\xd4\x01\x02"), 0},
        {"unknown field, cut short", BYTES("\x82\x00\x0e\x63\x92\x01"), -1},
        {"unknown field, huge map", BYTES("\x82\x00\x0e\x63\xdf\xff\xff\xff\xff\x01"), -1},
        {"unknown field, never-used byte", BYTES("\x82\x00\x0e\x63\xc1"), -1},
        {"huge outer map", BYTES("\xdf\xff\xff\xff\xff\x00\x0e"), -1},
        {"an array", BYTES("\x92\x00\x0e"), -1},
        {"an empty map", BYTES("\x80"), -1},
        {"nothing", BYTES(""), -1},
        {"type not first", BYTES("\x82\x01\x2a\x00\x0e"), -1},
        {"type 0", BYTES("\x81\x00\x00"), -1},
        {"type out of range", BYTES("\x81\x00\x7f"), -1},
        {"type a text", BYTES("\x81\x00\xa1x"), -1},
        {"negative type", BYTES("\x81\x00\xff"), -1},
        {"field twice", BYTES("\x83\x00\x0e\x01\x2a\x01\x2a"), -1},
        {"type again", BYTES("\x82\x00\x0e\x00\x0e"), 0}, /* field 0 is no field of a ping: skipped */
        {"text where a number belongs", BYTES("\x82\x00\x0e\x01\xa1x"), -1},
        {"nil where a number belongs", BYTES("\x82\x00\x0e\x01\xc0"), -1},
        {"negative number", BYTES("\x82\x00\x0e\x01\xff"), -1},
        {"float number", BYTES("\x82\x00\x0e\x01\xca\x3f\x80\x00\x00"), -1},
        {"text as field number", BYTES("\x82\x00\x0e\xa1x\x01"), -1},
        {"pause", BYTES("\x82\x00\x10\x01\xa1x"), 0},
        {"pause without its type", BYTES("\x81\x00\x10"), -1},
        {"pause with an empty type", BYTES("\x82\x00\x10\x01\xa0"), -1},
        {"binary where text belongs", BYTES("\x82\x00\x10\x01\xc4\x01x"), -1},
        {"text with a NUL", BYTES("\x82\x00\x10\x01\xa2x\0"), -1},
        {"text that is not UTF-8", BYTES("\x82\x00\x10\x01\xa2x\xff"), -1},
        {"number where a bool belongs", BYTES("\x83\x00\x10\x01\xa1x\x02\x01"), -1},
        {"list of numbers", BYTES("\x82\x00\x0c\x02\x91\x01"), -1},
        {"list item without its key", BYTES("\x82\x00\x0c\x02\x91\x80"), -1},
        {"list", BYTES("\x82\x00\x0c\x02\x91\x81\x01\xa1k"), 0},
        {"map where a list belongs", BYTES("\x82\x00\x0c\x02\x81\x01\xa1k"), -1},
        {"id that is no UUID", BYTES("\x82\x00\x08\x01\xa5job-1"), -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (decode_once(cases[i].bytes, cases[i].size) != cases[i].result) {
            fail_msg("%s", cases[i].name);
        }
    }
}

static void nesting_costs_no_stack(void **state) {
    struct buffer buffer;
    buffer_init(&buffer, MESSAGE_MAX_BYTES);
    assert_int_equal(buffer_append(&buffer, "\x82\x00\x0e\x63", 4), 0);
    while (buffer.size < MESSAGE_MAX_BYTES - 1) {
        assert_int_equal(buffer_append(&buffer, "\x91", 1), 0); /* an array in an array in an array … */
    }
    assert_int_equal(buffer_append(&buffer, "\xc0", 1), 0);
    assert_int_equal(decode_once(buffer.data, buffer.size), 0);
    buffer_clear(&buffer);
}

static void limits_bind_both_ways(void **state) {
    struct buffer buffer;
    char *long_text = memory_new(5000);
    memset(long_text, 'x', 4097);
    struct message task = {.type = MESSAGE_TASK,
                           .task = {.job = JOB, .epoch = 1, .type = "noop", .input_url = long_text}};
    buffer_init(&buffer, MESSAGE_MAX_BYTES);
    assert_int_equal(buffer_append_text(&buffer, "before"), 0);
    assert_int_equal(message_encode(&buffer, &task), -1);
    assert_int_equal(buffer.size, 6);
    assert_string_equal(buffer.data, "before");
    long_text[4096] = '\0';
    buffer_reset(&buffer);
    assert_int_equal(message_encode(&buffer, &task), 0);
    assert_int_equal(decode_once(buffer.data, buffer.size), 0);

    /* the same with one byte more, as another encoder would have written it */
    char *at = memmem(buffer.data, buffer.size, "\xda\x10\x00", 3);
    assert_non_null(at);
    struct buffer longer;
    buffer_init(&longer, MESSAGE_MAX_BYTES);
    size_t head = (size_t)(at - buffer.data);
    assert_int_equal(buffer_append(&longer, buffer.data, head), 0);
    assert_int_equal(buffer_append(&longer, "\xda\x10\x01y", 4), 0);
    assert_int_equal(buffer_append(&longer, at + 3, buffer.size - head - 3), 0);
    assert_int_equal(decode_once(longer.data, longer.size), -1);
    buffer_clear(&longer);

    task.task.input_url = "";
    task.task.output_count = MESSAGE_MAX_OUTPUTS + 1;
    assert_int_equal(message_encode(&buffer, &task), -1);
    task.task.output_count = 0;
    task.task.job = "not-a-uuid";
    assert_int_equal(message_encode(&buffer, &task), -1);
    task.task.job = JOB;
    task.task.input_sha256 = "ABC";
    assert_int_equal(message_encode(&buffer, &task), -1);
    task.task.input_sha256 = SHA;
    task.task.epoch = (uint64_t)INT64_MAX + 1;
    assert_int_equal(message_encode(&buffer, &task), -1);
    task.task.epoch = 0;
    assert_int_equal(message_encode(&buffer, &task), -1);
    task.type = MESSAGE_TYPE_COUNT;
    assert_int_equal(message_encode(&buffer, &task), -1);
    buffer_clear(&buffer);
    free(long_text);
}

static void a_message_over_the_size_limit_is_refused(void **state) {
    struct message sent = {.type = MESSAGE_DELETE, .delete_objects = {.batch = 1, .object_count = 64}};
    struct buffer buffer;
    char *url = memory_new(4097);
    memset(url, 'u', 4096);
    for (size_t i = 0; i < MESSAGE_MAX_URLS; i++) {
        sent.delete_objects.objects[i] = (struct message_url){.key = "key", .url = url};
    }
    buffer_init(&buffer, 2 * MESSAGE_MAX_BYTES);
    assert_int_equal(message_encode(&buffer, &sent), -1);
    assert_int_equal(buffer.size, 0);
    buffer_clear(&buffer);
    free(url);

    char *large = memory_new(MESSAGE_MAX_BYTES + 1);
    memcpy(large, "\x82\x00\x0e\x63\xc6\x00\x04\x00\x00", 9); /* a ping with a very large unknown field */
    large[6] = (char)((MESSAGE_MAX_BYTES + 1 - 9) >> 16);
    large[7] = (char)((MESSAGE_MAX_BYTES + 1 - 9) >> 8);
    large[8] = (char)((MESSAGE_MAX_BYTES + 1 - 9) & 0xff);
    assert_int_equal(decode_once(large, MESSAGE_MAX_BYTES + 1), -1);
    large[8]--;
    assert_int_equal(decode_once(large, MESSAGE_MAX_BYTES), 0);
    free(large);
}

static void prose_is_cut_and_cleaned_not_refused(void **state) {
    struct message received;
    struct buffer buffer;
    char detail[1001];
    char *memory;
    memset(detail, 'a', sizeof detail - 1);
    memcpy(detail, "b\xff\xc3\xa9", 4);
    memcpy(detail + 799, "\xc3\xa9", 2); /* a character across the limit */
    detail[1000] = '\0';
    struct message sent = {
        .type = MESSAGE_RESULT,
        .result = {
            .job = JOB, .epoch = 1, .outcome = OUTCOME_FAILED, .error = "bad_input", .detail = detail}};
    encode(&buffer, &sent);
    assert_int_equal(decode_copy(&received, buffer.data, buffer.size, &memory), 0);
    assert_int_equal(strlen(received.result.detail), 799);
    assert_memory_equal(received.result.detail, "b?\xc3\xa9", 4);
    free(memory);
    buffer_clear(&buffer);
}

static void pairs_round_trip(void **state) {
    static const struct message_pair sent[] = {
        {.key = "error", .text = "bad_input"},
        {.key = "pages", .number = UINT64_MAX},
        {.key = "empty", .text = ""},
        {.key = "quote",
         .text = "a\xff"
                 "b"},
    };
    struct message_pair received[8];
    struct buffer buffer;
    buffer_init(&buffer, 4096);
    assert_int_equal(message_pairs_encode(&buffer, sent, 4), 0);
    for (size_t size = 0; size < buffer.size; size++) {
        char *cut = malloc(size > 0 ? size : 1);
        memcpy(cut, buffer.data, size);
        assert_int_equal(message_pairs_decode(received, 8, cut, size), -1);
        free(cut);
    }
    char *copy = memory_copy_bytes(buffer.data, buffer.size);
    assert_int_equal(message_pairs_decode(received, 3, copy, buffer.size), -1); /* no room */
    free(copy);
    assert_int_equal(message_pairs_decode(received, 8, buffer.data, buffer.size), 4);
    assert_string_equal(received[0].key, "error");
    assert_string_equal(received[0].text, "bad_input");
    assert_null(received[1].text);
    assert_true(received[1].number == UINT64_MAX);
    assert_string_equal(received[2].text, "");
    assert_string_equal(received[3].text, "a?b");
    buffer_clear(&buffer);
}

static void bad_pairs_are_refused(void **state) {
    static const struct wire_case cases[] = {
        {"key twice", BYTES("\x82\xa1k\x01\xa1k\x02"), -1},
        {"number as key", BYTES("\x81\x01\x01"), -1},
        {"empty key", BYTES("\x81\xa0\x01"), -1},
        {"nested value", BYTES("\x81\xa1k\x91\x01"), -1},
        {"nil value", BYTES("\x81\xa1k\xc0"), -1},
        {"negative value", BYTES("\x81\xa1k\xff"), -1},
        {"NUL in a text", BYTES("\x81\xa1k\xa1\0"), -1},
        {"NUL in a key", BYTES("\x81\xa1\0\x01"), -1},
        {"not UTF-8", BYTES("\x81\xa1k\xa1\xff"), -1},
        {"bytes behind the end", BYTES("\x81\xa1k\x01\x01"), -1},
        {"key of 33 bytes", BYTES("\x81\xd9\x21kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\x01"), -1},
        {"key of 32 bytes", BYTES("\x81\xd9\x20kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\x01"), 1},
        {"no pairs", BYTES("\x80"), 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct message_pair pairs[4];
        char *copy = malloc(cases[i].size);
        memcpy(copy, cases[i].bytes, cases[i].size);
        if (message_pairs_decode(pairs, 4, copy, cases[i].size) != cases[i].result) {
            fail_msg("%s", cases[i].name);
        }
        free(copy);
    }
    struct message_pair many[65];
    struct buffer buffer;
    buffer_init(&buffer, 4096);
    for (size_t i = 0; i < 65; i++) {
        many[i] = (struct message_pair){.key = "k", .number = i};
    }
    assert_int_equal(message_pairs_encode(&buffer, many, 65), -1);
    many[0].key = "a key that is longer than 32 bytes";
    assert_int_equal(message_pairs_encode(&buffer, many, 1), -1);
    assert_int_equal(buffer.size, 0);
    buffer_clear(&buffer);
}

static void names_are_known(void **state) {
    assert_string_equal(message_type_name(MESSAGE_HELLO), "hello");
    assert_string_equal(message_type_name(MESSAGE_PAUSE), "pause");
    assert_string_equal(message_type_name((enum message_type)0), "unknown");
    assert_string_equal(message_type_name(MESSAGE_TYPE_COUNT), "unknown");
}

static void field_numbers_are_unique_and_not_zero(void **state) {
    for (int type = MESSAGE_HELLO; type < MESSAGE_TYPE_COUNT; type++) {
        const struct message_row *row = &message_rows[type];
        assert_true(row->field_count < 64);
        for (size_t i = 0; i < row->field_count; i++) {
            assert_int_not_equal(row->fields[i].number, 0);
            for (size_t earlier = 0; earlier < i; earlier++) {
                assert_int_not_equal(row->fields[i].number, row->fields[earlier].number);
            }
        }
    }
}

/* The line of PROTOCOL.md that begins "| <number> | <name> |". */
static bool find_line(FILE *file, int number, const char *name, char *line, size_t size) {
    char *start = memory_format("| %d | %s |", number, name);
    bool found = false;
    rewind(file);
    while (!found && fgets(line, (int)size, file) != NULL) {
        found = text_starts_with(line, start);
    }
    free(start);
    return found;
}

static bool names_field(const char *line, unsigned number) {
    char first[16];
    char later[16];
    (void)text_format(first, sizeof first, "| %u ", number);
    (void)text_format(later, sizeof later, ", %u ", number);
    const char *fields = strrchr(line, '|');
    while (fields > line && fields[-1] != '|') {
        fields--; /* the last column, with the bar in front of it */
    }
    return strstr(fields - 1, first) != NULL || strstr(fields, later) != NULL;
}

static void the_protocol_document_tells_the_same(void **state) {
    FILE *file = fopen("proto/PROTOCOL.md", "r");
    if (file == NULL) {
        print_message("skipped: proto/PROTOCOL.md is not here; run in the project's folder\n");
        skip();
    }
    for (int type = MESSAGE_HELLO; type < MESSAGE_TYPE_COUNT; type++) {
        const struct message_row *row = &message_rows[type];
        char line[2048];
        unsigned required = 0;
        unsigned marked = 0;
        unsigned highest = 0;
        if (!find_line(file, type, row->name, line, sizeof line)) {
            fail_msg("%s has no row", row->name);
        }
        for (size_t i = 0; i < row->field_count; i++) {
            required += row->fields[i].required ? 1 : 0;
            highest = row->fields[i].number > highest ? row->fields[i].number : highest;
            if (!names_field(line, row->fields[i].number)) {
                fail_msg("%s: field %u is missing", row->name, row->fields[i].number);
            }
        }
        for (const char *mark = strchr(line, '!'); mark != NULL; mark = strchr(mark + 1, '!')) {
            marked++;
        }
        assert_int_equal(marked, required);
        assert_false(names_field(line, highest + 1));
    }
    assert_int_equal(fclose(file), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_round_trips),
        cmocka_unit_test(missing_texts_are_empty_not_null),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(mutations_do_no_harm),
        cmocka_unit_test(the_wire_rules_hold),
        cmocka_unit_test(nesting_costs_no_stack),
        cmocka_unit_test(limits_bind_both_ways),
        cmocka_unit_test(a_message_over_the_size_limit_is_refused),
        cmocka_unit_test(prose_is_cut_and_cleaned_not_refused),
        cmocka_unit_test(pairs_round_trip),
        cmocka_unit_test(bad_pairs_are_refused),
        cmocka_unit_test(names_are_known),
        cmocka_unit_test(field_numbers_are_unique_and_not_zero),
        cmocka_unit_test(the_protocol_document_tells_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
