/* SPDX-License-Identifier: MIT
 * Results of a run. Numbers come from the checked result, never from an output. */
#include "oneshot/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/memory.h"
#include "lib/text.h"

#define COPY_BYTES (256u * 1024u)

static const struct {
    const char *code;
    int status;
} exits[] = {
    {"timeout", EXIT_LIMIT},      {"no_progress", EXIT_LIMIT},    {"cpu_limit", EXIT_LIMIT},
    {"memory_limit", EXIT_LIMIT}, {"output_limit", EXIT_LIMIT},   {"OCR_TIMEOUT", EXIT_LIMIT},
    {"crash", EXIT_ENGINE},       {"engine_failed", EXIT_ENGINE}, {"sandbox_violation", EXIT_ENGINE},
    {"bad_result", EXIT_ENGINE},  {"no_runner", EXIT_SANDBOX},    {"bad_parameters", EXIT_USAGE},
    {"unknown_type", EXIT_USAGE},
};

int report_exit_status(const struct reason_row *reason) {
    for (size_t i = 0; reason != NULL && i < sizeof exits / sizeof exits[0]; i++) {
        if (strcmp(exits[i].code, reason->code) == 0)
            return exits[i].status;
    }
    return reason == NULL ? EXIT_DONE : EXIT_DOCUMENT;
}

/* --- outputs ----------------------------------------------------------------------------------------------
 */

int report_write(int fd, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t count = write(fd, bytes, size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -1;
        bytes += count;
        size -= (size_t)count;
    }
    return 0;
}

static int copy(int from, int to) {
    char *bytes = memory_new(COPY_BYTES);
    ssize_t count;
    int status = 0;

    for (off_t at = 0; status == 0 && (count = pread(from, bytes, COPY_BYTES, at)) != 0; at += count) {
        if (count < 0)
            status = -1;
        else
            status = report_write(to, bytes, (size_t)count);
    }
    int saved_errno = errno;
    free(bytes);
    errno = saved_errno;
    return status;
}

static int save(const char *path, int from) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int status = fd < 0 ? -1 : copy(from, fd);
    int saved_errno = errno;

    if (fd >= 0 && close(fd) != 0 && status == 0)
        return -1;
    errno = saved_errno;
    return status;
}

static bool was_made(const struct oneshot_job *job, const struct oneshot_end *end, size_t index) {
    return job->document.outputs[index] >= 0 &&
           (job->document.output_bytes[index] > 0 || end->result.metadata[index][0] != '\0');
}

/* The caller frees. */
static char *file_of(const struct order *order, size_t index) {
    const struct processor_output *output = &order->row->outputs[index];

    return order->files[index] != NULL
               ? memory_copy_text(order->files[index])
               : memory_format("%s/%s.%s", order->folder, output->kind, output->extension);
}

int report_outputs(const struct order *order, const struct oneshot_job *job, const struct oneshot_end *end,
                   int standard_output, char *error, size_t error_size) {
    if (order->folder != NULL && mkdir(order->folder, 0777) != 0 && errno != EEXIST) {
        (void)text_format(error, error_size, "%s: %s", order->folder, strerror(errno));
        return -1;
    }
    for (size_t i = 0; i < order->row->output_count; i++) {
        const char *kind = order->row->outputs[i].kind;
        if (order->files[i] != NULL && !was_made(job, end, i)) {
            (void)text_format(error, error_size, "no %s was made of this document", kind);
            return -1;
        }
        if (!was_made(job, end, i))
            continue;
        char *path = file_of(order, i);
        int status = strcmp(path, "-") == 0 ? copy(job->document.outputs[i], standard_output)
                                            : save(path, job->document.outputs[i]);
        if (status != 0)
            (void)text_format(error, error_size, "%s: %s", path, strerror(errno));
        free(path);
        if (status != 0)
            return -1;
    }
    return 0;
}

/* --- the result -------------------------------------------------------------------------------------------
 */

static json_t *parsed(const char *text) {
    json_t *object = text[0] == '\0' ? NULL : json_loads(text, 0, NULL);

    return object != NULL ? object : json_object();
}

static json_t *describe_outputs(const struct order *order, const struct oneshot_job *job,
                                const struct oneshot_end *end) {
    json_t *list = json_array();

    for (size_t i = 0; end->reason == NULL && i < order->row->output_count; i++) {
        if (!was_made(job, end, i))
            continue;
        char *path = file_of(order, i);
        json_array_append_new(list, json_pack("{ss ss sI ss* so}", "kind", order->row->outputs[i].kind,
                                              "mime", order->row->outputs[i].mime, "bytes",
                                              (json_int_t)job->document.output_bytes[i], "file", path,
                                              "metadata", parsed(end->result.metadata[i])));
        free(path);
    }
    return list;
}

json_t *report_result(const struct order *order, const struct oneshot_job *job,
                      const struct oneshot_end *end) {
    json_t *result =
        json_pack("{ss ss ss sI sI so so sI sI sI}", "type", order->row->name, "status",
                  end->reason == NULL ? "done" : "failed", "mime", job->mime, "input_bytes",
                  (json_int_t)job->document.input_bytes, "pages", (json_int_t)end->result.pages, "metrics",
                  parsed(end->result.metrics), "outputs", describe_outputs(order, job, end), "cpu_ms",
                  (json_int_t)(end->cpu_us / 1000), "wall_ms", (json_int_t)end->wall_ms, "peak_rss_bytes",
                  (json_int_t)end->peak_rss_bytes);

    if (end->reason != NULL)
        json_object_set_new(result, "error",
                            json_pack("{ss ss sb}", "code", end->reason->code, "detail", end->detail,
                                      "retryable", end->reason->retryable));
    return result;
}
