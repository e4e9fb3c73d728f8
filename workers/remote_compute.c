/* SPDX-License-Identifier: MIT
 * Jobs that a service outside does: `compute_submit` sends the order, which the gateway wrote as the payload
 * contract of document portals says; `compute_poll` asks what became of it, for the case that the service's
 * call is lost. Parameters: {"backend": {"name", "url"}, "order": {...}} and {"backend", "job_id",
 * "external_id"}; without a URL it is the settings' service. What they learn is a report, which the
 * database's rules of 0061_compute_polling.sql go by. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/memory.h"
#include "lib/text.h"
#include "storage/portal_report.h"
#include "workers/remote.h"

static json_t *read_parameters(struct processor_context *context) {
    json_t *parameters = json_loads(context->parameters, 0, NULL);

    if (!json_is_object(parameters)) {
        json_decref(parameters);
        (void)processor_fail(context, "bad_parameters", "no object");
        return NULL;
    }
    return parameters;
}

static int take_base(struct processor_context *context, const json_t *parameters,
                     struct remote_request *request) {
    const char *url = json_string_value(json_object_get(json_object_get(parameters, "backend"), "url"));

    return url == NULL || text_copy(request->base, sizeof request->base, url) == 0
               ? 0
               : processor_fail(context, "bad_parameters", "backend.url is too long");
}

/* Takes the report; the answer is refused where it would not fit into a message. */
static int tell(struct processor_context *context, const struct remote_answer *answer, json_t *report) {
    char *text = json_dumps(report, JSON_COMPACT | JSON_ENSURE_ASCII);

    json_decref(report);
    if (text == NULL || strlen(text) > REMOTE_REPORT_MAX) {
        free(text);
        return processor_fail(context, "backend_bad_answer", "a report that is too long");
    }
    free(*answer->report);
    *answer->report = text;
    processor_progress(context, 1, 1);
    return 0;
}

/* ---- submitting ---- */

static enum remote_step submit(struct processor_context *context, const struct settings *settings,
                               struct remote_request *request) {
    json_t *parameters = read_parameters(context);
    const json_t *order = json_object_get(parameters, "order");
    char *text = order == NULL ? NULL : json_dumps(order, JSON_COMPACT);
    const char *body = text == NULL ? context->parameters : text; /* as 0037 wrote it: the order alone */
    int status;

    if (parameters == NULL)
        return REMOTE_FAILED;
    request->path = "/jobs";
    (void)text_copy(request->content_type, sizeof request->content_type, "application/json");
    status = take_base(context, parameters, request);
    if (status == 0)
        status = remote_write(context, request, body, strlen(body));
    free(text);
    json_decref(parameters);
    return status == 0 ? REMOTE_ASK : REMOTE_FAILED;
}

/* That it answered 2xx is all that counts; what it calls the job is worth keeping. */
static int submitted(struct processor_context *context, const struct settings *settings,
                     const struct remote_answer *answer) {
    json_t *said = json_loadb(answer->text, answer->size, 0, NULL);
    json_t *report = json_object();
    const char *external = portal_report_external(said);

    if (external != NULL)
        json_object_set_new(report, "external_id", json_string(external));
    json_decref(said);
    return tell(context, answer, report);
}

const struct remote remote_compute_submit = {
    .name = "compute_submit", .service = SERVICE_COMPUTE, .request = submit, .answer = submitted};

/* ---- asking ---- */

static enum remote_step poll(struct processor_context *context, const struct settings *settings,
                             struct remote_request *request) {
    json_t *parameters = read_parameters(context);
    const char *job = json_string_value(json_object_get(parameters, "job_id"));
    const char *external = json_string_value(json_object_get(parameters, "external_id"));
    char name[3 * PORTAL_EXTERNAL_MAX + 1];
    int status;

    if (parameters == NULL)
        return REMOTE_FAILED;
    status = take_base(context, parameters, request);
    if (status == 0 && (job == NULL || text_percent_encode(name, sizeof name,
                                                           external != NULL ? external : job, false) != 0))
        status = processor_fail(context, "bad_parameters", "no job to ask for");
    if (status == 0)
        (void)text_format(request->path_text, sizeof request->path_text, "/jobs/%s", name);
    request->path = request->path_text;
    request->method = "GET";
    (void)text_copy(request->content_type, sizeof request->content_type, "application/json");
    json_decref(parameters);
    return status == 0 ? REMOTE_ASK : REMOTE_FAILED;
}

static bool is_pending(const char *status) {
    static const char *const words[] = {"pending", "queued", "submitted", "processing", "running", "started"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i], status) == 0)
            return true;
    }
    return false;
}

/* NULL after processor_fail: it says nothing that a call could say, and will be asked again. */
static json_t *read_status(struct processor_context *context, const json_t *said, const char *job) {
    const char *status = json_string_value(json_object_get(said, "status"));
    const char *named = json_string_value(json_object_get(said, "job_id"));
    bool success = status != NULL && strcmp(status, "success") == 0;
    const char *refusal = NULL;
    json_t *detail, *report;

    if (status == NULL || (named != NULL && strcasecmp(named, job) != 0)) {
        (void)processor_fail(context, "backend_bad_answer", "no status of this job");
        return NULL;
    }
    if (is_pending(status))
        return json_pack("{s:s}", "status", "pending");
    detail = json_pack("{s:s}", "mime", "image/jpeg");
    refusal = success || strcmp(status, "failed") == 0
                  ? portal_report_read(json_object_get(said, "result"), job, success, detail)
                  : "a status that is none";
    if (refusal != NULL) {
        json_decref(detail);
        (void)processor_fail(context, "backend_bad_answer", "%s", refusal);
        return NULL;
    }
    report = json_pack("{s:s,s:o}", "status", status, "detail", detail);
    const char *external = portal_report_external(said);
    if (external != NULL)
        json_object_set_new(report, "external_id", json_string(external));
    return report;
}

static int polled(struct processor_context *context, const struct settings *settings,
                  const struct remote_answer *answer) {
    json_t *parameters = read_parameters(context);
    const char *job = json_string_value(json_object_get(parameters, "job_id"));
    json_t *said = json_loadb(answer->text, answer->size, JSON_REJECT_DUPLICATES, NULL);
    json_t *report = job == NULL ? NULL : read_status(context, said, job);

    json_decref(said);
    json_decref(parameters);
    return report == NULL ? -1 : tell(context, answer, report);
}

const struct remote remote_compute_poll = {
    .name = "compute_poll", .service = SERVICE_COMPUTE, .request = poll, .answer = polled};
