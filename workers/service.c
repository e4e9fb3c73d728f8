/* SPDX-License-Identifier: MIT
 * One line of calls per service. A turn (always from the loop's timer, so that `done` never runs inside a
 * call of the owner's) ends what can't be sent and sends what may be. */
#include "workers/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "lib/trace.h"
#include "workers/breaker.h"
#include "workers/limiter.h"
#include "workers/verdict.h"

#define TYPE_SIZE 200
#define HEAD_SIZE 8192
#define NEVER_MS INT64_MAX

struct service_call {
    struct service *service;
    struct service_call *next;
    struct service_order order;
    char content_type[TYPE_SIZE];
    service_done_fn *done;
    void *context;
    struct http_transfer *transfer; /* NULL: in line */
    uint64_t attempts, latency_ms;
    int64_t ready_ms, deadline_ms, sent_ms;
    struct verdict last; /* why it rests */
};

struct service {
    const struct service_row *row;
    struct services *services;
    struct service *next;       /* of those that orders name by URL */
    char *base;                 /* its URL; NULL: the setting's */
    struct service_call *first; /* in the order of their asking */
    struct loop_timer *timer;
    struct breaker breaker;
    struct limiter limiter;
    uint64_t open; /* requests under way */
    bool turning;  /* on_turn is at work: it must not go */
};

struct services {
    struct loop *loop;
    const struct settings *settings;
    struct http_client *http;
    const struct outbound *outbound;
    struct service each[SERVICE_COUNT];
    struct service *named; /* the one asked last comes first */
    size_t named_count;
};

