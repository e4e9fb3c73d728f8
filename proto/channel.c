/* SPDX-License-Identifier: MIT
 * ZeroMQ on the event loop; the only user of zmq.h. ZMQ_FD is edge-triggered and a send may eat its edge, so
 * the socket is drained after every event and before every sleep. Received bytes are decoded where they lie:
 * libzmq lets several messages share one buffer, which is why the decoder may write inside its own bytes
 * only. */
#include "proto/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "lib/buffer.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"

#define QUEUE_MESSAGES 4096
#define READ_PER_TURN 256
#define HANDSHAKE_MS 5000
#define RECONNECT_MS 100
#define RECONNECT_MAX_MS 2000
#define BACKLOG 128
#define IPC_PREFIX "ipc://"
#define TCP_PREFIX "tcp://127.0.0.1:"
#define IPC_PATH_MAX 107 /* sun_path less its NUL */

struct channel {
    struct loop *loop;
    void *zmq;
    void *socket;
    struct loop_watch *watch;
    struct loop_prepare *prepare;
    struct loop_timer *again; /* runs the next portion when one turn's was not enough */
    channel_message_fn *on_message;
    channel_bad_fn *on_bad;
    void *context;
    struct buffer out;
    uint64_t refused;
    bool server;
    bool reading; /* inside read_portion: channel_free only marks */
    bool freed;
    int linger_ms;
};

static bool is_endpoint(const char *endpoint) {
    uint64_t port;
    if (text_starts_with(endpoint, TCP_PREFIX)) {
        return text_parse_u64(endpoint + strlen(TCP_PREFIX), 1, 65535, &port) == 0;
    }
    size_t path_size = text_starts_with(endpoint, IPC_PREFIX) ? strlen(endpoint) - strlen(IPC_PREFIX) : 0;
    return path_size > 1 && path_size <= IPC_PATH_MAX && endpoint[strlen(IPC_PREFIX)] == '/';
}

static int set_option(void *socket, int option, int value) {
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

static int set_options(void *socket) {
    /* Twice our own limit, so that a message a little too large is seen and reported; libzmq hangs up on
     * worse. */
    int64_t most = 2 * (int64_t)MESSAGE_MAX_BYTES;
    static const struct {
        int option;
        int value;
    } rows[] = {
        {ZMQ_SNDHWM, QUEUE_MESSAGES},
        {ZMQ_RCVHWM, QUEUE_MESSAGES},
        {ZMQ_LINGER, 0},
        {ZMQ_IPV6, 0},
        {ZMQ_BACKLOG, BACKLOG},
        {ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS},
        {ZMQ_RECONNECT_IVL, RECONNECT_MS},
        {ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (set_option(socket, rows[i].option, rows[i].value) != 0) {
            return -1;
        }
    }
    /* A domain makes libzmq hang up on peers that speak ZMTP 1 or 2, though nobody answers for it. Its code
     * for those is old: in 4.3.4 a stranger's few bytes there reach an assertion and end the process. */
    if (zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, "filemill", strlen("filemill")) != 0) {
        return -1;
    }
    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &most, sizeof most);
}

/* Frees all but what libzmq needs to send the rest. */
static void destroy(struct channel *channel) {
    loop_watch_free(channel->watch);
    loop_prepare_free(channel->prepare);
    loop_timer_free(channel->again);
    if (channel->socket != NULL) {
        (void)set_option(channel->socket, ZMQ_LINGER, channel->linger_ms);
        (void)zmq_close(channel->socket);
    }
    while (channel->zmq != NULL && zmq_ctx_term(channel->zmq) != 0 && errno == EINTR) {
    }
    buffer_clear(&channel->out);
    free(channel);
}

/* Receiving */

static void refuse(struct channel *channel, const struct channel_peer *peer, const char *error) {
    counter_add(COUNT_MESSAGES_REFUSED, 1);
    channel->refused++;
    if ((channel->refused & (channel->refused - 1)) == 0) { /* a flood makes 64 lines at most */
        log_warn("peer=%s state=refused refused=%llu error=\"%s\"", channel->server ? "client" : "scheduler",
                 (unsigned long long)channel->refused, error);
    }
    if (channel->on_bad != NULL) {
        channel->on_bad(channel->context, peer, error);
    }
}

