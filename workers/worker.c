/* SPDX-License-Identifier: MIT
 * Messages in and out. A scheduler that is gone changes nothing for what runs: the channel reconnects by
 * itself, and a welcome with a new generation is answered with hello, credit and the answers still owed. */
#include "workers/worker.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http/client.h"
#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "proto/channel.h"
#include "workers/deletion.h"
#include "workers/delivery.h"
#include "workers/remote_classify.h"
#include "workers/task.h"

#define PING_AFTER_MS 1000
#define SILENT_AFTER_MS 5000
#define LINGER_MS 1000
#define ABANDON_GRACE_MS 2000
#define CONNECTIONS_PER_SLOT 4
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum drain_phase { DRAIN_NOT, DRAIN_WAITING, DRAIN_ABANDONED };

struct worker {
    struct loop *loop;
    const struct settings *settings;
    struct nursery_client *nursery;
    struct http_client *http;
    struct services *services;
    struct channel *channel;
    struct tasks *tasks;
    struct deletions *deletions;
    struct outbound *outbound;
    struct deliveries *deliveries;
    struct loop_timer *ping_timer, *drain_timer;
    struct loop_prepare *prepare;
    char node[65], name[65], generation[UUID_TEXT_SIZE], scheduler[65];
    uint64_t slots, nonce;
    int64_t heard_ms, drain_deadline_ms;
    enum drain_phase drain;
    bool credit_changed, silent;
};

static int send_message(void *context, const struct message *message) {
    struct worker *worker = context;

    return channel_send(worker->channel, NULL, message);
}

/* --- out --------------------------------------------------------------------------------------------------
 */

static const char *name_engines(const struct worker *worker, char target[MESSAGE_ENGINES_SIZE]) {
    const char *engines = nursery_client_engines(worker->nursery);
    char maker[256];

    if (remote_classify_maker(worker->settings, maker, sizeof maker) != 0 || strchr(maker, ';') != NULL ||
        text_format(target, MESSAGE_ENGINES_SIZE, "%s%s%s", engines, engines[0] == '\0' ? "" : ";", maker) != 0)
        return engines;
    return target;
}

static void say_hello(struct worker *worker) {
    char engines[MESSAGE_ENGINES_SIZE];
    struct message message = {
        .type = MESSAGE_HELLO,
        .hello = {.version = PROTOCOL_VERSION,
                  .role = "worker",
                  .node = worker->node,
                  .name = worker->name,
                  .generation = worker->generation,
                  .pid = (uint64_t)getpid(),
                  .slots = worker->slots,
                  .memory_bytes = (uint64_t)worker->settings->worker_memory_bytes,
                  .sandbox = nursery_client_layers(worker->nursery),
                  .engines = name_engines(worker, engines)},
    };

    if (send_message(worker, &message) != 0)
        log_debug("state=hello-not-sent");
    worker->credit_changed = true;
}

static void on_changed(void *context) {
    struct worker *worker = context;

    worker->credit_changed = true;
}

static void send_credit(struct worker *worker) {
    struct message message = {.type = MESSAGE_CREDIT};

    tasks_credit(worker->tasks, &message.credit);
    worker->credit_changed = send_message(worker, &message) != 0;
}

static void stop_when_drained(struct worker *worker) {
    if (worker->drain != DRAIN_NOT && tasks_held(worker->tasks) == 0)
        loop_stop(worker->loop, 0);
}

/* Once per turn of the loop: however many tasks ended, there is one credit message. */
static void before_sleep(void *context) {
    struct worker *worker = context;

    if (worker->credit_changed && worker->scheduler[0] != '\0')
        send_credit(worker);
    stop_when_drained(worker);
}

static void note_layers(const char *layers) {
    counter_set(COUNT_SANDBOX_SECCOMP, strstr(layers, "seccomp") != NULL);
    counter_set(COUNT_SANDBOX_LANDLOCK, strstr(layers, "landlock") != NULL);
    counter_set(COUNT_SANDBOX_NAMESPACES, strstr(layers, "namespaces") != NULL);
}

/* The layers of the sandbox, and what runs now: `filemill stats` and `top` show it. */
static void note_what_runs(struct worker *worker) {
    char running[160], note[256];

    tasks_describe(worker->tasks, running, sizeof running);
    note_layers(nursery_client_layers(worker->nursery));
    if (text_format(note, sizeof note, "%s%s%s", nursery_client_layers(worker->nursery),
                    running[0] != '\0' ? "; runs " : "", running) == 0)
        counter_note(note);
}

