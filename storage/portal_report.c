/* SPDX-License-Identifier: MIT
 * See portal_report.h. */
#include "storage/portal_report.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "storage/portal_paths.h"

#define MAX_WARNINGS 32
#define MAX_WARNING 300
#define MAX_METRICS 4096

static const char *text_member(const json_t *object, const char *name) {
    return json_string_value(json_object_get(object, name)); /* a text with a NUL in it is never decoded */
}

static void lower(char *text) {
    for (; *text != '\0'; text++)
        *text = *text >= 'A' && *text <= 'F' ? (char)(*text - 'A' + 'a') : *text;
}

/* ---- success ---- */

static const struct artifact {
    const char *path, *user;
    enum portal_area area;
} artifact_rows[] = {{"master_path", "master_user", PORTAL_MASTER},
                     {"preview_path", "preview_user", PORTAL_OUTPUT}};

static const char *take_path(const struct artifact *row, const char *path, const char *job, json_t *detail) {
    struct portal_path parts;
    const char *refusal = portal_path_check(path, strlen(path), PORTAL_ANY_UUID, &parts);

    if (refusal != NULL)
        return refusal;
    if (parts.area != row->area)
        return "an artifact's path begins with master/, a preview's with output/";
    if (parts.area == PORTAL_OUTPUT && strcasecmp(parts.item, job) != 0)
        return "the preview is another job's";
    lower(parts.user);
    json_object_set_new(detail, row->path, json_string(path));
    json_object_set_new(detail, row->user, json_string(parts.user));
    return NULL;
}

static const char *take_artifacts(const json_t *artifacts, const char *job, json_t *detail) {
    if (text_member(artifacts, artifact_rows[0].path) == NULL)
        return "artifacts.master_path is missing";
    for (size_t i = 0; i < sizeof artifact_rows / sizeof artifact_rows[0]; i++) {
        const char *path = text_member(artifacts, artifact_rows[i].path);
        const char *refusal = path == NULL ? NULL : take_path(&artifact_rows[i], path, job, detail);
        if (refusal != NULL)
            return refusal;
    }
    return NULL;
}

static bool are_warnings(const json_t *warnings) {
    size_t i;
    json_t *warning;

    if (!json_is_array(warnings) || json_array_size(warnings) > MAX_WARNINGS)
        return false;
    json_array_foreach(warnings, i, warning) {
        if (!json_is_string(warning) || json_string_length(warning) > MAX_WARNING)
            return false;
    }
    return true;
}

static bool are_metrics(const json_t *metrics) {
    return json_is_object(metrics) && json_dumpb(metrics, NULL, 0, JSON_COMPACT) <= MAX_METRICS;
}

static bool is_score(const json_t *score) {
    double number = json_number_value(score);

    return json_is_number(score) && number >= 0 && number <= 1;
}

static const char *take_success(const json_t *result, const char *job, json_t *detail) {
    static const struct {
        const char *name;
        bool (*check)(const json_t *value);
        const char *refusal;
    } rows[] = {{"quality_score", is_score, "quality_score is not a number from 0 to 1"},
                {"warnings", are_warnings, "warnings are not a list of short texts"},
                {"metrics", are_metrics, "metrics are not a small object"}};
    json_t *said = json_object();

    json_object_set_new(detail, "report", said);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *value = json_object_get(result, rows[i].name);
        if (value != NULL && !rows[i].check(value))
            return rows[i].refusal;
        if (value != NULL)
            json_object_set(said, rows[i].name, value);
    }
    return take_artifacts(json_object_get(result, "artifacts"), job, detail);
}

/* ---- failure ---- */

static bool is_known(const char *name) {
    static const char *const names[] = {"code", "stage", "message", "retryable"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

static bool is_text(const json_t *value, size_t least, size_t most) {
    return json_is_string(value) && json_string_length(value) >= least && json_string_length(value) <= most;
}

static bool is_error(const json_t *error) {
    const json_t *message = json_object_get(error, "message");
    const json_t *retryable = json_object_get(error, "retryable");
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)error, name, value) {
        if (!is_known(name))
            return false;
    }
    return is_text(json_object_get(error, "code"), 1, 64) &&
           is_text(json_object_get(error, "stage"), 1, 32) &&
           (message == NULL || is_text(message, 0, 1000)) &&
           (retryable == NULL || json_is_boolean(retryable));
}

static const char *take_failure(const json_t *result, json_t *detail) {
    const json_t *error = json_object_get(result, "error");
    json_t *copy;

    if (!is_error(error))
        return "error is not {code, stage, message, retryable}";
    copy = json_copy((json_t *)(uintptr_t)error);
    json_object_set_new(copy, "retryable", json_boolean(json_is_true(json_object_get(error, "retryable"))));
    json_object_set_new(detail, "error", copy);
    return NULL;
}

/* ---- both ---- */

const char *portal_report_read(const json_t *result, const char *job, bool success, json_t *detail) {
    const char *named = text_member(result, "job_id");
    const char *status = text_member(result, "status");

    if (named != NULL && strcasecmp(named, job) != 0)
        return "result.job_id is another job";
    if (status != NULL && strcmp(status, success ? "success" : "failed") != 0)
        return "result.status is not the status";
    return success ? take_success(result, job, detail) : take_failure(result, detail);
}

const char *portal_report_external(const json_t *said) {
    const char *name = text_member(said, "camber_job_id");

    name = name != NULL ? name : text_member(said, "external_job_id");
    if (name == NULL || name[0] == '\0' || name[0] == '.' || strlen(name) > PORTAL_EXTERNAL_MAX)
        return NULL;
    for (const char *at = name; *at != '\0'; at++) {
        if (*at <= ' ' || *at >= 0x7f || strchr("/?#%\\\"", *at) != NULL)
            return NULL;
    }
    return name;
}
