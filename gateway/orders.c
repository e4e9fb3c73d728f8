/* SPDX-License-Identifier: MIT
 * Ordering jobs: POST /v1/files/:id/jobs for one, POST /v1/jobs for many of the caller's own, and POST
 * /v1/admin/jobs for many of all tenants. An order is checked by the catalog before anything is written.
 * Kinds of derivatives are unique per file, so the newest order of a type counts. An order is beside its
 * file's plan, and does not change the file's status (jobs_order, 0080_orders_beside.sql). Many are all
 * queued or none: each that can't be is told by its place in the list. */
#include "gateway/events.h"
#include "gateway/files.h"
#include "gateway/json.h"
#include "gateway/module.h"
#include "gateway/order_flow.h"
#include "gateway/parameters.h"
#include "gateway/scheduler_link.h"
#include "gateway/statements.h"
#include "lib/memory.h"
#include <stdlib.h>
#include <string.h>

#define ORDERS_MOST 1000
#define FAULTS_MOST 100
#define PATH_MAX 200

static const struct statement files_statement = {
    "orders_files",
    "select orders_files(array(select jsonb_array_elements_text($1::jsonb)::uuid), false)::text as files", 1};
static const struct statement all_files_statement = {
    "admin_orders_files",
    "select admin_orders_files(array(select jsonb_array_elements_text($1::jsonb)::uuid))::text as files", 1};
static const struct statement order_statement = {"jobs_order", "select jobs_order($1::jsonb)::text as answer",
                                                 1};
static const struct statement admin_order_statement = {"admin_order",
                                                       "select admin_order($1::jsonb)::text as answer", 1};
static const struct statement schedule_statement = {
    "admin_schedule_put", "select admin_schedule_put($2, $1::jsonb, $3::jsonb) as next", 3};

#define ORDER_FIELDS                                                                                         \
    {"type", FIELD_TEXT, true, 1, 64, NULL, "Type of the job, as /v1/processors lists them."},               \
        {"parameters", FIELD_OBJECT, false, 0, 0, NULL, "As /v1/processors describes them for the type."},   \
        {"priority",                                                                                         \
         FIELD_INTEGER,                                                                                      \
         false,                                                                                              \
         0,                                                                                                  \
         3,                                                                                                  \
         NULL,                                                                                               \
         "Band of the queue, 0 first; 1 if absent. Never before the first that the tenant may have."},       \
        {"unique_key",                                                                                       \
         FIELD_TEXT,                                                                                         \
         false,                                                                                              \
         1,                                                                                                  \
         200,                                                                                                \
         NULL,                                                                                               \
         "While a job of the type with this key is unfinished in the tenant, that one is answered."},        \
    {                                                                                                        \
        "run_after", FIELD_TIME, false, 0, 0, NULL, "Not before this time; at once if absent."               \
    }
static const struct field order_fields[] = {ORDER_FIELDS};
static const struct field listed_fields[] = {{"file_id", FIELD_UUID, true, 0, 0, NULL, "The file."},
                                             ORDER_FIELDS,
                                             {"waits_for", FIELD_LIST, false, 1, ORDERS_MOST, NULL,
                                              "Places in the list, from 0, of jobs that must be done first; each is "
                                              "waited for by one other at most."}};

/* What jobs_order takes; a new reference. */
static json_t *make_order(const struct call *call, const char *file, const json_t *order) {
    static const char *const names[] = {"type", "priority", "unique_key", "run_after"};
    json_t *parameters = json_object_get(order, "parameters");
    json_t *made = json_pack("{s:s,s:s}", "file_id", file, "trace", call->trace);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        json_t *value = json_object_get(order, names[i]);
        if (value != NULL) {
            json_object_set(made, names[i], value);
        }
    }
    if (parameters != NULL) {
        json_object_set(made, "payload", parameters);
    }
    return made;
}

/* FM003: a file was deleted meanwhile. */
static const struct call_refusal refusals[] = {{.sqlstate = "FM003", .problem = PROBLEM_NOT_FOUND},
                                               {.sqlstate = NULL}};

