/* SPDX-License-Identifier: MIT
 * Training, leaving out, scoring. Sums over all examples and per label are kept while training; leaving one out is
 * taking its own part from both. The text of a model has its words in order of hash, each with a weight per label. */
#include "proto/classify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/memory.h"
#include "lib/text.h"

#define SMOOTHING 1.0
#define WEIGHT_LEVELS 4095 /* two digits */
#define SCALE_DEFAULT 16 /* where each label has one example, and leaving it out says nothing */
#define JUDGED_LEAST 4
#define SCALE_MAX 1e6
#define HEAD_SIZE 64
#define HEAD_NUMBERS 5
#define HEAD_NUMBER_BYTES 15

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const double scales[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512};

struct classify_model {
    size_t labels, terms, correct;
    double scale;
    uint32_t *hashes;
    float *idf;
    float *weights; /* terms × labels: the more, the more it is of this label */
};

void classify_model_free(struct classify_model *model) {
    if (model == NULL)
        return;
    free(model->hashes);
    free(model->idf);
    free(model->weights);
    free(model);
}

static struct classify_model *model_new(size_t terms, size_t labels) {
    struct classify_model *model = memory_new(sizeof *model);

    *model = (struct classify_model){.labels = labels, .terms = terms, .scale = 1};
    model->hashes = memory_new_array(terms + 1, sizeof model->hashes[0]);
    model->idf = memory_new_array(terms + 1, sizeof model->idf[0]);
    model->weights = memory_new_array(terms * labels + 1, sizeof model->weights[0]);
    return model;
}

/* Index of the word, or SIZE_MAX. */
static size_t find_term(const struct classify_model *model, uint32_t hash) {
    size_t low = 0, high = model->terms;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (model->hashes[middle] < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low < model->terms && model->hashes[low] == hash ? low : SIZE_MAX;
}

/* --- a text as a vector ----------------------------------------------------------------------------------- */

struct vector {
    size_t places[CLASSIFY_MAX_TERMS];
    double values[CLASSIFY_MAX_TERMS];
    size_t count;
};

/* log(1 + f) · idf, brought to length 1. */
static void make_vector(const struct classify_model *model, const struct classify_words *words,
                        struct vector *vector) {
    double sum = 0;

    vector->count = 0;
    for (size_t i = 0; i < words->count; i++) {
        size_t place = find_term(model, words->terms[i].hash);
        double value;
        if (place == SIZE_MAX)
            continue;
        value = log1p(words->terms[i].count) * (double)model->idf[place];
        sum += value * value;
        vector->places[vector->count] = place;
        vector->values[vector->count++] = value;
    }
    for (size_t i = 0; i < vector->count && sum > 0; i++)
        vector->values[i] /= sqrt(sum);
}

static void soften(double scale, size_t labels, const double *raw, const bool *known, struct classify_scores *scores) {
    double highest = -INFINITY, sum = 0;

    *scores = (struct classify_scores){.best = 0};
    for (size_t label = 0; label < labels; label++) {
        if (known[label] && raw[label] > highest) {
            highest = raw[label];
            scores->best = label;
        }
    }
    for (size_t label = 0; label < labels; label++) {
        scores->shares[label] = known[label] ? exp(scale * (raw[label] - highest)) : 0;
        sum += scores->shares[label];
    }
    for (size_t label = 0; label < labels && sum > 0; label++)
        scores->shares[label] /= sum;
}

/* --- training --------------------------------------------------------------------------------------------- */

struct training {
    struct classify_model *model;
    const struct classify_example *examples;
    size_t told, count;
    double *sums;   /* terms × labels */
    double *totals; /* per term, of all labels */
    double label_mass[CLASSIFY_MAX_LABELS], mass;
    size_t per_label[CLASSIFY_MAX_LABELS];
};

static int by_value(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return a < b ? -1 : a > b;
}

/* All words of all examples, each once, with how rare it is. */
static struct classify_model *gather_terms(const struct classify_example *examples, size_t count, size_t labels) {
    uint32_t *all = memory_new_array(count * CLASSIFY_MAX_TERMS + 1, sizeof all[0]);
    struct classify_model *model;
    size_t used = 0, different = 0;

    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < examples[i].words.count; k++)
            all[used++] = examples[i].words.terms[k].hash;
    qsort(all, used, sizeof all[0], by_value);
    for (size_t i = 0; i < used; i++)
        different += i == 0 || all[i] != all[i - 1];
    model = model_new(different, labels);
    for (size_t i = 0, term = 0; i < used; term++) {
        size_t first = i;
        while (i < used && all[i] == all[first])
            i++;
        model->hashes[term] = all[first];
        model->idf[term] = (float)log((double)(count + 1) / (double)(i - first));
    }
    free(all);
    return model;
}

