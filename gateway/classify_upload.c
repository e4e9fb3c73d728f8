/* SPDX-License-Identifier: MIT
 * POST /classify-documents-async: a form read as it comes, and each file of it stored as it comes (put.h); a
 * client waits while the store takes a part. A file is looked at as finalize would before it becomes an
 * object; what no text can be made of is refused by itself. All files become the caller's in one transaction
 * at the end: a form that breaks off leaves rows that are given up at once, and their objects and uploads are
 * deleted. Nothing touches a disk. */
#include "gateway/classify.h"
#include "gateway/form.h"
#include "gateway/identify.h"
#include "gateway/json.h"
#include "gateway/put.h"
#include "gateway/statements.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "proto/identify.h"
#include "proto/plan.h"
#include <stdlib.h>
#include <string.h>

#define FIELD_MAX 64

/* Of a file: its first bytes and, of one that is stored in parts, its last ones before the part at hand. */
struct ends {
    unsigned char head[IDENTIFY_HEAD_BYTES], tail[IDENTIFY_HEAD_BYTES];
    size_t head_size, tail_size;
};

struct upload {
    struct form *form;
    json_t *items, *labels, *plan_rows;
    char tenant[UUID_TEXT_SIZE]; /* "": not known yet; `chosen` when it was asked for */
    bool chosen, resolved, waits, whole, ended, counted, done;
    size_t stored; /* files */
    /* the part at hand */
    bool is_file, is_tenant;
    char field[FIELD_MAX];
    size_t field_size;
    struct put put;
    uint64_t bytes;
    bool inserted, all_here;
    const char *refused; /* why the rest of it is passed over */
    const char *rest;    /* bytes that came and were not taken yet */
    size_t rest_size;
    char filename[FORM_FILENAME_SIZE];
    struct ends *ends;
    json_t *ids; /* of rows that were made */
};

static void pump(struct call *call);

/* --- the end, good or bad ----------------------------------------------------------------------------------
 */

static const struct statement abandon_statement = {
    "classify_abandon",
    "update files set upload_expires_at = now() where status = 'uploading' and id in (select i::uuid from "
    "jsonb_array_elements_text($1::jsonb) i)",
    1};

static void abandoned(void *context, const struct database_answer *answer) {
    if (answer->outcome != DATABASE_OK) {
        log_warn("event=form_left_rows msg=\"%s\"", answer->message != NULL ? answer->message : "");
    }
}

static void abandon(struct call *call, const json_t *rows) {
    const struct database_local locals[] = {{.name = "filemill.user_id", .value = call->user},
                                            {.name = NULL}};
    char *ids = json_encode(rows);
    const struct query query = {.statement = &abandon_statement, .values = {ids}};
    database_run(call->gateway->database, locals, &query, 1, abandoned, NULL);
    free(ids);
}

static void drop_file(struct upload *upload) {
    if (upload->put.call != NULL) {
        put_clear(&upload->put);
    }
    free(upload->ends);
    upload->ends = NULL;
    upload->bytes = 0;
    upload->inserted = upload->all_here = false;
    upload->refused = NULL;
}

struct state {
    struct upload upload;
    struct call *call;
};

static struct upload *upload_of(const struct call *call) {
    return &((struct state *)call->state)->upload;
}

static void clear_state(void *context) {
    struct state *state = context;
    struct upload *upload = &state->upload;
    struct gateway *gateway = state->call->gateway;
    if (upload->counted) {
        gateway->forms--;
    }
    if (!upload->done && json_array_size(upload->ids) > 0 && !gateway->draining) {
        abandon(state->call, upload->ids);
    }
    drop_file(upload);
    form_free(upload->form);
    json_decref(upload->items);
    json_decref(upload->labels);
    json_decref(upload->plan_rows);
    json_decref(upload->ids);
}