/* What jobs_order answered; those that gave way are told to whoever runs them. */
static json_t *read_answer(struct call *call, const struct database_answer *answer) {
    const char *text = result_text(answer->results[0], 0, "answer");
    const char *reason;
    json_t *said = json_decode(text, strlen(text), &reason);
    size_t index;
    const json_t *id;
    json_array_foreach(json_object_get(said, "stopped"), index, id) {
        scheduler_link_cancel(call->gateway->scheduler, json_string_value(id));
    }
    scheduler_link_poke(call->gateway->scheduler, 1);
    return said;
}

/* --- one ---------------------------------------------------------------------------------------------------
 */

static void ordered(struct call *call, const struct database_answer *answer) {
    const struct file_view *file = call->state;
    json_decref(read_answer(call, answer));
    events_notify(call->gateway->events, file->id);
    if (result_rows(answer->results[1]) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL); /* deleted meanwhile */
    } else {
        call_respond(call, 202, result_text(answer->results[1], 0, "job"));
    }
}

static void commit(struct call *call, const struct file_view *file) {
    char id[UUID_TEXT_SIZE];
    text_uuid7(id);
    json_t *list = json_pack("[o]", make_order(call, file->id, call->body));
    json_object_set_new(json_array_get(list, 0), "id", json_string(id));
    char *wanted = json_encode(list);
    const struct query queries[] = {
        {.statement = &order_statement, .values = {wanted}},
        {.statement = &statements[STATEMENT_JOB_ORDERED],
         .values = {file->id, id, json_text_member(call->body, "type"),
                    json_text_member(call->body, "unique_key")}},
    };
    call_write(call, &(struct call_effect){
                         .queries = queries, .count = 2, .on_answer = ordered, .refusals = refusals});
    free(wanted);
    json_decref(list);
}

static void order(struct call *call, struct file_view *file) {
    const char *type = json_text_member(call->body, "type");
    const char *media = file->detected_mime[0] != '\0' ? file->detected_mime : file->mime;
    const json_t *parameters = json_object_get(call->body, "parameters");
    const struct catalog_row *row = catalog_find(type);
    if (strcmp(file->status, "uploading") == 0 || (!file->finalized && strcmp(file->status, "failed") == 0)) {
        call_problem(call, PROBLEM_NOT_FINALIZED, NULL);
        return;
    }
    if (row == NULL) {
        call_problem(call, PROBLEM_UNKNOWN_JOB_TYPE, NULL);
        return;
    }
    if (!catalog_takes(row, media)) {
        call_problem_with(call, PROBLEM_NOT_APPLICABLE, NULL,
                          json_pack("{s:s,s:s}", "job_type", type, "detected", media));
        return;
    }
    json_t *errors = parameters != NULL ? parameters_check(row, parameters) : NULL;
    if (errors != NULL) {
        call_problem_with(call, PROBLEM_BAD_PARAMETERS, NULL,
                          json_pack("{s:{s:[],s:o}}", "details", "formErrors", "fieldErrors", errors));
        return;
    }
    commit(call, file);
}

static void handle_order(struct call *call) {
    file_look(call, call->parameters[0], FILE_ACCESS_CHANGE, order);
}

/* --- many --------------------------------------------------------------------------------------------------
 */

/* What is wrong with a list, by the place in it: {"jobs[3].type": ["…"]}. */
struct faults {
    json_t *list; /* NULL: nothing yet */
    size_t count;
};

static void note(struct faults *faults, size_t place, const char *member, const char *words) {
    char path[PATH_MAX];
    faults->list = faults->list != NULL ? faults->list : json_object();
    faults->count++;
    (void)text_format(path, sizeof path, "jobs[%zu]%s%.100s", place, member[0] != '\0' ? "." : "", member);
    if (json_object_size(faults->list) < FAULTS_MOST) {
        json_object_set_new(faults->list, path, json_pack("[s]", words));
    }
}

/* Takes what fields_check or parameters_check found: lists of words by member. */
static void note_all(struct faults *faults, size_t place, const char *under, json_t *found) {
    const char *name;
    json_t *words;
    json_object_foreach(found, name, words) {
        char member[PATH_MAX];
        bool whole = under[0] == '\0' || strcmp(name, under) == 0;
        (void)text_format(member, sizeof member, "%s%s%.80s", whole ? "" : under, whole ? "" : ".", name);
        note(faults, place, member, json_string_value(json_array_get(words, 0)));
    }
    json_decref(found);
}

