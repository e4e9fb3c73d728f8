/* SPDX-License-Identifier: MIT
 * The jobs of a file that is to be classified: those of its plan, of which the one that makes its text (and
 * what follows that one) is waited for by the job that classifies. */
#include "gateway/classify.h"
#include "gateway/json.h"
#include "gateway/plan.h"
#include "gateway/scheduler_link.h"
#include "lib/memory.h"
#include "proto/catalog.h"
#include "proto/classify.h"
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *description;
} default_labels[] = {
    {"invoice", "invoice number, bill to, due date, amount due, subtotal, tax, VAT, total, payment terms, "
                "qty, unit price, Rechnung, facture"},
    {"receipt",
     "receipt, cash, card, change, thank you for your purchase, store, cashier, total paid, Quittung"},
    {"contract",
     "agreement, contract, parties, hereinafter, whereas, clause, termination, governing law, liability, "
     "signed, obligations, Vertrag"},
    {"letter",
     "dear, sincerely, yours faithfully, regards, letter, enclosed, Sehr geehrte, Mit freundlichen Grüßen"},
    {"resume", "resume, curriculum vitae, work experience, education, skills, references, employment, "
               "university, degree, Lebenslauf"},
    {"report",
     "report, summary, introduction, results, conclusion, analysis, figure, table, findings, quarterly"},
    {"bank statement",
     "bank statement, account number, balance, deposit, withdrawal, transaction, IBAN, opening balance, "
     "closing balance, Kontoauszug"},
    {"identity document",
     "passport, identity card, nationality, date of birth, place of birth, date of issue, expiry, "
     "licence, surname, given names"},
    {"article", "abstract, article, journal, author, chapter, references, published, news"},
};

static const char *const text_makers[] = {"extract_pdf", "extract_office", "ocr", "transcribe"};
static const char *const text_kinds = "[\"pdf_text\",\"office_text\",\"ocr_text\",\"transcript_text\"]";

json_t *classify_read_labels(const char *text) {
    json_t *labels = text != NULL ? json_loads(text, 0, NULL) : json_array();
    for (size_t i = 0; text == NULL && i < sizeof default_labels / sizeof default_labels[0]; i++) {
        json_array_append_new(labels, json_pack("{s:s,s:s}", "name", default_labels[i].name, "description",
                                                default_labels[i].description));
    }
    return labels;
}

static const char *wrong_label(const json_t *label) {
    const char *name = json_text_member(label, "name");
    const json_t *description = json_object_get(label, "description");
    if (!json_is_object(label) || json_object_size(label) != (description != NULL ? 2u : 1u)) {
        return "Expected name and description";
    }
    if (name == NULL || name[0] == '\0' || strlen(name) > 64 || strcmp(name, "unclassified") == 0) {
        return "Expected a name of 1 to 64 bytes, other than \"unclassified\"";
    }
    for (const char *at = name; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ') {
            return "A name holds control characters";
        }
    }
    if (description != NULL &&
        (json_text_member(label, "description") == NULL || json_string_length(description) > 1000)) {
        return "Expected a description of at most 1000 bytes";
    }
    return NULL;
}

const char *classify_labels_wrong(const json_t *labels) {
    if (!json_is_array(labels) || json_array_size(labels) < 2 ||
        json_array_size(labels) > CLASSIFY_MAX_LABELS) {
        return "Expected 2 to 32 labels";
    }
    for (size_t i = 0; i < json_array_size(labels); i++) {
        const char *words = wrong_label(json_array_get(labels, i));
        if (words != NULL) {
            return words;
        }
        for (size_t k = 0; k < i; k++) {
            if (json_equal(json_object_get(json_array_get(labels, i), "name"),
                           json_object_get(json_array_get(labels, k), "name"))) {
                return "A name is given twice";
            }
        }
    }
    char *text = json_encode(labels);
    size_t size = strlen(text);
    free(text);
    return size > CLASSIFY_LABELS_MAX_BYTES ? "The labels are longer than 12000 bytes in all" : NULL;
}

/* --- jobs --------------------------------------------------------------------------------------------------
 */

static const char *text_maker_of(const char *media_type) {
    for (size_t i = 0; i < sizeof text_makers / sizeof text_makers[0]; i++) {
        const struct catalog_row *row = catalog_find(text_makers[i]);
        if (row != NULL && catalog_takes(row, media_type)) {
            return text_makers[i];
        }
    }
    return NULL;
}

bool classify_takes(const char *media_type) {
    return text_maker_of(media_type) != NULL;
}

static json_t *new_id(void) {
    char id[UUID_TEXT_SIZE];
    text_uuid7(id);
    return json_string(id);
}