static void add_example(struct training *training, const struct classify_example *example, double sign) {
    const size_t labels = training->model->labels;
    struct vector vector;

    make_vector(training->model, &example->words, &vector);
    for (size_t i = 0; i < vector.count; i++) {
        double value = sign * vector.values[i];
        training->sums[vector.places[i] * labels + example->label] += value;
        training->totals[vector.places[i]] += value;
        training->label_mass[example->label] += value;
        training->mass += value;
    }
    training->per_label[example->label] += sign > 0 ? 1 : SIZE_MAX; /* modulo: minus one */
}

/* How much rarer the word is in all other labels: -log of its share there. */
static double weight_of(const struct training *training, size_t term, size_t label) {
    const struct classify_model *model = training->model;
    double here = training->totals[term] - training->sums[term * model->labels + label];
    double all = training->mass - training->label_mass[label];

    if (here < 0)
        here = 0;
    if (all < 0)
        all = 0;
    return -log((here + SMOOTHING) / (all + SMOOTHING * (double)model->terms));
}

static void raw_scores(const struct training *training, const struct vector *vector, double *raw, bool *known) {
    for (size_t label = 0; label < training->model->labels; label++) {
        raw[label] = 0;
        known[label] = training->per_label[label] > 0;
        for (size_t i = 0; i < vector->count && known[label]; i++)
            raw[label] += vector->values[i] * weight_of(training, vector->places[i], label);
    }
}

/* Leaves each example out in turn: counts what is right, and finds the scale of the least log loss. */
static void leave_out(struct training *training) {
    enum { SCALES = sizeof scales / sizeof scales[0] };
    struct classify_model *model = training->model;
    double losses[SCALES] = {0};
    size_t best = 0, judged = 0;

    for (size_t i = 0; i < training->told; i++) {
        const struct classify_example *example = &training->examples[i];
        double raw[CLASSIFY_MAX_LABELS];
        bool known[CLASSIFY_MAX_LABELS];
        struct classify_scores scores = {.best = 0};
        struct vector vector;
        add_example(training, example, -1);
        make_vector(model, &example->words, &vector);
        raw_scores(training, &vector, raw, known);
        for (size_t k = 0; k < SCALES && known[example->label]; k++) {
            soften(scales[k], model->labels, raw, known, &scores);
            judged += k == 0;
            losses[k] -= log(fmax(scores.shares[example->label], 1e-6));
        }
        model->correct += known[example->label] && scores.best == example->label;
        add_example(training, example, 1);
    }
    for (size_t k = 1; k < SCALES; k++)
        best = losses[k] < losses[best] ? k : best;
    model->scale = judged >= JUDGED_LEAST ? scales[best] : SCALE_DEFAULT;
}

static size_t labels_with_examples(const struct classify_example *examples, size_t count) {
    bool has[CLASSIFY_MAX_LABELS] = {false};
    size_t labels = 0;

    for (size_t i = 0; i < count; i++) {
        labels += !has[examples[i].label];
        has[examples[i].label] = true;
    }
    return labels;
}

struct classify_model *classify_train(const struct classify_example *examples, size_t told, size_t count,
                                      size_t labels) {
    struct training training = {.examples = examples, .told = told, .count = count};

    if (count == 0 || labels > CLASSIFY_MAX_LABELS || labels_with_examples(examples, count) < 2)
        return NULL;
    training.model = gather_terms(examples, count, labels);
    training.sums = memory_new_array(training.model->terms * labels + 1, sizeof training.sums[0]);
    training.totals = memory_new_array(training.model->terms + 1, sizeof training.totals[0]);
    for (size_t i = 0; i < count; i++)
        add_example(&training, &examples[i], 1);
    leave_out(&training);
    for (size_t term = 0; term < training.model->terms; term++)
        for (size_t label = 0; label < labels; label++)
            training.model->weights[term * labels + label] =
                training.per_label[label] > 0 ? (float)weight_of(&training, term, label) : NAN;
    free(training.sums);
    free(training.totals);
    return training.model;
}

size_t classify_model_correct(const struct classify_model *model) {
    return model->correct;
}

/* --- scoring ---------------------------------------------------------------------------------------------- */