static void check_shape(struct faults *faults, size_t place, const json_t *wanted) {
    const struct field_rows rows = {listed_fields, sizeof listed_fields / sizeof listed_fields[0], 0};
    json_t *details = fields_check(&rows, wanted);
    const char *type = json_text_member(wanted, "type");
    const json_t *parameters = json_object_get(wanted, "parameters");
    if (details != NULL) {
        const json_t *form = json_object_get(details, "formErrors");
        if (json_array_size(form) > 0) {
            note(faults, place, "", json_string_value(json_array_get(form, 0)));
        }
        note_all(faults, place, "", json_incref(json_object_get(details, "fieldErrors")));
        json_decref(details);
    } else if (catalog_find(type) == NULL) {
        note(faults, place, "type", "There is no such type of job; see /v1/processors");
    } else if (parameters != NULL) {
        note_all(faults, place, "parameters", parameters_check(catalog_find(type), parameters));
    }
}

/* The second order of a type for a file would take the place of the first; of one key it is the same job. */
static void check_twice(struct faults *faults, size_t place, const json_t *wanted, json_t *seen) {
    const char *key = json_text_member(wanted, "unique_key");
    char *name =
        memory_format("%s %s", json_text_member(wanted, "file_id"), json_text_member(wanted, "type"));
    const json_t *before = json_object_get(seen, name);
    if (before == NULL) {
        json_object_set_new(seen, name, json_string(key != NULL ? key : ""));
    } else if (key == NULL || strcmp(json_string_value(before), key) != 0) {
        note(faults, place, "type", "Ordered before in this list, for the same file");
    }
    free(name);
}

static void check_file(struct faults *faults, size_t place, const json_t *wanted, const json_t *files) {
    const json_t *file = json_object_get(files, json_text_member(wanted, "file_id"));
    const struct catalog_row *row = catalog_find(json_text_member(wanted, "type"));
    if (file == NULL) {
        note(faults, place, "file_id", "There is no such file");
    } else if (!json_is_true(json_object_get(file, "may"))) {
        note(faults, place, "file_id", "You may not order jobs of this file");
    } else if (!json_is_true(json_object_get(file, "finalized"))) {
        note(faults, place, "file_id", "The upload was not finalized");
    } else if (!catalog_takes(row, json_text_member(file, "media"))) {
        note(faults, place, "type", "This type of job takes no such bytes");
    }
}

static void note_flow(void *context, size_t place, const char *member, const char *words) {
    note(context, place, member, words);
}

static const char *tenant_at(const json_t *list, const json_t *files, size_t place) {
    const char *file = json_text_member(json_array_get(list, place), "file_id");
    const char *tenant = json_text_member(json_object_get(files, file), "tenant");
    return tenant != NULL ? tenant : "";
}

/* Whoever waits is told how those ended that it waited for. */
static void check_tenants(struct faults *faults, const json_t *list, const json_t *files) {
    size_t place, index;
    const json_t *wanted, *member;
    json_array_foreach(list, place, wanted) {
        json_array_foreach(json_object_get(wanted, "waits_for"), index, member) {
            if (strcmp(tenant_at(list, files, place),
                       tenant_at(list, files, (size_t)json_integer_value(member))) != 0) {
                note(faults, place, "waits_for", "Names a job of another tenant");
            }
        }
    }
}

/* True: there were faults, and the call is answered. */
static bool told(struct call *call, const struct faults *faults) {
    if (faults->list != NULL) {
        call_problem_with(call, PROBLEM_BAD_ORDERS, NULL,
                          json_pack("{s:{s:[],s:o}}", "details", "formErrors", "fieldErrors", faults->list));
    }
    return faults->list != NULL;
}

/* FM066: a time that no schedule can have, in words (0066_cron.sql). */
static const struct call_refusal refusals_of_many[] = {
    {.sqlstate = "42501", .problem = PROBLEM_FORBIDDEN},
    {.sqlstate = "FM066", .problem = PROBLEM_BAD_SCHEDULE, .says = true},
    {.sqlstate = "23514",
     .problem = PROBLEM_BAD_REQUEST,
     .detail = "Names of schedules begin with a letter, and have at most 63."},
    {.sqlstate = "FM003", .problem = PROBLEM_NOT_FOUND},
    {.sqlstate = NULL},
};

