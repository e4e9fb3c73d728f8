/* SPDX-License-Identifier: MIT
 * What a runner writes and what a nursery's socket brings. An accepted result has texts that end, printable,
 * and a known reason. */
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/processors.h"
#include "tests/fuzz/fuzz.h"
#include "workers/nursery_wire.h"
#include "workers/result.h"

static void fuzz_result(const uint8_t *bytes, size_t size) {
    static struct runner_result result;
    const char *error = NULL;
    int fd = memfd_create("result", MFD_CLOEXEC);

    require(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    if (result_read(fd, processor_find("extract_pdf"), &result, &error) == 0) {
        for (const char *at = result.detail; *at != '\0'; at++)
            require((unsigned char)*at >= ' ');
        require(result.metrics[0] == '{' || result.metrics[0] == '\0');
    } else {
        require(error != NULL);
    }
    close(fd);
}

static void fuzz_wire(const uint8_t *bytes, size_t size) {
    static struct wire_packet packet;
    int ends[2];

    require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    if (size > 0 && send(ends[0], bytes, size, 0) == (ssize_t)size) {
        enum wire_status status = wire_receive(ends[1], &packet);
        require(status == WIRE_PACKET || status == WIRE_BAD);
        if (status == WIRE_PACKET) {
            require(packet.pair_count <= WIRE_MAX_PAIRS && packet.descriptor_count == 0);
            (void)wire_text(&packet, "verb");
            (void)wire_number(&packet, "id");
            require(wire_take(&packet, 0) == -1);
            wire_close(&packet);
        }
    }
    close(ends[0]);
    close(ends[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    fuzz_result(bytes, size);
    fuzz_wire(bytes, size);
    return 0;
}
