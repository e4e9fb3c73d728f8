/* SPDX-License-Identifier: MIT
 * Health and readiness; see health.h. The store is asked by a HEAD of an object that is never there: any
 * answer but a server error will do. Its word holds for two seconds, and calls that come meanwhile wait for
 * one question. */
#include "gateway/health.h"

#include "gateway/call.h"
#include "gateway/json.h"
#include "gateway/module.h"
#include "gateway/scheduler_link.h"
#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/memory.h"
#include "storage/keys.h"
#include <stdlib.h>

#define HOLDS_MS 2000
#define PROBE_TIMEOUT_MS 2000
#define MAX_WAITING 64
#define NOBODY "00000000-0000-0000-0000-000000000000"

struct health {
    struct gateway *gateway;
    const struct counters *supervisor; /* NULL: started by hand */
    struct http_transfer *transfer;
    int64_t asked_ms;
    bool asked;
    bool storage;
    struct call *waiting[MAX_WAITING];
    size_t waiting_count;
};

struct health *health_new(struct gateway *gateway) {
    struct health *health = memory_new(sizeof *health);
    health->gateway = gateway;
    health->supervisor = counters_open_health();
    return health;
}

void health_free(struct health *health) {
    free(health);
}

static void handle_health(struct call *call) {
    call_respond(call, 200, "{\"ok\":true}");
}

static void answer(struct call *call) {
    const struct gateway *gateway = call->gateway;
    const struct health *health = gateway->health;
    uint64_t failed =
        health->supervisor != NULL ? counters_read(health->supervisor, COUNT_SUPERVISOR_FAILED) : 0;
    bool database = database_is_available(gateway->database);
    bool scheduler = scheduler_link_is_up(gateway->scheduler);
    json_t *parts = json_pack("{s:b,s:b,s:b,s:b}", "database", database, "storage", health->storage,
                              "scheduler", scheduler, "services", failed == 0);
    if (gateway->draining) {
        call_problem(call, PROBLEM_DRAINING, NULL);
        json_decref(parts);
    } else if (database && health->storage && scheduler && failed == 0) {
        json_decref(parts);
        call_respond(call, 200, "{\"ok\":true}");
    } else {
        call_problem_with(call, PROBLEM_NOT_READY, NULL, json_pack("{s:o}", "details", parts));
    }
}

static void probed(void *context, const struct http_client_reply *reply) {
    struct health *health = context;
    health->transfer = NULL;
    health->storage = reply->error == HTTP_CLIENT_OK && reply->status < 500;
    size_t count = health->waiting_count;
    health->waiting_count = 0;
    for (size_t i = 0; i < count; i++) {
        answer(health->waiting[i]);
        call_release(health->waiting[i]);
    }
}

static void probe(struct health *health) {
    char key[KEY_MAX + 1];
    char url[STORAGE_URL_MAX];
    health->asked = true;
    health->asked_ms = clock_monotonic_ms();
    if (key_original(key, sizeof key, NOBODY, NOBODY, NOBODY, "bin") != 0 ||
        storage_presign(
            health->gateway->storage,
            &(struct storage_presign){
                .method = "HEAD", .key = key, .expires_s = 60, .internal = true, .content_length = -1},
            url, sizeof url) != 0) {
        health->storage = false;
        return;
    }
    const struct http_client_request request = {
        .method = "HEAD",
        .url = url,
        .upload_fd = -1,
        .sink_fd = -1,
        .max_bytes = 65536,
        .max_body = 0,
        .timeout_ms = PROBE_TIMEOUT_MS,
    };
    health->transfer = http_client_start(health->gateway->client, &request, probed, health);
}

static void handle_ready(struct call *call) {
    struct health *health = call->gateway->health;
    if (health->transfer == NULL && (!health->asked || clock_monotonic_ms() - health->asked_ms >= HOLDS_MS)) {
        probe(health);
    }
    if (health->transfer != NULL && health->waiting_count < MAX_WAITING) {
        call_hold(call);
        health->waiting[health->waiting_count++] = call;
        return;
    }
    answer(call);
}

/* ---- what it serves ---- */

static const struct route routes[] = {
    {.method = "GET",
     .pattern = "/health",
     .operation = "health",
     .handler = handle_health,
     .summary = "Is this process alive?",
     .success = 200,
     .response = "Ok"},
    {.method = "GET",
     .pattern = "/ready",
     .operation = "ready",
     .handler = handle_ready,
     .summary = "Is everything that requests need there?",
     .success = 200,
     .response = "Ok",
     .problems = {PROBLEM_NOT_READY, PROBLEM_DRAINING}},
};

const struct gateway_module health_module = {.name = "health", MODULE_ROUTES(routes)};
