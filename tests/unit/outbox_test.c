/* SPDX-License-Identifier: MIT
 * Webhooks: what an attempt means, as a table; signatures, by the published example and by what must not
 * sign; Retry-After; and where webhooks may go. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "http/outbound.h"
#include "scheduler/outbox_retry.h"
#include "scheduler/outbox_sign.h"

#define MIDDLE(ms) ((uint32_t)((ms) / 10)) /* no jitter */
#define HOUR_MS 3600000

static const struct row {
    struct outbox_attempt attempt;
    struct outbox_verdict expected; /* without jitter */
} rows[] = {
    {{0, 200, 0, ""}, {.counted = true, .delivered = true}},
    {{13, 204, 0, ""}, {.counted = true, .delivered = true}},
    {{3, 299, 60, ""}, {.counted = true, .delivered = true}},
    {{0, 500, 0, ""}, {.counted = true, .again = true, .delay_ms = 5000}},
    {{1, 301, 0, ""}, {.counted = true, .again = true, .delay_ms = 30000}},
    {{2, 404, 0, ""}, {.counted = true, .again = true, .delay_ms = 120000}},
    {{12, 0, 0, "timeout"}, {.counted = true, .again = true, .delay_ms = 72000000}},
    {{13, 0, 0, "blocked"}, {.counted = true}},
    {{1000, 500, 0, ""}, {.counted = true}},
    {{0, 410, 5, ""}, {.counted = true, .gone = true}},
    /* a rest that is longer than the wait, one that is shorter, one without bounds, one not asked for that
       way */
    {{0, 429, 60, ""}, {.counted = true, .again = true, .delay_ms = 60000, .rest_ms = 60000}},
    {{2, 503, 60, ""}, {.counted = true, .again = true, .delay_ms = 120000, .rest_ms = 60000}},
    {{0, 503, 1u << 30, ""},
     {.counted = true, .again = true, .delay_ms = 6 * HOUR_MS, .rest_ms = 6 * HOUR_MS}},
    {{0, 500, 60, ""}, {.counted = true, .again = true, .delay_ms = 5000}},
    /* never sent */
    {{4, 0, 0, "overload"}, {.again = true, .delay_ms = 500}},
    {{13, 0, 0, "drain"}, {.again = true, .delay_ms = 500}},
};

static void attempts_are_judged_by_the_table(void **state) {
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct outbox_verdict got = outbox_judge(&rows[i].attempt, 1000, 0);
        struct outbox_verdict wanted = rows[i].expected;
        uint32_t middle = MIDDLE(wanted.delay_ms);
        if (wanted.again && wanted.delay_ms > wanted.rest_ms)
            got = outbox_judge(&rows[i].attempt, 1000, middle);
        assert_int_equal(got.counted, wanted.counted);
        assert_int_equal(got.delivered, wanted.delivered);
        assert_int_equal(got.again, wanted.again);
        assert_int_equal(got.gone, wanted.gone);
        assert_int_equal(got.delay_ms, wanted.delay_ms);
        assert_int_equal(got.rest_ms, wanted.rest_ms);
    }
}

static void all_waits_are_three_days_at_most_and_spread(void **state) {
    int64_t least = 0, most = 0;
    struct outbox_attempt attempt = {.status = 500};

    for (attempt.before = 0; attempt.before + 1 < outbox_attempts_max; attempt.before++) {
        int64_t lowest = INT64_MAX, highest = 0;
        for (uint32_t random = 0; random < 2000; random++) {
            int64_t delay_ms = outbox_judge(&attempt, 1000, random * 2147483).delay_ms;
            lowest = delay_ms < lowest ? delay_ms : lowest;
            highest = delay_ms > highest ? delay_ms : highest;
        }
        assert_true(lowest < highest);
        least += lowest;
        most += highest;
    }
    assert_true(least > 64 * (int64_t)HOUR_MS && most < 80 * (int64_t)HOUR_MS);
    assert_false(outbox_judge(&attempt, 1000, 0).again);
}

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define SIGNATURE "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

static void the_published_example_is_signed(void **state) {
    static const struct outbox_text text = {
        .id = "msg_p5jXN8AQM9LWM0D4loKWxJek", .timestamp_s = 1614265330, .body = "{\"test\": 2432232314}"};
    char signature[OUTBOX_SIGNATURE_MAX];

    assert_int_equal(outbox_sign(signature, &text, SECRET, NULL), 0);
    assert_string_equal(signature, SIGNATURE);
    assert_int_equal(outbox_sign(signature, &text, SECRET, SECRET), 0);
    assert_string_equal(signature, SIGNATURE " " SIGNATURE);
}

