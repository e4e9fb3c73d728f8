/* SPDX-License-Identifier: MIT
 * Words of a text as hashes and counts, and their text form. No locale, no tables but a few ranges. */
#include "proto/classify.h"

#include <stdlib.h>
#include <string.h>

#include "lib/memory.h"

#define HASH_MASK 0xFFFFFFu
#define TABLE_SIZE 16384u /* slots; a power of two */
#define TABLE_MOST 12000u /* different words looked at */
#define WORD_MAX 40       /* characters of a word that count */
#define SMALLEST_WORD 2

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* --- characters ------------------------------------------------------------------------------------------- */

/* One character of UTF-8 and how many bytes it takes; 0xFFFD for a byte that begins none. */
static uint32_t next_character(const unsigned char *at, size_t size, size_t *taken) {
    size_t length = at[0] < 0x80 ? 1 : at[0] >= 0xC2 && at[0] < 0xE0 ? 2 : at[0] >= 0xE0 && at[0] < 0xF0 ? 3
                    : at[0] >= 0xF0 && at[0] < 0xF5                      ? 4
                                                                         : 0;
    uint32_t value;

    *taken = 1;
    if (length == 1)
        return at[0];
    if (length == 0 || length > size)
        return 0xFFFD;
    value = at[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return 0xFFFD;
        value = value << 6 | (at[i] & 0x3Fu);
    }
    *taken = length;
    return value;
}

static const struct {
    uint32_t first, last, add; /* add 1: pairs, of which the first of the range is a capital */
} capitals[] = {
    {'A', 'Z', 32},     {0xC0, 0xD6, 32},   {0xD8, 0xDE, 32}, {0x100, 0x137, 1}, {0x139, 0x148, 1},
    {0x14A, 0x177, 1},  {0x179, 0x17E, 1},  {0x391, 0x3A9, 32}, {0x400, 0x40F, 80}, {0x410, 0x42F, 32},
    {0x460, 0x481, 1},  {0x48A, 0x4BF, 1},  {0x531, 0x556, 48}, {0x1E00, 0x1EFF, 1},
};

static uint32_t lower(uint32_t character) {
    for (size_t i = 0; i < sizeof capitals / sizeof capitals[0]; i++) {
        if (character < capitals[i].first || character > capitals[i].last)
            continue;
        return capitals[i].add == 1 && (character - capitals[i].first) % 2 != 0 ? character
                                                                                : character + capitals[i].add;
    }
    return character;
}

enum kind { KIND_SPACE, KIND_LETTER, KIND_FIGURE, KIND_SIGN, KIND_DENSE };

static enum kind kind_of(uint32_t character) {
    if (character < 0x80) {
        if (character >= '0' && character <= '9')
            return KIND_FIGURE;
        if (((character | 32) >= 'a' && (character | 32) <= 'z'))
            return KIND_LETTER;
        return character == '$' || character == '%' || character == '@' ? KIND_SIGN : KIND_SPACE;
    }
    if (character == 0xA3 || character == 0xA7 || character == 0x20AC || character == 0xA5)
        return KIND_SIGN;
    if (character < 0xC0 || character == 0xD7 || character == 0xF7 || (character >= 0x2000 && character < 0x2C00) ||
        character == 0xFFFD || (character >= 0x3000 && character < 0x3005) || character >= 0xFF00)
        return KIND_SPACE;
    return character >= 0x2E80 && character < 0xAC00 ? KIND_DENSE : KIND_LETTER; /* Hangul has blanks */
}

/* --- counting --------------------------------------------------------------------------------------------- */

struct slot {
    uint32_t hash, count, place; /* count 0: free; place: which came first */
};

struct counter {
    struct slot slots[TABLE_SIZE];
    uint32_t used;
    uint32_t state; /* FNV-1a of the word so far */
    size_t length;  /* its characters */
    enum kind kind;
    uint32_t before; /* the last dense character, or 0 */
};

static uint32_t mix(uint32_t state, uint32_t character) {
    for (int i = 0; i < 3; i++, character >>= 8)
        state = (state ^ (character & 0xFF)) * 16777619u;
    return state;
}

