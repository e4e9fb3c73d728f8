/* SPDX-License-Identifier: MIT
 * Stopping. Work and front are asked to go together (gateways go on answering reads meanwhile); when the work
 * is done the front is asked again, then the stages below stop one after the other, in reverse of their
 * start. A child's first stop signal means "drain", its second "the deadline is now". */
#include "supervisor/supervisor.h"

#include "lib/log.h"
#include "supervisor/notify.h"

#define FRONT_CLOSE_MS 3000 /* from a gateway's second signal to its end */

static bool is_stage_gone(const struct supervisor *supervisor, enum stage stage) {
    for (unsigned i = 0; i < SERVICE_COUNT; i++) {
        for (unsigned j = 0; services[i].stage == stage && j < CHILDREN_MAX; j++) {
            const struct child *child = supervisor->children[i][j];
            if (child != NULL && (!child_is_gone(child) || child->state != CHILD_STOPPED))
                return false;
        }
    }
    return true;
}

static void stop_stage(struct supervisor *supervisor, enum stage stage) {
    for (unsigned i = 0; i < SERVICE_COUNT; i++) {
        for (unsigned j = 0; services[i].stage == stage && j < CHILDREN_MAX; j++) {
            struct child *child = supervisor->children[i][j];
            /* Without a limit of its own the drain's deadline is the limit. */
            if (child != NULL)
                child_stop(child, services[i].stop_within_ms > 0 ? services[i].stop_within_ms : -1);
        }
    }
}

static void press_stage(struct supervisor *supervisor, enum stage stage, int64_t grace_ms) {
    for (unsigned i = 0; i < SERVICE_COUNT; i++) {
        for (unsigned j = 0; services[i].stage == stage && j < CHILDREN_MAX; j++) {
            if (supervisor->children[i][j] != NULL)
                child_press(supervisor->children[i][j], grace_ms);
        }
    }
}

static void kill_child(struct supervisor *supervisor, struct child *child) {
    if (supervisor->stop_requests > 2 || child->service->stage >= STAGE_WORK)
        child_kill(child);
}

static void on_deadline(void *context) {
    struct supervisor *supervisor = context;

    log_warn("event=drain_deadline state=forced");
    supervisor_each(supervisor, kill_child);
}

static void begin(struct supervisor *supervisor) {
    int64_t drain_ms = supervisor->configuration.settings.drain_ms;

    supervisor->phase = PHASE_DRAINING;
    supervisor->drain_step = DRAIN_WORK;
    notify_send("STOPPING=1\nSTATUS=draining");
    log_info("state=draining deadline_ms=%lld", (long long)drain_ms);
    supervisor->drain_deadline = loop_timer_new(supervisor->loop, on_deadline, supervisor);
    loop_timer_set(supervisor->drain_deadline, drain_ms + CHILD_RELEASE_MS);
    stop_stage(supervisor, STAGE_FRONT);
    stop_stage(supervisor, STAGE_WORK);
    stop_stage(supervisor, STAGE_SCHEMA);
}

void drain_request(struct supervisor *supervisor) {
    supervisor->stop_requests++;
    if (supervisor->stop_requests == 1) {
        begin(supervisor);
    } else if (supervisor->stop_requests == 2) {
        log_info("state=draining event=deadline_now");
        press_stage(supervisor, STAGE_WORK, CHILD_RELEASE_MS);
        press_stage(supervisor, STAGE_FRONT, CHILD_RELEASE_MS);
        loop_timer_set(supervisor->drain_deadline, CHILD_RELEASE_MS);
    } else {
        supervisor_each(supervisor, kill_child);
    }
    loop_timer_set(supervisor->turn, 0);
}

static void finish(struct supervisor *supervisor) {
    supervisor->phase = PHASE_STOPPED;
    loop_timer_stop(supervisor->drain_deadline);
    loop_stop(supervisor->loop, 0);
}

void drain_advance(struct supervisor *supervisor) {
    if (supervisor->drain_step == DRAIN_WORK && is_stage_gone(supervisor, STAGE_WORK) &&
        is_stage_gone(supervisor, STAGE_SCHEMA)) {
        supervisor->drain_step = DRAIN_FRONT;
        press_stage(supervisor, STAGE_FRONT, FRONT_CLOSE_MS);
    }
    if (supervisor->drain_step == DRAIN_FRONT && is_stage_gone(supervisor, STAGE_FRONT)) {
        supervisor->drain_step = DRAIN_REST;
        supervisor->drain_stage = STAGE_STORE;
        loop_timer_stop(supervisor->drain_deadline);
        stop_stage(supervisor, STAGE_STORE);
    }
    if (supervisor->drain_step == DRAIN_REST && supervisor->drain_stage == STAGE_STORE &&
        is_stage_gone(supervisor, STAGE_STORE)) {
        supervisor->drain_stage = STAGE_DATABASE;
        stop_stage(supervisor, STAGE_DATABASE);
    }
    if (supervisor->drain_step == DRAIN_REST && supervisor->drain_stage == STAGE_DATABASE &&
        is_stage_gone(supervisor, STAGE_DATABASE))
        finish(supervisor);
}
