/* SPDX-License-Identifier: MIT
 * A bilingual word list of a text that another processor made of the document: cleaned, its words chosen
 * (vocabulary.h), and translated by a FreeDict dictionary where one of the two languages is installed
 * (dictionary.h); else the second column stays empty, and a warning says so. Progress: a hundred parts,
 * cleaning to 20, extracting to 60, translating to 100, as wordlist_jobs shows them. */
#include <string.h>

#include "lib/text.h"
#include "workers/processors/dictionary.h"
#include "workers/processors/vocabulary.h"
#include "workers/processors/wordlist_options.h"

#define TEXT_MOST ((size_t)16 << 20) /* words of a book are told from its first so many bytes */
#define PIECE ((size_t)1 << 20)

_Static_assert(VOCABULARY_MOST >= WORDLIST_MOST, "a list must hold what was chosen");

/* Up to a blank, so that no word is cut. */
static size_t piece_end(const char *text, size_t from, size_t size) {
    size_t end = size - from > PIECE ? from + PIECE : size;

    while (end < size && end > from + PIECE / 2 && strchr(" \n\t", text[end]) == NULL)
        end--;
    return end;
}

static void read_text(struct processor_context *context, struct vocabulary *vocabulary) {
    const char *text = (const char *)context->input;
    size_t size = context->input_size < TEXT_MOST ? context->input_size : TEXT_MOST, from = 0;

    if (size < context->input_size)
        processor_warn(context, "the text is very long: only its beginning was read");
    while (from < size) {
        size_t end = piece_end(text, from, size);
        vocabulary_read(vocabulary, text + from, end - from);
        from = end;
        processor_progress(context, 20 + 40 * from / size, 100);
    }
}

/* A word that the dictionary has in another form is named as the dictionary has it. */
static json_t *make_pairs(const struct vocabulary_entry *entries, const struct dictionary_word *words,
                          size_t count) {
    json_t *pairs = json_array();

    for (size_t i = 0; i < count; i++) {
        const char *source = words[i].found >= 0 ? words[i].forms[words[i].found] : entries[i].forms[0];
        (void)json_array_append_new(pairs, json_pack("{s:s, s:s, s:I}", "source", source, "target",
                                                     words[i].target, "count", (json_int_t)entries[i].count));
    }
    return pairs;
}

static void name_forms(struct dictionary_word *word, const struct vocabulary_entry *entry) {
    int used = 0;

    *word = (struct dictionary_word){.found = -1};
    for (int i = 0; i < VOCABULARY_FORMS && entry->forms[i][0] != '\0'; i++)
        word->forms[used++] = entry->forms[i];
    if (used < DICTIONARY_FORMS)
        word->forms[used] = entry->stem;
}

static int run(struct processor_context *context) {
    static struct vocabulary_entry entries[VOCABULARY_MOST];
    static struct dictionary_word words[VOCABULARY_MOST];
    struct wordlist_options options;
    struct vocabulary *vocabulary;
    size_t count;

    if (wordlist_options_read(context, &options) != 0)
        return -1;
    processor_progress(context, 20, 100);
    vocabulary = vocabulary_new(options.source);
    read_text(context, vocabulary);
    count = vocabulary_choose(vocabulary, entries, (size_t)options.most);
    vocabulary_free(vocabulary);
    processor_progress(context, 60, 100);
    for (size_t i = 0; i < count; i++)
        name_forms(&words[i], &entries[i]);
    if (count == 0)
        processor_warn(context, "the document has no words to learn");
    else if (!dictionary_translate(options.source, options.target, words, count))
        processor_warn(context, "no dictionary of these languages is installed");
    processor_progress(context, 100, 100);
    return wordlist_write(context, &options, "embedded", make_pairs(entries, words, count));
}

const struct processor processor_wordlist = {.name = "wordlist", .run = run};
