/* SPDX-License-Identifier: MIT
 * A table of statuses, a table of errors, and how long to wait. */
#include "workers/verdict.h"

#include <string.h>

#include "lib/clock.h"
#include "lib/text.h"

#define FIRST_WAIT_MS INT64_C(500)
#define MOST_DOUBLINGS 6
#define DAY_S INT64_C(86400)
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum effect { TAKE, AGAIN, END };

struct meaning {
    const char *code;
    enum effect effect;
    bool service_failed;
};

static const struct {
    int first, last;
    struct meaning meaning;
} statuses[] = {
    {200, 299, {NULL, TAKE, false}},
    {408, 408, {"backend_unavailable", AGAIN, true}},
    {429, 429, {"backend_rate_limited", AGAIN, false}},
    {400, 499, {"backend_refused", END, false}}, /* our request or our key: the service itself is well */
    {500, 599, {"backend_unavailable", AGAIN, true}},
    {0, 999, {"backend_bad_answer", END, true}}, /* a redirect, or no HTTP at all */
};

static const struct meaning errors[] = {
    [HTTP_CLIENT_BAD_URL] = {"backend_refused", END, false},
    [HTTP_CLIENT_RESOLVE] = {"backend_unavailable", AGAIN, true},
    [HTTP_CLIENT_CONNECT] = {"backend_unavailable", AGAIN, true},
    [HTTP_CLIENT_TLS] = {"backend_unavailable", AGAIN, true},
    [HTTP_CLIENT_TIMEOUT] = {"backend_unavailable", END, true}, /* it has had its whole time */
    [HTTP_CLIENT_TOO_SLOW] = {"backend_unavailable", END, true},
    [HTTP_CLIENT_TOO_LARGE] = {"backend_bad_answer", END, true},
    [HTTP_CLIENT_TRUNCATED] = {"backend_unavailable", AGAIN, true},
    [HTTP_CLIENT_BLOCKED] = {"backend_refused", END, false},
    [HTTP_CLIENT_WRITE] = {"memory_limit", END, false},
    [HTTP_CLIENT_OTHER] = {"backend_unavailable", AGAIN, true},
};

static struct meaning meaning_of(const struct http_client_reply *reply) {
    if (reply->error != HTTP_CLIENT_OK)
        return errors[(size_t)reply->error < COUNT_OF(errors) ? reply->error : HTTP_CLIENT_OTHER];
    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        if (reply->status >= statuses[i].first && reply->status <= statuses[i].last)
            return statuses[i].meaning;
    }
    return errors[HTTP_CLIENT_OTHER];
}

int64_t verdict_retry_after(const char *text, int64_t now_s) {
    uint64_t seconds;
    int64_t then_s, left_s;

    if (text == NULL || text[0] == '\0')
        return -1;
    if (text_parse_u64(text, 0, UINT64_MAX, &seconds) == 0)
        return 1000 * (seconds > (uint64_t)DAY_S ? DAY_S : (int64_t)seconds);
    then_s = clock_parse_http(text);
    if (then_s < 0)
        return -1;
    left_s = then_s - now_s;
    return 1000 * (left_s < 0 ? 0 : left_s > DAY_S ? DAY_S : left_s);
}

struct verdict verdict_of(const struct http_client_reply *reply, uint64_t attempt,
                          const struct verdict_limits *limits, int64_t now_s) {
    struct meaning meaning = meaning_of(reply);
    struct verdict verdict = {.code = meaning.code, .service_failed = meaning.service_failed};
    int64_t said_ms = reply->error == HTTP_CLIENT_OK ? verdict_retry_after(reply->retry_after, now_s) : -1;
    uint64_t doublings = attempt > MOST_DOUBLINGS ? MOST_DOUBLINGS : attempt - 1;

    if (meaning.effect != AGAIN)
        return verdict;
    verdict.again = attempt < limits->attempts && said_ms <= limits->retry_after_ms;
    verdict.wait_ms = said_ms >= 0 ? said_ms : verdict.again ? FIRST_WAIT_MS << doublings : 0;
    return verdict;
}