static void what_is_no_secret_does_not_sign(void **state) {
    static const char *const secrets[] = {
        "",
        "whsec_",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
        "whsec_AAAA",
        "whsec_****************************************",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa==",
        "whsec_"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        "A"};
    static const struct outbox_text text = {.id = "msg_1", .timestamp_s = 1, .body = "{}"};
    char signature[OUTBOX_SIGNATURE_MAX];

    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        assert_int_equal(outbox_sign(signature, &text, secrets[i], NULL), -1);
}

static bool allows(const struct outbound *outbound, const char *address) {
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, address, &four.sin_addr) == 1)
        return outbound_allows_address(outbound, (const struct sockaddr *)&four);
    assert_int_equal(inet_pton(AF_INET6, address, &six.sin6_addr), 1);
    return outbound_allows_address(outbound, (const struct sockaddr *)&six);
}

static void networks_open_what_they_name_and_no_more(void **state) {
    char error[128] = "";
    struct outbound *outbound =
        outbound_new(false, false, "10.1.0.0/16, fd00:1::/32,192.168.7.9,", error, sizeof error);

    assert_non_null(outbound);
    assert_true(allows(outbound, "10.1.255.255") && allows(outbound, "::ffff:10.1.2.3"));
    assert_true(allows(outbound, "fd00:1::5") && allows(outbound, "192.168.7.9") &&
                allows(outbound, "8.8.8.8"));
    assert_false(allows(outbound, "10.2.0.0") || allows(outbound, "10.0.255.255") ||
                 allows(outbound, "fd00:2::1"));
    assert_false(allows(outbound, "192.168.7.8") || allows(outbound, "127.0.0.1") || allows(outbound, "::1"));
    assert_false(allows(outbound, "64:ff9b::a00:1") || allows(outbound, "::10.1.0.1"));
    outbound_free(outbound);

    static const char *const bad[] = {"10.0.0.0/33", "10.0.0/8",    "::/129",     "x",
                                      "10.0.0.0/",   "10.0.0.0/-1", "1.2.3.4/8/8"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        error[0] = '\0';
        assert_null(outbound_new(false, false, bad[i], error, sizeof error));
        assert_true(error[0] != '\0');
    }
}

static void urls_are_judged_before_they_are_dialled(void **state) {
    char error[128];
    struct outbound *strict = outbound_new(false, false, NULL, error, sizeof error);
    struct outbound *open = outbound_new(true, true, NULL, error, sizeof error);
    static const char *const fine[] = {"https://example.com/", "https://example.com:8443/a?b=c",
                                       "https://8.8.8.8/", "https://[2606:4700::1111]/"};
    static const char *const refused[] = {"http://example.com/",
                                          "https://127.0.0.1/",
                                          "https://0x7f000001/",
                                          "https://127.1/",
                                          "https://localhost/",
                                          "https://LOCALHOST./",
                                          "https://x.localhost/",
                                          "https://[::1]/",
                                          "https://[::ffff:127.0.0.1]/",
                                          "https://[64:ff9b::7f00:1]/",
                                          "https://u@example.com/",
                                          "https://example.com/#x",
                                          "ftp://example.com/",
                                          "",
                                          "x",
                                          "https://",
                                          "https://exa mple.com/",
                                          "https://example.com\\@127.0.0.1/",
                                          "https://[fe80::1%25lo]/"};

    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++)
        assert_null(outbound_refuses_url(strict, fine[i]));
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_non_null(outbound_refuses_url(strict, refused[i]));
    assert_null(outbound_refuses_url(open, "http://localhost:3000/hook"));
    assert_null(outbound_refuses_url(open, "http://10.0.0.1/"));
    assert_non_null(outbound_refuses_url(open, "http://u:p@localhost/"));
    outbound_free(strict);
    outbound_free(open);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attempts_are_judged_by_the_table),
        cmocka_unit_test(all_waits_are_three_days_at_most_and_spread),
        cmocka_unit_test(the_published_example_is_signed),
        cmocka_unit_test(what_is_no_secret_does_not_sign),
        cmocka_unit_test(networks_open_what_they_name_and_no_more),
        cmocka_unit_test(urls_are_judged_before_they_are_dialled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
