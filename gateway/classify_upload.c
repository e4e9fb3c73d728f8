/* SPDX-License-Identifier: MIT
 * POST /classify-documents-async: a form read as it comes. One file at a time is gathered in memory
 * (form-file at most), looked at as finalize would, and stored while the client waits; what no text can be
 * made of is refused there and then, by itself. All files become the caller's in one transaction at the end:
 * a form that breaks off leaves rows that are given up at once and objects that the chores delete. Nothing
 * touches a disk. */
#include "gateway/classify.h"
#include "gateway/form.h"
#include "gateway/identify.h"
#include "gateway/json.h"
#include "gateway/statements.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "proto/identify.h"
#include "proto/plan.h"
#include "storage/keys.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STORE_TIMEOUT_MS 300000
#define FIELD_MAX 64

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
    int spool;
    uint64_t bytes;
    char file_id[UUID_TEXT_SIZE], key[KEY_MAX + 1], filename[FORM_FILENAME_SIZE], type[FORM_TYPE_SIZE];
    unsigned char *head, *tail;
    size_t head_size, tail_size;
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
    (void)context;
    if (answer->outcome != DATABASE_OK) {
        log_warn("event=form_left_rows msg=\"%s\"", answer->message != NULL ? answer->message : "");
    }
}

static void abandon(struct call *call, const struct upload *upload) {
    const struct database_local locals[] = {{.name = "filemill.user_id", .value = call->user},
                                            {.name = NULL}};
    char *ids = json_encode(upload->ids);
    const struct query query = {.statement = &abandon_statement, .values = {ids}};
    database_run(call->gateway->database, locals, &query, 1, abandoned, NULL);
    free(ids);
}

static void drop_file(struct upload *upload) {
    if (upload->spool >= 0) {
        close(upload->spool);
    }
    free(upload->head);
    free(upload->tail);
    upload->spool = -1;
    upload->head = upload->tail = NULL;
    upload->head_size = upload->tail_size = 0;
    upload->bytes = 0;
}

struct state {
    struct upload upload;
    struct call *call;
};

