/* SPDX-License-Identifier: MIT
 * Whom the client reaches and whom it does not: addresses, connections, certificates; and transfers that are
 * given up. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/process.h"
#include "lib/text.h"
#include "tests/unit/http_stand_in.h"

static void nobody_there(void **state) {
    struct http_client_request request;
    char url[64];

    stand_in_stop_listening();
    assert_int_equal(
        text_format(url, sizeof(url), "http://127.0.0.1:%u/?X-Amz-Signature=secret", stand_in.port), 0);
    request = make_request("GET", url);
    run_request(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_CONNECT);
    assert_true(outcome.detail[0] != '\0');
    assert_null(strstr(outcome.detail, "secret"));
}

static void unknown_names_do_not_resolve(void **state) {
    struct http_client_request request = make_request("GET", "http://no-such-host.invalid/");

    request.timeout_ms = 50000;
    run_request(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_RESOLVE);
}

static void addresses_inside_are_blocked(void **state) {
    static const char *const hosts[] = {
        "127.0.0.1",          "localhost", "2130706433", "0x7f000001",      "0177.1",  "127.1",
        "[::ffff:127.0.0.1]", "[::1]",     "0.0.0.0",    "169.254.169.254", "10.0.0.1"};

    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        char url[80];
        assert_int_equal(text_format(url, sizeof(url), "http://%s:%u/", hosts[i], stand_in.port), 0);
        struct http_client_request request = make_request("GET", url);
        request.global_only = true;
        outcome_forget();
        run_request(&request);
        if (outcome.error != HTTP_CLIENT_BLOCKED)
            fail_msg("%s: %s (%s)", hosts[i], http_client_error_name(outcome.error), outcome.detail);
    }
    assert_int_equal(stand_in.accepted, 0);
}

static void a_warm_connection_inside_is_not_borrowed(void **state) {
    struct http_client_request request = make_own_request("GET", "/");

    stand_in.reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    stand_in.keep_open = true;
    run_request(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_OK);
    outcome_forget();
    request.global_only = true;
    run_request(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_BLOCKED);
    assert_int_equal(stand_in.answered, 1);
}

static void bad_urls_are_refused(void **state) {
    static const char *const urls[] = {"",
                                       "/path",
                                       "file:///etc/passwd",
                                       "ftp://127.0.0.1/",
                                       "gopher://127.0.0.1/",
                                       "dict://127.0.0.1/",
                                       "http://user@127.0.0.1/",
                                       "http://user:password@127.0.0.1/",
                                       "http://127.0.0.1/a b",
                                       "http://127.0.0.1/\r\nX: y",
                                       "http://127.0.0.1\\@example.com/",
                                       "http://",
                                       "http://127.0.0.1:99999/"};

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct http_client_request request = make_request("GET", urls[i]);
        outcome_forget();
        run_request(&request);
        if (outcome.error != HTTP_CLIENT_BAD_URL)
            fail_msg("%s: %s", urls[i], http_client_error_name(outcome.error));
    }
}

static void connections_are_used_again(void **state) {
    struct http_client_request request = make_own_request("GET", "/");

    stand_in.reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    stand_in.keep_open = true;
    for (unsigned i = 1; i <= 3; i++) {
        buffer_reset(&stand_in.seen);
        outcome_forget();
        run_request(&request);
        assert_int_equal(outcome.error, HTTP_CLIENT_OK);
        assert_int_equal(stand_in.answered, i);
    }
    assert_int_equal(stand_in.accepted, 1);
}

static void proxies_of_the_environment_are_ignored(void **state) {
    struct http_client_request request = make_own_request("GET", "/");

    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    stand_in.reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    run_request(&request);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    assert_int_equal(outcome.error, HTTP_CLIENT_OK);
}

static void plain_text_is_not_tls(void **state) {
    char url[64];

    stand_in.reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\r\n\r\n";
    assert_int_equal(text_format(url, sizeof(url), "https://127.0.0.1:%u/", stand_in.port), 0);
    struct http_client_request request = make_request("GET", url);
    request.timeout_ms = 1000;
    run_request(&request);
    assert_int_not_equal(outcome.error, HTTP_CLIENT_OK);
    assert_int_equal(outcome.status, 0);
}

/* ---- certificates: `openssl s_server` with one of its own making ---- */

static pid_t spawn(char *const *arguments) {
    char *const environment[] = {"PATH=/usr/bin:/bin", NULL};
    const struct process_plan plan = {
        .path = "/usr/bin/openssl", .arguments = arguments, .environment = environment};
    int pidfd;
    pid_t pid = process_spawn(&plan, &pidfd);

    assert_true(pid > 0);
    close(pidfd);
    return pid;
}

