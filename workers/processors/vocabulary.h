/* SPDX-License-Identifier: MIT
 * The words of a text that are worth learning: its frequent words without those that say little
 * (stop_words.def), words of one stem (Snowball's stemmers) counted as one and named by their most frequent
 * form. Names are left out where spelling tells them. Pure; whatever the text holds, memory and time are
 * bounded. */
#ifndef WORKERS_PROCESSORS_VOCABULARY_H
#define WORKERS_PROCESSORS_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VOCABULARY_WORD_SIZE 80 /* bytes, with the end */
#define VOCABULARY_MOST 40
#define VOCABULARY_FORMS 3

struct vocabulary_entry {
    char forms[VOCABULARY_FORMS][VOCABULARY_WORD_SIZE]; /* the most frequent first; "" no more */
    char stem[VOCABULARY_WORD_SIZE];
    uint32_t count;
};

struct vocabulary;

/* `language`: code of two letters; one without stemmer or stop words does without. */
struct vocabulary *vocabulary_new(const char *language);
void vocabulary_free(struct vocabulary *vocabulary);
/* Counts the words of a piece of UTF-8; what isn't is passed over. Pieces must end between words. */
void vocabulary_read(struct vocabulary *vocabulary, const char *text, size_t size);
/* The `most` (at most VOCABULARY_MOST) most frequent, then the earliest; how many there are. */
size_t vocabulary_choose(const struct vocabulary *vocabulary, struct vocabulary_entry *entries, size_t most);
bool vocabulary_is_stop_word(const char *language, const char *word);

#endif