static void on_ping_timer(void *context) {
    struct worker *worker = context;
    int64_t quiet_ms = clock_monotonic_ms() - worker->heard_ms;

    note_what_runs(worker);

    if (quiet_ms >= PING_AFTER_MS) {
        struct message message = {.type = MESSAGE_PING, .ping = {.nonce = ++worker->nonce}};
        (void)send_message(worker, &message);
    }
    if (quiet_ms >= SILENT_AFTER_MS && !worker->silent) {
        worker->silent = true;
        log_warn("peer=scheduler state=silent");
    }
    loop_timer_set(worker->ping_timer, PING_AFTER_MS);
}

/* --- in ---------------------------------------------------------------------------------------------------
 */

static void on_welcome(struct worker *worker, const struct message *message) {
    if (message->welcome.version != PROTOCOL_VERSION)
        log_error("peer=scheduler version=%llu state=not-understood",
                  (unsigned long long)message->welcome.version);
    if (strcmp(worker->scheduler, message->welcome.scheduler) == 0)
        return;
    (void)text_copy(worker->scheduler, sizeof worker->scheduler, message->welcome.scheduler);
    log_info("peer=scheduler generation=%s state=welcome", worker->scheduler);
    say_hello(worker);
    send_credit(worker);
    tasks_answer_again(worker->tasks);
}

static void on_task(struct worker *worker, const struct message *message) {
    tasks_accept(worker->tasks, &message->task);
}

static void on_cancel(struct worker *worker, const struct message *message) {
    tasks_cancel(worker->tasks, message->cancel.job, message->cancel.epoch);
}

static void on_drain(struct worker *worker, const struct message *message) {
    worker_drain(worker,
                 message->drain.deadline_ms > INT32_MAX ? INT32_MAX : (int64_t)message->drain.deadline_ms);
}

static void on_delete(struct worker *worker, const struct message *message) {
    if (worker->drain == DRAIN_NOT)
        deletions_start(worker->deletions, &message->delete_objects);
}

static void on_deliver(struct worker *worker, const struct message *message) {
    deliveries_start(worker->deliveries, &message->deliveries);
}

static void on_ping(struct worker *worker, const struct message *message) {
    struct message answer = {.type = MESSAGE_PONG, .ping = message->ping};

    (void)send_message(worker, &answer);
}

static void on_pong(struct worker *worker, const struct message *message) {
    /* that it came is all */
}

static void (*const handlers[MESSAGE_TYPE_COUNT])(struct worker *worker, const struct message *message) = {
    [MESSAGE_WELCOME] = on_welcome, [MESSAGE_TASK] = on_task,       [MESSAGE_CANCEL] = on_cancel,
    [MESSAGE_DRAIN] = on_drain,     [MESSAGE_DELETE] = on_delete,   [MESSAGE_PING] = on_ping,
    [MESSAGE_PONG] = on_pong,       [MESSAGE_DELIVER] = on_deliver,
};

static void on_message(void *context, const struct channel_peer *peer, const struct message *message) {
    struct worker *worker = context;

    worker->heard_ms = clock_monotonic_ms();
    if (worker->silent)
        log_info("peer=scheduler state=heard");
    worker->silent = false;
    if (message->type < MESSAGE_TYPE_COUNT && handlers[message->type] != NULL)
        handlers[message->type](worker, message);
    else
        log_warn("peer=scheduler message=%s state=dropped", message_type_name(message->type));
}

static void on_bad_message(void *context, const struct channel_peer *peer, const char *error) {
    log_warn("peer=scheduler state=dropped error=\"%s\"", error);
}

/* Of deletions and webhooks. */
static void on_errand_answer(void *context, const struct message *message) {
    (void)send_message(context, message); /* unheard answers are asked for again */
}

/* --- the nursery ------------------------------------------------------------------------------------------
 */

static void on_runner_ended(void *context, const struct nursery_end *end) {
    struct worker *worker = context;

    tasks_runner_ended(worker->tasks, end);
}

/* Its runners died with it. A new worker frees this one's leases with its hello. */
static void on_nursery_gone(void *context) {
    struct worker *worker = context;

    log_error("service=nursery pid=%d state=gone", nursery_client_pid(worker->nursery));
    loop_stop(worker->loop, 1);
}

static void on_nursery_renewed(void *context, uint64_t generation) {
    log_info("service=nursery generation=%llu state=renewed", (unsigned long long)generation);
}

/* --- drain ------------------------------------------------------------------------------------------------
 */

static void on_drain_timer(void *context) {
    struct worker *worker = context;

    if (worker->drain == DRAIN_ABANDONED) {
        log_warn("state=stopped unanswered=%llu", (unsigned long long)tasks_held(worker->tasks));
        loop_stop(worker->loop, 0);
        return;
    }
    worker->drain = DRAIN_ABANDONED;
    tasks_abandon(worker->tasks);
    loop_timer_set(worker->drain_timer, ABANDON_GRACE_MS);
    stop_when_drained(worker);
}