static json_t *classify_job(const json_t *labels, bool waits, const struct settings *settings) {
    return json_pack("{s:o,s:s,s:i,s:s,s:{s:s,s:o,s:O,s:s,s:I}}", "id", new_id(), "type", "classify",
                     "priority", 1, "status", waits ? "waiting" : "queued", "parameters", "on_child_failure",
                     "fail", "inputs", json_loads(text_kinds, 0, NULL), "labels", labels, "backend",
                     settings->classify_backend, "least", (json_int_t)settings->classify_least);
}

/* Puts the job that classifies in front of a plan's; unless there is a text, it waits for the one that makes
 * it, which is added where the plan has none. */
static void add_classify(json_t *jobs, json_t *followers, const struct classify_file *file,
                         const json_t *labels, const struct settings *settings) {
    const char *maker = text_maker_of(file->media_type);
    json_t *own = classify_job(labels, !file->has_text, settings);
    json_t *id = json_object_get(own, "id");
    bool made = file->has_text;
    for (size_t i = 0; i < json_array_size(jobs) && !file->has_text; i++) {
        json_t *job = json_array_get(jobs, i);
        if (strcmp(json_text_member(job, "type"), maker) == 0) {
            json_object_set(job, "parent", id);
            made = true;
        }
    }
    if (!made) {
        json_array_append_new(jobs, json_pack("{s:o,s:s,s:i,s:{},s:O}", "id", new_id(), "type", maker,
                                              "priority", 1, "parameters", "parent", id));
    }
    json_array_insert_new(jobs, 0, own);
    if (strcmp(maker, "extract_pdf") == 0 && json_object_get(followers, "ocr") == NULL) {
        json_object_set_new(followers, "ocr",
                            json_pack("{s:{s:s},s:i}", "parameters", "pages", "needed", "priority", 2));
    }
}

void classify_plan(struct file_plan *plan, const char *media_type, const json_t *labels,
                   const struct settings *settings) {
    json_t *jobs = json_loads(plan->jobs, 0, NULL);
    json_t *followers = json_loads(plan->followers, 0, NULL);
    file_plan_clear(plan);
    add_classify(jobs, followers, &(struct classify_file){.media_type = media_type}, labels, settings);
    plan->count = json_array_size(jobs);
    plan->jobs = json_encode(jobs);
    plan->followers = json_encode(followers);
    json_decref(jobs);
    json_decref(followers);
}

json_t *classify_item(const struct classify_file *file, const json_t *tenant_plan, const json_t *labels,
                      const struct settings *settings) {
    struct file_plan plan = {.jobs = NULL};
    if (file->etag != NULL) {
        file_plan_make(&plan, tenant_plan, file->media_type, settings);
    }
    json_t *jobs = plan.jobs != NULL ? json_loads(plan.jobs, 0, NULL) : json_array();
    json_t *followers = plan.jobs != NULL ? json_loads(plan.followers, 0, NULL) : json_object();
    file_plan_clear(&plan);
    add_classify(jobs, followers, file, labels, settings);
    for (size_t i = 0; i < json_array_size(jobs); i++) { /* as jobs_enqueue takes them */
        json_t *job = json_array_get(jobs, i);
        json_object_set(job, "payload", json_object_get(job, "parameters"));
        json_object_del(job, "parameters");
    }
    json_t *item =
        json_pack("{s:s,s:s,s:s,s:s?,s:o,s:o}", "filename", file->filename, "file_id", file->file_id,
                  "media_type", file->media_type, "etag", file->etag, "jobs", jobs, "followers", followers);
    if (file->size_bytes >= 0) {
        json_object_set_new(item, "size", json_integer(file->size_bytes));
    }
    return item;
}

json_t *classify_refused_item(const char *filename, const char *error) {
    return json_pack("{s:s,s:s}", "filename", filename, "error", error);
}

/* --- requests ----------------------------------------------------------------------------------------------
 */

static const struct statement submit_statement = {
    "classify_submit",
    "select classify_submit($1::uuid, $2::uuid, $3::jsonb, $4, $5::jsonb, $6) as jobs, $1 as id", 6};

static void submitted(struct call *call, const struct database_answer *answer) {
    int64_t jobs = result_number(answer->results[0], 0, "jobs");
    if (jobs > 0) {
        scheduler_link_poke(call->gateway->scheduler, (size_t)jobs);
    }
    call_respond_take(call, 202,
                      memory_format("{\"job_id\":\"%s\",\"status\":\"pending\"}",
                                    result_text(answer->results[0], 0, "id")));
}

void classify_submit(struct call *call, const char *tenant, const json_t *labels, const json_t *items) {
    char id[UUID_TEXT_SIZE];
    char *labels_text = json_encode(labels);
    char *items_text = json_encode(items);
    text_uuid7(id);
    const struct query query = {.statement = &submit_statement,
                                .values = {id, tenant, labels_text, call->gateway->settings.classify_backend,
                                           items_text, call->request_id}};
    call_write_one(call, &query, submitted, NULL);
    free(labels_text);
    free(items_text);
}
