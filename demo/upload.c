/* SPDX-License-Identifier: MIT
 * The steps of one file, each started by the answer to the one before. Progress is polled ten times a second:
 * the demo should show what any client can do with plain requests. */
#include "demo/upload.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "proto/plan.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define POLL_MS 100
#define TRANSFER_TIMEOUT_MS 60000
#define DERIVATIVES_MAX 8
#define DERIVATIVE_MAX_BYTES (64u << 20)

struct derivative {
    char *kind;
    char *mime;
    char *key;
    char *saved_as;
    int fd;
    bool failed;
};

struct upload {
    struct upload_plan plan;
    struct loop_timer *poll;
    int fd;
    uint64_t size_bytes;
    const char *mime;
    char file_id[UUID_TEXT_SIZE];
    char *error;
    struct derivative derivatives[DERIVATIVES_MAX];
    size_t derivative_count;
    size_t fetched;
    bool failed;
    bool finished;
};

static void finish(struct upload *upload, const char *step, const char *error) {
    if (upload->finished)
        return;
    upload->finished = true;
    if (error != NULL) {
        upload->failed = true;
        upload->plan.row->failed = true;
        upload->error = memory_copy_text(error);
    }
    view_step(upload->plan.view, upload->plan.row, 100, step);
    upload->plan.finished(upload->plan.context, upload);
}

static void refuse(struct upload *upload, const char *step, int status, const json_t *body) {
    char *error = status == 0 ? memory_format("%s: no answer", step)
                              : memory_format("%s: %d %s", step, status, api_text(body, "error"));
    finish(upload, "failed", error);
    free(error);
}

static void derivative_fetched(void *context, const struct http_client_reply *reply) {
    struct upload *upload = context;
    upload->fetched++;
    if (reply->error != HTTP_CLIENT_OK || reply->status != 200)
        upload->failed = true;
    if (upload->fetched == upload->derivative_count)
        finish(upload, upload->failed ? "failed" : "ready",
               upload->failed ? "a derivative could not be fetched" : NULL);
}

static void derivative_located(void *context, int status, const json_t *body) {
    struct upload *upload = context;
    struct derivative *derivative = NULL;
    const char *kind = api_text(body, "kind");
    for (size_t i = 0; i < upload->derivative_count; i++)
        if (strcmp(upload->derivatives[i].kind, kind) == 0)
            derivative = &upload->derivatives[i];
    if (status != 200 || derivative == NULL) {
        refuse(upload, "derivative", status, body);
        return;
    }
    const struct http_client_request request = {
        .method = "GET",
        .url = api_text(body, "download_url"),
        .upload_fd = -1,
        .sink_fd = derivative->fd,
        .max_bytes = DERIVATIVE_MAX_BYTES,
        .timeout_ms = TRANSFER_TIMEOUT_MS,
    };
    http_client_start(upload->plan.api->client, &request, derivative_fetched, upload);
}

