/* SPDX-License-Identifier: MIT
 * Portals' jobs that failed outside and are tried again: a service fetches the upload by a link that was
 * signed when the job was made, and may have run out since. So whoever sends jobs back signs anew: first it
 * is read which uploads that would be, then their links go along with the retry as a setting of its
 * transaction (compute_sent_again of 0085_compute_again.sql takes them). A job that fails in between keeps
 * its link. */
#include "gateway/content.h"
#include "gateway/json.h"
#include "gateway/portal.h"
#include <stdlib.h>

static const struct statement uploads = {
    "compute_uploads",
    "select job::text, file::text, user_id::text as owner, key, filename, sealed from "
    "compute_uploads($1::uuid, $2::uuid, $3, $4, $5::timestamptz)",
    5};
static const struct statement take_links = {"compute_links",
                                            "select set_config('filemill.compute_links', $1, true)", 1};

struct again {
    struct query retry;
    call_query_fn *on_answer;
    const struct call_refusal *refusals;
    char *links;
};

static void clear_again(void *state) {
    struct again *again = state;
    free(again->links);
}

/* A link opens what its maker may see: that is the job's owner, whoever tries it again. */
static int sign(struct call *call, const struct database_result *result, size_t row,
                char url[STORAGE_URL_MAX]) {
    const struct content_place place = {.of = CONTENT_FILE,
                                        .id = result_text(result, row, "file"),
                                        .kind = "original",
                                        .key = result_text(result, row, "key"),
                                        .filename = result_text(result, row, "filename"),
                                        .sealed = result_bool(result, row, "sealed"),
                                        .expires_s = call->gateway->settings.output_url_seconds};
    char caller[sizeof call->user];

    (void)text_copy(caller, sizeof caller, call->user);
    result_copy(call->user, sizeof call->user, result, row, "owner");
    int status = content_place_link(call, &place, url);
    (void)text_copy(call->user, sizeof call->user, caller);
    return status;
}

static void uploads_found(struct call *call, const struct database_answer *answer) {
    struct again *again = call->state;
    const struct database_result *result = answer->results[0];
    json_t *links = json_object();
    char url[STORAGE_URL_MAX];

    for (size_t row = 0; row < result_rows(result); row++) {
        if (sign(call, result, row, url) == 0) {
            json_object_set_new(links, result_text(result, row, "job"), json_string(url));
        }
    }
    again->links = json_encode(links);
    json_decref(links);
    const struct query queries[] = {{.statement = &take_links, .values = {again->links}}, again->retry};
    call_write(call, &(struct call_effect){.queries = queries,
                                           .count = 2,
                                           .on_answer = again->on_answer,
                                           .refusals = again->refusals});
}

void portal_retry(struct call *call, const struct query *retry, call_query_fn *on_answer,
                  const struct call_refusal *refusals) {
    struct again *again = call_state(call, sizeof *again, clear_again);
    struct query query = *retry;

    again->retry = *retry;
    again->on_answer = on_answer;
    again->refusals = refusals;
    query.statement = &uploads;
    call_read(call, &query, 1, uploads_found);
}
