/* SPDX-License-Identifier: MIT
 * GET /v1/documents and one of them: the canonical output of a job and what was made of it, with links. */
#include "gateway/content.h"
#include "gateway/json.h"
#include "gateway/portal.h"
#include "gateway/replies.h"
#include <string.h>

#define DOCUMENT_JSON                                                                                        \
    "json_build_object('document_id', d.id, 'job_id', d.job_id, 'file_id', d.file_id, 'portal_schema', "     \
    "json_build_object('id', d.schema_id, 'name', d.schema_name, 'version', d.schema_version, "              \
    "'schema_definition', d.schema_definition), 'master_path', d.master_path, 'created_at', "                \
    "filemill_time(d.created_at), 'artifacts', (select coalesce(json_agg(json_build_object('kind', a.kind, " \
    "'path', a.r2_key, 'mime', a.mime, 'size_bytes', a.size_bytes, 'sha256', a.sha256, 'encrypted', exists " \
    "(select from object_keys k where k.key = a.r2_key), 'metadata', "                                       \
    "a.metadata) order by a.kind), '[]') from document_artifacts a where a.job_id = d.job_id))"

static const struct statement list_documents = {
    "portal_list_documents",
    "select json_build_object('documents', coalesce(json_agg(s.document order by s.created_at desc, s.id desc), "
    "'[]'))::text as answer from (select d.id, d.created_at, " DOCUMENT_JSON " as document from documents d "
    "where d.user_id = filemill_user() and ($1::uuid is null or (d.created_at, d.id) < (select b.created_at, b.id "
    "from documents b where b.id = $1::uuid)) order by d.created_at desc, d.id desc limit least($2::int, 100)) s",
    2};
static const struct statement read_document = {
    "portal_read_document",
    "select " DOCUMENT_JSON "::text as document from documents d where d.id = $1::uuid", 1};

void handle_portal_documents(struct call *call) {
    const char *limit = call_query_value(call, "limit");
    const struct query query = {.statement = &list_documents,
                                .values = {call_query_value(call, "before"), limit != NULL ? limit : "50"}};
    call_read(call, &query, 1, reply_answer);
}

/* Each artifact gets a link under its own name. */
static int add_links(struct call *call, json_t *document) {
    char url[STORAGE_URL_MAX];
    size_t i;
    json_t *artifact;
    json_array_foreach(json_object_get(document, "artifacts"), i, artifact) {
        const char *path = json_text_member(artifact, "path");
        const char *name = path != NULL ? strrchr(path, '/') : NULL;
        const struct content_place place = {
            .of = CONTENT_ARTIFACT,
            .id = json_text_member(document, "job_id"),
            .kind = json_text_member(artifact, "kind"),
            .key = path,
            .filename = name != NULL ? name + 1 : NULL,
            .sealed = json_is_true(json_object_get(artifact, "encrypted")),
            .expires_s = call->gateway->settings.output_url_seconds,
        };
        if (name == NULL || content_place_link(call, &place, url) != 0) {
            return -1;
        }
        json_object_set_new(artifact, "download_url", json_string(url));
    }
    json_object_set_new(document, "expires_in_seconds",
                        json_integer(call->gateway->settings.output_url_seconds));
    return 0;
}

static void document_read(struct call *call, const struct database_answer *answer) {
    if (result_rows(answer->results[0]) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    json_t *document = json_loads(result_text(answer->results[0], 0, "document"), 0, NULL);
    if (document == NULL || add_links(call, document) != 0) {
        call_problem(call, PROBLEM_INTERNAL, NULL);
    } else {
        call_respond_take(call, 200, json_encode(document));
    }
    json_decref(document);
}

void handle_portal_document(struct call *call) {
    const struct query query = {.statement = &read_document, .values = {call->parameters[0]}};
    call_read(call, &query, 1, document_read);
}