/* The call is answered; what is still to come of the form is not read. */
static void refuse(struct call *call, enum problem problem, const char *field, const char *words) {
    struct upload *upload = upload_of(call);
    upload->ended = true;
    upload->waits = true; /* for ever */
    counter_add(COUNT_UPLOADS_REFUSED, 1);
    if (problem == PROBLEM_BAD_REQUEST && field != NULL) {
        call_refuse_field(call, field, words);
    } else {
        call_problem(call, problem, words);
    }
}

static void finish(struct call *call, struct upload *upload) {
    if (json_array_size(upload->items) == 0) {
        refuse(call, PROBLEM_BAD_REQUEST, "files", "Expected at least one file");
        return;
    }
    upload->done = true;
    upload->waits = true;
    counter_add(COUNT_UPLOADS_FINALIZED, upload->stored);
    classify_submit(call, upload->tenant, upload->labels, upload->items);
}

/* --- one file ----------------------------------------------------------------------------------------------
 */

static void go_on(struct call *call, struct upload *upload) {
    drop_file(upload);
    upload->waits = false;
    pump(call);
}

/* This file alone; a row it has is given up. */
static void refuse_file(struct call *call, struct upload *upload, const char *error) {
    counter_add(COUNT_UPLOADS_REFUSED, 1);
    json_array_append_new(upload->items, classify_refused_item(upload->filename, error));
    if (upload->inserted) {
        json_t *row = json_pack("[s]", upload->put.file);
        abandon(call, row);
        json_decref(row);
        json_array_remove(upload->ids, json_array_size(upload->ids) - 1);
    }
    go_on(call, upload);
}

static void stored(struct call *call, const char *etag) {
    struct upload *upload = upload_of(call);
    if (etag == NULL) {
        refuse(call, PROBLEM_STORAGE_UNAVAILABLE, NULL, NULL);
        return;
    }
    const struct classify_file file = {.filename = upload->filename,
                                       .file_id = upload->put.file,
                                       .media_type = upload->put.type,
                                       .etag = etag,
                                       .size_bytes = (int64_t)upload->bytes};
    json_array_append_new(upload->items,
                          classify_item(&file, upload->plan_rows, upload->labels, &call->gateway->settings));
    upload->stored++;
    go_on(call, upload);
}

static void take_rest(struct call *call, struct upload *upload);

static void part_stored(struct call *call, const char *etag) {
    struct upload *upload = upload_of(call);
    if (etag == NULL) {
        refuse(call, PROBLEM_STORAGE_UNAVAILABLE, NULL, NULL);
        return;
    }
    upload->waits = false;
    take_rest(call, upload);
    pump(call);
}

static void store(struct call *call, struct upload *upload) {
    struct ends *ends = upload->ends;
    const struct buffer *held = &upload->put.held;
    if (call->request == NULL) {
        return; /* the client is gone */
    }
    if (upload->all_here) {
        put_end(&upload->put, stored);
        return;
    }
    ends->tail_size = held->size < sizeof ends->tail ? held->size : sizeof ends->tail;
    memcpy(ends->tail, held->data + held->size - ends->tail_size, ends->tail_size);
    put_flush(&upload->put, part_stored);
}

static void inserted(struct call *call, const struct database_answer *answer) {
    struct upload *upload = upload_of(call);
    if (result_affected(answer->results[0]) != 1) {
        refuse(call, PROBLEM_NOT_A_MEMBER, NULL, NULL);
        return;
    }
    json_array_append_new(upload->ids, json_string(upload->put.file));
    upload->inserted = true;
    store(call, upload);
}

