/* SPDX-License-Identifier: MIT
 * Trains on some lines of "label<TAB>text with \n for line ends" and tells, for others, what it makes of
 * them: how bench/quality/classify.py and the tests measure the classifier that gateway and runners share.
 * Lines of standard input: "train", "ask" or "describe", label's index, text. Prints for each "ask" the index
 * and share of the best label, at the end "correct N of M" of the examples left out in turn. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/memory.h"
#include "proto/classify.h"

#define LINE_MAX_BYTES 65536

static struct classify_example examples[CLASSIFY_MAX_EXAMPLES + CLASSIFY_MAX_LABELS];
static struct classify_words asked[CLASSIFY_MAX_EXAMPLES], descriptions[CLASSIFY_MAX_LABELS];

static void read_text(struct classify_words *words, char *text) {
    for (char *at = text; (at = strstr(at, "\\n")) != NULL;)
        memcpy(at, "  ", 2);
    classify_words_read(words, text, strlen(text));
}

int main(void) {
    static char line[LINE_MAX_BYTES];
    size_t count = 0, questions = 0, labels = 0;
    struct classify_model *model = NULL;
    char verb[16];
    unsigned label;
    int at;

    while (fgets(line, sizeof line, stdin) != NULL) {
        if (sscanf(line, "%15s %u %n", verb, &label, &at) != 2 || label >= CLASSIFY_MAX_LABELS ||
            count == CLASSIFY_MAX_EXAMPLES || questions == CLASSIFY_MAX_EXAMPLES)
            return 2;
        labels = label >= labels ? label + 1u : labels;
        if (strcmp(verb, "train") == 0) {
            read_text(&examples[count].words, line + at);
            examples[count++].label = label;
        } else if (strcmp(verb, "ask") == 0) {
            read_text(&asked[questions++], line + at);
        } else {
            read_text(&descriptions[label], line + at);
        }
    }
    if (count > 0) {
        struct classify_model *trained;
        for (size_t i = 0; i < labels; i++)
            examples[count + i] = (struct classify_example){.words = descriptions[i], .label = i};
        trained = classify_train(examples, count, count + labels, labels);
        char *text = trained == NULL ? NULL : classify_model_write(trained);
        if (text == NULL)
            return 1;
        printf("correct %zu of %zu, %zu bytes, %.8s\n", classify_model_correct(trained), count, strlen(text),
               text + 2);
        model = classify_model_parse(text, labels); /* as a runner gets it */
        classify_model_free(trained);
        free(text);
    }
    for (size_t i = 0; i < questions; i++) {
        struct classify_scores scores;
        int status = model != NULL ? classify_score(model, &asked[i], &scores)
                                   : classify_match(descriptions, labels, &asked[i], &scores);
        printf("%zu %.4f\n", scores.best, status == 0 ? scores.shares[scores.best] : 0);
    }
    classify_model_free(model);
    return 0;
}