static void count_hash(struct counter *counter, uint32_t state) {
    uint32_t hash = (state ^ state >> 24) & HASH_MASK;

    for (uint32_t at = hash;; at++) {
        struct slot *slot = &counter->slots[at % TABLE_SIZE];
        if (slot->count == 0 && counter->used >= TABLE_MOST)
            return;
        if (slot->count == 0)
            *slot = (struct slot){.hash = hash, .place = counter->used++};
        if (slot->hash != hash)
            continue;
        slot->count++;
        return;
    }
}

static void end_word(struct counter *counter) {
    if (counter->length >= SMALLEST_WORD || (counter->length > 0 && counter->kind != KIND_LETTER))
        count_hash(counter, counter->state);
    counter->length = 0;
    counter->state = 2166136261u;
}

static void take_character(struct counter *counter, uint32_t character) {
    enum kind kind = kind_of(character);

    if (kind != counter->kind || kind == KIND_SIGN)
        end_word(counter);
    counter->kind = kind;
    if (kind == KIND_DENSE) {
        if (counter->before != 0)
            count_hash(counter, mix(mix(2166136261u, counter->before), character));
        counter->before = character;
        return;
    }
    counter->before = 0;
    if (kind == KIND_SPACE || counter->length >= WORD_MAX)
        return;
    counter->state = mix(counter->state, kind == KIND_FIGURE ? '0' : lower(character));
    counter->length++;
}

static int by_count(const void *left, const void *right) {
    const struct slot *a = left, *b = right;

    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return a->place < b->place ? -1 : a->place > b->place;
}

static int by_hash(const void *left, const void *right) {
    const struct classify_term *a = left, *b = right;

    return a->hash < b->hash ? -1 : a->hash > b->hash;
}

static void take_most(struct counter *counter, struct classify_words *words) {
    qsort(counter->slots, TABLE_SIZE, sizeof counter->slots[0], by_count);
    words->count = counter->used < CLASSIFY_MAX_TERMS ? counter->used : CLASSIFY_MAX_TERMS;
    for (size_t i = 0; i < words->count; i++) {
        uint32_t count = counter->slots[i].count;
        words->terms[i] = (struct classify_term){
            .hash = counter->slots[i].hash, .count = count > CLASSIFY_MAX_COUNT ? CLASSIFY_MAX_COUNT : count};
    }
    qsort(words->terms, words->count, sizeof words->terms[0], by_hash);
}

void classify_words_read(struct classify_words *words, const char *text, size_t size) {
    struct counter *counter = memory_new(sizeof *counter);
    const unsigned char *bytes = (const unsigned char *)text;
    size_t taken;

    counter->state = 2166136261u;
    for (size_t at = 0; at < size; at += taken)
        take_character(counter, next_character(bytes + at, size - at, &taken));
    end_word(counter);
    take_most(counter, words);
    free(counter);
}

/* --- as text ---------------------------------------------------------------------------------------------- */

void classify_words_write(const struct classify_words *words, char *target) {
    for (size_t i = 0; i < words->count; i++) {
        for (unsigned shift = 24; shift > 0; shift -= 6)
            *target++ = digits[words->terms[i].hash >> (shift - 6) & 63];
        *target++ = digits[words->terms[i].count & 63];
    }
    *target = '\0';
}

int classify_words_parse(struct classify_words *words, const char *text) {
    size_t length = strlen(text);

    words->count = 0;
    if (length % 5 != 0 || length / 5 > CLASSIFY_MAX_TERMS)
        return -1;
    for (size_t i = 0; i < length / 5; i++) {
        uint32_t values[5];
        for (size_t k = 0; k < 5; k++) {
            const char *digit = strchr(digits, text[5 * i + k]);
            if (digit == NULL)
                return -1;
            values[k] = (uint32_t)(digit - digits);
        }
        words->terms[i] = (struct classify_term){
            .hash = values[0] << 18 | values[1] << 12 | values[2] << 6 | values[3], .count = values[4]};
        if (values[4] == 0 || (i > 0 && words->terms[i].hash <= words->terms[i - 1].hash))
            return -1;
    }
    words->count = length / 5;
    return 0;
}