static void insert(struct call *call, struct upload *upload) {
    struct put *put = &upload->put;
    char extension[17], size[24], minutes[24];
    text_uuid7(put->file);
    key_extension(extension, sizeof extension, upload->filename);
    if (key_original(put->key, sizeof put->key, upload->tenant, call->user, put->file, extension) != 0) {
        refuse(call, PROBLEM_INTERNAL, NULL, NULL);
        return;
    }
    counter_add(COUNT_UPLOADS_STARTED, 1);
    (void)text_format(size, sizeof size, "%llu", (unsigned long long)upload->bytes);
    (void)text_format(minutes, sizeof minutes, "%lld",
                      (long long)call->gateway->settings.upload_expiry_minutes);
    const struct query query = {.statement = &statements[STATEMENT_FILE_INSERT],
                                .values = {put->file, upload->tenant, "private", put->key, put->type, size,
                                           NULL, upload->filename, minutes}};
    call_write_one(call, &query, inserted, NULL);
}

/* --- what it is --------------------------------------------------------------------------------------------
 */

/* Goes by what the bytes are where that is known, else by what was said. */
static const char *wrong_type(struct upload *upload, const char *sniffed) {
    char *type = upload->put.type;
    if (!media_type_agrees(type, sniffed)) {
        return "type_mismatch";
    }
    if (sniffed != NULL) {
        (void)text_copy(type, sizeof upload->put.type, sniffed);
    } else {
        type[strcspn(type, "; \t")] = '\0';
        fields_lower(type);
    }
    return classify_takes(type) ? NULL : "type_not_applicable";
}

static void identified(void *context, const char *magic, const char *zip) {
    struct call *call = context;
    struct upload *upload = upload_of(call);
    const struct ends *ends = upload->ends;
    const char *sniffed = media_type_combine(media_type_sniff(ends->head, ends->head_size), magic, zip);
    const char *wrong = wrong_type(upload, sniffed);
    if (call->request != NULL && wrong != NULL) {
        refuse_file(call, upload, wrong);
    } else if (call->request != NULL && upload->inserted) {
        store(call, upload);
    } else if (call->request != NULL) {
        insert(call, upload);
    }
    call_release(call);
}

/* The last bytes are in the part at hand, and before it. */
static void take_tail(const struct upload *upload, struct ends *ends) {
    const struct buffer *held = &upload->put.held;
    size_t fresh = held->size < sizeof ends->tail ? held->size : sizeof ends->tail;
    size_t kept = sizeof ends->tail - fresh < ends->tail_size ? sizeof ends->tail - fresh : ends->tail_size;
    memmove(ends->tail, ends->tail + ends->tail_size - kept, kept);
    memcpy(ends->tail + kept, held->data + held->size - fresh, fresh);
    ends->tail_size = upload->bytes > sizeof ends->head ? kept + fresh : 0;
}

static void look(struct call *call, struct upload *upload) {
    struct ends *ends = upload->ends;
    if (upload->refused != NULL || upload->bytes == 0) {
        refuse_file(call, upload, upload->refused != NULL ? upload->refused : "empty_file");
        return;
    }
    take_tail(upload, ends);
    call_hold(call);
    identify_start(call->gateway->identify,
                   &(struct identify_bytes){.head = ends->head,
                                            .head_size = ends->head_size,
                                            .tail = ends->tail_size > 0 ? ends->tail : NULL,
                                            .tail_size = ends->tail_size},
                   identified, call);
}

/* --- whose they are ----------------------------------------------------------------------------------------
 */

/* The tenant that was asked for, or those the caller is in, two at most; with its labels and plan. */
static const struct statement tenant_statement = {
    "classify_tenant",
    "select m.tenant_id::text as tenant, (select l.labels::text from tenant_labels l where l.tenant_id = "
    "m.tenant_id) as labels, (select coalesce(json_agg(json_build_object('media_type', p.media_type, 'jobs', "
    "p.jobs)), '[]')::text from tenant_plans p where p.tenant_id = m.tenant_id) as plan from tenant_members "
    "m where m.user_id = filemill_user() and ($1::uuid is null or m.tenant_id = $1::uuid) order by "
    "m.tenant_id limit 2",
    1};

static void advance(struct call *call, struct upload *upload);

