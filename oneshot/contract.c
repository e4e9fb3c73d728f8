/* SPDX-License-Identifier: MIT
 * The contract from payload to answer. Whatever happens is one of the codes below; the runner's own reasons
 * are sorted by the stage that it had reached, as its progress page says. */
#include "oneshot/contract.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/text.h"
#include "oneshot/report.h"
#include "proto/plan.h"
#include "workers/sandbox.h"

#define PROCESSOR_NAME "portal_photo"
#define PROOF_KIND "portal_proof"
#define JPEG_MIME "image/jpeg"
#define PROOF_MAX_BYTES (64 * 1024)
#define WARNING_SIZE 160
#define PREVIEW_NAME "preview.jpg"

static const struct contract_code codes[] = {
    {"PAYLOAD_MISSING", "init", false}, {"PAYLOAD_INVALID", "init", false},
    {"FETCH_FAILED", "fetch", false},   {"FETCH_TIMEOUT", "fetch", true},
    {"DECODE_FAILED", "decode", false}, {"OCR_FAILED", "ocr", false},
    {"OCR_TIMEOUT", "ocr", true},       {"SCHEMA_FAILED", "schema", false},
    {"SIZE_EXCEEDED", "schema", false}, {"UPLOAD_FAILED", "upload", true},
};
#define CODE_COUNT (sizeof codes / sizeof codes[0])

/* What a runner's end means after so many of its stages: decode, quality, enhance, ocr, schema. */
static const struct {
    const char *failed, *late;
} stage_codes[] = {
    {"DECODE_FAILED", "DECODE_FAILED"}, {"DECODE_FAILED", "DECODE_FAILED"},
    {"DECODE_FAILED", "DECODE_FAILED"}, {"OCR_FAILED", "OCR_TIMEOUT"},
    {"SCHEMA_FAILED", "SCHEMA_FAILED"},
};
#define STAGE_COUNT (sizeof stage_codes / sizeof stage_codes[0])

static const char *const late_reasons[] = {"timeout", "no_progress", "cpu_limit", NULL};

struct contract {
    struct settings *settings;
    struct contract_payload payload;
    struct contract_error error;
    struct oneshot *oneshot;
    struct contract_remote *remote;
    struct oneshot_job photo, preview; /* the second is empty when the first is a JPEG */
    size_t output;                     /* of the photo: the one that was made */
    json_t *warnings;
    double quality_score, ocr_confidence;
    char master_path[PORTAL_PATH_MAX], preview_path[PORTAL_PATH_MAX];
    int64_t started_ms;
};

int contract_fail(struct contract_error *error, const char *code, const char *format, ...) {
    va_list arguments;

    if (error->code != NULL)
        return -1;
    for (size_t i = 0; i < CODE_COUNT; i++) {
        if (strcmp(codes[i].code, code) == 0)
            error->code = &codes[i];
    }
    va_start(arguments, format);
    (void)vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return -1;
}

/* --- init and FETCH ---------------------------------------------------------------------------------------
 */

static int prepare(struct contract *contract) {
    const struct contract_payload *payload = &contract->payload;

    if (portal_path_master(contract->master_path, PORTAL_PATH_MAX, payload->user, payload->job) != 0 ||
        portal_path_output(contract->preview_path, PORTAL_PATH_MAX, payload->user, payload->job,
                           PREVIEW_NAME) != 0)
        return contract_fail(&contract->error, "PAYLOAD_INVALID", "job_id and user_id make no path");
    contract->oneshot = oneshot_new(contract->settings);
    if (contract->oneshot == NULL)
        return contract_fail(&contract->error, "DECODE_FAILED", "no sandbox could be started");
    contract->remote = contract_remote_new(contract->oneshot, contract->settings, payload);
    if (sandbox_enter_worker() != 0) {
        if (contract->settings->sandbox_required)
            return contract_fail(&contract->error, "DECODE_FAILED", "this process could not be locked down");
        log_warn_errno("state=not-locked-down");
    }
    return 0;
}

static int fetch(struct contract *contract) {
    struct oneshot_job *job = &contract->photo;
    const struct processor_row *row = processor_find(PROCESSOR_NAME);

    if (document_init(&job->document, row, (UINT64_C(1) << row->output_count) - 1, 1) != 0)
        return contract_fail(&contract->error, "FETCH_FAILED", "no memory for the artifact");
    return contract_fetch(contract->remote, &contract->payload, &job->document, &contract->error);
}

/* --- DECODE to SCHEMA -------------------------------------------------------------------------------------
 */

static bool is_late(const struct reason_row *reason) {
    for (size_t i = 0; late_reasons[i] != NULL; i++) {
        if (strcmp(late_reasons[i], reason->code) == 0)
            return true;
    }
    return false;
}

