/* SPDX-License-Identifier: MIT
 * Counting words. Letters are ICU's; a table of spellings without their case, then of stems over those. */
#include "workers/processors/vocabulary.h"

#include <libstemmer.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include "lib/memory.h"
#include "lib/text.h"

#define SLOTS 32768u /* a power of two */
#define SPELLINGS_MAX (SLOTS / 2)
#define LEAST_LETTERS 3

struct spelling {
    char folded[VOCABULARY_WORD_SIZE];
    char written[VOCABULARY_WORD_SIZE]; /* as it stands in the middle of a sentence, else as first seen */
    uint32_t count, capitals, inner;    /* all; with a capital; of those in the middle of a sentence */
};

struct vocabulary {
    char language[8];
    struct sb_stemmer *stemmer; /* NULL: none for this language */
    struct spelling *spellings;
    size_t count;
    uint32_t *slots; /* index + 1 */
    bool is_inside;  /* of a sentence */
};

static const struct {
    const char *language, *words;
} stop_words[] = {
#define STOP_WORDS(language_code, text) {.language = language_code, .words = text},
#include "workers/processors/stop_words.def"
#undef STOP_WORDS
};

bool vocabulary_is_stop_word(const char *language, const char *word) {
    char needle[VOCABULARY_WORD_SIZE + 2];

    (void)text_format(needle, sizeof needle, " %s ", word);
    for (size_t i = 0; i < sizeof stop_words / sizeof stop_words[0]; i++) {
        if (strcmp(stop_words[i].language, language) != 0)
            continue;
        if (strstr(stop_words[i].words, needle) != NULL || text_starts_with(stop_words[i].words, needle + 1))
            return true;
    }
    return false;
}

struct vocabulary *vocabulary_new(const char *language) {
    struct vocabulary *vocabulary = memory_new(sizeof *vocabulary);

    (void)text_copy(vocabulary->language, sizeof vocabulary->language, language);
    vocabulary->stemmer = sb_stemmer_new(language, NULL); /* knows ISO 639's codes; UTF-8 */
    vocabulary->spellings = memory_new_array(SPELLINGS_MAX, sizeof *vocabulary->spellings);
    vocabulary->slots = memory_new_array(SLOTS, sizeof *vocabulary->slots);
    return vocabulary;
}

void vocabulary_free(struct vocabulary *vocabulary) {
    if (vocabulary == NULL)
        return;
    if (vocabulary->stemmer != NULL)
        sb_stemmer_delete(vocabulary->stemmer);
    free(vocabulary->spellings);
    free(vocabulary->slots);
    free(vocabulary);
}

static uint32_t hash_of(const char *text) {
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    return hash;
}

/* ---- reading ---- */

/* The spelling's row, made when there is room; NULL when there is none. */
static struct spelling *find_spelling(struct vocabulary *vocabulary, const char *folded) {
    uint32_t slot = hash_of(folded) & (SLOTS - 1);

    while (vocabulary->slots[slot] != 0) {
        struct spelling *spelling = &vocabulary->spellings[vocabulary->slots[slot] - 1];
        if (strcmp(spelling->folded, folded) == 0)
            return spelling;
        slot = (slot + 1) & (SLOTS - 1);
    }
    if (vocabulary->count == SPELLINGS_MAX)
        return NULL;
    vocabulary->slots[slot] = (uint32_t)++vocabulary->count;
    (void)text_copy(vocabulary->spellings[vocabulary->count - 1].folded, VOCABULARY_WORD_SIZE, folded);
    return &vocabulary->spellings[vocabulary->count - 1];
}

struct word {
    char written[VOCABULARY_WORD_SIZE], folded[VOCABULARY_WORD_SIZE];
    size_t written_size, folded_size, letters;
    bool is_capital, is_cut;
};

static void append(char *target, size_t *used, UChar32 letter, bool *is_cut) {
    char bytes[4];
    uint32_t point = (uint32_t)letter;
    size_t size = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};

    for (size_t i = size - 1; i > 0; i--, point >>= 6)
        bytes[i] = (char)(0x80 | (point & 0x3f));
    bytes[0] = (char)(leads[size] | point);
    *is_cut |= *used + size >= VOCABULARY_WORD_SIZE;
    if (*is_cut)
        return;
    memcpy(target + *used, bytes, size);
    *used += size;
}

static void word_add(struct word *word, UChar32 letter) {
    word->is_capital |= word->letters == 0 && u_isupper(letter);
    append(word->written, &word->written_size, letter, &word->is_cut);
    append(word->folded, &word->folded_size, u_tolower(letter), &word->is_cut);
    word->letters++;
}

static void word_end(struct vocabulary *vocabulary, struct word *word) {
    struct spelling *spelling;

    word->written[word->written_size] = '\0';
    word->folded[word->folded_size] = '\0';
    if (word->letters >= LEAST_LETTERS && !word->is_cut &&
        !vocabulary_is_stop_word(vocabulary->language, word->folded) &&
        (spelling = find_spelling(vocabulary, word->folded)) != NULL) {
        if (spelling->count == 0 || (vocabulary->is_inside && spelling->inner == 0))
            (void)text_copy(spelling->written, VOCABULARY_WORD_SIZE, word->written);
        spelling->count++;
        spelling->capitals += word->is_capital;
        spelling->inner += vocabulary->is_inside;
    }
    vocabulary->is_inside |= word->letters > 0;
    *word = (struct word){.letters = 0};
}