static void resolved(struct call *call, const struct database_answer *answer) {
    struct upload *upload = upload_of(call);
    const struct database_result *result = answer->results[0];
    if (result_rows(result) == 0) {
        refuse(call, PROBLEM_NOT_A_MEMBER, NULL, NULL);
        return;
    }
    if (result_rows(result) > 1) {
        refuse(call, PROBLEM_BAD_REQUEST, "tenant_id",
               "Required before the files: the caller has several tenants");
        return;
    }
    const char *labels = result_text(result, 0, "labels");
    result_copy(upload->tenant, sizeof upload->tenant, result, 0, "tenant");
    upload->labels = classify_read_labels(labels);
    upload->plan_rows = json_loads(result_text(result, 0, "plan"), 0, NULL);
    upload->resolved = true;
    advance(call, upload);
}

/* All of a file, or as much as may lie in memory, is here. */
static void advance(struct call *call, struct upload *upload) {
    upload->waits = true;
    if (!upload->resolved) {
        const struct query query = {.statement = &tenant_statement,
                                    .values = {upload->chosen ? upload->tenant : NULL}};
        call_read(call, &query, 1, resolved);
    } else if (upload->all_here) {
        look(call, upload);
    } else if (upload->inserted) {
        store(call, upload);
    } else {
        insert(call, upload);
    }
}

/* --- parts -------------------------------------------------------------------------------------------------
 */

static void choose_tenant(struct call *call, struct upload *upload, const char *text) {
    if (!text_is_uuid(text)) {
        refuse(call, PROBLEM_BAD_REQUEST, "tenant_id", "Expected a UUID");
    } else if (upload->resolved || upload->chosen) {
        refuse(call, PROBLEM_BAD_REQUEST, "tenant_id", "Expected once, before the files");
    } else {
        (void)text_copy(upload->tenant, sizeof upload->tenant, text);
        fields_lower(upload->tenant);
        upload->chosen = true;
    }
}

static void begin_part(struct call *call, struct upload *upload) {
    const struct form_part *part = form_part(upload->form);
    bool named = strcmp(part->name, "files") == 0 || strcmp(part->name, "file") == 0 ||
                 strcmp(part->name, "files[]") == 0;
    upload->is_file = named && part->has_filename;
    upload->is_tenant = !part->has_filename && strcmp(part->name, "tenant_id") == 0;
    upload->field_size = 0;
    if (!upload->is_file && !upload->is_tenant) {
        refuse(call, PROBLEM_BAD_REQUEST, named ? "files" : "form",
               named ? "Expected a file" : "Expected files and tenant_id");
        return;
    }
    if (upload->is_file) {
        put_begin(&upload->put, call);
        upload->ends = memory_new(sizeof *upload->ends);
        upload->refused = part->type[0] == '\0' || media_type_is_valid(part->type) ? NULL : "type_mismatch";
        (void)text_copy(upload->filename, sizeof upload->filename, part->filename);
        (void)text_copy(upload->put.type, sizeof upload->put.type,
                        part->type[0] != '\0' ? part->type : "application/octet-stream");
    }
}

static void take_field(struct call *call, struct upload *upload, const char *bytes, size_t size) {
    if (upload->field_size + size >= sizeof upload->field || memchr(bytes, '\0', size) != NULL) {
        refuse(call, PROBLEM_BAD_REQUEST, "tenant_id", "Expected a UUID");
        return;
    }
    memcpy(upload->field + upload->field_size, bytes, size);
    upload->field_size += size;
}

/* What does not fit is taken when the store has what is held. */
static void take_rest(struct call *call, struct upload *upload) {
    size_t taken =
        upload->refused != NULL ? upload->rest_size : put_take(&upload->put, upload->rest, upload->rest_size);
    upload->rest += taken;
    upload->rest_size -= taken;
    if (upload->rest_size > 0) {
        advance(call, upload);
    }
}

