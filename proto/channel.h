/* SPDX-License-Identifier: MIT
 * ZeroMQ sockets on the event loop: a server (ROUTER) that the scheduler binds, and clients (DEALER) that
 * workers and gateways connect. The only users of zmq.h are this module's sources. Messages over
 * MESSAGE_MAX_BYTES are never accepted; one that does not decode is dropped, counted and reported as a bad
 * peer. Queues are bounded; a send that would block returns -1 (the caller treats the peer as gone).
 * ZeroMQ starts threads: create a channel only after everything that forks has been forked. */
#ifndef PROTO_CHANNEL_H
#define PROTO_CHANNEL_H

#include "lib/loop.h"
#include "proto/message.h"
#include <stdint.h>

/* A peer of a server: the id that it is routed by. To send to one that is gone fails. */
struct channel_peer {
    uint8_t id[16];
    uint8_t size;
};

struct channel;

/* `message` and its texts are valid during the call only. For a client, peer is NULL. */
typedef void channel_message_fn(void *context, const struct channel_peer *peer, const struct message *message);
/* A message that did not decode or was too large; peer is NULL also when its id can't be told. */
typedef void channel_bad_fn(void *context, const struct channel_peer *peer, const char *error);

/* Endpoint "ipc:///path" (mode 0600, stale file removed) or "tcp://127.0.0.1:port" in tests. NULL with a log
 * line on failure. */
struct channel *channel_listen(struct loop *loop, const char *endpoint, channel_message_fn *on_message,
                               channel_bad_fn *on_bad, void *context);
/* Connects (and reconnects by itself for ever, 100 ms to 2 s). A hello must be sent again whenever the other
 * side answers PING with silence or greets with a new generation: that is the caller's protocol. */
struct channel *channel_connect(struct loop *loop, const char *endpoint, channel_message_fn *on_message,
                                channel_bad_fn *on_bad, void *context);

/* peer NULL on a client. 0, or -1 when the message can't be encoded, the queue is full or the peer is gone. */
int channel_send(struct channel *channel, const struct channel_peer *peer, const struct message *message);

/* Sends what is queued for at most linger_ms (this waits), then frees. May be called inside the channel's own
 * callbacks. Channels are freed before their loop. */
void channel_free(struct channel *channel, int linger_ms);

#endif