/* Where the settings say what is true of each. */
static const struct service_row {
    const char *name;
    size_t url, key, concurrency, per_minute, timeout_ms;
    size_t keys; /* of those that orders name by URL; 0: they name none */
} rows[SERVICE_COUNT] = {
#define SERVICE_ROW(prefix, others)                                                                          \
    {                                                                                                        \
        .keys = (others), .name = #prefix, .url = offsetof(struct settings, prefix##_url),                   \
        .key = offsetof(struct settings, prefix##_key),                                                      \
        .concurrency = offsetof(struct settings, prefix##_concurrency),                                      \
        .per_minute = offsetof(struct settings, prefix##_per_minute),                                        \
        .timeout_ms = offsetof(struct settings, prefix##_timeout_ms)                                         \
    }
    [SERVICE_TRANSCRIBE] = SERVICE_ROW(transcribe, 0),
    [SERVICE_CHAT] = SERVICE_ROW(chat, 0),
    [SERVICE_COMPUTE] = SERVICE_ROW(compute, offsetof(struct settings, compute_keys)),
};

static const char *text_at(const struct settings *settings, size_t offset) {
    return *(char *const *)(const void *)((const char *)settings + offset);
}

static int64_t number_at(const struct settings *settings, size_t offset) {
    return *(const int64_t *)(const void *)((const char *)settings + offset);
}

static const char *base_of(const struct service *service) {
    return service->base != NULL ? service->base : text_at(service->services->settings, service->row->url);
}

static uint64_t places(const struct settings *settings, const struct service_row *row) {
    return (uint64_t)number_at(settings, row->concurrency);
}

uint64_t services_room(const struct settings *settings) {
    uint64_t room = 0;

    for (size_t i = 0; i < SERVICE_COUNT; i++) {
        bool named = rows[i].keys != 0 && text_at(settings, rows[i].keys) != NULL;
        room += text_at(settings, rows[i].url) != NULL || named ? places(settings, &rows[i]) : 0;
    }
    return 2 * (room == 0 ? 1 : room); /* none configured: room for tasks to end with that reason */
}

/* --- the line ---------------------------------------------------------------------------------------------
 */

static void call_free(struct service_call *call) {
    struct service_call **link = &call->service->first;

    while (*link != call)
        link = &(*link)->next;
    *link = call->next;
    free(call);
}

/* Takes the call out and tells its owner, who may ask for the next at once. */
static void call_end(struct service_call *call, const struct service_end *end) {
    service_done_fn *done = call->done;
    void *context = call->context;

    call_free(call);
    done(context, end);
}

static void call_give_up(struct service_call *call, const char *code, const char *detail) {
    const struct service_end end = {
        .code = code, .detail = detail, .requests = call->attempts, .latency_ms = call->latency_ms};

    call_end(call, &end);
}

/* --- one request ------------------------------------------------------------------------------------------
 */

static void note_outcome(struct service *service, const struct verdict *verdict) {
    const struct settings *settings = service->services->settings;
    const struct breaker_limits limits = {.failures = (uint64_t)settings->service_breaker_failures,
                                          .open_ms = settings->service_breaker_ms};

    counter_add(verdict->code == NULL     ? COUNT_SERVICE_ANSWERED
                : verdict->service_failed ? COUNT_SERVICE_FAILED
                                          : COUNT_SERVICE_REFUSED,
                1);
    if (!breaker_note(&service->breaker, &limits, !verdict->service_failed, clock_monotonic_ms()))
        return;
    if (service->breaker.open)
        log_warn("service=%s at=%s state=open failures=%llu for_ms=%lld", service->row->name,
                 service->base == NULL ? "" : service->base, (unsigned long long)service->breaker.failures,
                 (long long)limits.open_ms);
    else
        log_info("service=%s at=%s state=closed", service->row->name,
                 service->base == NULL ? "" : service->base);
}

static void describe(const struct service_call *call, const struct http_client_reply *reply, char *target) {
    char wait[48] = "";

    if (call->last.wait_ms > 0)
        (void)text_format(wait, sizeof wait, ", try again in %lld s",
                          (long long)(call->last.wait_ms + 999) / 1000);
    if (reply->error != HTTP_CLIENT_OK)
        (void)text_format(target, SERVICE_DETAIL_SIZE, "%s: %s, request %llu%s", call->service->row->name,
                          http_client_error_name(reply->error), (unsigned long long)call->attempts, wait);
    else
        (void)text_format(target, SERVICE_DETAIL_SIZE, "%s: status %d, request %llu%s",
                          call->service->row->name, reply->status, (unsigned long long)call->attempts, wait);
}

static void on_reply(void *context, const struct http_client_reply *reply) {
    struct service_call *call = context;
    struct service *service = call->service;
    const struct settings *settings = service->services->settings;
    const struct verdict_limits limits = {.attempts = (uint64_t)settings->service_attempts,
                                          .retry_after_ms = settings->service_retry_after_ms};
    int64_t now_ms = clock_monotonic_ms();
    char detail[SERVICE_DETAIL_SIZE] = "";

    call->transfer = NULL;
    call->latency_ms = (uint64_t)(now_ms - call->sent_ms);
    service->open--;
    call->last = verdict_of(reply, call->attempts, &limits, (int64_t)time(NULL));
    note_outcome(service, &call->last);
    loop_timer_set(service->timer, 0);
    if (call->last.again && now_ms + call->last.wait_ms < call->deadline_ms) {
        call->ready_ms = now_ms + call->last.wait_ms;
        return;
    }
    const struct service_end end = {.code = call->last.code,
                                    .detail = detail,
                                    .reply = reply,
                                    .requests = call->attempts,
                                    .latency_ms = call->latency_ms};
    if (end.code != NULL)
        describe(call, reply, detail);
    call_end(call, &end);
}

/* The service's URL and the path; a URL that ends in /v1, as some write it, before a path that begins so. */
static int join_url(const char *base, const char *path, char *target, size_t size) {
    size_t length = strlen(base);

    while (length > 0 && base[length - 1] == '/')
        length--;
    if (length >= 3 && strncmp(base + length - 3, "/v1", 3) == 0 && text_starts_with(path, "/v1/"))
        path += 3;
    return text_format(target, size, "%.*s%s", (int)length, base, path);
}

/* The key of the settings' own service, or what the list of origins and keys has for this one's. Not
 * terminated. */
static const char *key_of(const struct service *service, size_t *size) {
    const struct settings *settings = service->services->settings;
    const char *key = text_at(settings, service->row->key);

    if (service->base != NULL)
        key = service->row->keys == 0 ? NULL
                                      : service_key_for(text_at(settings, service->row->keys), service->base);
    *size = key == NULL ? 0 : strcspn(key, service->base != NULL ? "," : "");
    return key;
}

static int send_request(struct service_call *call, int64_t now_ms) {
    struct service *service = call->service;
    const struct settings *settings = service->services->settings;
    size_t key_size;
    const char *key = key_of(service, &key_size);
    int64_t timeout_ms = number_at(settings, service->row->timeout_ms), left_ms = call->deadline_ms - now_ms;
    char type[TYPE_SIZE + 20], authorization[HEAD_SIZE], url[2048], trace[TRACE_LINE_SIZE];
    const char *headers[4] = {type};
    size_t count = 1;
    struct http_client_request request = {
        .method = call->order.method != NULL ? call->order.method : "POST",
        .url = url,
        .headers = headers,
        .upload_fd = call->order.body,
        .upload_bytes = call->order.body_bytes,
        .sink_fd = -1,
        .max_bytes = (uint64_t)settings->service_answer_bytes,
        .max_body = (size_t)settings->service_answer_bytes,
        .timeout_ms = timeout_ms < left_ms ? timeout_ms : left_ms,
        .connect_timeout_ms = settings->service_connect_timeout_ms,
        .outbound = service->base != NULL ? service->services->outbound : NULL,
    };

    if (trace_line(trace, call->order.trace) == 0)
        headers[count++] = trace;
    if (key != NULL)
        headers[count] = authorization;
    if (join_url(base_of(service), call->order.path, url, sizeof url) != 0 ||
        text_format(type, sizeof type, "Content-Type: %s", call->content_type) != 0 ||
        (key != NULL && text_format(authorization, sizeof authorization, "Authorization: Bearer %.*s",
                                    (int)key_size, key) != 0))
        return -1;
    call->transfer = http_client_start(service->services->http, &request, on_reply, call);
    explicit_bzero(authorization, sizeof authorization);
    if (call->transfer == NULL)
        return -1;
    service->open++;
    call->sent_ms = now_ms;
    call->attempts++;
    return 0;
}

/* --- turns ------------------------------------------------------------------------------------------------
 */

/* What kept it from an answer until its time was over. */
static void end_late(struct service_call *call) {
    call_give_up(call, call->last.code == NULL ? "backend_unavailable" : call->last.code,
                 "no answer within the time that the task has");
}

/* Sends or ends a call whose turn it is. Returns how long to wait until it can be sent; 0: it was dealt with.
 */
static int64_t take_turn(struct service_call *call, int64_t now_ms) {
    struct service *service = call->service;
    const struct settings *settings = service->services->settings;
    char detail[SERVICE_DETAIL_SIZE];
    int64_t wait_ms;

    if (base_of(service) == NULL) {
        (void)text_format(detail, sizeof detail, "%s-url is not set", service->row->name);
        call_give_up(call, "backend_not_configured", detail);
        return 0;
    }
    if (service->base != NULL && outbound_refuses_url(service->services->outbound, service->base) != NULL) {
        call_give_up(call, "backend_refused", "a URL where nothing may be sent");
        return 0;
    }
    wait_ms = breaker_ask(&service->breaker, now_ms);
    if (wait_ms > 0) {
        (void)text_format(detail, sizeof detail, "%s: failing, left alone for %lld ms", service->row->name,
                          (long long)wait_ms);
        counter_add(COUNT_SERVICE_LEFT_ALONE, 1);
        call_give_up(call, "backend_unavailable", detail);
        return 0;
    }
    wait_ms = limiter_ask(&service->limiter, (uint64_t)number_at(settings, service->row->per_minute), now_ms);
    if (wait_ms > 0) {
        breaker_forget(&service->breaker);
        return wait_ms;
    }
    if (send_request(call, now_ms) != 0) {
        breaker_forget(&service->breaker);
        call_give_up(call, "backend_refused", "unusable URL or key");
    }
    return 0;
}

/* The first in line whose time has come; *next_ms: when the next one's will. */
static struct service_call *choose(const struct service *service, int64_t now_ms, int64_t *next_ms) {
    bool is_full = service->open >= places(service->services->settings, service->row);

    *next_ms = NEVER_MS;
    for (struct service_call *call = service->first; call != NULL; call = call->next) {
        int64_t due_ms = call->deadline_ms;
        if (call->transfer != NULL)
            continue;
        if (now_ms >= call->deadline_ms || (!is_full && now_ms >= call->ready_ms))
            return call;
        if (!is_full && call->ready_ms < due_ms)
            due_ms = call->ready_ms;
        if (due_ms < *next_ms)
            *next_ms = due_ms;
    }
    return NULL;
}

static void on_turn(void *context) {
    struct service *service = context;
    struct service_call *call;
    int64_t next_ms, wait_ms = 0;

    service->turning = true;
    while (wait_ms == 0 && (call = choose(service, clock_monotonic_ms(), &next_ms)) != NULL) {
        if (clock_monotonic_ms() >= call->deadline_ms)
            end_late(call);
        else
            wait_ms = take_turn(call, clock_monotonic_ms());
    }
    service->turning = false;
    if (wait_ms > 0)
        loop_timer_set(service->timer, wait_ms);
    else if (next_ms != NEVER_MS)
        loop_timer_set(service->timer, next_ms - clock_monotonic_ms());
}

/* --- services that orders name ---------------------------------------------------------------------------
 */

#define NAMED_MAX 32

const char *service_key_for(const char *keys, const char *url) {
    char origin[SERVICE_BASE_SIZE];

    while (keys != NULL && *keys != '\0') {
        const char *equals = strchr(keys, '='), *end = keys + strcspn(keys, ",");
        if (equals != NULL && equals < end && (size_t)(equals - keys) < sizeof origin) {
            (void)text_format(origin, sizeof origin, "%.*s", (int)(equals - keys), keys);
            if (text_has_same_origin(url, origin))
                return equals + 1;
        }
        keys = *end == ',' ? end + 1 : end;
    }
    return NULL;
}

static void service_init(struct service *service, struct services *services, const struct service_row *row) {
    service->row = row;
    service->services = services;
    service->timer = loop_timer_new(services->loop, on_turn, service);
}

static void service_clear(struct service *service) {
    while (service->first != NULL)
        // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): a cancelled call is no longer the first
        service_call_cancel(service->first);
    loop_timer_free(service->timer);
    free(service->base);
}

/* Room for one more: the one that was not asked for longest goes, unless calls of it are left. */
static void forget_one(struct services *services) {
    struct service **found = NULL;

    for (struct service **link = &services->named; *link != NULL; link = &(*link)->next) {
        if ((*link)->first == NULL && !(*link)->turning)
            found = link;
    }
    if (found != NULL) {
        struct service *service = *found;
        *found = service->next;
        service_clear(service);
        free(service);
        services->named_count--;
    }
}

static struct service *find_service(struct services *services, const struct service_order *order) {
    const struct service_row *row = &rows[order->service];
    struct service **link = &services->named, *service;

    if (order->base == NULL || order->base[0] == '\0')
        return &services->each[order->service];
    while (*link != NULL && ((*link)->row != row || strcmp((*link)->base, order->base) != 0))
        link = &(*link)->next;
    service = *link;
    if (service != NULL) {
        *link = service->next;
    } else {
        if (services->named_count >= NAMED_MAX)
            forget_one(services);
        service = memory_new(sizeof *service);
        service_init(service, services, row);
        service->base = memory_copy_text(order->base);
        services->named_count++;
    }
    service->next = services->named;
    services->named = service;
    return service;
}

/* --- for owners -------------------------------------------------------------------------------------------
 */

struct service_call *services_ask(struct services *services, const struct service_order *order,
                                  service_done_fn *done, void *context) {
    struct service *service = find_service(services, order);
    struct service_call *call = memory_new(sizeof *call);
    struct service_call **last = &service->first;

    while (*last != NULL)
        last = &(*last)->next;
    call->service = service;
    *last = call;
    call->order = *order;
    (void)text_copy(call->content_type, sizeof call->content_type, order->content_type);
    call->done = done;
    call->context = context;
    call->ready_ms = clock_monotonic_ms();
    call->deadline_ms = call->ready_ms + order->wall_ms;
    loop_timer_set(service->timer, 0);
    return call;
}

void service_call_cancel(struct service_call *call) {
    struct service *service = call->service;

    if (call->transfer != NULL) {
        http_client_cancel(call->transfer);
        service->open--;
        breaker_forget(&service->breaker);
        loop_timer_set(service->timer, 0);
    }
    call_free(call);
}

struct services *services_new(struct loop *loop, const struct settings *settings, struct http_client *http,
                              const struct outbound *outbound) {
    struct services *services = memory_new(sizeof *services);

    *services = (struct services){.loop = loop, .settings = settings, .http = http, .outbound = outbound};
    for (size_t i = 0; i < SERVICE_COUNT; i++)
        service_init(&services->each[i], services, &rows[i]);
    return services;
}

void services_free(struct services *services) {
    if (services == NULL)
        return;
    for (size_t i = 0; i < SERVICE_COUNT; i++)
        service_clear(&services->each[i]);
    while (services->named != NULL) {
        struct service *service = services->named;
        services->named = service->next;
        service_clear(service);
        free(service);
    }
    free(services);
}
