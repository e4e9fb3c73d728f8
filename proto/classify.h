/* SPDX-License-Identifier: MIT
 * Telling kinds of text apart by their words: pure arithmetic, used by the runner that classifies (words of a text,
 * scores) and by the gateway that trains (examples, the model). Complement naive Bayes with the weights of Rennie,
 * Shih, Teevan and Karger, "Tackling the Poor Assumptions of Naive Bayes Text Classifiers" (ICML 2003): damped and
 * length-normalised frequencies, inverse document frequency, weights from the words of all other labels. It learns
 * from a handful of examples, bears labels of very different sizes, and is trained by adding.
 *
 * Words are kept as 24-bit hashes. Everything read from outside is bounded and checked. */
#ifndef PROTO_CLASSIFY_H
#define PROTO_CLASSIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLASSIFY_MAX_LABELS 32
#define CLASSIFY_TEXT_MOST ((size_t)1 << 20) /* bytes of a text that are looked at */
#define CLASSIFY_MAX_TERMS 400        /* different words kept of one text */
#define CLASSIFY_MAX_COUNT 63         /* a word's count is cut there */
#define CLASSIFY_TERMS_TEXT (CLASSIFY_MAX_TERMS * 5 + 1)
#define CLASSIFY_WEIGHTS_TEXT (24 * 1024)
#define CLASSIFY_MAX_EXAMPLES 2000
#define CLASSIFY_SCORE_ONE 10000 /* scores and confidence are shares of this */

struct classify_term {
    uint32_t hash; /* 24 bits */
    uint32_t count;
};

/* The words of a text, in order of their hash. */
struct classify_words {
    struct classify_term terms[CLASSIFY_MAX_TERMS];
    size_t count;
};

/* Words of `size` bytes of UTF-8 (what isn't is passed over). Letters without their case; figures by how many there
 * are; scripts without blanks by pairs of characters. Of too many words the most frequent stay. */
void classify_words_read(struct classify_words *words, const char *text, size_t size);
/* As text of letters, digits, '-' and '_'; `target` holds CLASSIFY_TERMS_TEXT. */
void classify_words_write(const struct classify_words *words, char *target);
/* 0, or -1 when it is no such text. */
int classify_words_parse(struct classify_words *words, const char *text);

struct classify_example {
    struct classify_words words;
    size_t label; /* index */
};

struct classify_model;

/* Of at least two labels that have examples; NULL when there are fewer. `labels` at most CLASSIFY_MAX_LABELS. The first
 * `told` examples are people's, the others are the labels' descriptions: those help while examples are few, and are
 * never left out. The softmax' scale is the one with the least log loss when each example is left out in turn. */
struct classify_model *classify_train(const struct classify_example *examples, size_t told, size_t count,
                                      size_t labels);
void classify_model_free(struct classify_model *model);
/* How many of the examples got their label when they were left out, by a model of all the others (the inverse document
 * frequencies alone are those of all). */
size_t classify_model_correct(const struct classify_model *model);

/* The weights that matter most, as text, at most CLASSIFY_WEIGHTS_TEXT with its end; the caller frees. */
char *classify_model_write(const struct classify_model *model);
/* NULL when it is no such text. */
struct classify_model *classify_model_parse(const char *text, size_t labels);

struct classify_scores {
    double shares[CLASSIFY_MAX_LABELS]; /* sum 1, or all 0 where nothing is known */
    size_t best;
};

/* -1 when no word of the text is known to the model. */
int classify_score(const struct classify_model *model, const struct classify_words *words,
                   struct classify_scores *scores);
/* Without examples: cosine between the words of the text and those of each label's description, weighted by how few
 * descriptions have them. -1 when no word is in any. */
int classify_match(const struct classify_words *descriptions, size_t labels, const struct classify_words *words,
                   struct classify_scores *scores);

#endif
