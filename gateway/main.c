/* SPDX-License-Identifier: MIT
 * filemill-gateway: the REST API. Wiring only. */
#include "gateway/auth.h"
#include "gateway/call.h"
#include "gateway/drain.h"
#include "gateway/events.h"
#include "gateway/health.h"
#include "gateway/identify.h"
#include "gateway/measure.h"
#include "gateway/openapi.h"
#include "gateway/rate.h"
#include "gateway/request.h"
#include "gateway/scheduler_link.h"
#include "storage/keyring.h"
#include "gateway/statements.h"
#include "http/outbound.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/process.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CONNECTIONS 4096
#define HEAD_TIMEOUT_S 15
#define STATEMENT_TIMEOUT_MS 5000
#define MAX_WAITING 2000
#define STORAGE_CONNECTIONS 64
#define CLEANING_MS (10 * 60 * 1000)

struct process {
    struct gateway gateway;
    struct loop_timer *cleaning;
    struct loop_timer *gauge;
};

static int inherited_listener(void) {
    uint64_t fd;
    const char *text = getenv("FILEMILL_LISTEN_FD");
    if (text == NULL) {
        return -1;
    }
    if (text_parse_u64(text, 0, 1000000, &fd) != 0 || fcntl((int)fd, F_SETFD, FD_CLOEXEC) != 0) {
        fatal("FILEMILL_LISTEN_FD is not an open descriptor");
    }
    return (int)fd;
}

static void on_scheduler_event(void *context, const char *file) {
    struct gateway *gateway = context;
    events_notify(gateway->events, file);
}

static void cleaned(void *context, const struct database_answer *answer) {
    struct process *process = context;
    loop_timer_set(process->cleaning, CLEANING_MS);
}

static void clean(void *context) {
    struct process *process = context;
    const struct query query = {.statement = &statements[STATEMENT_IDEMPOTENCY_EXPIRE]};
    database_run(process->gateway.database, NULL, &query, 1, cleaned, process);
}

static void publish(void *context) {
    struct process *process = context;
    counter_set(COUNT_HTTP_CONNECTIONS, http_server_connections(process->gateway.server));
    loop_timer_set(process->gauge, 1000);
}

/* --- wiring --- */

static void connect_parts(struct gateway *gateway) {
    const struct settings *settings = &gateway->settings;
    char error[256];
    const char *url =
        settings->gateway_database_url != NULL ? settings->gateway_database_url : settings->database_url;
    if (url == NULL) {
        fatal("option=database-url error=\"not set\"");
    }
    gateway->storage = storage_new(settings, error, sizeof error);
    if (gateway->storage == NULL) {
        fatal("%s", error);
    }
    gateway->keyring = keyring_new(settings, error, sizeof error);
    if (gateway->keyring == NULL) {
        fatal("option=%s", error);
    }
    gateway->outbound = outbound_new(settings->webhook_allow_http, settings->webhook_allow_private,
                                     settings->webhook_allow_networks, error, sizeof error);
    if (gateway->outbound == NULL) {
        fatal("option=webhook-allow-networks error=\"%s\"", error);
    }
    gateway->identify = identify_new(gateway->loop, settings->sandbox_required);
    gateway->client = http_client_new(gateway->loop, STORAGE_CONNECTIONS);
    gateway->auth = auth_new(gateway->loop, gateway->client, settings);
    gateway->rate = rate_new(settings->rate_per_minute);
    gateway->events = events_new(gateway);
    gateway->measures = measures_new(gateway->loop);
    gateway->health = health_new(gateway);
    char *own = memory_format("http://%s:%lld", settings->gateway_address, (long long)settings->gateway_port);
    gateway->openapi = openapi_document(settings->public_url != NULL ? settings->public_url : own,
                                        settings->max_upload_bytes);
    free(own);
    gateway->database = database_new(gateway->loop, &(struct database_options){
                                                        .url = url,
                                                        .role = "filemill_gateway",
                                                        .application_name = "filemill-gateway",
                                                        .connections = (unsigned)settings->database_pool,
                                                        .prepare = settings->database_prepare,
                                                        .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
                                                        .max_waiting = MAX_WAITING,
                                                    });
    gateway->scheduler = scheduler_link_new(gateway->loop, settings->channel_endpoint, url, settings->node,
                                            on_scheduler_event, gateway);
}

static void listen_for_clients(struct gateway *gateway, int listener) {
    gateway->server = http_server_new(gateway->loop,
                                      &(struct http_server_options){
                                          .listen_fd = listener,
                                          .address = gateway->settings.gateway_address,
                                          .port = (uint16_t)gateway->settings.gateway_port,
                                          .reuse_port = true,
                                          .max_connections = MAX_CONNECTIONS,
                                          .head_timeout_s = HEAD_TIMEOUT_S,
                                      },
                                      &request_handlers, gateway);
    if (gateway->server == NULL) {
        fatal("option=gateway-port error=\"can't listen on %s port %lld\"", gateway->settings.gateway_address,
              (long long)gateway->settings.gateway_port);
    }
}

static void disconnect_parts(struct gateway *gateway) {
    auth_free(gateway->auth);          /* may have a transfer under way */
    http_client_free(gateway->client); /* nothing comes back to a call after these two */
    identify_free(gateway->identify);
    database_free(gateway->database);
    http_server_free(gateway->server);
    call_free_all(gateway);
    scheduler_link_free(gateway->scheduler);
    health_free(gateway->health);
    events_free(gateway->events);
    measures_free(gateway->measures);
    rate_free(gateway->rate);
    keyring_free(gateway->keyring);
    storage_free(gateway->storage);
    outbound_free(gateway->outbound);
    free(gateway->openapi);
}

int main(void) {
    struct process process = {0};
    struct gateway *gateway = &process.gateway;
    settings_load(&gateway->settings, "gateway");
    counters_attach();
    int listener = inherited_listener();
    bool supervised = getenv("FILEMILL_HEALTH_FD") != NULL; /* connect_parts takes it */
    gateway->loop = loop_new();
    connect_parts(gateway);
    listen_for_clients(gateway, listener);
    struct drain *drain = drain_new(gateway, supervised);
    process.cleaning = loop_timer_new(gateway->loop, clean, &process);
    process.gauge = loop_timer_new(gateway->loop, publish, &process);
    loop_timer_set(process.cleaning, CLEANING_MS);
    loop_timer_set(process.gauge, 0);
    log_info("state=serving port=%u", http_server_port(gateway->server));
    process_report_ready();
    int status = loop_run(gateway->loop);
    drain_free(drain);
    disconnect_parts(gateway);
    loop_free(gateway->loop);
    settings_clear(&gateway->settings);
    return status;
}
