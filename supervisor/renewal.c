/* SPDX-License-Identifier: MIT
 * A node that changes while it runs: rereading the configuration into a new generation of children, one child
 * at a time and front first, and other numbers of workers and slots. */
#include "supervisor/supervisor.h"

#include "lib/log.h"
#include "lib/text.h"
#include "supervisor/embedded.h"
#include "supervisor/listener.h"
#include "supervisor/notify.h"
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int64_t grace_ms(const struct supervisor *supervisor, const struct service *service) {
    return service->stop_within_ms > 0 ? service->stop_within_ms
                                       : supervisor->configuration.settings.drain_ms + CHILD_RELEASE_MS;
}

/* The sockets of a front whose address or port has changed, all or none; -1 with one line. */
static int rebind(struct supervisor *supervisor, const struct settings *old, char *error, size_t error_size) {
    const struct settings *new = &supervisor->configuration.settings;
    int fds[CHILDREN_MAX];
    char detail[256];

    if (strcmp(old->gateway_address, new->gateway_address) == 0 && old->gateway_port == new->gateway_port)
        return 0;
    for (unsigned i = 0; i < CHILDREN_MAX && supervisor->children[SERVICE_GATEWAY][i] != NULL; i++) {
        fds[i] =
            listener_open(new->gateway_address, (uint16_t) new->gateway_port, i == 0, detail, sizeof detail);
        if (fds[i] < 0) {
            (void)text_format(error, error_size, "gateway-port: %s", detail);
            while (i-- > 0)
                close(fds[i]);
            return -1;
        }
    }
    for (unsigned i = 0; i < CHILDREN_MAX && supervisor->children[SERVICE_GATEWAY][i] != NULL; i++) {
        struct child *child = supervisor->children[SERVICE_GATEWAY][i];
        close(child->listen_fd); /* its running process keeps its own copy until it goes */
        child->listen_fd = fds[i];
        (void)listen(child->listen_fd, 1024);
    }
    return 0;
}

/* Adds places, or asks the highest ones to go; the emptied are freed by renewal_advance. */
static int resize(struct supervisor *supervisor, unsigned service, unsigned count, char *error,
                  size_t error_size) {
    for (unsigned i = supervisor->counts[service]; i < count; i++) {
        struct child *child = supervisor->children[service][i];
        if (child == NULL)
            child = supervisor_add_child(supervisor, service, i, error, error_size);
        if (child == NULL)
            return -1;
        supervisor->counts[service] = i + 1;
        if (child->state == CHILD_STOPPED)
            child_start(child);
        else if (child->state == CHILD_STOPPING)
            child->starts_again = true;
    }
    for (unsigned i = count; i < supervisor->counts[service]; i++)
        child_stop(supervisor->children[service][i], grace_ms(supervisor, &services[service]));
    supervisor->counts[service] = count;
    loop_timer_set(supervisor->turn, 0);
    return 0;
}

static void begin_generation(struct supervisor *supervisor) {
    supervisor->host.generation++;
    supervisor->renewing = true;
    notify_reloading();
    log_info("event=renewing generation=%u", supervisor->host.generation);
    loop_timer_set(supervisor->turn, 0);
}

static int apply(struct supervisor *supervisor, struct configuration *fresh, char *error, size_t error_size) {
    struct configuration old = supervisor->configuration;

    supervisor->configuration = *fresh;
    if (rebind(supervisor, &old.settings, error, error_size) != 0) {
        supervisor->configuration = old;
        return -1;
    }
    *fresh = old; /* the caller clears it */
    settings_apply_log(&supervisor->configuration.settings);
    if (supervisor_publish_settings(supervisor, error, error_size) != 0)
        log_warn("event=settings_not_published error=\"%s\"", error);
    begin_generation(supervisor);
    for (unsigned i = 0; i < SERVICE_COUNT; i++) {
        if (services[i].count_offset != SIZE_MAX &&
            resize(supervisor, i, service_count(&services[i], &supervisor->configuration), error,
                   error_size) != 0)
            log_error("service=%s event=not_resized error=\"%s\"", services[i].name, error);
    }
    return 0;
}

int renewal_reload(struct supervisor *supervisor, char *error, size_t error_size) {
    struct configuration fresh = {0};
    int result = -1;

    if (supervisor->phase != PHASE_SERVING) {
        (void)text_format(error, error_size, "not serving yet, or no longer");
        goto report;
    }
    if (configuration_load(&fresh, supervisor->sources, error, error_size) != 0)
        goto report;
    embedded_fill(&fresh, &supervisor->layout, &supervisor->secrets);
    const char *obstacle = configuration_obstacle(&supervisor->configuration, &fresh);
    if (obstacle != NULL) {
        (void)text_format(error, error_size, "%s: can't change while the node runs; restart it", obstacle);
        goto report;
    }
    result = apply(supervisor, &fresh, error, error_size);

report:
    if (result != 0)
        log_error("event=reload_refused error=\"%s\"", error);
    configuration_clear(&fresh);
    return result;
}