void worker_drain(struct worker *worker, int64_t deadline_ms) {
    int64_t deadline = clock_monotonic_ms() + deadline_ms;

    if (worker->drain == DRAIN_ABANDONED ||
        (worker->drain == DRAIN_WAITING && deadline >= worker->drain_deadline_ms))
        return;
    log_info("state=draining held=%llu deadline_ms=%lld", (unsigned long long)tasks_held(worker->tasks),
             (long long)deadline_ms);
    worker->drain = DRAIN_WAITING;
    worker->drain_deadline_ms = deadline;
    loop_timer_set(worker->drain_timer, deadline_ms);
    tasks_drain(worker->tasks);
    deliveries_drain(worker->deliveries);
    send_credit(worker);
}

/* --- life -------------------------------------------------------------------------------------------------
 */

static void name_worker(struct worker *worker, const char *name) {
    char host[65] = "localhost";

    (void)gethostname(host, sizeof host - 1);
    (void)text_copy(worker->node, sizeof worker->node,
                    worker->settings->node != NULL ? worker->settings->node : host);
    (void)text_copy(worker->name, sizeof worker->name, name);
    text_uuid4(worker->generation);
}

static uint64_t count_slots(const struct settings *settings) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (settings->worker_slots > 0)
        return (uint64_t)settings->worker_slots;
    return cores > 0 ? (uint64_t)cores : 1;
}

static int open_channel(struct worker *worker) {
    if (worker->settings->channel_endpoint == NULL) {
        log_error("state=refused error=\"FILEMILL_CHANNEL_ENDPOINT is not set\"");
        return -1;
    }
    worker->channel =
        channel_connect(worker->loop, worker->settings->channel_endpoint, on_message, on_bad_message, worker);
    return worker->channel == NULL ? -1 : 0;
}

/* Where webhooks may go. */
static struct outbound *open_outbound(const struct settings *settings) {
    char error[128];
    struct outbound *outbound = outbound_new(settings->webhook_allow_http, settings->webhook_allow_private,
                                             settings->webhook_allow_networks, error, sizeof error);

    if (outbound == NULL) {
        log_error("state=refused error=\"webhook-allow-networks: %s\"", error);
        exit(2);
    }
    return outbound;
}

static void make_tasks(struct worker *worker) {
    worker->services = services_new(worker->loop, worker->settings, worker->http, worker->outbound);
    const struct tasks_host host = {.loop = worker->loop,
                                    .settings = worker->settings,
                                    .http = worker->http,
                                    .nursery = worker->nursery,
                                    .services = worker->services,
                                    .send = send_message,
                                    .changed = on_changed,
                                    .context = worker};

    worker->tasks = tasks_new(&host, worker->slots);
    worker->deletions = deletions_new(worker->http, worker->settings, on_errand_answer, worker);
    worker->deliveries =
        deliveries_new(worker->loop, worker->settings, worker->outbound, on_errand_answer, worker);
    worker->ping_timer = loop_timer_new(worker->loop, on_ping_timer, worker);
    worker->drain_timer = loop_timer_new(worker->loop, on_drain_timer, worker);
    worker->prepare = loop_prepare_new(worker->loop, before_sleep, worker);
    loop_timer_set(worker->ping_timer, PING_AFTER_MS);
}

struct worker *worker_new(struct loop *loop, const struct settings *settings, const char *name) {
    static const struct nursery_events events = {
        .ended = on_runner_ended, .gone = on_nursery_gone, .renewed = on_nursery_renewed};
    struct worker *worker = memory_new(sizeof *worker);

    worker->loop = loop;
    worker->settings = settings;
    worker->slots = count_slots(settings);
    worker->outbound = open_outbound(settings);
    name_worker(worker, name);
    worker->nursery = nursery_client_new(loop, settings, NULL, &events, worker);
    if (worker->nursery == NULL || nursery_client_start_all(worker->nursery) != 0 || open_channel(worker) != 0) {
        worker_free(worker);
        return NULL;
    }
    counter_note(nursery_client_layers(worker->nursery));
    worker->http =
        http_client_new(loop, (unsigned)(worker->slots * CONNECTIONS_PER_SLOT + services_room(settings)));
    worker->heard_ms = clock_monotonic_ms();
    make_tasks(worker);
    say_hello(worker);
    return worker;
}

void worker_free(struct worker *worker) {
    if (worker == NULL)
        return;
    tasks_free(worker->tasks);
    services_free(worker->services);
    deletions_free(worker->deletions);
    deliveries_free(worker->deliveries);
    outbound_free(worker->outbound);
    loop_timer_free(worker->ping_timer);
    loop_timer_free(worker->drain_timer);
    loop_prepare_free(worker->prepare);
    if (worker->http != NULL)
        http_client_free(worker->http);
    if (worker->channel != NULL)
        channel_free(worker->channel, LINGER_MS);
    nursery_client_free(worker->nursery);
    free(worker);
}