int classify_score(const struct classify_model *model, const struct classify_words *words,
                   struct classify_scores *scores) {
    double raw[CLASSIFY_MAX_LABELS];
    bool known[CLASSIFY_MAX_LABELS];
    struct vector vector;

    make_vector(model, words, &vector);
    for (size_t label = 0; label < model->labels; label++) {
        raw[label] = 0;
        known[label] = model->terms > 0 && !isnan(model->weights[label]);
        for (size_t i = 0; i < vector.count && known[label]; i++)
            raw[label] += vector.values[i] * (double)model->weights[vector.places[i] * model->labels + label];
    }
    soften(model->scale, model->labels, raw, known, scores);
    return vector.count > 0 ? 0 : -1;
}

static uint32_t count_in(const struct classify_words *words, uint32_t hash) {
    for (size_t i = 0; i < words->count && words->terms[i].hash <= hash; i++)
        if (words->terms[i].hash == hash)
            return words->terms[i].count;
    return 0;
}

int classify_match(const struct classify_words *descriptions, size_t labels, const struct classify_words *words,
                   struct classify_scores *scores) {
    double dots[CLASSIFY_MAX_LABELS] = {0}, lengths[CLASSIFY_MAX_LABELS] = {0}, sum = 0;

    *scores = (struct classify_scores){.best = 0};
    for (size_t label = 0; label < labels; label++) {
        for (size_t i = 0; i < descriptions[label].count; i++) {
            const struct classify_term *term = &descriptions[label].terms[i];
            size_t having = 0;
            double idf, value;
            for (size_t other = 0; other < labels; other++)
                having += count_in(&descriptions[other], term->hash) > 0;
            idf = log((double)(labels + 1) / (double)having);
            value = log1p(term->count) * idf;
            lengths[label] += value * value;
            dots[label] += value * log1p(count_in(words, term->hash)) * idf;
        }
        /* the text's own length is the same for all */
        scores->shares[label] = lengths[label] > 0 ? dots[label] / sqrt(lengths[label]) : 0;
        scores->best = scores->shares[label] > scores->shares[scores->best] ? label : scores->best;
        sum += scores->shares[label];
    }
    for (size_t label = 0; label < labels && sum > 0; label++)
        scores->shares[label] /= sum;
    return sum > 0 ? 0 : -1;
}

/* --- as text ---------------------------------------------------------------------------------------------- */

struct rank {
    size_t term;
    float spread;
};

static int by_spread(const void *left, const void *right) {
    const struct rank *a = left, *b = right;

    if (a->spread != b->spread)
        return a->spread < b->spread ? 1 : -1;
    return a->term < b->term ? -1 : a->term > b->term;
}

static int by_term(const void *left, const void *right) {
    const struct rank *a = left, *b = right;

    return a->term < b->term ? -1 : a->term > b->term;
}

/* The words that tell labels apart most, at most as many as the text holds. */
static struct rank *choose_terms(const struct classify_model *model, size_t *count) {
    const size_t most = (CLASSIFY_WEIGHTS_TEXT - HEAD_SIZE) / (6 + 2 * model->labels);
    struct rank *ranks = memory_new_array(model->terms + 1, sizeof ranks[0]);

    for (size_t term = 0; term < model->terms; term++) {
        float low = INFINITY, high = -INFINITY;
        for (size_t label = 0; label < model->labels; label++) {
            float weight = model->weights[term * model->labels + label];
            low = weight < low ? weight : low; /* false for NAN */
            high = weight > high ? weight : high;
        }
        ranks[term] = (struct rank){.term = term, .spread = high - low};
    }
    qsort(ranks, model->terms, sizeof ranks[0], by_spread);
    *count = model->terms < most ? model->terms : most;
    qsort(ranks, *count, sizeof ranks[0], by_term);
    return ranks;
}

static char *put_number(char *at, uint32_t number, unsigned places) {
    for (unsigned i = places; i > 0; i--)
        *at++ = digits[number >> (6 * (i - 1)) & 63];
    return at;
}

static uint32_t level_of(double value, double low, double high) {
    if (!(high > low))
        return 0;
    return (uint32_t)lround((value - low) / (high - low) * (WEIGHT_LEVELS - 1));
}

struct bounds {
    double weight_low, weight_high, idf_high;
};

static struct bounds bounds_of(const struct classify_model *model, const struct rank *ranks, size_t count) {
    struct bounds bounds = {.weight_low = INFINITY, .weight_high = -INFINITY, .idf_high = 0};

