/* SPDX-License-Identifier: MIT
 * Sending and receiving packets with descriptors. Both sides are ours and the nursery meets no bytes from
 * outside, but a worker could be taken over: everything is bounded and checked as if it came from outside. */
#include "workers/nursery_wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control_room {
    char bytes[CMSG_SPACE(sizeof(int) * WIRE_MAX_DESCRIPTORS)];
    struct cmsghdr alignment;
};

int wire_send(int socket, const struct message_pair *pairs, size_t count, const int *descriptors,
              size_t descriptor_count) {
    struct buffer buffer;
    union control_room control = {{0}};
    struct iovec part;
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t sent = -1;

    buffer_init(&buffer, WIRE_MAX_BYTES);
    if (descriptor_count > WIRE_MAX_DESCRIPTORS || message_pairs_encode(&buffer, pairs, count) != 0) {
        errno = EMSGSIZE;
        goto clear_buffer;
    }
    part = (struct iovec){.iov_base = buffer.data, .iov_len = buffer.size};
    if (descriptor_count > 0) {
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(sizeof(int) * descriptor_count);
        struct cmsghdr *attached = CMSG_FIRSTHDR(&header);
        attached->cmsg_level = SOL_SOCKET;
        attached->cmsg_type = SCM_RIGHTS;
        attached->cmsg_len = CMSG_LEN(sizeof(int) * descriptor_count);
        memcpy(CMSG_DATA(attached), descriptors, sizeof(int) * descriptor_count);
    }
    do {
        sent = sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);

clear_buffer:
    buffer_clear(&buffer);
    return sent < 0 ? -1 : 0;
}

static void take_descriptors(struct wire_packet *packet, struct msghdr *header) {
    for (struct cmsghdr *attached = CMSG_FIRSTHDR(header); attached != NULL;
         attached = CMSG_NXTHDR(header, attached)) {
        if (attached->cmsg_level != SOL_SOCKET || attached->cmsg_type != SCM_RIGHTS)
            continue;
        packet->descriptor_count = (attached->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(packet->descriptors, CMSG_DATA(attached), packet->descriptor_count * sizeof(int));
    }
}

enum wire_status wire_receive(int socket, struct wire_packet *packet) {
    union control_room control;
    struct iovec part = {.iov_base = packet->bytes, .iov_len = sizeof packet->bytes - 1};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes};
    ssize_t received;
    int pair_count;

    packet->pair_count = 0;
    packet->descriptor_count = 0;
    do {
        received = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (received < 0 && errno == EINTR);
    if (received < 0)
        return errno == EAGAIN ? WIRE_NOTHING : WIRE_CLOSED;
    if (received == 0)
        return WIRE_CLOSED;
    take_descriptors(packet, &header);
    packet->size = (size_t)received;
    packet->bytes[packet->size] = '\0';
    pair_count = (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0
                     ? -1
                     : message_pairs_decode(packet->pairs, WIRE_MAX_PAIRS, packet->bytes, packet->size);
    if (pair_count < 0) {
        wire_close(packet);
        return WIRE_BAD;
    }
    packet->pair_count = (size_t)pair_count;
    return WIRE_PACKET;
}

void wire_close(struct wire_packet *packet) {
    for (size_t i = 0; i < packet->descriptor_count; i++) {
        if (packet->descriptors[i] >= 0)
            close(packet->descriptors[i]);
    }
    packet->descriptor_count = 0;
}

int wire_take(struct wire_packet *packet, size_t index) {
    int fd;

    if (index >= packet->descriptor_count)
        return -1;
    fd = packet->descriptors[index];
    packet->descriptors[index] = -1;
    return fd;
}

static const struct message_pair *find_pair(const struct wire_packet *packet, const char *key) {
    for (size_t i = 0; i < packet->pair_count; i++) {
        if (strcmp(packet->pairs[i].key, key) == 0)
            return &packet->pairs[i];
    }
    return NULL;
}

const char *wire_text(const struct wire_packet *packet, const char *key) {
    const struct message_pair *pair = find_pair(packet, key);

    return pair == NULL || pair->text == NULL ? "" : pair->text;
}

uint64_t wire_number(const struct wire_packet *packet, const char *key) {
    const struct message_pair *pair = find_pair(packet, key);

    return pair == NULL || pair->text != NULL ? 0 : pair->number;
}