static void deliver(struct channel *channel, const struct channel_peer *peer, zmq_msg_t *body) {
    struct message message;
    const char *error = "";
    if (message_decode(&message, zmq_msg_data(body), zmq_msg_size(body), &error) != 0) {
        refuse(channel, peer, error);
        return;
    }
    counter_add(COUNT_MESSAGES_IN, 1);
    channel->on_message(channel->context, peer, &message);
}

/* Reads one frame; 1 when there is none. */
static int receive_frame(struct channel *channel, zmq_msg_t *frame) {
    while (zmq_msg_recv(frame, channel->socket, ZMQ_DONTWAIT) < 0) {
        if (errno == EAGAIN) {
            return 1;
        }
        if (errno != EINTR) {
            log_error_errno("state=receive_failed");
            return 1;
        }
    }
    return 0;
}

/* Throws away the frames that follow; returns how many. */
static unsigned drop_more(struct channel *channel, zmq_msg_t *frame) {
    unsigned dropped = 0;
    while (zmq_msg_more(frame) && receive_frame(channel, frame) == 0) {
        dropped++;
    }
    return dropped;
}

/* On a server a message is two frames: routing id and body; on a client the body alone. Returns 1 when there
 * is nothing to read. */
static int read_message(struct channel *channel) {
    struct channel_peer peer = {.size = 0};
    const struct channel_peer *from = channel->server ? &peer : NULL;
    const char *fault = NULL;
    zmq_msg_t frame;
    zmq_msg_t rest;

    (void)zmq_msg_init(&frame);
    int result = receive_frame(channel, &frame);
    if (result == 0 && channel->server) {
        size_t size = zmq_msg_size(&frame);
        if (size > sizeof peer.id || size == 0 || !zmq_msg_more(&frame)) {
            fault = "peer without a usable id";
            from = NULL;
            (void)drop_more(channel, &frame);
        } else {
            memcpy(peer.id, zmq_msg_data(&frame), size);
            peer.size = (uint8_t)size;
            result = receive_frame(channel, &frame);
        }
    }
    if (result == 0 && fault == NULL && zmq_msg_more(&frame)) {
        (void)zmq_msg_init(&rest);
        if (receive_frame(channel, &rest) == 0) {
            (void)drop_more(channel, &rest);
        }
        (void)zmq_msg_close(&rest);
        fault = "message of several frames";
    }
    if (result == 0 && fault != NULL) {
        refuse(channel, from, fault);
    } else if (result == 0) {
        deliver(channel, from, &frame);
    }
    (void)zmq_msg_close(&frame);
    return result;
}

static void read_portion(void *context) {
    struct channel *channel = context;
    unsigned count = 0;
    channel->reading = true;
    while (!channel->freed && count < READ_PER_TURN && read_message(channel) == 0) {
        count++;
    }
    channel->reading = false;
    if (channel->freed) {
        destroy(channel);
    } else if (count == READ_PER_TURN) {
        loop_timer_set(channel->again, 0);
    }
}

static void on_readable(void *context, uint32_t events) {
    read_portion(context);
}

/* Making */

static struct channel *channel_new(struct loop *loop, bool server) {
    struct channel *channel = memory_new(sizeof *channel);
    channel->loop = loop;
    channel->server = server;
    buffer_init(&channel->out, (size_t)MESSAGE_MAX_BYTES);
    channel->zmq = zmq_ctx_new();
    if (channel->zmq == NULL) {
        destroy(channel);
        return NULL;
    }
    (void)zmq_ctx_set(channel->zmq, ZMQ_BLOCKY, 0);
    channel->socket = zmq_socket(channel->zmq, server ? ZMQ_ROUTER : ZMQ_DEALER);
    if (channel->socket == NULL || set_options(channel->socket) != 0 ||
        (server && set_option(channel->socket, ZMQ_ROUTER_MANDATORY, 1) != 0)) {
        destroy(channel);
        return NULL;
    }
    return channel;
}

