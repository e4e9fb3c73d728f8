/* SPDX-License-Identifier: MIT
 * Words worth learning, a definition in a word, and cells that no spreadsheet takes for formulas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buffer.h"
#include "workers/processors/dictionary.h"
#include "workers/processors/vocabulary.h"
#include "workers/processors/wordlist_sheet.h"

static size_t choose(const char *language, const char *text, struct vocabulary_entry *entries) {
    struct vocabulary *vocabulary = vocabulary_new(language);
    size_t count;

    vocabulary_read(vocabulary, text, strlen(text));
    count = vocabulary_choose(vocabulary, entries, VOCABULARY_MOST);
    vocabulary_free(vocabulary);
    return count;
}

static void frequent_words_come_first(void **state) {
    struct vocabulary_entry entries[VOCABULARY_MOST];

    assert_int_equal(choose("en", "The mills and the mill. A mill! Water of the mill; water.", entries), 2);
    assert_string_equal(entries[0].forms[0], "mill");
    assert_string_equal(entries[0].forms[1], "mills");
    assert_int_equal(entries[0].count, 4);
    assert_string_equal(entries[1].forms[0], "water");
    assert_int_equal(choose("en", "We saw Anna. They met Anna there. Old Anna", entries), 3); /* no name */
    assert_string_equal(entries[0].forms[0], "saw");
    assert_int_equal(choose("de", "Das Haus und das Haus. Ein Haus", entries), 1);
    assert_string_equal(entries[0].forms[0], "Haus"); /* German nouns have capitals */
    assert_int_equal(choose("xx", "blorg blorg \xff\xfe snarf 123 ab", entries),
                     2); /* no language that is known */
    assert_int_equal(choose("en", "", entries), 0);
}

static void whatever_comes_is_bounded(void **state) {
    struct vocabulary_entry entries[VOCABULARY_MOST];
    struct vocabulary *vocabulary = vocabulary_new("en");
    char text[64 * 1024];
    uint32_t seed = 12345;

    for (int round = 0; round < 40; round++) {
        for (size_t i = 0; i < sizeof text; i++) {
            seed = seed * 1664525u + 1013904223u;
            text[i] = round % 2 == 0 ? (char)(seed >> 24) : "abcdefgh "[(seed >> 24) % 9];
        }
        vocabulary_read(vocabulary, text, sizeof text);
    }
    assert_int_equal(vocabulary_choose(vocabulary, entries, 1000), VOCABULARY_MOST);
    for (size_t i = 1; i < VOCABULARY_MOST; i++)
        assert_true(entries[i].count <= entries[i - 1].count);
    vocabulary_free(vocabulary);
}

static void stop_words_are_whole_words(void **state) {
    assert_true(vocabulary_is_stop_word("en", "the"));
    assert_true(vocabulary_is_stop_word("de", "und"));
    assert_true(vocabulary_is_stop_word("ru", "\xd0\xb8")); /* и */
    assert_false(vocabulary_is_stop_word("en", "th"));
    assert_false(vocabulary_is_stop_word("en", "und"));
    assert_false(vocabulary_is_stop_word("xx", "the"));
}

static void definitions_vote(void **state) {
    static const struct {
        const char *texts[4];
        size_t count;
        const char *target;
    } rows[] = {
        {{"house /haus/\nHaus <neut>\n   \"build a house\"  - bauen\n"}, 1, "Haus"},
        {{"light /lait/\n1. allumer, enflammer\n2. clair\n"}, 1, "allumer"},
        {{"horse\nRoss <neut>\n", "horse\nSprungpferd <neut>, Pferd\n", "horse\nPferd\n",
          "horse\n [Am.] Gaul\n"},
         4,
         "Pferd"},
        {{"x\n   Synonym: {y}\n see: {z}\n"}, 1, ""},
        {{"x"}, 1, ""},
        {{"x\n<<<<\n"}, 1, ""},
        {{""}, 0, ""},
    };
    char target[DICTIONARY_TEXT];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        dictionary_choose(target, rows[i].texts, rows[i].count);
        assert_string_equal(target, rows[i].target);
    }
}

/* RFC 4180 read back: one cell from *at, which moves behind its comma or line's end. */
static size_t read_cell(const char **at, char *target) {
    size_t used = 0;
    int is_quoted = **at == '"';

    for (*at += is_quoted; **at != '\0'; (*at)++) {
        if (is_quoted && (*at)[0] == '"' && (*at)[1] == '"')
            (*at)++;
        else if (is_quoted ? **at == '"' : **at == ',' || **at == '\r')
            break;
        target[used++] = **at;
    }
    *at += is_quoted;
    *at += **at == ',' ? 1 : 2;
    target[used] = '\0';
    return used;
}

static void cells_come_back_and_are_no_formulas(void **state) {
    static const char letters[] = "=+-@\t\r\n\",;' ax";
    uint32_t seed = 7;

    for (int round = 0; round < 20000; round++) {
        char cells[2][9], back[16];
        struct buffer out;
        const char *at;
        for (int cell = 0; cell < 2; cell++) {
            size_t size = (seed >> 20) % 8;
            for (size_t i = 0; i < size; i++) {
                seed = seed * 1664525u + 1013904223u;
                cells[cell][i] = letters[(seed >> 24) % (sizeof letters - 1)];
            }
            seed = seed * 1664525u + 1013904223u;
            cells[cell][size] = '\0';
        }
        buffer_init(&out, 256);
        assert_int_equal(sheet_csv_row(&out, cells[0], cells[1]), 0);
        assert_int_equal(buffer_append(&out, "", 1), 0);
        at = out.data;
        for (int cell = 0; cell < 2; cell++) {
            (void)read_cell(&at, back);
            assert_true(back[0] == '\0' || strchr("=+-@\t\r", back[0]) == NULL);
            assert_string_equal(back + (strcmp(back, cells[cell]) != 0 && back[0] == '\''), cells[cell]);
        }
        assert_ptr_equal(at, out.data + out.size - 1);
        buffer_clear(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequent_words_come_first),           cmocka_unit_test(whatever_comes_is_bounded),
        cmocka_unit_test(stop_words_are_whole_words),          cmocka_unit_test(definitions_vote),
        cmocka_unit_test(cells_come_back_and_are_no_formulas),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