static pid_t start_tls_server(const char *directory, uint16_t port) {
    char key[128], certificate[128], address[32];
    char *make[] = {"openssl",  "req",       "-x509",   "-newkey",
                    "rsa:2048", "-nodes",    "-keyout", key,
                    "-out",     certificate, "-days",   "2",
                    "-subj",    "/CN=x",     "-addext", "subjectAltName=IP:127.0.0.1",
                    "-batch",   NULL};
    char *serve[] = {"openssl", "s_server", "-accept",   address, "-key",
                     key,       "-cert",    certificate, "-www",  NULL};
    int status;

    assert_int_equal(text_format(key, sizeof(key), "%s/key.pem", directory), 0);
    assert_int_equal(text_format(certificate, sizeof(certificate), "%s/certificate.pem", directory), 0);
    assert_int_equal(text_format(address, sizeof(address), "127.0.0.1:%u", port), 0);
    assert_int_equal(waitpid(spawn(make), &status, 0) > 0 ? status : -1, 0);
    return spawn(serve);
}

/* Asks until the server listens. */
static void run_until_connected(const char *url) {
    struct http_client_request request = make_request("GET", url);

    for (int i = 0; i < 600; i++) {
        outcome_forget();
        run_request(&request);
        if (outcome.error != HTTP_CLIENT_CONNECT)
            return;
        (void)usleep(50000);
    }
}

static void certificates_are_checked(void **state) {
    char directory[] = "/tmp/http_client_test.XXXXXX", file[64], url[64];

    if (access("/usr/bin/openssl", X_OK) != 0)
        skip();
    assert_non_null(mkdtemp(directory));
    stand_in_stop_listening();
    pid_t server = start_tls_server(directory, stand_in.port);
    assert_int_equal(text_format(url, sizeof(url), "https://127.0.0.1:%u/", stand_in.port), 0);
    run_until_connected(url);
    assert_int_equal(outcome.error, HTTP_CLIENT_TLS);
    assert_int_equal(outcome.status, 0);

    assert_int_equal(text_format(file, sizeof(file), "%s/certificate.pem", directory), 0);
    setenv("SSL_CERT_FILE", file, 1);
    run_until_connected(url);
    assert_int_equal(outcome.error, HTTP_CLIENT_OK);
    assert_int_equal(outcome.status, 200);
    assert_int_equal(text_format(url, sizeof(url), "https://localhost:%u/", stand_in.port), 0);
    run_until_connected(url); /* right authority, wrong name */
    assert_int_equal(outcome.error, HTTP_CLIENT_TLS);
    unsetenv("SSL_CERT_FILE");

    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    (void)unlink(file);
    assert_int_equal(text_format(file, sizeof(file), "%s/key.pem", directory), 0);
    (void)unlink(file);
    (void)rmdir(directory);
}

static struct http_transfer *other;
static unsigned other_calls;

static void on_other(void *context, const struct http_client_reply *reply) {
    other_calls++;
}

static void cancel_other(void *context, const struct http_client_reply *reply) {
    http_client_cancel(other);
    outcome_note(context, reply);
}

static void a_cancelled_transfer_is_never_done(void **state) {
    struct http_client_request request = make_own_request("GET", "/");

    other_calls = 0;
    request.timeout_ms = 1000;
    other = http_client_start(client, &request, on_other, NULL);
    request.timeout_ms = 100;
    http_client_start(client, &request, cancel_other, NULL);
    assert_int_equal(loop_run(loop), 0);
    outcome_forget();
    request.timeout_ms = 1300;
    run_request(&request); /* past the other's deadline */
    assert_int_equal(other_calls, 0);
}

static void on_self(void *context, const struct http_client_reply *reply) {
    http_client_cancel(*(struct http_transfer **)context); /* too late, and harmless */
    outcome_note(context, reply);
}

static void a_transfer_may_be_cancelled_in_its_own_end(void **state) {
    struct http_client_request request = make_request("GET", "file:///");
    struct http_transfer *self;

    self = http_client_start(client, &request, on_self, &self);
    assert_int_equal(loop_run(loop), 0);
    assert_int_equal(outcome.calls, 1);
}

static void freeing_the_client_ends_all_without_a_word(void **state) {
    struct http_client_request request = make_own_request("GET", "/");

    other_calls = 0;
    for (int i = 0; i < 3; i++)
        http_client_start(client, &request, on_other, NULL);
    http_client_free(client);
    client = http_client_new(loop, 8);
    request.timeout_ms = 100;
    run_request(&request);
    assert_int_equal(other_calls, 0);
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, stand_in_start, stand_in_finish)

int main(void) {
    const struct CMUnitTest tests[] = {
        ROW(nobody_there),
        ROW(unknown_names_do_not_resolve),
        ROW(addresses_inside_are_blocked),
        ROW(a_warm_connection_inside_is_not_borrowed),
        ROW(bad_urls_are_refused),
        ROW(connections_are_used_again),
        ROW(proxies_of_the_environment_are_ignored),
        ROW(plain_text_is_not_tls),
        ROW(certificates_are_checked),
        ROW(a_cancelled_transfer_is_never_done),
        ROW(a_transfer_may_be_cancelled_in_its_own_end),
        ROW(freeing_the_client_ends_all_without_a_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
