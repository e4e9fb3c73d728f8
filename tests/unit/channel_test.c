/* SPDX-License-Identifier: MIT
 * Channels between two ends on one loop: messages arrive in order and whole, floods do not stall the loop,
 * junk from a foreign ZeroMQ peer is refused and harms no one, and an end can be freed inside its own
 * callback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h> /* the junk peer speaks ZeroMQ, not our protocol */

#include <cmocka.h>

#include "lib/loop.h"
#include "lib/text.h"
#include "proto/channel.h"

#define DEADLINE_MS 10000
#define FLOOD 20000

struct end {
    struct channel *channel;
    struct channel_peer peer;
    uint64_t received;
    uint64_t bad;
    uint64_t last;
    uint64_t wanted;
    bool echo;
    bool free_on_message;
    struct loop *loop;
};

struct fixture {
    struct loop *loop;
    struct loop_timer *deadline;
    char directory[64];
    char endpoint[128];
    struct end server;
    struct end client;
};

static void on_deadline(void *context) {
    loop_stop(context, 1);
}

static void on_message(void *context, const struct channel_peer *peer, const struct message *message) {
    struct end *end = context;
    end->received++;
    if (peer != NULL) {
        end->peer = *peer;
    }
    if (message->type == MESSAGE_PING) {
        assert_true(message->ping.nonce == end->last + 1); /* in order, none lost */
        end->last = message->ping.nonce;
    }
    if (end->echo) {
        struct message answer = {.type = MESSAGE_PONG, .ping = {.nonce = message->ping.nonce}};
        assert_int_equal(channel_send(end->channel, peer, &answer), 0);
    }
    if (end->free_on_message) {
        channel_free(end->channel, 0);
        end->channel = NULL;
    }
    if (end->received + end->bad >= end->wanted) {
        loop_stop(end->loop, 0);
    }
}

static void on_bad(void *context, const struct channel_peer *peer, const char *error) {
    struct end *end = context;
    assert_true(strlen(error) > 0);
    end->bad++;
    if (end->received + end->bad >= end->wanted) {
        loop_stop(end->loop, 0);
    }
}

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    (void)text_copy(fixture->directory, sizeof fixture->directory, "/tmp/filemill-channel-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    (void)text_format(fixture->endpoint, sizeof fixture->endpoint, "ipc://%s/socket", fixture->directory);
    fixture->loop = loop_new();
    fixture->deadline = loop_timer_new(fixture->loop, on_deadline, fixture->loop);
    fixture->server.loop = fixture->loop;
    fixture->client.loop = fixture->loop;
    fixture->server.wanted = UINT64_MAX;
    fixture->client.wanted = UINT64_MAX;
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    char path[128];
    channel_free(fixture->client.channel, 0);
    channel_free(fixture->server.channel, 0);
    loop_free(fixture->loop);
    (void)text_format(path, sizeof path, "%s/socket", fixture->directory);
    (void)unlink(path);
    assert_int_equal(rmdir(fixture->directory), 0);
    free(fixture);
    return 0;
}

static void listen_here(struct fixture *fixture) {
    fixture->server.channel =
        channel_listen(fixture->loop, fixture->endpoint, on_message, on_bad, &fixture->server);
    assert_non_null(fixture->server.channel);
}

static void connect_here(struct fixture *fixture) {
    fixture->client.channel =
        channel_connect(fixture->loop, fixture->endpoint, on_message, on_bad, &fixture->client);
    assert_non_null(fixture->client.channel);
}

static int run(struct fixture *fixture, int64_t deadline_ms) {
    loop_timer_set(fixture->deadline, deadline_ms);
    int status = loop_run(fixture->loop);
    loop_timer_stop(fixture->deadline);
    return status;
}

static int ping(struct fixture *fixture, uint64_t nonce) {
    struct message message = {.type = MESSAGE_PING, .ping = {.nonce = nonce}};
    return channel_send(fixture->client.channel, NULL, &message);
}

static void a_message_goes_there_and_back(void **state) {
    struct fixture *fixture = *state;
    struct stat socket_file;
    listen_here(fixture);
    connect_here(fixture);
    assert_int_equal(stat(fixture->endpoint + 6, &socket_file), 0);
    assert_int_equal(socket_file.st_mode & 0777, 0600);
    fixture->server.echo = true;
    fixture->client.wanted = 1;
    assert_int_equal(ping(fixture, 1), 0);
    assert_int_equal(run(fixture, DEADLINE_MS), 0);
    assert_int_equal(fixture->server.received, 1);
    assert_int_equal(fixture->client.received, 1);
    assert_true(fixture->server.peer.size > 0);
}

