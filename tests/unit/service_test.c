/* SPDX-License-Identifier: MIT
 * The decisions about services: when to leave one alone, how often to ask, what a reply means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/text.h"
#include "workers/breaker.h"
#include "workers/limiter.h"
#include "workers/service.h"
#include "workers/verdict.h"

static const struct breaker_limits breaker_limits = {.failures = 3, .open_ms = 1000};

/* One step: at a time ask, then end as said. */
static const struct {
    int64_t now_ms, refused_ms;
    int end; /* 1: worked, 0: failed, -1: not sent, -2: given up, -3: still out */
    bool changed;
} circuit[] = {
    {0, 0, 0, false},     {1, 0, 0, false},
    {2, 0, 1, false}, /* a success in between counts from the start */
    {3, 0, 0, false},     {4, 0, 0, false},
    {5, 0, 0, true}, /* opens */
    {6, 999, -1, false},  {1004, 1, -1, false},
    {1005, 0, -3, false}, {1006, 1000, -1, false}, /* one probe at a time */
};

static void a_circuit_opens_probes_and_closes(void **state) {
    struct breaker breaker = {0};

    for (size_t i = 0; i < sizeof circuit / sizeof circuit[0]; i++) {
        assert_int_equal(breaker_ask(&breaker, circuit[i].now_ms), circuit[i].refused_ms);
        if (circuit[i].end >= 0)
            assert_int_equal(breaker_note(&breaker, &breaker_limits, circuit[i].end, circuit[i].now_ms),
                             circuit[i].changed);
    }
    assert_false(breaker_note(&breaker, &breaker_limits, false, 1100)); /* the probe failed: open as before */
    assert_int_equal(breaker_ask(&breaker, 1101), 999);
    assert_int_equal(breaker_ask(&breaker, 2100), 0);
    breaker_forget(&breaker); /* the probe was cancelled: the next is one */
    assert_int_equal(breaker_ask(&breaker, 2101), 0);
    assert_true(breaker_note(&breaker, &breaker_limits, true, 2102));
    assert_int_equal(breaker_ask(&breaker, 2103), 0);
    assert_false(breaker_note(&breaker, &breaker_limits, false, 2104)); /* counts from the start */
    assert_int_equal(breaker_ask(&breaker, 2105), 0);
}

static void the_rate_holds(void **state) {
    static const uint64_t rates[] = {1, 7, 60, 600, 100000};

    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct limiter limiter = {0};
        uint64_t sent = 0;
        for (int64_t now = 1000000; now < 1060000;) {
            int64_t wait = limiter_ask(&limiter, rates[i], now);
            assert_true(wait >= 0);
            sent += wait == 0;
            now += wait;
        }
        assert_in_range(sent, rates[i], rates[i] + rates[i] / 10 + 1);
    }
    struct limiter limiter = {0};
    for (int i = 0; i < 1000; i++)
        assert_int_equal(limiter_ask(&limiter, 0, 5), 0);
}

static const struct {
    struct http_client_reply reply;
    uint64_t attempt;
    const char *code;
    bool again, service_failed;
    int64_t wait_ms;
} replies[] = {
    {{.status = 200}, 1, NULL, false, false, 0},
    {{.status = 204}, 3, NULL, false, false, 0},
    {{.status = 429}, 1, "backend_rate_limited", true, false, 500},
    {{.status = 429, .retry_after = "2"}, 1, "backend_rate_limited", true, false, 2000},
    {{.status = 429, .retry_after = "11"}, 1, "backend_rate_limited", false, false, 11000},
    {{.status = 429, .retry_after = "2"}, 3, "backend_rate_limited", false, false, 2000},
    {{.status = 429, .retry_after = "Thu, 01 Jan 1970 00:16:45 GMT"},
     1,
     "backend_rate_limited",
     true,
     false,
     5000},
    {{.status = 429, .retry_after = "soon"}, 2, "backend_rate_limited", true, false, 1000},
    {{.status = 500}, 1, "backend_unavailable", true, true, 500},
    {{.status = 503}, 3, "backend_unavailable", false, true, 0},
    {{.status = 401}, 1, "backend_refused", false, false, 0},
    {{.status = 413}, 1, "backend_refused", false, false, 0},
    {{.status = 302}, 1, "backend_bad_answer", false, true, 0},
    {{.error = HTTP_CLIENT_CONNECT}, 2, "backend_unavailable", true, true, 1000},
    {{.error = HTTP_CLIENT_TIMEOUT}, 1, "backend_unavailable", false, true, 0},
    {{.error = HTTP_CLIENT_TOO_LARGE}, 1, "backend_bad_answer", false, true, 0},
    {{.error = HTTP_CLIENT_TRUNCATED}, 1, "backend_unavailable", true, true, 500},
};

