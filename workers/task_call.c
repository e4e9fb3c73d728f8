/* SPDX-License-Identifier: MIT
 * The step of a network task that takes the place of a run: builds the request from the input, waits for the
 * service, and judges what the processor made of the answer as it judges a runner's result. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/memory.h"
#include "workers/remote.h"
#include "workers/task_internal.h"

struct task_call {
    struct task *task;
    struct service_call *call; /* NULL: not asked, or over */
    struct processor_context context;
    struct remote_request request;
    bool repeated; /* the answer was not what it should be, and it was asked again */
    void *map;     /* of the input */
    size_t map_size;
};

void task_call_drop(struct task *task) {
    struct task_call *call = task->call;

    if (call == NULL)
        return;
    if (call->call != NULL)
        service_call_cancel(call->call);
    if (call->map != NULL)
        munmap(call->map, call->map_size);
    if (call->request.body >= 0)
        close(call->request.body);
    free(call);
    task->call = NULL;
}

static int map_input(struct task_call *call) {
    const struct document *document = &call->task->document;

    call->context.input = (const unsigned char *)"";
    if (document->input < 0 || document->input_bytes == 0)
        return 0;
    call->map = mmap(NULL, (size_t)document->input_bytes, PROT_READ, MAP_PRIVATE, document->input, 0);
    if (call->map == MAP_FAILED) {
        call->map = NULL;
        return -1;
    }
    call->map_size = (size_t)document->input_bytes;
    call->context.input = call->map;
    call->context.input_size = call->map_size;
    return 0;
}

static struct task_call *call_new(struct task *task) {
    struct task_call *call = memory_new(sizeof *call);

    task->call = call;
    call->task = task;
    call->context = (struct processor_context){
        .row = task->row,
        .mime = task->order.input_mime,
        .parameters = task->order.parameters,
        .pages = task->limits.pages,
        .pixels = task->limits.pixels,
        .memory_bytes = task->limits.memory_bytes,
        .output_bytes = task->limits.output_bytes,
        .result = task->document.result,
        .progress = task->document.progress,
    };
    memcpy(call->context.outputs, task->document.outputs, sizeof call->context.outputs);
    call->request.body = memfd_create("filemill-request", MFD_CLOEXEC);
    if (call->request.body >= 0 && map_input(call) == 0)
        return call;
    task_fail(task, reason_find("memory_limit"), "call", strerror(errno));
    return NULL;
}

static void fail_with_context(struct task *task, const struct processor_context *context) {
    const struct reason_row *reason = context->error == NULL ? NULL : reason_find(context->error);
    char detail[PROCESSOR_DETAIL_SIZE];

    memcpy(detail, context->detail, sizeof detail); /* task_fail frees the context */
    task_fail(task, reason == NULL ? reason_find("bad_result") : reason, "call", detail);
}

/* Outputs and facts are in place: they are checked like a runner's. */
static void finish(struct task_call *call) {
    struct task *task = call->task;
    const struct reason_row *reason;

    if (result_write(task->document.result, &call->context) != 0) {
        task_fail(task, reason_find("memory_limit"), "call", "result not written");
        return;
    }
    reason = document_judge(&task->document, task->limits.output_bytes, &task->result);
    task_call_drop(task);
    task_called(task, reason);
}

static void on_end(void *context, const struct service_end *end);

static void ask(struct task_call *call) {
    struct task *task = call->task;
    const struct service_order order = {.service = task->remote->service,
                                        .base = call->request.base,
                                        .method = call->request.method,
                                        .path = call->request.path,
                                        .content_type = call->request.content_type,
                                        .body = call->request.method == NULL ? call->request.body : -1,
                                        .body_bytes = call->request.body_bytes,
                                        .trace = task->order.trace,
                                        .wall_ms = (int64_t)task->limits.wall_ms};

    call->call = services_ask(task->tasks->host.services, &order, on_end, call);
}

/* Each time that a model was asked is accounted for, whatever came of it. */
static void note_call(struct task *task, const struct service_end *end, const struct chat_usage *usage,
                      const char *error) {
    if (task->remote->service == SERVICE_CHAT && end->requests > 0)
        chat_note_call(task->calls, sizeof task->calls, task->tasks->host.settings->chat_model, usage,
                       end->latency_ms, error);
}

static void on_end(void *context, const struct service_end *end) {
    struct task_call *call = context;
    struct task *task = call->task;
    struct chat_usage usage = {.confidence_percent = -1};

    call->call = NULL;
    if (end->code != NULL) {
        note_call(task, end, &usage, end->code);
        task_fail(task, reason_find(end->code), "call", end->detail);
    } else {
        const struct remote_answer answer = {.text = end->reply->body,
                                             .size = end->reply->body_size,
                                             .content_type = end->reply->content_type,
                                             .last = call->repeated,
                                             .usage = &usage,
                                             .report = &task->report};
        int status = task->remote->answer(&call->context, task->tasks->host.settings, &answer);
        note_call(task, end, &usage,
                  status == 0              ? NULL
                  : status == REMOTE_AGAIN ? "backend_bad_answer"
                                           : call->context.error);
        if (status == REMOTE_AGAIN && !call->repeated) {
            call->repeated = true;
            ask(call);
        } else if (status != 0)
            fail_with_context(task, &call->context);
        else
            finish(call);
    }
    tasks_advance(task->tasks);
}

void task_call(struct task *task) {
    struct task_call *call = call_new(task);
    enum remote_step step;

    if (call == NULL)
        return;
    task->stage = "call";
    task_move(task, TASK_CALLING);
    step = task->remote->request(&call->context, task->tasks->host.settings, &call->request);
    if (step == REMOTE_FAILED) {
        fail_with_context(task, &call->context);
    } else if (step == REMOTE_DONE) {
        finish(call);
    } else {
        ask(call);
    }
}
