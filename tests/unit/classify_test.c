/* SPDX-License-Identifier: MIT
 * Words and models: what must hold of counting, writing, reading and scoring. How well it sorts is measured by
 * bench/quality/classify.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/memory.h"
#include "proto/classify.h"

static struct classify_words words_of(const char *text) {
    struct classify_words words;

    classify_words_read(&words, text, strlen(text));
    return words;
}

static void assert_same(const char *left, const char *right, int same) {
    struct classify_words a = words_of(left), b = words_of(right);
    char first[CLASSIFY_TERMS_TEXT], second[CLASSIFY_TERMS_TEXT];

    classify_words_write(&a, first);
    classify_words_write(&b, second);
    assert_int_equal(strcmp(first, second) == 0, same);
}

static void test_words(void **state) {
    assert_same("Total amount DUE", "due, total: amount!", 1);
    assert_same("ÄRGER Straße ŻÓŁĆ ПРИВЕТ", "ärger straße żółć привет", 1);
    assert_same("invoice 12345", "invoice 98765", 1); /* figures by how many */
    assert_same("invoice 123", "invoice 98765", 0);
    assert_same("a b c", "", 1); /* single letters are no words */
    assert_same("word word", "word", 0);
    assert_same("日本語", "日本", 0);
    assert_int_equal(words_of("日本語").count, 2);
    assert_int_equal(words_of("\xff\xfe broken \xe2\x82 text").count, 2);
}

static void test_words_as_text(void **state) {
    static const char *const bad[] = {"AAAA", "AAAAA", "AAAAB!", "BAAABAAAAB", "BAAABBAAAB", "AA AB"};
    struct classify_words words = words_of("some words, some more words and again words"), read;
    char text[CLASSIFY_TERMS_TEXT], *many = memory_new(400000);

    classify_words_write(&words, text);
    assert_int_equal(classify_words_parse(&read, text), 0);
    assert_int_equal(read.count, words.count);
    assert_memory_equal(read.terms, words.terms, words.count * sizeof words.terms[0]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(classify_words_parse(&read, bad[i]), -1);
    for (int i = 0, at = 0; i < 20000; i++, at += 4) /* more words than are kept */
        for (int k = 0; k < 3; k++)
            many[at + k] = (char)('a' + (i / (k == 0 ? 1 : k == 1 ? 26 : 676)) % 26), many[at + 3] = ' ';
    classify_words_read(&words, many, 80000);
    assert_int_equal(words.count, CLASSIFY_MAX_TERMS);
    classify_words_write(&words, text);
    assert_int_equal(classify_words_parse(&read, text), 0);
    free(many);
}

static void test_a_model_learns_and_survives_being_written(void **state) {
    static const char *const texts[] = {"apple pear plum apple", "pear plum cherry", "apple cherry quince",
                                        "hammer saw nail", "nail screw saw", "hammer screw drill"};
    struct classify_example examples[6];
    struct classify_model *model, *read;
    struct classify_scores first, second;
    struct classify_words asked = words_of("plum and quince, a nail");
    char *text;

    for (size_t i = 0; i < 6; i++)
        examples[i] = (struct classify_example){.words = words_of(texts[i]), .label = i < 3 ? 0 : 2};
    assert_null(classify_train(examples, 3, 3, 3)); /* one label only */
    model = classify_train(examples, 6, 6, 3);
    assert_int_equal(classify_model_correct(model), 6);
    assert_int_equal(classify_score(model, &asked, &first), 0);
    assert_int_equal(first.best, 0);
    assert_true(first.shares[0] > 0.5 && first.shares[1] == 0 && first.shares[0] + first.shares[2] > 0.999);
    text = classify_model_write(model);
    assert_true(strlen(text) < CLASSIFY_WEIGHTS_TEXT);
    assert_null(classify_model_parse(text, 2)); /* of other labels */
    read = classify_model_parse(text, 3);
    assert_int_equal(classify_score(read, &asked, &second), 0);
    for (size_t i = 0; i < 3; i++)
        assert_true(first.shares[i] - second.shares[i] < 0.01 && second.shares[i] - first.shares[i] < 0.01);
    asked = words_of("entirely unknown");
    assert_int_equal(classify_score(read, &asked, &second), -1);
    classify_model_free(model);
    classify_model_free(read);
    /* no text is trusted */
    for (size_t i = 0; text[i] != '\0'; i++) {
        char before = text[i];
        for (const char *other = "!9 \xff"; *other != '\0'; other++) {
            text[i] = *other;
            classify_model_free(classify_model_parse(text, 3));
        }
        text[i] = before;
    }
    text[strlen(text) - 1] = '\0';
    assert_null(classify_model_parse(text, 3));
    assert_null(classify_model_parse("", 3));
    assert_null(classify_model_parse("1 0 nan 0 0 0 ", 3));
    free(text);
}

static void test_descriptions_match(void **state) {
    struct classify_words descriptions[] = {words_of("bill, amount due, common"), words_of("dear, sincerely, common")};
    struct classify_words asked = words_of("Amount due: 5. Common courtesy."), none = words_of("nothing");
    struct classify_scores scores;

    assert_int_equal(classify_match(descriptions, 2, &asked, &scores), 0);
    assert_int_equal(scores.best, 0);
    assert_true(scores.shares[0] > 0.5 && scores.shares[1] > 0);
    assert_int_equal(classify_match(descriptions, 2, &none, &scores), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_words), cmocka_unit_test(test_words_as_text),
                                       cmocka_unit_test(test_a_model_learns_and_survives_being_written),
                                       cmocka_unit_test(test_descriptions_match)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