static void add_derivative(struct upload *upload, const json_t *row) {
    if (upload->derivative_count == DERIVATIVES_MAX)
        return;
    struct derivative *derivative = &upload->derivatives[upload->derivative_count++];
    const char *key = api_text(row, "r2_key");
    const char *dot = strrchr(key, '.');
    derivative->kind = memory_copy_text(api_text(row, "kind"));
    derivative->mime = memory_copy_text(api_text(row, "mime"));
    derivative->key = memory_copy_text(key);
    derivative->saved_as = memory_format("%s/%s.%s%s", upload->plan.output_directory, upload->plan.row->name,
                                         derivative->kind, dot == NULL ? "" : dot);
    derivative->fd = open(derivative->saved_as, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (derivative->fd < 0)
        log_warn_errno("file=%s msg=\"cannot write\"", derivative->saved_as);
}

static void fetch_derivatives(struct upload *upload, const json_t *file) {
    size_t index;
    json_t *row;
    json_array_foreach(json_object_get(file, "derivatives"), index, row) add_derivative(upload, row);
    if (upload->derivative_count == 0) {
        finish(upload, "ready (nothing to derive)", NULL);
        return;
    }
    for (size_t i = 0; i < upload->derivative_count; i++) {
        char *path =
            memory_format("/v1/files/%s/derivatives/%s", upload->file_id, upload->derivatives[i].kind);
        api_call(upload->plan.api, "GET", path, NULL, derivative_located, upload);
        free(path);
    }
}

/* Uploading is the first 40 %, the jobs share the rest. */
static void show_jobs(struct upload *upload, const json_t *file) {
    char step[40] = "queued";
    size_t index, total = 0, finished = 0;
    json_t *job;
    json_array_foreach(json_object_get(file, "jobs"), index, job) {
        const char *status = api_text(job, "status");
        total++;
        if (strcmp(status, "done") == 0 || strcmp(status, "failed") == 0)
            finished++;
        else if (strcmp(status, "queued") != 0)
            (void)text_format(step, sizeof step, "%s %s", api_text(job, "type"), status);
    }
    unsigned percent = total == 0 ? 40 : 40 + (unsigned)(55 * finished / total);
    view_step(upload->plan.view, upload->plan.row, percent, step);
}

static void fail_with_job(struct upload *upload, const json_t *file) {
    size_t index;
    json_t *job;
    char *error = NULL;
    json_array_foreach(json_object_get(file, "jobs"), index, job) {
        if (error == NULL && strcmp(api_text(job, "status"), "failed") == 0)
            error = memory_format("%s: %s", api_text(job, "type"), api_text(job, "error_code"));
    }
    finish(upload, "failed", error == NULL ? "failed" : error);
    free(error);
}

static void polled(void *context, int status, const json_t *body) {
    struct upload *upload = context;
    const char *state = api_text(body, "status");
    if (status == 200 && strcmp(state, "ready") == 0) {
        fetch_derivatives(upload, body);
    } else if (status == 200 && strcmp(state, "failed") == 0) {
        fail_with_job(upload, body);
    } else if (status == 200 || status == 0 || status >= 500) { /* a restart is no failure */
        if (status == 200)
            show_jobs(upload, body);
        loop_timer_set(upload->poll, POLL_MS);
    } else {
        refuse(upload, "status", status, body);
    }
}

static void poll_file(void *context) {
    struct upload *upload = context;
    char *path = memory_format("/v1/files/%s", upload->file_id);
    api_call(upload->plan.api, "GET", path, NULL, polled, upload);
    free(path);
}

static void finalized(void *context, int status, const json_t *body) {
    struct upload *upload = context;
    if (status != 200) {
        refuse(upload, "finalize", status, body);
        return;
    }
    view_step(upload->plan.view, upload->plan.row, 40, "queued");
    loop_timer_set(upload->poll, 0);
}

static void stored(void *context, const struct http_client_reply *reply) {
    struct upload *upload = context;
    if (reply->error != HTTP_CLIENT_OK || reply->status / 100 != 2) {
        char *error = memory_format("upload: %s %d", http_client_error_name(reply->error), reply->status);
        finish(upload, "failed", error);
        free(error);
        return;
    }
    view_step(upload->plan.view, upload->plan.row, 35, "finalizing");
    api_call(upload->plan.api, "POST", "/v1/files/finalize", json_pack("{s:s}", "file_id", upload->file_id),
             finalized, upload);
}

static void initialized(void *context, int status, const json_t *body) {
    struct upload *upload = context;
    if (status != 200 && status != 201) {
        refuse(upload, "init-upload", status, body);
        return;
    }
    text_copy(upload->file_id, sizeof upload->file_id, api_text(body, "file_id"));
    view_step(upload->plan.view, upload->plan.row, 10, "uploading");

    char *headers[9] = {NULL};
    size_t count = 0;
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(body, "required_headers"), name, value) {
        if (count < 8)
            headers[count++] = memory_format("%s: %s", name, json_string_value(value));
    }
    const struct http_client_request request = {
        .method = "PUT",
        .url = api_text(body, "upload_url"),
        .headers = (const char *const *)headers,
        .upload_fd = upload->fd,
        .upload_bytes = upload->size_bytes,
        .sink_fd = -1,
        .max_bytes = 1u << 16,
        .timeout_ms = TRANSFER_TIMEOUT_MS,
    };
    http_client_start(upload->plan.api->client, &request, stored, upload);
    for (size_t i = 0; i < count; i++)
        free(headers[i]);
}