static void replies_have_meanings(void **state) {
    static const struct verdict_limits limits = {.attempts = 3, .retry_after_ms = 10000};

    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        struct http_client_reply reply = replies[i].reply;
        if (reply.retry_after == NULL)
            reply.retry_after = "";
        struct verdict verdict = verdict_of(&reply, replies[i].attempt, &limits, 1000);
        if (replies[i].code == NULL)
            assert_null(verdict.code);
        else
            assert_string_equal(verdict.code, replies[i].code);
        assert_int_equal(verdict.again, replies[i].again);
        assert_int_equal(verdict.service_failed, replies[i].service_failed);
        assert_int_equal(verdict.wait_ms, replies[i].wait_ms);
    }
}

static void retry_after_is_bounded(void **state) {
    assert_int_equal(verdict_retry_after("99999999999999", 0), 86400000);
    assert_int_equal(verdict_retry_after("-1", 0), -1);
    assert_int_equal(verdict_retry_after("", 0), -1);
    assert_int_equal(verdict_retry_after("Thu, 01 Jan 1970 00:00:05 GMT", 100), 0);
    assert_int_equal(verdict_retry_after("Thu, 01 Jan 2970 00:00:05 GMT", 100), 86400000);
}

static void keys_go_to_their_origin_alone(void **state) {
    static const char keys[] = "https://a.example=one,https://b.example:8443=two=2,http://a.example=plain";

    assert_null(service_key_for(NULL, "https://a.example/"));
    assert_null(service_key_for("", "https://a.example/"));
    assert_null(service_key_for(keys, "https://a.example.org/v1"));
    assert_null(service_key_for(keys, "https://b.example/"));
    assert_null(service_key_for("https://a.example,one", "https://a.example/"));
    assert_memory_equal(service_key_for(keys, "https://a.example/v1"), "one,", 4);
    assert_memory_equal(service_key_for(keys, "https://b.example:8443"), "two=2,", 6);
    assert_string_equal(service_key_for(keys, "http://a.example/x"), "plain");
}

struct answers {
    struct loop *loop;
    struct services *services;
    size_t wanted, told;
    bool refused;
};

static void ask(struct answers *answers);

static void on_answer(void *context, const struct service_end *end) {
    struct answers *answers = context;

    answers->told++;
    answers->refused = answers->refused && strcmp(end->code, "backend_refused") == 0;
    if (answers->told < answers->wanted)
        ask(answers); /* from within, as tasks do */
    else
        loop_stop(answers->loop, 0);
}

static void ask(struct answers *answers) {
    char base[64];
    const struct service_order order = {.service = SERVICE_COMPUTE,
                                        .base = base,
                                        .path = "/jobs",
                                        .content_type = "application/json",
                                        .body = -1,
                                        .wall_ms = 10000};

    assert_int_equal(text_format(base, sizeof base, "http://10.0.0.%zu/", answers->told % 100), 0);
    assert_non_null(services_ask(answers->services, &order, on_answer, answers));
}

/* More of them than are remembered, each asked from the end of the one before; and where nothing may be sent,
 * nothing is. */
static void services_by_url_come_and_go(void **state) {
    struct settings settings = {.compute_concurrency = 2, .compute_timeout_ms = 1000, .service_answer_bytes = 1000};
    struct answers answers = {.loop = loop_new(), .wanted = 250, .refused = true};
    struct http_client *http = http_client_new(answers.loop, 2);
    char error[128];
    struct outbound *outbound = outbound_new(true, false, NULL, error, sizeof error);

    answers.services = services_new(answers.loop, &settings, http, outbound);
    ask(&answers);
    assert_int_equal(loop_run(answers.loop), 0);
    assert_int_equal(answers.told, 250);
    assert_true(answers.refused);
    services_free(answers.services);
    http_client_free(http);
    outbound_free(outbound);
    loop_free(answers.loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_circuit_opens_probes_and_closes),
        cmocka_unit_test(the_rate_holds),
        cmocka_unit_test(replies_have_meanings),
        cmocka_unit_test(retry_after_is_bounded),
        cmocka_unit_test(keys_go_to_their_origin_alone),
        cmocka_unit_test(services_by_url_come_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
