/* SPDX-License-Identifier: MIT
 * A nursery, one document, and signals. The loop runs only while something is waited for. */
#include "oneshot/oneshot.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "oneshot/report.h"
#include "proto/plan.h"

#define DOCUMENT_ID 1
#define COPY_BYTES (256u * 1024u)
#define SNIFF_BYTES (64u * 1024u)
#define HAND_OVER_PATIENCE_MS 50

struct oneshot {
    struct loop *loop;
    struct nursery_client *nursery;
    struct loop_timer *again; /* to hand the document over when the nursery did not read */
    struct oneshot_job *job;  /* NULL: none runs */
    struct oneshot_end *end;
    int signal_number;
};

/* --- the document's end ----------------------------------------------------------------------------------
 */

static void finish(struct oneshot *oneshot, const char *code, const char *detail) {
    oneshot->end->reason = reason_find(code);
    (void)text_copy(oneshot->end->detail, sizeof oneshot->end->detail, detail);
    oneshot->job = NULL;
    loop_stop(oneshot->loop, 0);
}

static void on_ended(void *context, const struct nursery_end *ended) {
    struct oneshot *oneshot = context;
    struct oneshot_end *end = oneshot->end;
    struct oneshot_job *job = oneshot->job;

    if (job == NULL || ended->id != DOCUMENT_ID)
        return;
    end->cpu_us = ended->cpu_us;
    end->wall_ms = ended->wall_ms;
    end->peak_rss_bytes = ended->peak_rss_bytes;
    end->steps_done = atomic_load_explicit(&job->document.progress->done, memory_order_relaxed);
    end->reason = ended->reason;
    if (end->reason == NULL)
        end->reason = document_judge(&job->document, job->limits.output_bytes, &end->result);
    (void)text_copy(end->detail, sizeof end->detail,
                    ended->reason == NULL ? end->result.detail : ended->detail);
    oneshot->job = NULL;
    loop_stop(oneshot->loop, 0);
}

static void on_gone(void *context) {
    struct oneshot *oneshot = context;

    if (oneshot->job != NULL)
        finish(oneshot, oneshot->signal_number != 0 ? "cancelled" : "no_runner", "the nursery is gone");
}

static void on_signal(void *context, int signal_number) {
    struct oneshot *oneshot = context;

    oneshot->signal_number = signal_number;
    if (oneshot->job != NULL)
        nursery_client_cancel(oneshot->nursery, DOCUMENT_ID); /* its end is waited for */
    else
        loop_stop(oneshot->loop, 0);
}

/* --- the document ----------------------------------------------------------------------------------------
 */

static void hand_over(void *context) {
    struct oneshot *oneshot = context;
    const struct oneshot_job *job = oneshot->job;

    if (job == NULL || nursery_client_run(oneshot->nursery, DOCUMENT_ID, &job->document, &job->limits,
                                          job->mime, job->parameters) == 0)
        return;
    if (errno == EAGAIN || errno == ENOBUFS)
        loop_timer_set(oneshot->again, HAND_OVER_PATIENCE_MS);
    else
        finish(oneshot, errno == EMSGSIZE ? "bad_parameters" : "no_runner", strerror(errno));
}

void oneshot_run(struct oneshot *oneshot, struct oneshot_job *job, struct oneshot_end *end) {
    memset(end, 0, sizeof *end);
    oneshot->end = end;
    oneshot->job = job;
    if (oneshot->signal_number != 0) {
        end->reason = reason_find("cancelled");
        oneshot->job = NULL;
    } else {
        loop_timer_set(oneshot->again, 0);
        (void)loop_run(oneshot->loop);
    }
    loop_timer_stop(oneshot->again);
    oneshot->end = NULL;
}

static uint64_t limit_of(int64_t setting, uint64_t row) {
    return setting > 0 ? (uint64_t)setting : row;
}

void oneshot_limits(const struct settings *settings, const struct processor_row *row,
                    struct nursery_limits *limits) {
    *limits = (struct nursery_limits){
        .wall_ms = limit_of(settings->limit_wall_ms, row->wall_ms),
        .no_progress_ms = limit_of(settings->limit_no_progress_ms, row->no_progress_ms),
        .cpu_seconds = limit_of(settings->limit_cpu_seconds, row->cpu_seconds),
        .memory_bytes = limit_of(settings->limit_memory_bytes, row->memory_bytes),
        .output_bytes = limit_of(settings->limit_output_bytes, row->output_bytes),
        .pages = (uint64_t)settings->limit_pages,
        .pixels = (uint64_t)settings->limit_pixels,
    };
}

/* --- input ------------------------------------------------------------------------------------------------
 */

int oneshot_read_input(struct document *document, int fd, uint64_t most) {
    char *bytes = memory_new(COPY_BYTES);
    uint64_t total = 0;
    int status = 0;

    while (status == 0) {
        ssize_t count = read(fd, bytes, COPY_BYTES);
        if (count == 0)
            break;
        if (count < 0 && errno == EINTR)
            continue;
        if (count > 0 && (uint64_t)count > most - total) {
            errno = EFBIG;
            count = -1;
        }
        status = count < 0 ? -1 : report_write(document->input, bytes, (size_t)count);
        total += count < 0 ? 0 : (uint64_t)count;
    }
    int saved_errno = errno;
    free(bytes);
    errno = saved_errno;
    return status == 0 ? document_seal_input(document, total) : -1;
}

const char *oneshot_sniff(const struct document *document) {
    unsigned char *bytes = memory_new(SNIFF_BYTES);
    ssize_t size = pread(document->input, bytes, SNIFF_BYTES, 0);
    const char *type = size > 0 ? media_type_sniff(bytes, (size_t)size) : NULL;

    free(bytes);
    return type != NULL ? type : "application/octet-stream";
}

/* --- life -------------------------------------------------------------------------------------------------
 */

struct oneshot *oneshot_new(const struct settings *settings) {
    static const struct nursery_events events = {.ended = on_ended, .gone = on_gone};
    struct oneshot *oneshot = memory_new(sizeof *oneshot);

    oneshot->loop = loop_new();
    oneshot->again = loop_timer_new(oneshot->loop, hand_over, oneshot);
    oneshot->nursery = nursery_client_new(oneshot->loop, settings, NULL, &events, oneshot);
    if (oneshot->nursery == NULL) {
        oneshot_free(oneshot);
        return NULL;
    }
    loop_signal_new(oneshot->loop, SIGINT, on_signal, oneshot);
    loop_signal_new(oneshot->loop, SIGTERM, on_signal, oneshot);
    return oneshot;
}

void oneshot_free(struct oneshot *oneshot) {
    if (oneshot == NULL)
        return;
    nursery_client_free(oneshot->nursery);
    loop_free(oneshot->loop);
    free(oneshot);
}

struct loop *oneshot_loop(struct oneshot *oneshot) {
    return oneshot->loop;
}

int oneshot_signal(const struct oneshot *oneshot) {
    return oneshot->signal_number;
}