static int fail_by_reason(struct contract *contract, const struct oneshot_end *end) {
    size_t stage = end->steps_done < STAGE_COUNT ? (size_t)end->steps_done : STAGE_COUNT - 1;
    const char *code = is_late(end->reason) ? stage_codes[stage].late : stage_codes[stage].failed;

    for (size_t i = 0; i < CODE_COUNT; i++) { /* the processor knows most of them by name */
        if (strcmp(codes[i].code, end->reason->code) == 0)
            code = codes[i].code;
    }
    if (strcmp(end->reason->code, "bad_parameters") == 0)
        return contract_fail(&contract->error, "PAYLOAD_INVALID", "portal_schema: %s", end->detail);
    if (oneshot_signal(contract->oneshot) != 0)
        return contract_fail(&contract->error, code, "stopped by a signal");
    return contract_fail(&contract->error, code, "%s: %s", end->reason->code, end->detail);
}

static int run_job(struct contract *contract, struct oneshot_job *job, json_t *parameters, const char *mime) {
    struct oneshot_end end;
    char *text = json_dumps(parameters, JSON_COMPACT);

    json_decref(parameters);
    if (text == NULL)
        return contract_fail(&contract->error, "PAYLOAD_INVALID", "portal_schema can't be passed on");
    job->parameters = text;
    job->mime = mime;
    oneshot_limits(contract->settings, job->document.row, &job->limits);
    oneshot_run(contract->oneshot, job, &end);
    job->parameters = NULL;
    free(text);
    return end.reason == NULL ? 0 : fail_by_reason(contract, &end);
}

static size_t output_of(const struct processor_row *row, const char *text, bool is_kind) {
    size_t index = 0;

    while (index < row->output_count &&
           strcmp(is_kind ? row->outputs[index].kind : row->outputs[index].mime, text) != 0)
        index++;
    return index;
}

/* --- the proof: written by a runner, so its shape is no promise -------------------------------------------
 */

static json_t *read_proof(const struct document *document) {
    size_t index = output_of(document->row, PROOF_KIND, true);
    char *text = calloc(1, PROOF_MAX_BYTES);
    ssize_t size = text == NULL ? -1 : pread(document->outputs[index], text, PROOF_MAX_BYTES, 0);
    json_t *proof = size > 0 && size < PROOF_MAX_BYTES ? json_loadb(text, (size_t)size, 0, NULL) : NULL;

    free(text);
    return proof;
}

static double share_of(const json_t *value) {
    double share = json_number_value(value);

    return share >= 0 && share <= 1 ? round(share * 100) / 100 : 0;
}

static void warn(struct contract *contract, const char *text) {
    char copy[WARNING_SIZE];

    if (json_array_size(contract->warnings) >= CONTRACT_WARNINGS_MAX)
        return;
    (void)text_copy(copy, sizeof copy, text);
    for (char *at = copy; *at != '\0'; at++) {
        if (*at < ' ' || *at > '~')
            *at = '?';
    }
    json_array_append_new(contract->warnings, json_string(copy));
}

static int take_proof(struct contract *contract) {
    json_t *proof = read_proof(&contract->photo.document), *warning;
    const json_t *ocr = json_object_get(json_object_get(proof, "stages"), "ocr");
    size_t i;

    if (proof == NULL)
        return contract_fail(&contract->error, "SCHEMA_FAILED", "the photo came without a proof");
    contract->quality_score = share_of(json_object_get(proof, "quality_score"));
    contract->ocr_confidence = share_of(json_object_get(ocr, "confidence"));
    json_array_foreach(json_object_get(proof, "warnings"), i, warning) {
        if (json_is_string(warning))
            warn(contract, json_string_value(warning));
    }
    json_decref(proof);
    return 0;
}

static int find_photo(struct contract *contract) {
    const struct document *document = &contract->photo.document;
    size_t proof = output_of(document->row, PROOF_KIND, true);

    for (size_t i = 0; i < document->row->output_count; i++) {
        if (i != proof && document->output_bytes[i] > 0) {
            contract->output = i;
            return 0;
        }
    }
    return contract_fail(&contract->error, "SCHEMA_FAILED", "no photo was made");
}

static int process(struct contract *contract) {
    const struct contract_payload *payload = &contract->payload;
    const char *mime = oneshot_sniff(&contract->photo.document);
    char text[WARNING_SIZE];

    if (!text_starts_with(mime, "image/"))
        return contract_fail(&contract->error, "DECODE_FAILED", "the artifact is %s, not a picture", mime);
    if (payload->mime[0] != '\0' && !media_type_agrees(payload->mime, mime)) {
        (void)text_format(text, sizeof text, "Declared as %.60s, is %s", payload->mime, mime);
        warn(contract, text);
    }
    if (run_job(contract, &contract->photo, json_pack("{sO sb}", "portal_schema", payload->schema, "ocr", 1),
                mime) != 0)
        return -1;
    return find_photo(contract) != 0 ? -1 : take_proof(contract);
}

/* --- the preview: the photo itself if it is a JPEG, else made of it ----------------------------------------
 */

