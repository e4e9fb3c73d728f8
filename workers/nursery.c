/* SPDX-License-Identifier: MIT
 * The nursery's loop: packets from the worker, ends of runners, deadlines, renewal. It forks, so it must stay
 * single-threaded; whatever it cannot do for one document is that document's failure, never its own. */
#include "workers/nursery.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/process.h"
#include "lib/text.h"
#include "workers/nursery_runners.h"
#include "workers/nursery_siblings.h"
#include "workers/nursery_wire.h"
#include "workers/processor.h"
#include "workers/runner.h"

#define SEND_PATIENCE_MS 10000
#define PACKETS_PER_TURN 16
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct nursery {
    const struct nursery_start *start;
    struct loop *loop;
    struct loop_timer *look_timer;
    struct siblings *siblings; /* of the first */
    uint64_t documents;
    bool renewal_wanted;
    struct runner_slot slots[NURSERY_MAX_RUNNERS];
    struct wire_packet packet;
};

static void note_text(struct message_pair *pair, const char *key, const char *text) {
    *pair = (struct message_pair){.key = key, .text = text};
}

static void note_number(struct message_pair *pair, const char *key, uint64_t number) {
    *pair = (struct message_pair){.key = key, .number = number};
}

/* The worker always reads; one that does not for so long is as good as dead. */
static void tell(const struct message_pair *pairs, size_t count) {
    while (wire_send(NURSERY_SOCKET, pairs, count, NULL, 0) != 0) {
        struct pollfd writable = {.fd = NURSERY_SOCKET, .events = POLLOUT};
        if (errno != EAGAIN || poll(&writable, 1, SEND_PATIENCE_MS) <= 0)
            fatal_errno("worker does not listen");
    }
}