static void clear_state(void *context) {
    struct state *state = context;
    struct upload *upload = &state->upload;
    struct gateway *gateway = state->call->gateway;
    if (upload->counted) {
        gateway->forms--;
    }
    if (!upload->done && json_array_size(upload->ids) > 0 && !gateway->draining) {
        abandon(state->call, upload);
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
    struct upload *upload = &((struct state *)call->state)->upload;
    upload->ended = true;
    upload->waits = true; /* for ever */
    counter_add(COUNT_UPLOADS_REFUSED, 1);
    if (problem == PROBLEM_BAD_REQUEST && field != NULL) {
        call_problem_with(
            call, problem, NULL,
            json_pack("{s:{s:[],s:{s:[s]}}}", "details", "formErrors", "fieldErrors", field, words));
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

static void refuse_file(struct call *call, struct upload *upload, const char *error) {
    counter_add(COUNT_UPLOADS_REFUSED, 1);
    json_array_append_new(upload->items, classify_refused_item(upload->filename, error));
    go_on(call, upload);
}

static void stored(void *context, const struct http_client_reply *reply) {
    struct call *call = context;
    struct upload *upload = &((struct state *)call->state)->upload;
    if (reply->error != HTTP_CLIENT_OK || reply->status < 200 || reply->status > 299) {
        storage_count_error(call->gateway->storage);
        log_warn("request=%s storage=failed step=form error=%s status=%d", call->request_id,
                 http_client_error_name(reply->error), reply->status);
        refuse(call, PROBLEM_STORAGE_UNAVAILABLE, NULL, NULL);
    } else {
        const struct classify_file file = {.filename = upload->filename,
                                           .file_id = upload->file_id,
                                           .media_type = upload->type,
                                           .etag = reply->etag,
                                           .size_bytes = (int64_t)upload->bytes};
        json_array_append_new(
            upload->items, classify_item(&file, upload->plan_rows, upload->labels, &call->gateway->settings));
        upload->stored++;
        go_on(call, upload);
    }
    call_release(call);
}

static void store(struct call *call, const struct database_answer *answer) {
    struct upload *upload = &((struct state *)call->state)->upload;
    char url[STORAGE_URL_MAX];
    char type[FORM_TYPE_SIZE + 16];
    if (result_affected(answer->results[0]) != 1) {
        refuse(call, PROBLEM_NOT_A_MEMBER, NULL, NULL);
        return;
    }
    json_array_append_new(upload->ids, json_string(upload->file_id));
    if (call->request == NULL) {
        return; /* the client is gone */
    }
    const struct storage_presign what = {.method = "PUT",
                                         .key = upload->key,
                                         .expires_s = 3600,
                                         .internal = true,
                                         .content_type = upload->type,
                                         .content_length = -1};
    if (storage_presign(call->gateway->storage, &what, url, sizeof url) != 0) {
        refuse(call, PROBLEM_INTERNAL, NULL, NULL);
        return;
    }
    (void)text_format(type, sizeof type, "Content-Type: %s", upload->type);
    const struct http_client_request request = {.method = "PUT",
                                                .url = url,
                                                .headers = (const char *const[]){type, NULL},
                                                .upload_fd = upload->spool,
                                                .upload_bytes = upload->bytes,
                                                .sink_fd = -1,
                                                .max_bytes = 65536,
                                                .timeout_ms = STORE_TIMEOUT_MS,
                                                .low_speed_ms = 30000};
    call_hold(call);
    (void)http_client_start(call->gateway->client, &request, stored, call);
}

static void insert(struct call *call, struct upload *upload) {
    char extension[17], size[24], minutes[24];
    text_uuid7(upload->file_id);
    key_extension(extension, sizeof extension, upload->filename);
    if (key_original(upload->key, sizeof upload->key, upload->tenant, call->user, upload->file_id,
                     extension) != 0) {
        refuse(call, PROBLEM_INTERNAL, NULL, NULL);
        return;
    }
    counter_add(COUNT_UPLOADS_STARTED, 1);
    (void)text_format(size, sizeof size, "%llu", (unsigned long long)upload->bytes);
    (void)text_format(minutes, sizeof minutes, "%lld",
                      (long long)call->gateway->settings.upload_expiry_minutes);
    const struct query query = {.statement = &statements[STATEMENT_FILE_INSERT],
                                .values = {upload->file_id, upload->tenant, "private", upload->key,
                                           upload->type, size, NULL, upload->filename, minutes}};
    call_write(call, &(struct call_effect){.queries = &query, .count = 1, .on_answer = store});
}

static void identified(void *context, const char *magic, const char *zip) {
    struct call *call = context;
    struct upload *upload = &((struct state *)call->state)->upload;
    const char *sniffed = media_type_combine(media_type_sniff(upload->head, upload->head_size), magic, zip);
    const char *declared = upload->type[0] != '\0' ? upload->type : "application/octet-stream";
    if (call->request == NULL) {
        call_release(call);
        return;
    }
    if (!media_type_agrees(declared, sniffed)) {
        refuse_file(call, upload, "type_mismatch");
    } else {
        if (sniffed != NULL) {
            (void)text_copy(upload->type, sizeof upload->type, sniffed);
        } else {
            upload->type[strcspn(upload->type, "; \t")] = '\0';
            fields_lower(upload->type);
        }
        if (!classify_takes(upload->type)) {
            refuse_file(call, upload, "type_not_applicable");
        } else {
            insert(call, upload);
        }
    }
    call_release(call);
}

static int read_ends(struct upload *upload) {
    size_t size = upload->bytes < IDENTIFY_HEAD_BYTES ? (size_t)upload->bytes : IDENTIFY_HEAD_BYTES;
    upload->head = memory_new(size);
    upload->tail = memory_new(size);
    upload->head_size = size;
    upload->tail_size = upload->bytes > IDENTIFY_HEAD_BYTES ? size : 0;
    return pread(upload->spool, upload->head, size, 0) == (ssize_t)size &&
                   pread(upload->spool, upload->tail, size, (off_t)(upload->bytes - size)) == (ssize_t)size
               ? 0
               : -1;
}

static void look(struct call *call, struct upload *upload) {
    if (upload->bytes == 0) {
        refuse_file(call, upload, "empty_file");
        return;
    }
    if (upload->type[0] != '\0' && !media_type_is_valid(upload->type)) {
        refuse_file(call, upload, "type_mismatch");
        return;
    }
    if (read_ends(upload) != 0) {
        refuse(call, PROBLEM_INTERNAL, NULL, NULL);
        return;
    }
    call_hold(call);
    identify_start(call->gateway->identify,
                   &(struct identify_bytes){.head = upload->head,
                                            .head_size = upload->head_size,
                                            .tail = upload->tail_size > 0 ? upload->tail : NULL,
                                            .tail_size = upload->tail_size},
                   identified, call);
}

/* --- whose they are ----------------------------------------------------------------------------------------
 */

/* The tenant that was asked for, or those the caller is in, two at most; with its labels and plan. */
static const struct statement tenant_statement = {
    "classify_tenant",
    "select m.tenant_id::text as tenant, (select l.labels::text from tenant_labels l where l.tenant_id = "
    "m.tenant_id) as "
    "labels, (select coalesce(json_agg(json_build_object('media_type', p.media_type, 'jobs', p.jobs)), "
    "'[]')::text from "
    "tenant_plans p where p.tenant_id = m.tenant_id) as plan from tenant_members m where m.user_id = "
    "filemill_user() "
    "and ($1::uuid is null or m.tenant_id = $1::uuid) order by m.tenant_id limit 2",
    1};

static void resolved(struct call *call, const struct database_answer *answer) {
    struct upload *upload = &((struct state *)call->state)->upload;
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
    (void)text_copy(upload->tenant, sizeof upload->tenant, result_text(result, 0, "tenant"));
    upload->labels = labels != NULL ? json_loads(labels, 0, NULL) : classify_default_labels();
    upload->plan_rows = json_loads(result_text(result, 0, "plan"), 0, NULL);
    upload->resolved = true;
    look(call, upload);
}

static void resolve(struct call *call, struct upload *upload) {
    const struct query query = {.statement = &tenant_statement,
                                .values = {upload->chosen ? upload->tenant : NULL}};
    call_read(call, &query, 1, resolved);
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
    (void)text_copy(upload->filename, sizeof upload->filename, part->filename);
    (void)text_copy(upload->type, sizeof upload->type, part->type);
    if (upload->is_file) {
        upload->spool = memfd_create("filemill-form", MFD_CLOEXEC);
        if (upload->spool < 0) {
            refuse(call, PROBLEM_INTERNAL, NULL, NULL);
        }
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

static void take_data(struct call *call, struct upload *upload) {
    size_t size;
    const char *bytes = form_data(upload->form, &size);
    if (!upload->is_file) {
        take_field(call, upload, bytes, size);
        return;
    }
    if (upload->bytes + size > (uint64_t)call->gateway->settings.form_file_bytes) {
        refuse(call, PROBLEM_FORM_TOO_LARGE, NULL, NULL);
        return;
    }
    while (size > 0) {
        ssize_t count = pwrite(upload->spool, bytes, size, (off_t)upload->bytes);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            refuse(call, PROBLEM_INTERNAL, NULL, NULL);
            return;
        }
        bytes += count;
        size -= (size_t)count;
        upload->bytes += (uint64_t)count;
    }
}

static void end_part(struct call *call, struct upload *upload) {
    if (upload->is_tenant) {
        upload->field[upload->field_size] = '\0';
        choose_tenant(call, upload, upload->field);
        return;
    }
    upload->waits = true;
    if (upload->resolved) {
        look(call, upload);
    } else {
        resolve(call, upload);
    }
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
    struct upload *upload = &((struct state *)call->state)->upload;
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
    state->upload.spool = -1;
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
    struct upload *upload = &((struct state *)call->state)->upload;
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
    struct upload *upload = &((struct state *)call->state)->upload;
    upload->whole = true;
    pump(call);
}