static void take_data(struct call *call, struct upload *upload) {
    struct ends *ends = upload->ends;
    upload->rest = form_data(upload->form, &upload->rest_size);
    if (!upload->is_file) {
        take_field(call, upload, upload->rest, upload->rest_size);
        return;
    }
    upload->bytes += upload->rest_size;
    if (upload->bytes > (uint64_t)call->gateway->settings.max_upload_bytes) {
        refuse(call, PROBLEM_FORM_TOO_LARGE, NULL, NULL);
        return;
    }
    size_t room = sizeof ends->head - ends->head_size;
    size_t first = upload->rest_size < room ? upload->rest_size : room;
    memcpy(ends->head + ends->head_size, upload->rest, first);
    ends->head_size += first;
    take_rest(call, upload);
}

static void end_part(struct call *call, struct upload *upload) {
    if (upload->is_tenant) {
        upload->field[upload->field_size] = '\0';
        choose_tenant(call, upload, upload->field);
        return;
    }
    upload->all_here = true;
    advance(call, upload);
}

static void need_more(struct call *call, struct upload *upload) {
    if (!upload->whole) {
        http_request_continue(call->request);
    } else if (upload->ended) {
        finish(call, upload);
    } else {
        refuse(call, PROBLEM_BAD_REQUEST, "form", "The form ends before its last boundary");
    }
}

/* Takes what was fed apart until it is used up or something must be waited for. */
static void pump(struct call *call) {
    struct upload *upload = upload_of(call);
    while (!upload->waits && call->request != NULL && call->status == 0) {
        switch (form_next(upload->form)) {
        case FORM_MORE:
            need_more(call, upload);
            return;
        case FORM_PART:
            begin_part(call, upload);
            break;
        case FORM_DATA:
            take_data(call, upload);
            break;
        case FORM_PART_END:
            end_part(call, upload);
            break;
        case FORM_END:
            upload->ended = true;
            break;
        case FORM_BROKEN:
            refuse(call, PROBLEM_BAD_REQUEST, "form", form_error(upload->form));
            break;
        }
    }
}

/* --- the body ----------------------------------------------------------------------------------------------
 */

static int begin_form(struct call *call) {
    struct gateway *gateway = call->gateway;
    struct state *state = call_state(call, sizeof *state, clear_state);
    const char *tenant = call_query_value(call, "tenant_id");
    state->call = call;
    state->upload.items = json_array();
    state->upload.ids = json_array();
    state->upload.form =
        form_new(http_request_header(call->request, "Content-Type"), (size_t)gateway->settings.form_parts);
    if (tenant == NULL) {
        tenant = http_request_header(call->request, "X-Tenant-Id");
    }
    if (state->upload.form == NULL) {
        refuse(call, PROBLEM_BAD_REQUEST, "form", "Expected a boundary in Content-Type");
    } else if (gateway->forms >= (unsigned)gateway->settings.form_requests) {
        refuse(call, PROBLEM_FORMS_BUSY, NULL, NULL);
    } else {
        state->upload.counted = true;
        gateway->forms++;
        if (tenant != NULL) {
            choose_tenant(call, &state->upload, tenant);
        }
    }
    return call->status != 0 ? -1 : 0;
}

int stream_classify_upload(struct call *call, const char *bytes, size_t size) {
    if (call->state == NULL && begin_form(call) != 0) {
        return -1;
    }
    struct upload *upload = upload_of(call);
    if (form_feed(upload->form, bytes, size) != 0) {
        refuse(call, PROBLEM_INTERNAL, NULL, NULL);
        return -1;
    }
    http_request_pause(call->request); /* until it is used up: need_more */
    pump(call);
    return call->status != 0 ? -1 : upload->waits ? 1 : 0;
}

void handle_classify_upload(struct call *call) {
    if (call->state == NULL && begin_form(call) != 0) {
        return;
    }
    struct upload *upload = upload_of(call);
    upload->whole = true;
    pump(call);
}