static void a_client_may_come_first(void **state) {
    struct fixture *fixture = *state;
    connect_here(fixture);
    assert_int_equal(ping(fixture, 1), 0);
    assert_int_equal(run(fixture, 50), 1);
    listen_here(fixture);
    fixture->server.wanted = 1;
    assert_int_equal(run(fixture, DEADLINE_MS), 0);
}

static void a_client_finds_a_new_server(void **state) {
    struct fixture *fixture = *state;
    listen_here(fixture);
    connect_here(fixture);
    fixture->server.wanted = 1;
    assert_int_equal(ping(fixture, 1), 0);
    assert_int_equal(run(fixture, DEADLINE_MS), 0);
    channel_free(fixture->server.channel, 0);
    assert_int_equal(run(fixture, 100), 1);
    listen_here(fixture);
    fixture->server.wanted = 2;
    assert_int_equal(ping(fixture, 2), 0);
    assert_int_equal(run(fixture, DEADLINE_MS), 0);
    assert_int_equal(fixture->server.received, 2);
}

struct flood {
    struct fixture *fixture;
    uint64_t sent;
    uint64_t turned_away;
};

static void send_some(void *context) {
    struct flood *flood = context;
    while (flood->sent < FLOOD) {
        if (ping(flood->fixture, flood->sent + 1) != 0) {
            flood->turned_away++;
            break; /* full: go on in the next turn */
        }
        flood->sent++;
    }
}

static void a_flood_arrives_whole(void **state) {
    struct fixture *fixture = *state;
    struct flood flood = {.fixture = fixture};
    listen_here(fixture);
    connect_here(fixture);
    struct loop_prepare *prepare = loop_prepare_new(fixture->loop, send_some, &flood);
    fixture->server.echo = false;
    fixture->server.wanted = FLOOD;
    assert_int_equal(run(fixture, DEADLINE_MS), 0);
    loop_prepare_free(prepare);
    assert_int_equal(fixture->server.received, FLOOD);
    assert_int_equal(fixture->server.last, FLOOD);
    assert_int_equal(fixture->server.bad, 0);
}

static void a_full_queue_says_so(void **state) {
    struct fixture *fixture = *state;
    connect_here(fixture); /* nobody listens */
    unsigned accepted = 0;
    while (accepted < 100000 && ping(fixture, accepted + 1) == 0) {
        accepted++;
    }
    assert_in_range(accepted, 1000, 10000);
}

static void a_stranger_cannot_be_sent_to(void **state) {
    struct fixture *fixture = *state;
    struct channel_peer nobody = {.id = "\0abcd", .size = 5};
    struct message message = {.type = MESSAGE_PING, .ping = {.nonce = 1}};
    listen_here(fixture);
    assert_int_equal(channel_send(fixture->server.channel, &nobody, &message), -1);
    assert_int_equal(channel_send(fixture->server.channel, NULL, &message), -1);
}

static void a_thousand_messages_are_read_in_turns(void **state) {
    struct fixture *fixture = *state;
    listen_here(fixture);
    connect_here(fixture);
    for (uint64_t i = 1; i <= 1000; i++) {
        assert_int_equal(ping(fixture, i), 0);
    }
    fixture->server.wanted = 1000;
    assert_int_equal(run(fixture, DEADLINE_MS), 0);
}

static void a_channel_may_go_in_its_own_callback(void **state) {
    struct fixture *fixture = *state;
    listen_here(fixture);
    connect_here(fixture);
    fixture->server.free_on_message = true;
    fixture->server.wanted = 1;
    assert_int_equal(ping(fixture, 1), 0);
    assert_int_equal(ping(fixture, 2), 0);
    assert_int_equal(run(fixture, DEADLINE_MS), 0);
    assert_int_equal(run(fixture, 50), 1);
    assert_int_equal(fixture->server.received, 1);
}

