/* SPDX-License-Identifier: MIT
 * What a definition says in few words: the lines of a FreeDict entry that are no heading, no example and no
 * note, cut at commas, without what stands in brackets. An entry's candidates vote, the earlier the heavier.
 */
#include "workers/processors/dictionary.h"

#include <string.h>

#include "lib/text.h"

#define CANDIDATES_MAX 64
#define FIRST_VOTE 4

struct candidate {
    char text[DICTIONARY_TEXT];
    unsigned votes;
};

struct election {
    struct candidate candidates[CANDIDATES_MAX];
    size_t count;
};

static void vote(struct election *election, const char *text, unsigned votes) {
    size_t i = 0;

    while (i < election->count && strcmp(election->candidates[i].text, text) != 0)
        i++;
    if (i == CANDIDATES_MAX)
        return;
    if (i == election->count) {
        (void)text_copy(election->candidates[i].text, DICTIONARY_TEXT, text);
        election->candidates[i].votes = 0;
        election->count++;
    }
    election->candidates[i].votes += votes;
}

/* Copies one candidate without brackets and outer blanks; false when nothing or too much is left. */
static bool clean(char target[DICTIONARY_TEXT], const char *from, size_t size) {
    static const char open[] = "<[({/", close[] = ">])}/";
    size_t used = 0;
    char wanted = '\0';

    while (size > 0 && strchr(" \t.0123456789", *from) != NULL) {
        from++;
        size--;
    }
    for (size_t i = 0; i < size; i++) {
        const char *bracket = strchr(open, from[i]);
        if (wanted != '\0') {
            wanted = from[i] == wanted ? '\0' : wanted;
        } else if (bracket != NULL && from[i] != '\0') {
            wanted = close[bracket - open];
        } else if ((unsigned char)from[i] >= ' ' &&
                   !(from[i] == ' ' && (used == 0 || target[used - 1] == ' '))) {
            if (used + 1 == DICTIONARY_TEXT)
                return false;
            target[used++] = from[i];
        }
    }
    while (used > 0 && strchr(" .", target[used - 1]) != NULL)
        used--;
    target[used] = '\0';
    return used > 0 && strchr("\"'-", target[0]) == NULL;
}

/* The length up to a comma or semicolon outside brackets. */
static size_t candidate_length(const char *line, size_t size) {
    int depth = 0;

    for (size_t i = 0; i < size; i++) {
        depth += strchr("<[({", line[i]) != NULL && line[i] != '\0';
        depth -= strchr(">])}", line[i]) != NULL && line[i] != '\0' && depth > 0;
        if (depth == 0 && (line[i] == ',' || line[i] == ';'))
            return i;
    }
    return size;
}

static void read_line(struct election *election, const char *line, size_t size) {
    unsigned weight = line[strspn(line, " ")] == '[' ? FIRST_VOTE / 2 : FIRST_VOTE; /* "[Am.] …": special */
    char text[DICTIONARY_TEXT];

    while (size > 0) {
        size_t length = candidate_length(line, size);
        if (clean(text, line, length))
            vote(election, text, weight);
        weight = weight > 1 ? weight - 1 : 1;
        length += length < size;
        line += length;
        size -= length;
    }
}

static bool is_translation(const char *line, size_t size) {
    static const char *const others[] = {"see:", "Note", "Synonym", "Antonym", "\""};
    size_t blanks = strspn(line, " ");

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strncmp(line + blanks, others[i], strlen(others[i])) == 0)
            return false;
    return blanks < 3 && blanks < size;
}

/* The first line is the heading. */
static void read_definition(struct election *election, const char *text) {
    const char *line = strchr(text, '\n');

    while (line != NULL && line[1] != '\0') {
        size_t size = strcspn(++line, "\n");
        if (is_translation(line, size)) {
            read_line(election, line, size);
            return;
        }
        line = strchr(line, '\n');
    }
}

/* Of as many votes the shorter: "Pferd" before "Hauspferd". */
static bool is_better(const struct candidate *one, const struct candidate *other) {
    return one->votes != other->votes ? one->votes > other->votes : strlen(one->text) < strlen(other->text);
}

void dictionary_choose(char target[DICTIONARY_TEXT], const char *const *texts, size_t count) {
    static struct election election;
    size_t best = 0;

    election.count = 0;
    for (size_t i = 0; i < count; i++)
        read_definition(&election, texts[i]);
    for (size_t i = 1; i < election.count; i++)
        best = is_better(&election.candidates[i], &election.candidates[best]) ? i : best;
    target[0] = '\0';
    if (election.count > 0)
        (void)text_copy(target, DICTIONARY_TEXT, election.candidates[best].text);
}
