/* SPDX-License-Identifier: MIT
 * Translations from the FreeDict dictionaries that are installed (Debian's dict-freedict-*): dictd's .index
 * beside .dict.dz, below one fixed folder. Read through a mapping; whatever the files hold is bounded and
 * checked. */
#ifndef WORKERS_PROCESSORS_DICTIONARY_H
#define WORKERS_PROCESSORS_DICTIONARY_H

#include <stdbool.h>
#include <stddef.h>

#define DICTIONARY_FOLDER "/usr/share/dictd"
#define DICTIONARY_FORMS 4
#define DICTIONARY_TEXT 128

/* A word that is looked for under each of its forms, the first that is found counting. */
struct dictionary_word {
    const char *forms[DICTIONARY_FORMS]; /* UTF-8, borrowed; NULL: no more */
    int found;                           /* index of the form that was found; -1: none */
    char target[DICTIONARY_TEXT];        /* "" when nothing was found */
};

/* Fills all words. False when there is no such dictionary; languages are codes of two or three letters. */
bool dictionary_translate(const char *from, const char *to, struct dictionary_word *words, size_t count);

/* The translation that most of these definitions (`count` texts as a dictionary has them) have in common.
 * Pure. */
void dictionary_choose(char target[DICTIONARY_TEXT], const char *const *texts, size_t count);

#endif