static void junk_is_refused_and_does_no_harm(void **state) {
    struct fixture *fixture = *state;
    static char large[300 * 1024];
    listen_here(fixture);
    connect_here(fixture);
    void *context = zmq_ctx_new();
    void *junk = zmq_socket(context, ZMQ_DEALER);
    int linger = 100;
    (void)zmq_setsockopt(junk, ZMQ_LINGER, &linger, sizeof linger);
    assert_int_equal(zmq_connect(junk, fixture->endpoint), 0);
    assert_int_equal(zmq_send(junk, "", 0, 0), 0);                       /* 1: nothing */
    assert_int_equal(zmq_send(junk, "\xc1", 1, 0), 1);                   /* 2: no MessagePack */
    assert_int_equal(zmq_send(junk, "\x82\x00\x0e\x01\x2a", 5, 0), 5);   /* a ping: fine, out of turn below */
    assert_int_equal(zmq_send(junk, "\x81\x00\x0e", 3, ZMQ_SNDMORE), 3); /* 3: two frames */
    assert_int_equal(zmq_send(junk, "x", 1, 0), 1);
    assert_int_equal(zmq_send(junk, large, sizeof large, 0), (int)sizeof large); /* 4: too large */
    fixture->server.last = 41;
    fixture->server.wanted = 5;
    assert_int_equal(run(fixture, DEADLINE_MS), 0);
    assert_int_equal(fixture->server.bad, 4);
    assert_int_equal(fixture->server.received, 1);
    assert_int_equal(zmq_close(junk), 0);

    /* a peer that names itself with more than 16 bytes is refused, one by one */
    junk = zmq_socket(context, ZMQ_DEALER);
    (void)zmq_setsockopt(junk, ZMQ_LINGER, &linger, sizeof linger);
    assert_int_equal(zmq_setsockopt(junk, ZMQ_ROUTING_ID, "seventeen letters", 17), 0);
    assert_int_equal(zmq_connect(junk, fixture->endpoint), 0);
    assert_int_equal(zmq_send(junk, "\x82\x00\x0e\x01\x2a", 5, 0), 5);
    fixture->server.wanted = 6;
    assert_int_equal(run(fixture, DEADLINE_MS), 0);
    assert_int_equal(fixture->server.bad, 5);
    assert_int_equal(zmq_close(junk), 0);
    assert_int_equal(zmq_ctx_term(context), 0);

    /* the good peer is served as before */
    fixture->server.last = 0;
    fixture->server.wanted = 7;
    assert_int_equal(ping(fixture, 1), 0);
    assert_int_equal(run(fixture, DEADLINE_MS), 0);
}

/* Bytes that are not even ZeroMQ's, written straight to the socket. */
static void raw_junk_does_no_harm(void **state) {
    struct fixture *fixture = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    static const char *const greetings[] = {"GET / HTTP/1.1\r\n\r\n", "\xff\0\0\0\0\0\0\0\x01\x7f\x03", ""};
    listen_here(fixture);
    connect_here(fixture);
    (void)text_copy(address.sun_path, sizeof address.sun_path, fixture->endpoint + 6);
    for (unsigned i = 0; i < 60; i++) {
        unsigned char junk[96];
        int raw = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_true(raw >= 0);
        assert_int_equal(connect(raw, (struct sockaddr *)&address, sizeof address), 0);
        text_random(junk, sizeof junk);
        memcpy(junk, greetings[i % 3], i % 3 == 1 ? 11 : strlen(greetings[i % 3]));
        assert_true(send(raw, junk, sizeof junk, MSG_NOSIGNAL) >= 0);
        assert_int_equal(close(raw), 0);
    }
    fixture->server.wanted = 1;
    assert_int_equal(ping(fixture, 1), 0);
    assert_int_equal(run(fixture, DEADLINE_MS), 0);
    assert_int_equal(fixture->server.received, 1);
}

static void only_local_endpoints_are_taken(void **state) {
    struct fixture *fixture = *state;
    static const char *const refused[] = {
        "tcp://0.0.0.0:5555",
        "tcp://*:5555",
        "tcp://127.0.0.1:*",
        "tcp://127.0.0.1:0",
        "ipc://relative",
        "ipc://*",
        "ipc:///",
        "inproc://x",
        "pgm://x",
        "",
        "tcp://127.0.0.1:70000",
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_null(channel_listen(fixture->loop, refused[i], on_message, on_bad, &fixture->server));
        assert_null(channel_connect(fixture->loop, refused[i], on_message, on_bad, &fixture->client));
    }
}

static void a_file_in_the_way_is_left_alone(void **state) {
    struct fixture *fixture = *state;
    FILE *file = fopen(fixture->endpoint + 6, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    assert_null(channel_listen(fixture->loop, fixture->endpoint, on_message, on_bad, &fixture->server));
    assert_int_equal(access(fixture->endpoint + 6, F_OK), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message_goes_there_and_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_may_come_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_finds_a_new_server, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flood_arrives_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_queue_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stranger_cannot_be_sent_to, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_thousand_messages_are_read_in_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_channel_may_go_in_its_own_callback, set_up, tear_down),
        cmocka_unit_test_setup_teardown(junk_is_refused_and_does_no_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(raw_junk_does_no_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_local_endpoints_are_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_in_the_way_is_left_alone, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
