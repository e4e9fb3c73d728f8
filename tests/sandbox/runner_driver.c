/* SPDX-License-Identifier: MIT
 * Runs documents through a real nursery, for tests. One JSON request per line on standard input, one JSON
 * answer per document on standard output, in the order of their ends:
 *
 *   {"id": 1, "type": "noop", "input": "/path", "mime": "image/png", "parameters": {…},
 *    "limits": {"wall_ms": …, …}, "outputs": ["/path", null]}
 *   {"cancel": 1}
 *
 * answers {"id", "reason", "detail", "stage", "pages", "metrics", "metadata", "sizes", "cpu_us", "rss",
 * "wall_ms", "us"}, and {"event": "ready" | "started" | "renewed" | "gone", …} in between. `runner_driver
 * control NAME` tries a probe in a child without any sandbox and prints {"probe", "errno", "signal"};
 * `runner_driver probes` lists them. */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "workers/nursery_client.h"
#include "workers/processors/selftest_probes.h"

#define MAX_RUNNING 256
#define LINE_MAX_BYTES (1u << 20)
#define COPY_BYTES (1u << 16)

struct job {
    uint64_t id; /* 0: free */
    struct document document;
    struct nursery_limits limits;
    json_t *request;
    int64_t started_us;
};

struct driver {
    struct loop *loop;
    struct nursery_client *client;
    struct loop_watch *input;
    struct job jobs[MAX_RUNNING];
    size_t running;
    bool input_ended;
    char *line;
    size_t line_size;
};

static void answer(json_t *object) {
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(object);
}

static int copy_file(int from, int to, uint64_t *size) {
    static char bytes[COPY_BYTES];
    ssize_t count;

    *size = 0;
    while ((count = pread(from, bytes, sizeof bytes, (off_t)*size)) > 0) {
        if (write(to, bytes, (size_t)count) != count)
            return -1;
        *size += (uint64_t)count;
    }
    return count < 0 ? -1 : 0;
}

static int load_input(struct document *document, const char *path) {
    uint64_t size;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int status = fd < 0 ? -1 : copy_file(fd, document->input, &size);

    if (fd >= 0)
        close(fd);
    return status == 0 ? document_seal_input(document, size) : -1;
}

/* Files one after the other. */
static int load_parts(struct document *document, const json_t *paths) {
    uint64_t bytes = 0, size;

    if (!json_is_array(paths))
        return 0;
    for (size_t i = 0; i < json_array_size(paths); i++) {
        int fd = open(json_string_value(json_array_get(paths, i)), O_RDONLY | O_CLOEXEC);
        if (fd < 0 || (i == 0 && document_open_parts(document, 0) != 0) || copy_file(fd, document->parts, &size) != 0)
            return -1;
        bytes += size;
        close(fd);
    }
    document->parts_bytes = bytes;
    return document->parts < 0 ? 0 : document_seal_parts(document);
}

static uint64_t number(const json_t *object, const char *key, uint64_t fallback) {
    const json_t *value = json_object_get(object, key);

    return json_is_integer(value) ? (uint64_t)json_integer_value(value) : fallback;
}

static struct nursery_limits limits_of(const json_t *request, const struct processor_row *row) {
    const json_t *limits = json_object_get(request, "limits");

    return (struct nursery_limits){
        .wall_ms = number(limits, "wall_ms", row->wall_ms),
        .no_progress_ms = number(limits, "no_progress_ms", row->no_progress_ms),
        .cpu_seconds = number(limits, "cpu_seconds", row->cpu_seconds),
        .memory_bytes = number(limits, "memory_bytes", row->memory_bytes),
        .output_bytes = number(limits, "output_bytes", row->output_bytes),
        .pages = number(limits, "pages", 2000),
        .pixels = number(limits, "pixels", 100000000),
        .range_pages = number(limits, "range_pages", 0),
        .ranges = number(limits, "ranges", 0),
        .joins = number(limits, "joins", 0),
    };
}

static struct job *find_job(struct driver *driver, uint64_t id) {
    for (size_t i = 0; i < MAX_RUNNING; i++) {
        if (driver->jobs[i].id == id)
            return &driver->jobs[i];
    }
    return NULL;
}

