/* SPDX-License-Identifier: MIT
 * The table of services. The audience column is the trust table of the design: it decides which settings,
 * and so which secrets, a process is ever told. */
#include "supervisor/services.h"

#include "supervisor/postgres.h"
#include <signal.h>
#include <stddef.h>

static bool wants_postgres(const struct configuration *configuration) {
    return configuration->embedded_postgres;
}

static bool wants_store(const struct configuration *configuration) {
    return configuration->embedded_store;
}

/* Without the owner's URL there is nobody here who may change the schema; then it is the operator's to do. */
static bool wants_migrate(const struct configuration *configuration) {
    return configuration->settings.database_url != NULL;
}

static bool is_postgres_ready(const struct layout *layout, pid_t pid) {
    return postgres_is_ready(layout->postgres, pid);
}

const struct service services[SERVICE_COUNT] = {
    [SERVICE_POSTGRES] = {.name = "postgres",
                          .program = "filemill",
                          .verb = "embedded-postgres",
                          .stage = STAGE_DATABASE,
                          .roles = ROLE_GATEWAY | ROLE_SCHEDULER,
                          .needs = NEEDS_BOOTSTRAP,
                          .stop_signal = SIGINT, /* fast shutdown */
                          .force_signal = SIGQUIT,
                          .ready_within_ms = 600000, /* recovery after a crash may take its time */
                          .stop_within_ms = 15000,
                          .count_offset = SIZE_MAX,
                          .is_wanted = wants_postgres,
                          .is_ready = is_postgres_ready},
    [SERVICE_STORE] = {.name = "store",
                       .program = "filemill-store",
                       .stage = STAGE_STORE,
                       .roles = ROLE_STORE,
                       .audience = FOR_STORE,
                       .needs = NEEDS_COUNTERS | NEEDS_LISTENER,
                       .renewal = RENEW_REPLACE,
                       .stop_signal = SIGTERM,
                       .ready_within_ms = 60000,
                       .stop_within_ms = 5000,
                       .count_offset = SIZE_MAX,
                       .address_offset = offsetof(struct settings, store_address),
                       .port_offset = offsetof(struct settings, store_port),
                       .is_wanted = wants_store},
    [SERVICE_MIGRATE] = {.name = "migrate",
                         .program = "filemill-migrate",
                         .stage = STAGE_SCHEMA,
                         .roles = ROLE_GATEWAY | ROLE_SCHEDULER,
                         .audience = FOR_MIGRATE,
                         .ending = ENDING_IS_GOAL,
                         .stop_signal = SIGTERM,
                         .ready_within_ms = 3600000, /* a big table's new index takes its time too */
                         .stop_within_ms = 5000,
                         .count_offset = SIZE_MAX,
                         .is_wanted = wants_migrate},
    [SERVICE_SCHEDULER] = {.name = "scheduler",
                           .program = "filemill-scheduler",
                           .stage = STAGE_WORK,
                           .roles = ROLE_SCHEDULER,
                           .audience = FOR_SCHEDULER,
                           .needs = NEEDS_COUNTERS | NEEDS_CONTROL,
                           .renewal = RENEW_REPLACE,
                           .stop_signal = SIGTERM,
                           .ready_within_ms = 60000,
                           .count_offset = SIZE_MAX},
    [SERVICE_WORKER] = {.name = "worker",
                        .program = "filemill-worker",
                        .stage = STAGE_WORK,
                        .roles = ROLE_WORKER,
                        .audience = FOR_WORKER | FOR_NURSERY,
                        .needs = NEEDS_COUNTERS | NEEDS_INDEX,
                        .renewal = RENEW_REPLACE,
                        .stop_signal = SIGTERM,
                        .ready_within_ms = 60000,
                        .count_offset = offsetof(struct settings, worker_processes)},
    [SERVICE_GATEWAY] = {.name = "gateway",
                         .program = "filemill-gateway",
                         .stage = STAGE_FRONT,
                         .roles = ROLE_GATEWAY,
                         .audience = FOR_GATEWAY,
                         .needs = NEEDS_COUNTERS | NEEDS_CONTROL | NEEDS_LISTENER | NEEDS_HEALTH,
                         .renewal = RENEW_OVERLAP,
                         .stop_signal = SIGTERM,
                         .ready_within_ms = 60000,
                         .count_offset = offsetof(struct settings, gateway_processes),
                         .address_offset = offsetof(struct settings, gateway_address),
                         .port_offset = offsetof(struct settings, gateway_port)},
};

unsigned service_count(const struct service *service, const struct configuration *configuration) {
    if ((service->roles & configuration->roles) == 0 ||
        (service->is_wanted != NULL && !service->is_wanted(configuration)))
        return 0;
    if (service->count_offset == SIZE_MAX)
        return 1;
    return (unsigned)*(const int64_t *)((const char *)&configuration->settings + service->count_offset);
}
