/* SPDX-License-Identifier: MIT
 * A tenant's labels, the examples that its members tell, and what was learnt from them. An example is the
 * words of a file's text, which is read by the way of all contents (decrypted where it is sealed), whoever
 * classified the file or nobody. Training is adding up, done here whenever an example or the labels change: a
 * few ms for hundreds of examples. */
#include "gateway/classify.h"
#include "gateway/content.h"
#include "gateway/files.h"
#include "gateway/json.h"
#include "gateway/replies.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "proto/classify.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- labels ------------------------------------------------------------------------------------------------
 */

#define ROLE_COLUMN "filemill_role($1::uuid)::text as role"

static const struct statement labels_statement = {
    "classify_labels",
    "select " ROLE_COLUMN ", (select labels::text from tenant_labels where tenant_id = $1::uuid) as labels",
    1};
static const struct statement labels_put_statement = {
    "classify_labels_put",
    "insert into tenant_labels (tenant_id, labels) select $1::uuid, $2::jsonb where filemill_role($1::uuid) "
    "in "
    "('owner', 'admin') on conflict (tenant_id) do update set labels = excluded.labels, updated_at = now()",
    2};

static void respond_labels(struct call *call, const json_t *labels, bool own) {
    json_t *body =
        json_pack("{s:s,s:O,s:b}", "tenant_id", call->parameters[0], "labels", labels, "default", !own);
    call_respond_take(call, 200, json_encode(body));
    json_decref(body);
}

static void labels_read(struct call *call, const struct database_answer *answer) {
    const struct database_result *result = answer->results[0];
    const char *text = result_text(result, 0, "labels");
    if (!caller_belongs(call, result)) {
        return;
    }
    json_t *labels = classify_read_labels(text);
    respond_labels(call, labels, text != NULL);
    json_decref(labels);
}

void handle_labels(struct call *call) {
    const struct query query = {.statement = &labels_statement, .values = {call->parameters[0]}};
    call_read(call, &query, 1, labels_read);
}

/* --- training ----------------------------------------------------------------------------------------------
 */

struct lesson {
    char tenant[UUID_TEXT_SIZE];
    char file[UUID_TEXT_SIZE];
    char stamp[40]; /* when the examples were read: an older lesson's model never replaces a newer one's */
    char *label;    /* what is being told; NULL: only looked at */
    struct content content;
    char words[CLASSIFY_TERMS_TEXT];
    json_t *labels; /* the tenant's */
    json_t *report; /* the answer */
};

/* Locked, so that of two lessons the later one sees what the earlier told. */
static const struct statement lock_statement = {
    "classify_lock", "select pg_advisory_xact_lock(hashtextextended('classifier ' || $1::uuid, 0))", 1};
static const struct statement learn_statement = {"classify_learn",
                                                 "insert into label_examples (tenant_id, file_id, label, "
                                                 "words) values ($1::uuid, $2::uuid, $3, $4) on conflict "
                                                 "(tenant_id, file_id) do update set label = excluded.label, "
                                                 "words = excluded.words, user_id = excluded.user_id, "
                                                 "created_at = clock_timestamp()",
                                                 4};
static const struct statement examples_statement = {
    "classify_examples",
    "select " ROLE_COLUMN ", clock_timestamp()::text as stamp, "
    "(select labels::text from tenant_labels where tenant_id = $1::uuid) as labels, (select "
    "coalesce(json_agg(json_build_array(e.label, e.words)), '[]')::text from (select label, words from "
    "label_examples where tenant_id = $1::uuid order by created_at desc, file_id limit $2::int) e) as "
    "examples",
    2};
static const struct statement model_statement = {
    "classify_model",
    "insert into classifiers (tenant_id, trained_at, model, examples, correct) select $1::uuid, "
    "$2::timestamptz, $3::jsonb, $4::int, $5::int where filemill_role($1::uuid) is not null on conflict "
    "(tenant_id) do update set model = excluded.model, examples = excluded.examples, correct = "
    "excluded.correct, trained_at = excluded.trained_at where classifiers.trained_at <= excluded.trained_at",
    5};
static const struct statement forget_statement = {
    "classify_forget", "delete from classifiers where tenant_id = $1::uuid and trained_at <= $2::timestamptz",
    2};

static void clear_lesson(void *state) {
    struct lesson *lesson = state;
    content_clear(&lesson->content);
    free(lesson->label);
    json_decref(lesson->labels);
    json_decref(lesson->report);
}

static struct lesson *lesson_of(struct call *call) {
    return call->route->handler == handle_file_label ? ((struct file_view *)call->state)->work : call->state;
}