static void ordered_many(struct call *call, const struct database_answer *answer) {
    json_t *said = read_answer(call, answer);
    json_t *jobs = json_object_get(said, "jobs");
    json_int_t created = 0;
    size_t index;
    const json_t *job, *order_of;
    json_array_foreach(jobs, index, job) {
        created += json_is_true(json_object_get(job, "created")) ? 1 : 0;
    }
    json_array_foreach(json_object_get(call->body, "jobs"), index, order_of) {
        events_notify(call->gateway->events, json_text_member(order_of, "file_id"));
    }
    json_t *body = json_pack("{s:I,s:O}", "created", created, "jobs", jobs);
    call_respond_take(call, 202, json_encode(body));
    json_decref(body);
    json_decref(said);
}

static void scheduled(struct call *call, const struct database_answer *answer) {
    call_respond_take(call, 200,
                      memory_format("{\"ok\":true,\"next_run\":\"%s\"}", result_text(answer->results[0], 0, "next")));
}

/* Where a list goes, by the operation. */
static const struct destination {
    const char *operation;
    const struct statement *files, *order;
    call_query_fn *done;
    bool is_kept; /* queued anew again and again, so that jobs have no ids that others could wait for */
} destinations[] = {
    {"orderJobs", &files_statement, &order_statement, ordered_many, false},
    {"adminOrderJobs", &all_files_statement, &admin_order_statement, ordered_many, false},
    {"adminSchedulePut", &all_files_statement, &schedule_statement, scheduled, true},
};

static const struct destination *destination_of(const struct call *call) {
    const struct destination *destination = destinations;
    while (strcmp(destination->operation, call->route->operation) != 0) {
        destination++;
    }
    return destination;
}

static void send_orders(struct call *call, const json_t *orders) {
    json_t *rest = json_copy(call->body);
    json_object_del(rest, "jobs");
    char *wanted = json_encode(orders);
    char *change = json_encode(rest);
    const struct query query = {.statement = destination_of(call)->order,
                                .values = {wanted, call->parameters[0], change}};
    call_write_one(call, &query, destination_of(call)->done, refusals_of_many);
    free(change);
    free(wanted);
    json_decref(rest);
}

static void looked(struct call *call, const struct database_answer *answer) {
    const json_t *list = json_object_get(call->body, "jobs");
    const char *text = result_text(answer->results[0], 0, "files");
    const char *reason;
    json_t *files = json_decode(text, strlen(text), &reason);
    json_t *orders = json_array();
    struct faults faults = {NULL, 0};
    size_t place;
    const json_t *wanted;
    json_array_foreach(list, place, wanted) {
        check_file(&faults, place, wanted, files);
        json_array_append_new(orders, make_order(call, json_text_member(wanted, "file_id"), wanted));
    }
    check_tenants(&faults, list, files);
    if (!told(call, &faults)) {
        order_flow_link(list, orders);
        send_orders(call, orders);
    }
    json_decref(orders);
    json_decref(files);
}

static void lower_file_id(json_t *wanted) {
    const char *given = json_text_member(wanted, "file_id");
    char id[UUID_TEXT_SIZE];
    if (given != NULL && text_copy(id, sizeof id, given) == 0) {
        fields_lower(id);
        json_object_set_new(wanted, "file_id", json_string(id));
    }
}

static void handle_orders(struct call *call) {
    json_t *seen = json_object();
    json_t *ids = json_array();
    struct faults faults = {NULL, 0};
    size_t place;
    json_t *wanted;
    json_array_foreach(json_object_get(call->body, "jobs"), place, wanted) {
        size_t before = faults.count;
        lower_file_id(wanted);
        check_shape(&faults, place, wanted);
        if (json_object_get(wanted, "waits_for") != NULL && destination_of(call)->is_kept) {
            note(&faults, place, "waits_for", "What a schedule queues waits for nothing");
        }
        if (faults.count == before) {
            check_twice(&faults, place, wanted, seen);
            json_array_append(ids, json_object_get(wanted, "file_id"));
        }
    }
    if (faults.list == NULL) {
        order_flow_check(json_object_get(call->body, "jobs"), note_flow, &faults);
    }
    if (!told(call, &faults)) {
        char *values = json_encode(ids);
        const struct query query = {.statement = destination_of(call)->files, .values = {values}};
        call_read(call, &query, 1, looked);
        free(values);
    }
    json_decref(ids);
    json_decref(seen);
}