static uint64_t wanted_outputs(const json_t *request, const struct processor_row *row) {
    const json_t *paths = json_object_get(request, "outputs");
    uint64_t wanted = 0;

    for (size_t i = 0; i < row->output_count; i++) {
        if (paths == NULL || !json_is_null(json_array_get(paths, i)))
            wanted |= UINT64_C(1) << i;
    }
    return wanted;
}

static void start(struct driver *driver, json_t *request) {
    struct job *job = find_job(driver, 0);
    const struct processor_row *row = processor_find(json_string_value(json_object_get(request, "type")));
    const char *input = json_string_value(json_object_get(request, "input"));
    const char *mime = json_string_value(json_object_get(request, "mime"));
    char *parameters = json_dumps(json_object_get(request, "parameters"), JSON_COMPACT);

    if (row == NULL || job == NULL || document_init(&job->document, row, wanted_outputs(request, row), input != NULL))
        fatal_errno("driver: no such type, or no room");
    if (input != NULL && load_input(&job->document, input) != 0)
        fatal_errno("driver: input %s", input);
    if (load_parts(&job->document, json_object_get(request, "parts")) != 0)
        fatal_errno("driver: parts");
    job->id = number(request, "id", 1);
    job->limits = limits_of(request, row);
    job->request = json_incref(request);
    job->started_us = clock_monotonic_us();
    if (nursery_client_run(driver->client, job->id, &job->document, &job->limits, mime == NULL ? "" : mime,
                           parameters == NULL ? "" : parameters) != 0)
        fatal_errno("driver: not handed over");
    driver->running++;
    free(parameters);
}

static void save_outputs(const struct job *job, json_t *sizes) {
    const json_t *paths = json_object_get(job->request, "outputs");

    for (size_t i = 0; i < job->document.row->output_count; i++) {
        const char *path = json_string_value(json_array_get(paths, i));
        uint64_t size;
        json_array_append_new(sizes, json_integer((json_int_t)job->document.output_bytes[i]));
        if (path == NULL || job->document.outputs[i] < 0)
            continue;
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || copy_file(job->document.outputs[i], fd, &size) != 0)
            fatal_errno("driver: output %s", path);
        close(fd);
    }
}

static json_t *parsed(const char *text) {
    return text[0] == '\0' ? json_object() : json_loads(text, 0, NULL);
}

static void job_end(struct job *job) {
    document_clear(&job->document);
    json_decref(job->request);
    memset(job, 0, sizeof *job);
}

static void finish_if_idle(struct driver *driver) {
    if (driver->input_ended && driver->running == 0)
        loop_stop(driver->loop, 0);
}

static void on_ended(void *context, const struct nursery_end *end) {
    struct driver *driver = context;
    struct job *job = find_job(driver, end->id);
    struct runner_result result = {0};
    const struct reason_row *reason = end->reason;
    json_t *sizes = json_array(), *metadata = json_array();
    int64_t took_us = clock_monotonic_us() - job->started_us;

    if (reason == NULL)
        reason = document_judge(&job->document, job->limits.output_bytes, &result);
    if (reason == NULL)
        save_outputs(job, sizes);
    for (size_t i = 0; i < job->document.row->output_count; i++)
        json_array_append_new(metadata, parsed(result.metadata[i]));
    answer(json_pack("{sI ss ss ss ss sI so so so sI sI sI sI si}", "id", (json_int_t)end->id, "reason",
                     reason == NULL ? "" : reason->code, "detail", result.detail, "end", end->detail,
                     "split", result.split, "pages", (json_int_t)result.pages, "metrics", parsed(result.metrics),
                     "metadata", metadata, "sizes",
                     sizes, "cpu_us", (json_int_t)end->cpu_us, "rss", (json_int_t)end->peak_rss_bytes, "wall_ms",
                     (json_int_t)end->wall_ms, "us", (json_int_t)took_us, "pid", (int)end->pid));
    job_end(job);
    driver->running--;
    finish_if_idle(driver);
}

