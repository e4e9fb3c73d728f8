/* SPDX-License-Identifier: MIT
 * Packets between a worker and its nursery: one datagram of a SOCK_SEQPACKET pair, a flat map of names to
 * texts and numbers (proto/message.h), with descriptors attached. The verbs:
 *
 *   worker → nursery   run     id type mime parameters input outputs and the limits; descriptors: result,
 *                              progress, the input when input=1, the parts when parts=1, then one per bit of
 *                              outputs
 *                      cancel  id
 *                      wake    nothing: for a nursery that has not been started yet
 *   nursery → worker   ready   pid generation layers complete engines
 *                      started id pid
 *                      ended   id pid reason detail cpu_us wall_ms peak_rss_bytes; reason "" means that the
 *                              runner ended by itself and left a result
 */
#ifndef WORKERS_NURSERY_WIRE_H
#define WORKERS_NURSERY_WIRE_H

#include "proto/message.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_MAX_BYTES (96u * 1024u)
#define WIRE_MAX_PAIRS 32
#define WIRE_MAX_DESCRIPTORS (4 + MESSAGE_MAX_OUTPUTS)

struct wire_packet {
    char bytes[WIRE_MAX_BYTES];
    size_t size;
    struct message_pair pairs[WIRE_MAX_PAIRS];
    size_t pair_count;
    int descriptors[WIRE_MAX_DESCRIPTORS]; /* -1 once taken */
    size_t descriptor_count;
};

enum wire_status { WIRE_PACKET, WIRE_NOTHING, WIRE_CLOSED, WIRE_BAD };

/* Descriptors are borrowed. 0, or -1 with errno; EAGAIN when the peer does not read, EMSGSIZE when the texts
 * are too long. */
int wire_send(int socket, const struct message_pair *pairs, size_t count, const int *descriptors,
              size_t descriptor_count);

/* Never blocks. The packet's texts live in the packet; its descriptors are the caller's (wire_close). */
enum wire_status wire_receive(int socket, struct wire_packet *packet);
void wire_close(struct wire_packet *packet);      /* closes the descriptors not taken */
int wire_take(struct wire_packet *packet, size_t index); /* -1 if there is none */

/* "" and 0 when the name is missing or of the other kind. */
const char *wire_text(const struct wire_packet *packet, const char *key);
uint64_t wire_number(const struct wire_packet *packet, const char *key);

#endif