/* ---- what it serves ---- */

static const struct field orders_fields[] = {{"jobs", FIELD_LIST, true, 1, ORDERS_MOST, NULL,
                                              "Orders, each with file_id, type and what else POST "
                                              "/v1/files/:id/jobs takes. All are queued, or none."}};

static const struct field schedule_fields[] = {
    {"jobs", FIELD_LIST, true, 1, ORDERS_MOST, NULL, "What it queues each time, as POST /v1/jobs takes it."},
    {"cron", FIELD_TEXT, false, 1, 200, NULL, "When: five fields as in cron(5), or @daily and the like."},
    {"time_zone", FIELD_TEXT, false, 1, 64, NULL, "Whose clock that is, as Europe/Berlin; UTC if absent."},
    {"every_seconds", FIELD_INTEGER, false, 1, 315360000, NULL, "How often, instead of cron; at once first."},
    {"enabled", FIELD_BOOLEAN, false, 0, 0, NULL, "Switched on; true if absent."},
};

static const struct route routes[] = {
    {.method = "POST",
     .pattern = "/v1/files/:id/jobs",
     .operation = "orderJob",
     .flags = ROUTE_MAKES | ROUTE_BODY,
     .handler = handle_order,
     ROUTE_FIELDS(order_fields),
     .summary = "Order a job. One of its type that is still under way is cancelled.",
     .success = 202,
     .response = "Job",
     .problems = {PROBLEM_OUT_OF_CREDIT, PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN, PROBLEM_NOT_FINALIZED,
                  PROBLEM_UNKNOWN_JOB_TYPE, PROBLEM_NOT_APPLICABLE, PROBLEM_BAD_PARAMETERS}},
    {.method = "POST",
     .pattern = "/v1/jobs",
     .operation = "orderJobs",
     .flags = ROUTE_MAKES | ROUTE_BODY,
     .handler = handle_orders,
     ROUTE_FIELDS(orders_fields),
     .summary = "Order up to 1000 jobs at once: all of them or none.",
     .success = 202,
     .response = "OrderedJobs",
     .problems = {PROBLEM_OUT_OF_CREDIT, PROBLEM_NOT_FOUND, PROBLEM_BAD_ORDERS}},
    {.method = "POST",
     .pattern = "/v1/admin/jobs",
     .operation = "adminOrderJobs",
     .flags = ROUTE_MAKES | ROUTE_BODY,
     .handler = handle_orders,
     ROUTE_FIELDS(orders_fields),
     .summary = "The same for files of all tenants (admins).",
     .success = 202,
     .response = "OrderedJobs",
     .problems = {PROBLEM_OUT_OF_CREDIT, PROBLEM_FORBIDDEN, PROBLEM_NOT_FOUND, PROBLEM_BAD_ORDERS}},
    {.method = "PUT",
     .pattern = "/v1/admin/schedules/:name",
     .operation = "adminSchedulePut",
     .flags = ROUTE_CHANGES | ROUTE_BODY,
     .handler = handle_orders,
     ROUTE_FIELDS(schedule_fields),
     .summary = "Make or change a schedule that queues jobs (admins).",
     .success = 200,
     .response = "Scheduled",
     .problems = {PROBLEM_FORBIDDEN, PROBLEM_BAD_ORDERS, PROBLEM_BAD_SCHEDULE}},
};

static const struct answer_row answers[] = {
    {.name = "OrderedJob", .members = "id:Uuid created:boolean"},
    {.name = "OrderedJobs", .members = "created:integer jobs:[OrderedJob]"},
};

const struct gateway_module orders_module = {
    .name = "orders", MODULE_ROUTES(routes), MODULE_ANSWERS(answers)};