static int watch_socket(struct channel *channel) {
    int descriptor;
    size_t size = sizeof descriptor;
    if (zmq_getsockopt(channel->socket, ZMQ_FD, &descriptor, &size) != 0) {
        return -1;
    }
    channel->watch = loop_watch_new(channel->loop, descriptor, LOOP_READ, on_readable, channel);
    channel->prepare = loop_prepare_new(channel->loop, read_portion, channel);
    channel->again = loop_timer_new(channel->loop, read_portion, channel);
    return 0;
}

/* Makes way for the socket file: one that a dead scheduler left is removed, anything else is not ours to
 * touch. */
static int clear_path(const char *path) {
    struct stat state;
    if (lstat(path, &state) != 0) {
        return errno == ENOENT ? 0 : -1;
    }
    if (!S_ISSOCK(state.st_mode)) {
        errno = EEXIST;
        return -1;
    }
    return unlink(path);
}

/* The socket file is made by this thread, inside zmq_bind, so the mask holds for it. */
static int bind_private(void *socket, const char *endpoint) {
    if (text_starts_with(endpoint, IPC_PREFIX) && clear_path(endpoint + strlen(IPC_PREFIX)) != 0) {
        return -1;
    }
    mode_t old = umask(0177);
    int result = zmq_bind(socket, endpoint);
    int error = errno;
    (void)umask(old);
    errno = error;
    return result;
}

static struct channel *channel_open(struct loop *loop, const char *endpoint, bool server) {
    if (!is_endpoint(endpoint)) {
        log_error("endpoint=%s state=refused error=\"not an ipc or loopback endpoint\"", endpoint);
        return NULL;
    }
    struct channel *channel = channel_new(loop, server);
    if (channel == NULL) {
        log_error_errno("endpoint=%s state=failed", endpoint);
        return NULL;
    }
    int result = server ? bind_private(channel->socket, endpoint) : zmq_connect(channel->socket, endpoint);
    if (result != 0 || watch_socket(channel) != 0) {
        log_error_errno("endpoint=%s state=failed", endpoint);
        destroy(channel);
        return NULL;
    }
    return channel;
}

struct channel *channel_listen(struct loop *loop, const char *endpoint, channel_message_fn *on_message,
                               channel_bad_fn *on_bad, void *context) {
    struct channel *channel = channel_open(loop, endpoint, true);
    if (channel != NULL) {
        channel->on_message = on_message;
        channel->on_bad = on_bad;
        channel->context = context;
    }
    return channel;
}

struct channel *channel_connect(struct loop *loop, const char *endpoint, channel_message_fn *on_message,
                                channel_bad_fn *on_bad, void *context) {
    struct channel *channel = channel_open(loop, endpoint, false);
    if (channel != NULL) {
        channel->on_message = on_message;
        channel->on_bad = on_bad;
        channel->context = context;
    }
    return channel;
}

/* Using */

static int send_frame(struct channel *channel, const void *bytes, size_t size, int flags) {
    while (zmq_send(channel->socket, bytes, size, flags | ZMQ_DONTWAIT) < 0) {
        if (errno != EINTR) {
            return -1;
        }
    }
    return 0;
}

int channel_send(struct channel *channel, const struct channel_peer *peer, const struct message *message) {
    if (channel->freed || channel->server != (peer != NULL)) {
        return -1;
    }
    buffer_reset(&channel->out);
    if (message_encode(&channel->out, message) != 0) {
        log_error("message=%s state=dropped error=\"breaks its limits\"", message_type_name(message->type));
        return -1;
    }
    if (peer != NULL && send_frame(channel, peer->id, peer->size, ZMQ_SNDMORE) != 0) {
        return -1;
    }
    if (send_frame(channel, channel->out.data, channel->out.size, 0) != 0) {
        return -1;
    }
    counter_add(COUNT_MESSAGES_OUT, 1);
    return 0;
}

void channel_free(struct channel *channel, int linger_ms) {
    if (channel == NULL) {
        return;
    }
    channel->linger_ms = linger_ms;
    if (channel->reading) {
        channel->freed = true;
        return;
    }
    destroy(channel);
}