static void tell_ended(uint64_t id, const char *reason, const char *detail, const struct runner_entry *entry,
                       const struct rusage *usage) {
    struct message_pair pairs[8];
    uint64_t cpu_us = 0;

    note_text(&pairs[0], "verb", "ended");
    note_number(&pairs[1], "id", id);
    note_text(&pairs[2], "reason", reason);
    note_text(&pairs[3], "detail", detail);
    if (usage != NULL) {
        cpu_us = (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000 +
                 (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
    }
    note_number(&pairs[4], "cpu_us", cpu_us);
    note_number(&pairs[5], "peak_rss_bytes", usage == NULL ? 0 : (uint64_t)usage->ru_maxrss * 1024);
    note_number(&pairs[6], "wall_ms",
                entry == NULL ? 0 : (uint64_t)(clock_monotonic_ms() - entry->started_ms));
    note_number(&pairs[7], "pid", entry == NULL ? 0 : (uint64_t)entry->pid);
    tell(pairs, COUNT_OF(pairs));
}

/* --- looking after runners ------------------------------------------------------------------------------- */

static void arm_look_timer(struct nursery *nursery) {
    int64_t next = INT64_MAX;
    int64_t now = clock_monotonic_ms();

    for (size_t i = 0; i < NURSERY_MAX_RUNNERS; i++) {
        if (nursery->slots[i].entry.id != 0 && runner_next_look(&nursery->slots[i]) < next)
            next = runner_next_look(&nursery->slots[i]);
    }
    if (next == INT64_MAX)
        loop_timer_stop(nursery->look_timer);
    else
        loop_timer_set(nursery->look_timer, next > now ? next - now : 0);
}

static void on_look(void *context) {
    struct nursery *nursery = context;
    int64_t now = clock_monotonic_ms();

    for (size_t i = 0; i < NURSERY_MAX_RUNNERS; i++) {
        if (nursery->slots[i].entry.id != 0)
            runner_look(&nursery->slots[i], now);
    }
    arm_look_timer(nursery);
}

static void free_slot(struct runner_slot *slot) {
    loop_watch_free(slot->watch);
    if (slot->progress != NULL)
        munmap(slot->progress, PROGRESS_PAGE_BYTES);
    close(slot->entry.progress_fd);
    close(slot->entry.pidfd);
    memset(slot, 0, sizeof *slot);
}

static void describe_end(char *target, size_t size, const struct death *death, const struct runner_entry *entry) {
    if (death->order == ORDER_SPINNING && WIFSIGNALED(death->wait_status))
        (void)text_format(target, size, "no step forward in %.1f s of processor time",
                          (double)(entry->last_cpu_ms - entry->step_cpu_ms) / 1000);
    else
        process_describe_status(target, size, death->wait_status);
}

static void on_runner_end(void *context, uint32_t events) {
    struct runner_slot *slot = context;
    struct nursery *nursery = slot->nursery;
    struct rusage usage;
    char detail[80];
    int status;

    if (wait4(slot->entry.pid, &status, WNOHANG, &usage) != slot->entry.pid)
        return;
    uint64_t cpu_ms = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
                      (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
    struct death death = {.wait_status = status, .order = slot->entry.order, .cpu_ms = cpu_ms,
                          .cpu_limit_ms = slot->entry.cpu_limit_seconds * 1000};
    const struct reason_row *reason = death_reason(&death);
    describe_end(detail, sizeof detail, &death, &slot->entry);
    tell_ended(slot->entry.id, reason == NULL ? "" : reason->code, detail, &slot->entry, &usage);
    free_slot(slot);
    arm_look_timer(nursery);
}

static void watch_runner(struct nursery *nursery, struct runner_slot *slot) {
    slot->nursery = nursery;
    slot->watch = loop_watch_new(nursery->loop, slot->entry.pidfd, LOOP_READ, on_runner_end, slot);
}

/* --- starting runners ------------------------------------------------------------------------------------ */

static int take_descriptors(struct wire_packet *packet, struct runner_request *request, int *progress_fd) {
    uint64_t outputs = wire_number(packet, "outputs");
    size_t next = 2;

    request->result = wire_take(packet, 0);
    *progress_fd = wire_take(packet, 1);
    request->input = wire_number(packet, "input") != 0 ? wire_take(packet, next++) : -1;
    request->parts = wire_number(packet, "parts") != 0 ? wire_take(packet, next++) : -1;
    for (size_t i = 0; i < MESSAGE_MAX_OUTPUTS; i++) {
        bool wanted = (outputs >> i & 1) != 0;
        request->outputs[i] = wanted ? wire_take(packet, next++) : -1;
        if (wanted && request->outputs[i] < 0)
            return -1;
    }
    return request->result < 0 || *progress_fd < 0 ? -1 : 0;
}

static void close_if_open(int fd) {
    if (fd >= 0)
        close(fd);
}

static void close_request(const struct runner_request *request, int progress_fd) {
    close_if_open(progress_fd);
    close_if_open(request->result);
    close_if_open(request->input);
    close_if_open(request->parts);
    for (size_t i = 0; i < MESSAGE_MAX_OUTPUTS; i++)
        close_if_open(request->outputs[i]);
}

static void read_request(const struct wire_packet *packet, struct runner_request *request) {
    request->row = processor_find(wire_text(packet, "type"));
    request->mime = wire_text(packet, "mime");
    request->parameters = wire_text(packet, "parameters");
    request->input_bytes = wire_number(packet, "input_bytes");
    request->pages = wire_number(packet, "pages");
    request->pixels = wire_number(packet, "pixels");
    request->memory_bytes = wire_number(packet, "memory_bytes");
    request->output_bytes = wire_number(packet, "output_bytes");
    request->cpu_seconds = wire_number(packet, "cpu_seconds");
    request->parts_bytes = wire_number(packet, "parts_bytes");
    request->range_pages = wire_number(packet, "range_pages");
    request->ranges = wire_number(packet, "ranges");
    request->joins = wire_number(packet, "joins") != 0;
}

static struct processor_guards guards_of(const struct settings *settings) {
    return (struct processor_guards){
        .dpi = (uint64_t)settings->limit_dpi,
        .archive_entries = (uint64_t)settings->limit_archive_entries,
        .archive_ratio = (uint64_t)settings->limit_archive_ratio,
        .archive_bytes = (uint64_t)settings->limit_archive_bytes,
        .depth = (uint64_t)settings->limit_depth,
        .characters = (uint64_t)settings->limit_characters,
        .audio_seconds = (uint64_t)settings->limit_audio_seconds,
    };
}

/* A runner sees its own progress page only. */
static void forget_others(const struct nursery *nursery, const struct runner_slot *own) {
    for (size_t i = 0; i < NURSERY_MAX_RUNNERS; i++) {
        const struct runner_slot *slot = &nursery->slots[i];
        if (slot != own && slot->entry.id != 0)
            munmap(slot->progress, PROGRESS_PAGE_BYTES);
    }
}

static int fork_runner(struct nursery *nursery, struct runner_slot *slot, struct runner_request *request) {
    struct runner_entry *entry = &slot->entry;

    slot->progress = mmap(NULL, PROGRESS_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, entry->progress_fd, 0);
    if (slot->progress == MAP_FAILED) {
        slot->progress = NULL;
        return -1;
    }
    if (processor_prepare(request->row) != 0) {
        errno = ENODATA;
        return -1;
    }
    request->progress = slot->progress;
    request->nursery = getpid();
    request->mapped_bytes = sandbox_mapped_bytes();
    entry->pid = fork();
    if (entry->pid < 0)
        return -1;
    if (entry->pid == 0) {
        forget_others(nursery, slot);
        runner_run(request, nursery->start->sandbox);
    }
    entry->pidfd = (int)syscall(SYS_pidfd_open, entry->pid, 0);
    if (entry->pidfd < 0)
        fatal_errno("no pidfd for a runner"); /* which would go unwatched: it dies with us */
    return 0;
}

static struct runner_slot *find_slot(struct nursery *nursery, uint64_t id) {
    for (size_t i = 0; i < NURSERY_MAX_RUNNERS; i++) {
        if (nursery->slots[i].entry.id == id)
            return &nursery->slots[i];
    }
    return NULL;
}

static void tell_started(uint64_t id, pid_t pid) {
    struct message_pair pairs[3];

    note_text(&pairs[0], "verb", "started");
    note_number(&pairs[1], "id", id);
    note_number(&pairs[2], "pid", (uint64_t)pid);
    tell(pairs, COUNT_OF(pairs));
}

static void start_deadlines(struct runner_entry *entry, const struct wire_packet *packet) {
    int64_t now = clock_monotonic_ms();
    uint64_t wall_ms = wire_number(packet, "wall_ms");
    uint64_t quiet_ms = wire_number(packet, "no_progress_ms");

    entry->started_ms = now;
    entry->quiet_since_ms = now;
    entry->wall_deadline_ms = wall_ms == 0 || wall_ms > INT32_MAX ? INT64_MAX : now + (int64_t)wall_ms;
    entry->no_progress_ms = quiet_ms > INT32_MAX ? INT32_MAX : quiet_ms;
    entry->next_look_ms = quiet_ms == 0 ? INT64_MAX : now + (int64_t)entry->no_progress_ms / 4 + 1;
    entry->cpu_limit_seconds = wire_number(packet, "cpu_seconds");
}

static void handle_run(struct nursery *nursery, struct wire_packet *packet) {
    struct runner_request request = {.input = -1, .parts = -1, .result = -1};
    uint64_t id = wire_number(packet, "id");
    struct runner_slot *slot = find_slot(nursery, 0);
    int progress_fd = -1;
    const char *failure = NULL;

    memset(request.outputs, -1, sizeof request.outputs);
    read_request(packet, &request);
    request.guards = guards_of(nursery->start->settings);
    if (id == 0 || slot == NULL || request.row == NULL ||
        request.row->profile >= PROFILE_COUNT ||
        take_descriptors(packet, &request, &progress_fd) != 0) {
        close_request(&request, progress_fd);
        tell_ended(id, "no_runner", "malformed request", NULL, NULL);
        return;
    }
    memset(slot, 0, sizeof *slot);
    slot->entry.progress_fd = progress_fd;
    slot->entry.pidfd = -1;
    if (fork_runner(nursery, slot, &request) != 0)
        failure = errno == EAGAIN || errno == ENOMEM ? "no room for a process" : "runner not started";
    close_request(&request, -1); /* the slot keeps the progress page */
    if (failure != NULL) {
        log_warn_errno("document=%llu state=refused", (unsigned long long)id);
        free_slot(slot);
        tell_ended(id, "no_runner", failure, NULL, NULL);
        return;
    }
    slot->entry.id = id;
    start_deadlines(&slot->entry, packet);
    watch_runner(nursery, slot);
    tell_started(id, slot->entry.pid);
    arm_look_timer(nursery);
    nursery->documents++;
    nursery->renewal_wanted = nursery->documents >= (uint64_t)nursery->start->settings->nursery_documents;
}

static void handle_cancel(struct nursery *nursery, struct wire_packet *packet) {
    uint64_t id = wire_number(packet, "id");
    struct runner_slot *slot = id == 0 ? NULL : find_slot(nursery, id);

    if (slot != NULL)
        runner_kill(slot, ORDER_CANCELLED);
}

/* That it came was all. */
static void handle_wake(struct nursery *nursery, struct wire_packet *packet) {
}

static const struct {
    const char *verb;
    void (*handle)(struct nursery *nursery, struct wire_packet *packet);
} verbs[] = {
    {"run", handle_run},
    {"cancel", handle_cancel},
    {"wake", handle_wake},
};

static void dispatch(struct nursery *nursery, struct wire_packet *packet) {
    const char *verb = wire_text(packet, "verb");

    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        if (strcmp(verbs[i].verb, verb) == 0) {
            verbs[i].handle(nursery, packet);
            return;
        }
    }
    log_warn("verb=unknown state=dropped");
}

/* --- renewal --------------------------------------------------------------------------------------------- */

void nursery_write_state(const struct nursery_start *start, char target[NURSERY_STATE_SIZE]) {
    size_t length;

    (void)text_format(target, NURSERY_STATE_SIZE, "%d %llu %d", start->carry + 1,
                      (unsigned long long)start->generation, start->namespaces);
    for (int i = NURSERY_FIRST + 1; i < NURSERY_COUNT; i++) {
        length = strlen(target);
        (void)text_format(target + length, NURSERY_STATE_SIZE - length, " %d", start->siblings[i]);
    }
}

int nursery_read_state(struct nursery_start *start, const char *state) {
    uint64_t numbers[3 + NURSERY_COUNT];
    size_t count = 0;
    char *end;

    for (const char *at = state; count < COUNT_OF(numbers) && *at != '\0'; at = end) {
        numbers[count++] = strtoull(at, &end, 10);
        if (end == at)
            return -1;
    }
    if (count != 3 + NURSERY_COUNT - 1 || numbers[0] > INT32_MAX || numbers[2] > 1)
        return -1;
    start->carry = (int)numbers[0] - 1;
    start->generation = numbers[1];
    start->namespaces = numbers[2] == 1;
    for (int i = NURSERY_FIRST + 1; i < NURSERY_COUNT; i++)
        start->siblings[i] = (pid_t)numbers[2 + i];
    return 0;
}

/* Engines leak and a forked address layout is shared by all runners: a new image has neither. What waits in
 * the socket waits a tenth of a second longer. */
static void renew(struct nursery *nursery) {
    struct nursery_start next = *nursery->start;
    char program[] = "filemill-nursery", state[NURSERY_STATE_SIZE];
    char *arguments[] = {program, state, NULL};
    int fd = runners_carry(nursery->slots, NURSERY_MAX_RUNNERS);

    nursery->renewal_wanted = false;
    nursery->documents = 0;
    if (fd < 0) {
        log_warn_errno("state=renewal-put-off");
        return;
    }
    next.carry = fd;
    next.generation++;
    for (int i = 0; i < NURSERY_COUNT && nursery->siblings != NULL; i++)
        next.siblings[i] = siblings_pid(nursery->siblings, (enum processor_nursery)i);
    nursery_write_state(&next, state);
    log_debug("state=renewing generation=%llu", (unsigned long long)next.generation);
    (void)syscall(SYS_execveat, next.program, "", arguments, environ, AT_EMPTY_PATH);
    log_warn_errno("state=renewal-put-off");
    close(fd);
}

static void on_worker(void *context, uint32_t events) {
    struct nursery *nursery = context;

    for (int i = 0; i < PACKETS_PER_TURN && !nursery->renewal_wanted; i++) {
        switch (wire_receive(NURSERY_SOCKET, &nursery->packet)) {
        case WIRE_PACKET:
            dispatch(nursery, &nursery->packet);
            wire_close(&nursery->packet);
            /* The next runner must not find this document's parameters in its memory. */
            explicit_bzero(nursery->packet.bytes, nursery->packet.size);
            break;
        case WIRE_BAD:
            log_warn("peer=worker state=dropped error=\"malformed packet\"");
            break;
        case WIRE_NOTHING:
            return;
        case WIRE_CLOSED:
            loop_stop(nursery->loop, 0);
            return;
        }
    }
}

static void before_sleep(void *context) {
    struct nursery *nursery = context;

    if (nursery->renewal_wanted)
        renew(nursery);
}

static void tell_ready(const struct nursery_start *start) {
    struct message_pair pairs[6];
    char layers[SANDBOX_LAYERS_SIZE];
    char engines[MESSAGE_ENGINES_SIZE];

    sandbox_describe(start->sandbox, start->namespaces, layers);
    note_text(&pairs[0], "verb", "ready");
    note_number(&pairs[1], "pid", (uint64_t)getpid());
    note_number(&pairs[2], "generation", start->generation);
    note_text(&pairs[3], "layers", layers);
    note_number(&pairs[4], "complete", sandbox_is_complete(start->sandbox));
    if (processors_describe_engines(engines, sizeof engines) != 0)
        fatal("the engines' versions don't fit");
    note_text(&pairs[5], "engines", engines);
    tell(pairs, COUNT_OF(pairs));
}

int nursery_serve(const struct nursery_start *start) {
    struct nursery *nursery = memory_new(sizeof *nursery);
    int carried = 0;
    int status;

    nursery->start = start;
    nursery->loop = loop_new();
    nursery->look_timer = loop_timer_new(nursery->loop, on_look, nursery);
    if (start->carry >= 0)
        carried = runners_resume(nursery->slots, NURSERY_MAX_RUNNERS, start->carry);
    if (carried < 0)
        fatal_errno("runners not carried over");
    for (int i = 0; i < carried; i++)
        watch_runner(nursery, &nursery->slots[i]);
    arm_look_timer(nursery);
    loop_watch_new(nursery->loop, NURSERY_SOCKET, LOOP_READ, on_worker, nursery);
    loop_prepare_new(nursery->loop, before_sleep, nursery);
    if (nursery_which() == NURSERY_FIRST)
        nursery->siblings = siblings_new(nursery->loop, start);
    tell_ready(start);
    status = loop_run(nursery->loop);
    loop_free(nursery->loop);
    siblings_free(nursery->siblings);
    free(nursery);
    return status;
}