static int copy_photo(struct contract *contract, struct document *target) {
    const struct document *source = &contract->photo.document;
    int fd = source->outputs[contract->output];

    if (lseek(fd, 0, SEEK_SET) != 0 ||
        oneshot_read_input(target, fd, source->output_bytes[contract->output]) != 0)
        return contract_fail(&contract->error, "SCHEMA_FAILED", "no memory for the preview");
    return 0;
}

static int fetch_number(const json_t *schema, const char *name, const char *other) {
    const json_t *value = json_object_get(schema, name);

    return (int)json_integer_value(value != NULL ? value : json_object_get(schema, other));
}

static int make_preview(struct contract *contract) {
    const struct processor_row *row = contract->photo.document.row;
    const json_t *schema = json_object_get(contract->payload.schema, "schema_definition");
    json_t *parameters;

    if (strcmp(row->outputs[contract->output].mime, JPEG_MIME) == 0)
        return 0;
    if (document_init(&contract->preview.document, row, UINT64_C(1) << output_of(row, JPEG_MIME, false), 1) !=
        0)
        return contract_fail(&contract->error, "SCHEMA_FAILED", "no memory for the preview");
    if (copy_photo(contract, &contract->preview.document) != 0)
        return -1;
    parameters = json_pack("{s{si si ss} ss ss}", "schema", "target_width",
                           fetch_number(schema, "target_width", "width_px"), "target_height",
                           fetch_number(schema, "target_height", "height_px"), "output_format", "jpeg",
                           "denoise", "off", "clahe", "off");
    return run_job(contract, &contract->preview, parameters, row->outputs[contract->output].mime);
}

/* --- UPLOAD ------------------------------------------------------------------------------------------------
 */

static int upload(struct contract *contract) {
    const struct document *photo = &contract->photo.document, *preview = &contract->preview.document;
    size_t jpeg = output_of(photo->row, JPEG_MIME, false);

    return contract_upload(contract->remote, photo, contract->output, contract->master_path,
                           &contract->error) != 0
               ? -1
               : contract_upload(contract->remote, preview->row != NULL ? preview : photo, jpeg,
                                 contract->preview_path, &contract->error);
}

/* --- the answer --------------------------------------------------------------------------------------------
 */

static json_t *describe_success(const struct contract *contract) {
    return json_pack("{ss ss sf sO s{ss ss} s{sf sI}}", "status", "success", "job_id", contract->payload.job,
                     "quality_score", contract->quality_score, "warnings", contract->warnings, "artifacts",
                     "master_path", contract->master_path, "preview_path", contract->preview_path, "metrics",
                     "ocr_confidence", contract->ocr_confidence, "processing_ms",
                     (json_int_t)(clock_monotonic_ms() - contract->started_ms));
}

/* A message may quote the payload, and so hold anything. */
static json_t *describe_failure(struct contract *contract) {
    struct contract_error *error = &contract->error;

    for (char *at = error->message; *at != '\0'; at++) {
        if (*at < ' ' || *at > '~')
            *at = '?';
    }
    return json_pack("{ss ss? s{ss ss ss sb}}", "status", "failed", "job_id", contract->payload.job, "error",
                     "code", error->code->code, "stage", error->code->stage, "message", error->message,
                     "retryable", error->code->retryable);
}

static int answer(struct contract *contract, int standard_output) {
    json_t *payload = contract->error.code == NULL ? describe_success(contract) : describe_failure(contract);
    char *text = json_dumps(payload, JSON_COMPACT | JSON_REAL_PRECISION(6));
    int status = text == NULL || report_write(standard_output, text, strlen(text)) != 0 ||
                         report_write(standard_output, "\n", 1) != 0
                     ? 1
                     : 0;

    json_decref(payload);
    free(text);
    return status;
}

static int serve(struct contract *contract, const char *refusal) {
    static int (*const steps[])(struct contract * contract) = {prepare, fetch, process, make_preview, upload};

    if (contract_payload_read(&contract->payload, STDIN_FILENO, &contract->error) != 0)
        return -1;
    if (refusal != NULL)
        return contract_fail(&contract->error, "PAYLOAD_INVALID", "configuration: %s", refusal);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (steps[i](contract) != 0)
            return -1;
    }
    return 0;
}

int contract_serve(struct settings *settings, const char *refusal, int standard_output) {
    struct contract contract = {
        .settings = settings, .warnings = json_array(), .started_ms = clock_monotonic_ms()};
    int status;

    (void)serve(&contract, refusal);
    status = answer(&contract, standard_output);
    contract_remote_free(contract.remote);
    oneshot_free(contract.oneshot);
    if (contract.photo.document.row != NULL)
        document_clear(&contract.photo.document);
    if (contract.preview.document.row != NULL)
        document_clear(&contract.preview.document);
    json_decref(contract.warnings);
    contract_payload_clear(&contract.payload);
    return status;
}