/* Opens the file and finds its type by its bytes; -1 when either fails. */
static int inspect(struct upload *upload) {
    struct stat status;
    unsigned char head[4096];
    upload->fd = open(upload->plan.path, O_RDONLY | O_CLOEXEC);
    if (upload->fd < 0 || fstat(upload->fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        log_error_errno("file=%s msg=\"cannot read\"", upload->plan.path);
        return -1;
    }
    ssize_t got = pread(upload->fd, head, sizeof head, 0);
    upload->size_bytes = (uint64_t)status.st_size;
    upload->mime = got <= 0 ? NULL : media_type_sniff(head, (size_t)got);
    if (upload->mime == NULL)
        upload->mime = "application/octet-stream";
    return 0;
}

struct upload *upload_start(const struct upload_plan *plan) {
    struct upload *upload = memory_new(sizeof *upload);
    upload->plan = *plan;
    upload->fd = -1;
    if (inspect(upload) != 0) {
        upload_free(upload);
        return NULL;
    }
    upload->poll = loop_timer_new(plan->loop, poll_file, upload);
    view_step(plan->view, plan->row, 0, "asking for an upload URL");
    json_t *request =
        json_pack("{s:s, s:s, s:s, s:s, s:I}", "tenant_id", plan->tenant, "filename", plan->row->name, "mime",
                  upload->mime, "visibility", "private", "size_bytes", (json_int_t)upload->size_bytes);
    api_call(plan->api, "POST", "/v1/files/init-upload", request, initialized, upload);
    return upload;
}

static void report_text(const struct derivative *derivative) {
    char head[400];
    ssize_t got = pread(derivative->fd, head, sizeof head - 1, 0);
    if (got <= 0 || !text_starts_with(derivative->mime, "text/"))
        return;
    head[got] = '\0';
    char *cursor = head;
    for (int line = 0; line < 3 && cursor != NULL; line++) {
        char *text = strsep(&cursor, "\n");
        if (text != NULL && *text != '\0')
            printf("        │ %.90s\n", text);
    }
}

int upload_report(const struct upload *upload) {
    printf("  %s  (%s, %llu bytes, file %s)\n", upload->plan.row->name, upload->mime,
           (unsigned long long)upload->size_bytes, upload->file_id);
    if (upload->error != NULL)
        printf("      failed: %s\n", upload->error);
    for (size_t i = 0; i < upload->derivative_count; i++) {
        const struct derivative *derivative = &upload->derivatives[i];
        struct stat status;
        long long size = fstat(derivative->fd, &status) == 0 ? (long long)status.st_size : -1;
        printf("      %-10s %8lld bytes  %s\n", derivative->kind, size, derivative->saved_as);
        printf("        stored as %s\n", derivative->key);
        report_text(derivative);
    }
    return upload->failed ? -1 : 0;
}

void upload_free(struct upload *upload) {
    if (upload == NULL)
        return;
    for (size_t i = 0; i < upload->derivative_count; i++) {
        struct derivative *derivative = &upload->derivatives[i];
        free(derivative->kind);
        free(derivative->mime);
        free(derivative->key);
        free(derivative->saved_as);
        if (derivative->fd >= 0)
            close(derivative->fd);
    }
    loop_timer_free(upload->poll);
    if (upload->fd >= 0)
        close(upload->fd);
    free(upload->error);
    free(upload);
}
