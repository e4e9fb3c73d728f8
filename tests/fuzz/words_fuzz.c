/* SPDX-License-Identifier: MIT
 * Words of documents: those that classification counts, as text and back; models from outside; those that
 * word lists choose. */
#include "lib/text.h"
#include "proto/classify.h"
#include "tests/fuzz/fuzz.h"
#include "workers/processors/vocabulary.h"

static void classify(const char *copy, size_t size, const char *text) {
    struct classify_words words, again;
    struct classify_scores scores;
    struct classify_model *model;
    char written[CLASSIFY_TERMS_TEXT];

    classify_words_read(&words, copy, size);
    require(words.count <= CLASSIFY_MAX_TERMS);
    classify_words_write(&words, written);
    require(classify_words_parse(&again, written) == 0 && again.count == words.count);
    for (size_t i = 0; i < words.count; i++)
        require(again.terms[i].hash == words.terms[i].hash && again.terms[i].count == words.terms[i].count);
    model = classify_model_parse(text, 3);
    if (model != NULL && classify_score(model, &words, &scores) == 0)
        require(scores.best < 3 && scores.shares[scores.best] >= 0 && scores.shares[scores.best] <= 1.000001);
    classify_model_free(model);
    if (classify_words_parse(&again, text) == 0)
        require(again.count <= CLASSIFY_MAX_TERMS);
}

static void learn(const char *copy, size_t size) {
    static struct classify_example examples[4];
    struct classify_model *model, *again;
    struct classify_scores scores;
    char *text;

    for (size_t i = 0; i < 4; i++) {
        classify_words_read(&examples[i].words, copy + size * i / 4, size / 4);
        examples[i].label = i % 2;
    }
    model = classify_train(examples, 3, 4, 2);
    if (model == NULL)
        return;
    text = classify_model_write(model);
    require(strlen(text) < CLASSIFY_WEIGHTS_TEXT);
    again = classify_model_parse(text, 2);
    require(again != NULL && classify_model_correct(model) <= 3);
    (void)classify_score(again, &examples[0].words, &scores);
    classify_model_free(again);
    classify_model_free(model);
    free(text);
}

static void choose(const char *copy, size_t size) {
    static struct vocabulary_entry entries[VOCABULARY_MOST];
    struct vocabulary *vocabulary = vocabulary_new(size % 2 == 0 ? "de" : "xx");

    vocabulary_read(vocabulary, copy, size);
    size_t count = vocabulary_choose(vocabulary, entries, VOCABULARY_MOST);
    require(count <= VOCABULARY_MOST);
    for (size_t i = 0; i < count; i++) {
        size_t length = strnlen(entries[i].forms[0], VOCABULARY_WORD_SIZE);
        require(length > 0 && length < VOCABULARY_WORD_SIZE && text_is_utf8(entries[i].forms[0], length));
    }
    vocabulary_free(vocabulary);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    char *copy = exact_copy(bytes, size), *text = exact_text(bytes, size);

    classify(copy, size, text);
    learn(copy, size);
    choose(copy, size);
    free(text);
    free(copy);
    return 0;
}
