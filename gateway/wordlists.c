/* SPDX-License-Identifier: MIT
 * The lists that users keep: made by hand, or of a job's result, which is fetched from storage (it is small,
 * and its document will be gone while the list stays). The database checks what a list holds; its no is
 * bad_word_pairs. */
#include "gateway/wordlists.h"

#include "gateway/content.h"
#include "gateway/json.h"
#include "gateway/replies.h"
#include "lib/text.h"
#include <stdlib.h>
#include <string.h>

#define RESULT_MAX (256u * 1024u)

#define LIST_JSON                                                                                            \
    "jsonb_build_object('id', w.id, 'tenant_id', w.tenant_id, 'job_id', w.job_id, 'name', w.name, "          \
    "'source_language', w.source_language, 'target_language', w.target_language, 'word_count', "             \
    "jsonb_array_length(w.word_pairs), 'created_at', filemill_time(w.created_at), 'updated_at', "            \
    "filemill_time(w.updated_at))"

static const struct statement list_statement = {
    "wordlists",
    "select jsonb_build_object('wordlists', coalesce(jsonb_agg(s.list order by s.created_at desc, s.id "
    "desc), '[]'))::text as answer from (select w.id, "
    "w.created_at, " LIST_JSON
    " as list from wordlists w where w.user_id = filemill_user() and ($1::uuid is null or (w.created_at, "
    "w.id) < (select b.created_at, b.id from wordlists b where b.id = $1::uuid)) order by w.created_at desc, "
    "w.id desc limit coalesce($2::int, 50)) s",
    2};
#define WHOLE "(" LIST_JSON " || jsonb_build_object('word_pairs', w.word_pairs))::text as answer"
static const struct statement read_statement = {"wordlist",
                                                "select " WHOLE " from wordlists w where w.id = $1::uuid", 1};
static const struct statement add_statement = {
    "wordlist_add",
    "select json_build_object('id', wordlist_add(coalesce($1::uuid, j.tenant_id), j.id, $3, coalesce($4, "
    "j.payload->>'source_language'), coalesce($5, j.payload->>'target_language'), $6::jsonb))::text as "
    "answer from (select 1) one left join jobs j on j.id = $2::uuid and j.user_id = filemill_user()",
    6};
static const struct statement change_statement = {
    "wordlist_change",
    "update wordlists w set name = coalesce($2, w.name), word_pairs = coalesce($3::jsonb, w.word_pairs) "
    "where w.id = "
    "$1::uuid returning " WHOLE,
    3};
static const struct statement delete_statement = {
    "wordlist_delete", "delete from wordlists where id = $1::uuid returning id::text", 1};
static const struct statement delete_file_statement = {
    "wordlist_delete_file",
    "update files set status = 'deleted', deleted_at = now() where id = $1::uuid and owner_user_id = "
    "filemill_user() "
    "and retention_class = 'wordlist-exports' and not exists (select from wordlists w where w.id = files.id)",
    1};
static const struct statement result_statement = {
    "wordlist_result",
    "select j.status::text, a.r2_key as key, a.mime, a.size_bytes, a.sha256, k.seal from jobs j left join "
    "document_artifacts a on a.job_id = j.id and a.kind = 'wordlist' left join object_keys k on k.key = "
    "a.r2_key where j.id = $1::uuid and j.type = 'wordlist' and j.user_id = filemill_user()",
    1};

/* ---- reading ---- */

void handle_wordlists(struct call *call) {
    const struct query query = {
        .statement = &list_statement,
        .values = {call_query_value(call, "before"), call_query_value(call, "limit")}};
    call_read(call, &query, 1, reply_answer);
}

void handle_wordlist(struct call *call) {
    const struct query query = {.statement = &read_statement, .values = {call->parameters[0]}};
    call_read(call, &query, 1, reply_answer);
}

/* ---- writing ---- */

/* The database's checks of a list; a tenant that is not the caller's is a matter of row security. */
static const struct call_refusal refusals[] = {{.sqlstate = "23514", .problem = PROBLEM_WORDLIST_PAIRS},
                                               {.sqlstate = "22P05", .problem = PROBLEM_WORDLIST_PAIRS},
                                               {.sqlstate = NULL}};

static void add(struct call *call, const json_t *pairs) {
    const char *name = json_text_member(call->body, "name");
    char *text = json_encode(pairs);
    const struct query query = {
        .statement = &add_statement,
        .values = {json_text_member(call->body, "tenant_id"), json_text_member(call->body, "job_id"),
                   name != NULL ? name : "Words", json_text_member(call->body, "source_language"),
                   json_text_member(call->body, "target_language"), text}};
    call_write_one(call, &query, reply_answer, refusals);
    free(text);
}

static void result_came(struct call *call) {
    const struct content *content = call->state;
    const char *reason;
    json_t *list = json_decode(content->text.data, content->text.size, &reason);
    json_t *pairs = json_object_get(list, "word_pairs");
    if (json_is_array(pairs)) {
        add(call, pairs);
    } else {
        call_problem(call, PROBLEM_INTERNAL, NULL);
    }
    json_decref(list);
}

static void result_found(struct call *call, const struct database_answer *answer) {
    const struct database_result *result = answer->results[0];
    if (result_rows(result) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    const char *key = result_text(result, 0, "key");
    if (strcmp(result_text(result, 0, "status"), "done") != 0 || key == NULL) {
        call_problem(call, PROBLEM_WORDLIST_NOT_READY, NULL);
        return;
    }
    if (json_object_get(call->body, "word_pairs") != NULL) {
        add(call, json_object_get(call->body, "word_pairs"));
        return;
    }
    struct content *content = call_state(call, sizeof *content, content_clear);
    content_take_row(content, result);
    content_read(call, content, RESULT_MAX, result_came);
}

void handle_wordlist_add(struct call *call) {
    const char *job = json_text_member(call->body, "job_id");
    const json_t *pairs = json_object_get(call->body, "word_pairs");
    const char *source = json_text_member(call->body, "source_language");
    const char *target = json_text_member(call->body, "target_language");
    if (job != NULL) {
        const struct query query = {.statement = &result_statement, .values = {job}};
        if ((source == NULL && target == NULL) || wordlist_languages_check(call, source, target)) {
            call_read(call, &query, 1, result_found);
        }
        return;
    }
    if (pairs == NULL || json_text_member(call->body, "tenant_id") == NULL) {
        call_problem(call, PROBLEM_BAD_REQUEST,
                     "A list is made of a job (job_id), or of tenant_id, both languages and word_pairs.");
        return;
    }
    if (wordlist_languages_check(call, source, target)) {
        add(call, pairs);
    }
}

void handle_wordlist_change(struct call *call) {
    const json_t *pairs = json_object_get(call->body, "word_pairs");
    char *text = pairs != NULL ? json_encode(pairs) : NULL;
    const struct query query = {.statement = &change_statement,
                                .values = {call->parameters[0], json_text_member(call->body, "name"), text}};
    call_write_one(call, &query, reply_answer, refusals);
    free(text);
}

static void deleted(struct call *call, const struct database_answer *answer) {
    if (result_rows(answer->results[0]) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
    } else {
        call_respond(call, 200, "{\"ok\":true}");
    }
}

void handle_wordlist_delete(struct call *call) {
    const struct query queries[] = {
        {.statement = &delete_statement, .values = {call->parameters[0]}},
        {.statement = &delete_file_statement, .values = {call->parameters[0]}},
    };
    call_write(call, &(struct call_effect){.queries = queries, .count = 2, .on_answer = deleted});
}