static size_t index_of(const json_t *labels, const char *name) {
    for (size_t i = 0; i < json_array_size(labels); i++) {
        const char *other = json_text_member(json_array_get(labels, i), "name");
        if (name != NULL && other != NULL && strcmp(name, other) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* Those of today's labels; returns how many. */
static size_t read_examples(const json_t *labels, const json_t *rows, struct classify_example *examples,
                            size_t *counts) {
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        size_t label = index_of(labels, json_string_value(json_array_get(row, 0)));
        const char *words = json_string_value(json_array_get(row, 1));
        if (label == SIZE_MAX || words == NULL || classify_words_parse(&examples[count].words, words) != 0) {
            continue;
        }
        counts[label]++;
        examples[count++].label = label;
    }
    return count;
}

static void read_descriptions(const json_t *labels, struct classify_example *examples) {
    for (size_t i = 0; i < json_array_size(labels); i++) {
        const json_t *label = json_array_get(labels, i);
        const char *description = json_text_member(label, "description");
        char *text =
            memory_format("%s %s", json_text_member(label, "name"), description != NULL ? description : "");
        classify_words_read(&examples[i].words, text, strlen(text));
        examples[i].label = i;
        free(text);
    }
}

static json_t *names_of(const json_t *labels) {
    json_t *names = json_array();
    for (size_t i = 0; i < json_array_size(labels); i++) {
        json_array_append(names, json_object_get(json_array_get(labels, i), "name"));
    }
    return names;
}

static json_t *make_report(const struct lesson *lesson, size_t examples, const size_t *counts,
                           const struct classify_model *model) {
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(lesson->labels); i++) {
        json_array_append_new(list, json_pack("{s:O,s:I}", "label",
                                              json_object_get(json_array_get(lesson->labels, i), "name"),
                                              "examples", (json_int_t)counts[i]));
    }
    json_t *accuracy =
        model == NULL ? json_null() : json_real((double)classify_model_correct(model) / (double)examples);
    return json_pack("{s:s,s:I,s:o,s:o,s:b}", "tenant_id", lesson->tenant, "examples", (json_int_t)examples,
                     "labels", list, "accuracy", accuracy, "trained", model != NULL);
}

static void learnt(struct call *call, const struct database_answer *answer) {
    char *body = json_encode(lesson_of(call)->report);
    call_respond_take(call, 200, body);
}

static void keep_model(struct call *call, const struct lesson *lesson, const struct classify_model *model,
                       size_t examples) {
    char count[24], correct[24];
    char *text = NULL;
    (void)text_format(count, sizeof count, "%zu", examples);
    (void)text_format(correct, sizeof correct, "%zu", model != NULL ? classify_model_correct(model) : 0);
    if (model != NULL) {
        char *weights = classify_model_write(model);
        json_t *whole = json_pack("{s:o,s:s}", "labels", names_of(lesson->labels), "weights", weights);
        text = json_encode(whole);
        json_decref(whole);
        free(weights);
    }
    struct query query = {.statement = model != NULL ? &model_statement : &forget_statement,
                          .values = {lesson->tenant, lesson->stamp, text, count, correct}};
    if (model == NULL) {
        query.values[3] = query.values[4] = NULL;
    }
    call_write_one(call, &query, learnt, NULL);
    free(text);
}

static void train(struct call *call, struct lesson *lesson, const struct database_result *result) {
    json_t *rows = json_loads(result_text(result, 0, "examples"), 0, NULL);
    size_t counts[CLASSIFY_MAX_LABELS] = {0};
    size_t labels = json_array_size(lesson->labels);
    struct classify_example *examples = memory_new_array(json_array_size(rows) + labels, sizeof *examples);
    size_t count = read_examples(lesson->labels, rows, examples, counts);
    read_descriptions(lesson->labels, examples + count);
    struct classify_model *model = count > 0 ? classify_train(examples, count, count + labels, labels) : NULL;
    result_copy(lesson->stamp, sizeof lesson->stamp, result, 0, "stamp");
    lesson->report = make_report(lesson, count, counts, model);
    keep_model(call, lesson, model, count);
    classify_model_free(model);
    free(examples);
    json_decref(rows);
}

static void take_labels(struct lesson *lesson, const struct database_result *result) {
    const char *text = result_text(result, 0, "labels");
    lesson->labels = classify_read_labels(text);
}

/* --- one example -------------------------------------------------------------------------------------------
 */

static void told(struct call *call, const struct database_answer *answer) {
    train(call, lesson_of(call), answer->results[2]);
}

static void tell(struct call *call, const struct lesson *lesson) {
    char most[24];
    (void)text_format(most, sizeof most, "%lld", (long long)call->gateway->settings.classify_examples);
    const struct query queries[] = {
        {.statement = &lock_statement, .values = {lesson->tenant}},
        {.statement = &learn_statement,
         .values = {lesson->tenant, lesson->file, lesson->label, lesson->words}},
        {.statement = &examples_statement, .values = {lesson->tenant, most}},
    };
    call_write(call, &(struct call_effect){.queries = queries, .count = 3, .on_answer = told});
}

static void text_came(struct call *call) {
    struct lesson *lesson = lesson_of(call);
    struct classify_words *words = memory_new(sizeof *words);
    classify_words_read(words, lesson->content.text.data, lesson->content.text.size);
    classify_words_write(words, lesson->words);
    bool empty = words->count == 0;
    content_clear(&lesson->content);
    free(words);
    if (empty) {
        call_problem(call, PROBLEM_NO_TEXT, NULL);
    } else {
        tell(call, lesson);
    }
}

static const struct statement text_statement = {
    "classify_label_text",
    "select t.*, (select labels::text from tenant_labels where tenant_id = $2::uuid) as labels from (values "
    "(1)) one left join (select d.r2_key as key, d.mime, d.size_bytes, d.sha256, k.seal from "
    "file_derivatives d left join object_keys k on k.key = d.r2_key where d.file_id = $1::uuid and d.kind in "
    "(" CLASSIFY_TEXT_KINDS ") order by d.size_bytes desc, d.kind limit 1) t on true",
    2};

static void found(struct call *call, const struct database_answer *answer) {
    struct lesson *lesson = lesson_of(call);
    take_labels(lesson, answer->results[0]);
    if (index_of(lesson->labels, lesson->label) == SIZE_MAX) {
        call_problem(call, PROBLEM_UNKNOWN_LABEL, NULL);
        return;
    }
    if (result_text(answer->results[0], 0, "key") == NULL) {
        call_problem(call, PROBLEM_NO_TEXT, NULL);
        return;
    }
    content_take_row(&lesson->content, answer->results[0]);
    content_read(call, &lesson->content, CLASSIFY_TEXT_MOST, text_came);
}

static void label_file(struct call *call, struct file_view *file) {
    struct lesson *lesson = memory_new(sizeof *lesson);
    file->work = lesson;
    file->work_clear = clear_lesson;
    (void)text_copy(lesson->tenant, sizeof lesson->tenant, file->tenant);
    (void)text_copy(lesson->file, sizeof lesson->file, file->id);
    lesson->label = memory_copy_text(json_text_member(call->body, "label"));
    const struct query query = {.statement = &text_statement, .values = {file->id, file->tenant}};
    call_read(call, &query, 1, found);
}

void handle_file_label(struct call *call) {
    file_look(call, call->parameters[0], FILE_ACCESS_CHANGE, label_file);
}

/* --- the classifier, and new labels ------------------------------------------------------------------------
 */

static void looked(struct call *call, const struct database_answer *answer) {
    struct lesson *lesson = call->state;
    const struct database_result *result = reply_result(call, answer);
    bool puts = call->route->handler == handle_labels_put;
    if (puts ? caller_manages(call, result) : caller_belongs(call, result)) {
        take_labels(lesson, result);
        train(call, lesson, result);
    }
}

static struct lesson *begin_lesson(struct call *call) {
    struct lesson *lesson = call_state(call, sizeof *lesson, clear_lesson);
    (void)text_copy(lesson->tenant, sizeof lesson->tenant, call->parameters[0]);
    fields_lower(lesson->tenant);
    return lesson;
}

void handle_classifier(struct call *call) {
    const struct lesson *lesson = begin_lesson(call);
    char most[24];
    (void)text_format(most, sizeof most, "%lld", (long long)call->gateway->settings.classify_examples);
    const struct query queries[] = {{.statement = &lock_statement, .values = {lesson->tenant}},
                                    {.statement = &examples_statement, .values = {lesson->tenant, most}}};
    call_read(call, queries, 2, looked);
}

void handle_labels_put(struct call *call) {
    const json_t *labels = json_object_get(call->body, "labels");
    const char *wrong = classify_labels_wrong(labels);
    char most[24];
    if (wrong != NULL) {
        call_refuse_field(call, "labels", wrong);
        return;
    }
    const struct lesson *lesson = begin_lesson(call);
    char *text = json_encode(labels);
    (void)text_format(most, sizeof most, "%lld", (long long)call->gateway->settings.classify_examples);
    const struct query queries[] = {{.statement = &lock_statement, .values = {lesson->tenant}},
                                    {.statement = &labels_put_statement, .values = {lesson->tenant, text}},
                                    {.statement = &examples_statement, .values = {lesson->tenant, most}}};
    call_write(call, &(struct call_effect){.queries = queries, .count = 3, .on_answer = looked});
    free(text);
}
