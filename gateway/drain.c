/* SPDX-License-Identifier: MIT
 * Stopping; see drain.h. */
#include "gateway/drain.h"

#include "gateway/events.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/memory.h"
#include <signal.h>
#include <stdlib.h>

#define LINGER_MS 1000 /* without a supervisor: how long reads are still answered when all is quiet */
#define FORCED_MS 2000 /* from the second signal to the end */
#define FIRST_REQUEST_MS 1000
#define CHECK_MS 20

struct drain {
    struct gateway *gateway;
    struct loop_timer *timer;
    bool supervised;
    bool closing;
    int64_t close_ms;    /* when to stop accepting */
    int64_t deadline_ms; /* when to end whatever is in flight */
};

static int64_t least(int64_t left, int64_t right) {
    return left < right ? left : right;
}

/* Whoever had connected just before has a moment to send the request. */
static bool is_quiet(const struct drain *drain, int64_t now_ms) {
    struct gateway *gateway = drain->gateway;
    return gateway->call_count == 0 &&
           (now_ms >= drain->close_ms + FIRST_REQUEST_MS || http_server_expected(gateway->server) == 0);
}

static void check_end(void *context) {
    struct drain *drain = context;
    struct gateway *gateway = drain->gateway;
    int64_t now_ms = clock_monotonic_ms();
    if (!drain->closing && now_ms >= drain->close_ms) {
        drain->closing = true;
        http_server_drain(gateway->server);
    }
    if (drain->closing && (is_quiet(drain, now_ms) || now_ms >= drain->deadline_ms)) {
        log_info("state=stopped calls=%u", gateway->call_count);
        gateway->draining = true; /* one that retired, too: calls that end now begin nothing more */
        loop_stop(gateway->loop, 0);
        return;
    }
    loop_timer_set(drain->timer, CHECK_MS);
}

static void on_terminate(void *context, int signal_number) {
    struct drain *drain = context;
    struct gateway *gateway = drain->gateway;
    int64_t now_ms = clock_monotonic_ms();
    int64_t drain_ms = gateway->settings.drain_ms;
    if (gateway->draining) {
        drain->close_ms = now_ms;
        drain->deadline_ms = least(drain->deadline_ms, now_ms + FORCED_MS);
    } else {
        gateway->draining = true;
        drain->deadline_ms = now_ms + drain_ms;
        drain->close_ms = now_ms + (drain->supervised ? drain_ms : least(LINGER_MS, drain_ms / 2));
        events_drain(gateway->events);
        log_info("state=draining calls=%u", gateway->call_count);
    }
    check_end(drain);
}

static void on_retire(void *context, int signal_number) {
    struct drain *drain = context;
    drain->close_ms = clock_monotonic_ms();
    drain->deadline_ms = drain->close_ms + drain->gateway->settings.drain_ms;
    log_info("state=retiring calls=%u", drain->gateway->call_count);
    events_drain(drain->gateway->events);
    check_end(drain);
}

struct drain *drain_new(struct gateway *gateway, bool supervised) {
    struct drain *drain = memory_new(sizeof *drain);
    *drain = (struct drain){
        .gateway = gateway, .supervised = supervised, .close_ms = INT64_MAX, .deadline_ms = INT64_MAX};
    drain->timer = loop_timer_new(gateway->loop, check_end, drain);
    loop_signal_new(gateway->loop, SIGTERM, on_terminate, drain);
    loop_signal_new(gateway->loop, SIGINT, on_terminate, drain);
    loop_signal_new(gateway->loop, SIGUSR2, on_retire, drain);
    return drain;
}

void drain_free(struct drain *drain) {
    loop_timer_free(drain->timer);
    free(drain);
}