static bool is_letter(UChar32 point) {
    return u_isalpha(point) || (U_GET_GC_MASK(point) & U_GC_M_MASK) != 0;
}

static void read_point(struct vocabulary *vocabulary, struct word *word, UChar32 point) {
    if (point >= 0 && is_letter(point) && (word->letters > 0 || u_isalpha(point))) {
        word_add(word, point);
        return;
    }
    word_end(vocabulary, word);
    if (point == '.' || point == '!' || point == '?' || point == ':' || point == '\n')
        vocabulary->is_inside = false;
}

/* The character at `*at`, which is moved behind it; below 0 where there is none. */
static UChar32 next_point(const char *text, int32_t *at, int32_t end) {
    UChar32 point;

    U8_NEXT((const uint8_t *)text, *at, end, point);
    return point;
}

void vocabulary_read(struct vocabulary *vocabulary, const char *text, size_t size) {
    struct word word = {.letters = 0};
    int32_t at = 0, end = size > INT32_MAX ? INT32_MAX : (int32_t)size;

    while (at < end)
        read_point(vocabulary, &word, next_point(text, &at, end));
    word_end(vocabulary, &word);
}

/* ---- choosing ---- */

struct group {
    const struct spelling *forms[VOCABULARY_FORMS];
    char stem[VOCABULARY_WORD_SIZE];
    uint32_t count;
    size_t first; /* index of its first spelling */
};

/* Always capital, also within sentences, where the language writes only names so. */
static bool is_name(const struct vocabulary *vocabulary, const struct spelling *spelling) {
    return strcmp(vocabulary->language, "de") != 0 && spelling->inner > 0 &&
           spelling->capitals == spelling->count;
}

static void stem_of(const struct vocabulary *vocabulary, const char *word,
                    char target[VOCABULARY_WORD_SIZE]) {
    const sb_symbol *stem =
        vocabulary->stemmer == NULL
            ? NULL
            : sb_stemmer_stem(vocabulary->stemmer, (const sb_symbol *)word, (int)strlen(word));

    if (stem == NULL || text_copy(target, VOCABULARY_WORD_SIZE, (const char *)stem) != 0 || target[0] == '\0')
        (void)text_copy(target, VOCABULARY_WORD_SIZE, word);
}

static void group_add(struct group *group, const struct spelling *spelling) {
    const struct spelling *form = spelling;

    group->count += spelling->count;
    for (size_t i = 0; i < VOCABULARY_FORMS && form != NULL; i++) {
        if (group->forms[i] == NULL || form->count > group->forms[i]->count) {
            const struct spelling *other = group->forms[i];
            group->forms[i] = form;
            form = other;
        }
    }
}

static size_t make_groups(const struct vocabulary *vocabulary, struct group *groups, uint32_t *slots) {
    size_t count = 0;
    char stem[VOCABULARY_WORD_SIZE];

    for (size_t i = 0; i < vocabulary->count; i++) {
        uint32_t slot;
        if (is_name(vocabulary, &vocabulary->spellings[i]))
            continue;
        stem_of(vocabulary, vocabulary->spellings[i].folded, stem);
        slot = hash_of(stem) & (SLOTS - 1);
        while (slots[slot] != 0 && strcmp(groups[slots[slot] - 1].stem, stem) != 0)
            slot = (slot + 1) & (SLOTS - 1);
        if (slots[slot] == 0) {
            slots[slot] = (uint32_t)++count;
            (void)text_copy(groups[count - 1].stem, VOCABULARY_WORD_SIZE, stem);
            groups[count - 1].first = i;
        }
        group_add(&groups[slots[slot] - 1], &vocabulary->spellings[i]);
    }
    return count;
}

static int compare(const void *left, const void *right) {
    const struct group *a = left, *b = right;

    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return a->first < b->first ? -1 : a->first > b->first;
}

/* In lower case, but where the language's nouns have capitals. */
static const char *shown(const struct vocabulary *vocabulary, const struct spelling *spelling) {
    return strcmp(vocabulary->language, "de") == 0 && spelling->inner > 0 ? spelling->written
                                                                          : spelling->folded;
}

size_t vocabulary_choose(const struct vocabulary *vocabulary, struct vocabulary_entry *entries, size_t most) {
    struct group *groups = memory_new_array(SPELLINGS_MAX, sizeof *groups);
    uint32_t *slots = memory_new_array(SLOTS, sizeof *slots);
    size_t count = make_groups(vocabulary, groups, slots);

    qsort(groups, count, sizeof *groups, compare);
    count = count < most ? count : most;
    count = count < VOCABULARY_MOST ? count : VOCABULARY_MOST;
    for (size_t i = 0; i < count; i++) {
        entries[i] = (struct vocabulary_entry){.count = groups[i].count};
        (void)text_copy(entries[i].stem, VOCABULARY_WORD_SIZE, groups[i].stem);
        for (size_t form = 0; form < VOCABULARY_FORMS && groups[i].forms[form] != NULL; form++)
            (void)text_copy(entries[i].forms[form], VOCABULARY_WORD_SIZE,
                            shown(vocabulary, groups[i].forms[form]));
    }
    free(groups);
    free(slots);
    return count;
}
