/* SPDX-License-Identifier: MIT
 * Between a gateway and its child filemill-identify: one packet per file over a sequenced-packet socket, with
 * two descriptors: a sealed memory file (the first bytes, then the last ones) and the writing end of a pipe.
 * The answer comes through the pipe from the process that met the bytes, "<libmagic's type>\n<type by a zip's
 * directory>\n", either empty when unknown. A pipe that ends without it: that process died. What it says is
 * as untrusted as the bytes. */
#ifndef PROTO_IDENTIFY_H
#define PROTO_IDENTIFY_H

#include <stdint.h>

#define IDENTIFY_SOCKET 3 /* its number in the child */
#define IDENTIFY_HEAD_BYTES 65536u
#define IDENTIFY_TAIL_BYTES 65536u
#define IDENTIFY_ANSWER_BYTES 512u
#define IDENTIFY_DEADLINE_S 1u

struct identify_packet {
    uint32_t head_bytes, tail_bytes; /* tail_bytes 0: the head is all there is */
};

#endif