int renewal_set_workers(struct supervisor *supervisor, unsigned count, char *error, size_t error_size) {
    if (supervisor->phase != PHASE_SERVING || (supervisor->configuration.roles & ROLE_WORKER) == 0) {
        (void)text_format(error, error_size, "this node runs no workers now");
        return -1;
    }
    log_info("event=scaled workers=%u", count);
    return resize(supervisor, SERVICE_WORKER, count, error, error_size);
}

int renewal_set_slots(struct supervisor *supervisor, unsigned slots, char *error, size_t error_size) {
    if (supervisor->phase != PHASE_SERVING) {
        (void)text_format(error, error_size, "this node is not serving now");
        return -1;
    }
    supervisor->configuration.settings.worker_slots = slots;
    log_info("event=scaled slots=%u", slots);
    /* Only what reads the setting is renewed: the others are made current as they are. */
    supervisor->host.generation++;
    supervisor->renewing = true;
    for (unsigned i = 0; i < SERVICE_COUNT; i++) {
        for (unsigned j = 0; i != SERVICE_WORKER && j < CHILDREN_MAX; j++) {
            if (supervisor->children[i][j] != NULL)
                child_keep(supervisor->children[i][j]);
        }
    }
    loop_timer_set(supervisor->turn, 0);
    return 0;
}

static void free_emptied(struct supervisor *supervisor) {
    for (unsigned i = 0; i < SERVICE_COUNT; i++) {
        for (unsigned j = supervisor->counts[i]; j < CHILDREN_MAX; j++) {
            struct child *child = supervisor->children[i][j];
            if (child != NULL && child->state == CHILD_STOPPED && child_is_gone(child)) {
                child_free(child);
                supervisor->children[i][j] = NULL;
            }
        }
    }
}

/* Front first: its new generation serves beside the old one, so requests never wait for the rest. */
static const unsigned renewal_order[] = {SERVICE_GATEWAY, SERVICE_POSTGRES, SERVICE_STORE, SERVICE_SCHEDULER,
                                         SERVICE_WORKER};

enum progress { RENEWAL_DONE, RENEWAL_NEXT, RENEWAL_WAITS, RENEWAL_FAILED };

/* How the renewal stands at one child. One at a time: a bad configuration must not take all of a service. */
static enum progress judge(const struct child *child) {
    bool tried = child->generation == child->host->generation;

    if (child->renewal_failed || (child->state == CHILD_FAILED && tried))
        return RENEWAL_FAILED;
    if (child->successor != NULL || child->state == CHILD_STARTING || child->state == CHILD_STOPPING ||
        (child->state == CHILD_BACKOFF && tried))
        return RENEWAL_WAITS;
    return child_is_current(child) ? RENEWAL_DONE : RENEWAL_NEXT;
}

/* The first child in order that is not done, with how it stands; NULL when all are. */
static struct child *find_undone(struct supervisor *supervisor, enum progress *progress) {
    for (size_t i = 0; i < sizeof renewal_order / sizeof renewal_order[0]; i++) {
        for (unsigned j = 0; j < supervisor->counts[renewal_order[i]]; j++) {
            struct child *child = supervisor->children[renewal_order[i]][j];
            *progress = judge(child);
            if (*progress != RENEWAL_DONE)
                return child;
        }
    }
    return NULL;
}

static void end_renewal(struct supervisor *supervisor, struct child *culprit) {
    supervisor->renewing = false;
    notify_send("READY=1");
    if (culprit == NULL) {
        log_info("event=renewed generation=%u", supervisor->host.generation);
        return;
    }
    culprit->renewal_failed = false;
    log_error(
        "service=%s.%u event=renewal_given_up generation=%u msg=\"the new one does not get ready; what runs, "
        "runs on\"",
        culprit->service->name, culprit->index, supervisor->host.generation);
}

void renewal_advance(struct supervisor *supervisor) {
    enum progress progress = RENEWAL_DONE;

    free_emptied(supervisor);
    if (!supervisor->renewing)
        return;
    struct child *child = find_undone(supervisor, &progress);
    if (child == NULL || progress == RENEWAL_FAILED)
        end_renewal(supervisor, child);
    else if (progress == RENEWAL_NEXT)
        child_renew(child, grace_ms(supervisor, child->service));
}