    for (size_t i = 0; i < count; i++) {
        bounds.idf_high = fmax(bounds.idf_high, (double)model->idf[ranks[i].term]);
        for (size_t label = 0; label < model->labels; label++) {
            double weight = (double)model->weights[ranks[i].term * model->labels + label];
            bounds.weight_low = fmin(bounds.weight_low, weight); /* NAN is passed over */
            bounds.weight_high = fmax(bounds.weight_high, weight);
        }
    }
    if (bounds.weight_low > bounds.weight_high) /* no word, no weight */
        bounds.weight_low = bounds.weight_high = 0;
    return bounds;
}

char *classify_model_write(const struct classify_model *model) {
    size_t count;
    struct rank *ranks = choose_terms(model, &count);
    struct bounds bounds = bounds_of(model, ranks, count);
    char *text = memory_new(CLASSIFY_WEIGHTS_TEXT), *at = text;

    (void)text_format(text, HEAD_SIZE, "1 %zu %.4f %.6f %.6f %.6f ", count, model->scale, bounds.weight_low,
                      bounds.weight_high, bounds.idf_high);
    at += strlen(text);
    for (size_t i = 0; i < count; i++) {
        size_t term = ranks[i].term;
        at = put_number(at, model->hashes[term], 4);
        at = put_number(at, level_of((double)model->idf[term], 0, bounds.idf_high), 2);
        for (size_t label = 0; label < model->labels; label++) {
            double weight = (double)model->weights[term * model->labels + label];
            at = put_number(at, isnan(weight) ? WEIGHT_LEVELS
                                              : level_of(weight, bounds.weight_low, bounds.weight_high), 2);
        }
    }
    *at = '\0';
    free(ranks);
    return text;
}

/* -1 unless `places` digits stand there. */
static int take_number(const char **at, unsigned places, uint32_t *number) {
    *number = 0;
    for (unsigned i = 0; i < places; i++, (*at)++) {
        const char *digit = **at == '\0' ? NULL : strchr(digits, **at);
        if (digit == NULL)
            return -1;
        *number = *number << 6 | (uint32_t)(digit - digits);
    }
    return 0;
}

static double value_of(uint32_t level, double low, double high) {
    return low + (high - low) * level / (WEIGHT_LEVELS - 1);
}

static int parse_term(struct classify_model *model, size_t term, const struct bounds *bounds, const char **at) {
    uint32_t level;

    if (take_number(at, 4, &model->hashes[term]) != 0 || take_number(at, 2, &level) != 0 ||
        (term > 0 && model->hashes[term] <= model->hashes[term - 1]))
        return -1;
    model->idf[term] = (float)value_of(level, 0, bounds->idf_high);
    for (size_t label = 0; label < model->labels; label++) {
        if (take_number(at, 2, &level) != 0)
            return -1;
        model->weights[term * model->labels + label] =
            level == WEIGHT_LEVELS ? NAN : (float)value_of(level, bounds->weight_low, bounds->weight_high);
    }
    return 0;
}

/* The five numbers behind the version; NULL if it is another or one is no number, else where they end. */
static const char *read_head(const char *text, double values[HEAD_NUMBERS]) {
    const char *at = text + 2;

    if (strncmp(text, "1 ", 2) != 0)
        return NULL;
    for (size_t i = 0; i < HEAD_NUMBERS; i++) {
        char *end;
        values[i] = strtod(at, &end);
        if (end == at || end - at > HEAD_NUMBER_BYTES || *end != ' ')
            return NULL;
        at = end + 1;
    }
    return at;
}

struct classify_model *classify_model_parse(const char *text, size_t labels) {
    struct bounds bounds;
    struct classify_model *model;
    size_t count, term = 0;
    double head[HEAD_NUMBERS], scale;
    const char *at;

    if (labels < 2 || labels > CLASSIFY_MAX_LABELS || strlen(text) >= CLASSIFY_WEIGHTS_TEXT ||
        (at = read_head(text, head)) == NULL || !(head[0] >= 0 && head[0] <= CLASSIFY_WEIGHTS_TEXT))
        return NULL;
    count = (size_t)head[0];
    scale = head[1];
    bounds.weight_low = head[2];
    bounds.weight_high = head[3];
    bounds.idf_high = head[4];
    if (!(scale > 0 && scale < SCALE_MAX) || !(fabs(bounds.weight_low) < SCALE_MAX) ||
        !(fabs(bounds.weight_high) < SCALE_MAX) ||
        !(bounds.idf_high >= 0 && bounds.idf_high < SCALE_MAX) ||
        strlen(at) != count * (6 + 2 * labels))
        return NULL;
    model = model_new(count, labels);
    model->scale = scale;
    for (; term < count && parse_term(model, term, &bounds, &at) == 0; term++) {
    }
    if (term == count)
        return model;
    classify_model_free(model);
    return NULL;
}