static void on_gone(void *context) {
    struct driver *driver = context;

    answer(json_pack("{ss}", "event", "gone"));
    loop_stop(driver->loop, 3);
}

static void on_started(void *context, uint64_t id, pid_t runner) {
    answer(json_pack("{ss sI si}", "event", "started", "id", (json_int_t)id, "pid", (int)runner));
}

static void on_renewed(void *context, uint64_t generation) {
    answer(json_pack("{ss sI}", "event", "renewed", "generation", (json_int_t)generation));
}

static void handle_line(struct driver *driver, const char *line) {
    json_error_t error;
    json_t *request = json_loads(line, 0, &error);
    const json_t *cancel = json_object_get(request, "cancel");

    if (request == NULL)
        fatal("driver: %s in %s", error.text, line);
    if (cancel != NULL)
        nursery_client_cancel(driver->client, (uint64_t)json_integer_value(cancel));
    else
        start(driver, request);
    json_decref(request);
}

static void on_input(void *context, uint32_t events) {
    struct driver *driver = context;
    ssize_t count = read(STDIN_FILENO, driver->line + driver->line_size, LINE_MAX_BYTES - driver->line_size - 1);
    char *end;

    if (count <= 0) {
        driver->input_ended = true;
        loop_watch_free(driver->input);
        driver->input = NULL;
        finish_if_idle(driver);
        return;
    }
    driver->line_size += (size_t)count;
    driver->line[driver->line_size] = '\0';
    while ((end = strchr(driver->line, '\n')) != NULL) {
        *end = '\0';
        handle_line(driver, driver->line);
        driver->line_size -= (size_t)(end + 1 - driver->line);
        memmove(driver->line, end + 1, driver->line_size + 1);
    }
}

static int serve(struct driver *driver) {
    answer(json_pack("{ss si ss sb}", "event", "ready", "pid", (int)nursery_client_pid(driver->client), "layers",
                     nursery_client_layers(driver->client), "complete",
                     nursery_client_sandbox_is_complete(driver->client)));
    driver->input = loop_watch_new(driver->loop, STDIN_FILENO, LOOP_READ, on_input, driver);
    int status = loop_run(driver->loop);
    loop_watch_free(driver->input);
    return status;
}

static int drive(void) {
    static const struct nursery_events events = {.ended = on_ended, .gone = on_gone, .started = on_started,
                                                 .renewed = on_renewed};
    struct driver *driver = memory_new(sizeof *driver);
    struct settings settings = {0};
    int status = 4;

    settings_load(&settings, "driver");
    driver->loop = loop_new();
    driver->line = memory_new(LINE_MAX_BYTES);
    driver->client = nursery_client_new(driver->loop, &settings, getenv("NURSERY_PROGRAM"), &events, driver);
    if (driver->client != NULL)
        status = serve(driver);
    nursery_client_free(driver->client);
    for (size_t i = 0; i < MAX_RUNNING; i++) {
        if (driver->jobs[i].id != 0)
            job_end(&driver->jobs[i]);
    }
    loop_free(driver->loop);
    settings_clear(&settings);
    free(driver->line);
    free(driver);
    return status;
}

/* --- controls --------------------------------------------------------------------------------------------- */

static int control(const char *name) {
    const struct selftest_probe *probe = selftest_probe_find(name);
    int status;
    pid_t pid;

    if (probe == NULL)
        return 2;
    pid = fork();
    if (pid == 0) {
        close(STDIN_FILENO); /* as in a runner */
        _exit(probe->attempt());
    }
    if (waitpid(pid, &status, 0) != pid)
        return 1;
    answer(json_pack("{ss si si}", "probe", name, "errno", WIFEXITED(status) ? WEXITSTATUS(status) : -1, "signal",
                     WIFSIGNALED(status) ? WTERMSIG(status) : 0));
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "control") == 0)
        return control(argv[2]);
    if (argc == 2 && strcmp(argv[1], "probes") == 0) {
        const struct selftest_probe *probe;
        for (size_t i = 0; (probe = selftest_probe_at(i)) != NULL; i++)
            puts(probe->name);
        return 0;
    }
    return drive();
}
