/* SPDX-License-Identifier: MIT
 * Listening sockets. */
#include "supervisor/listener.h"

#include "lib/text.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static socklen_t make_address(struct sockaddr_storage *place, const char *address, uint16_t port) {
    struct sockaddr_in *four = (struct sockaddr_in *)place;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)place;

    memset(place, 0, sizeof *place);
    if (inet_pton(AF_INET, address, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        return sizeof *four;
    }
    if (inet_pton(AF_INET6, address, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        return sizeof *six;
    }
    return 0;
}

static int open_bound(const struct sockaddr_storage *place, socklen_t size, bool share) {
    int on = 1;
    int fd = socket(place->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        (!share || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
        bind(fd, (const struct sockaddr *)place, size) == 0)
        return fd;
    int saved_errno = errno;
    close(fd);
    errno = saved_errno;
    return -1;
}

int listener_open(const char *address, uint16_t port, bool is_first, char *error, size_t error_size) {
    struct sockaddr_storage place;
    socklen_t size = make_address(&place, address, port);
    int fd = -1;

    if (size == 0) {
        (void)text_format(error, error_size, "%s: not a numeric IPv4 or IPv6 address", address);
        return -1;
    }
    if (is_first) {
        fd = open_bound(&place, size, false);
        if (fd < 0)
            goto report;
        close(fd);
    }
    fd = open_bound(&place, size, true);
    if (fd >= 0)
        return fd;

report:
    (void)text_format(error, error_size, "%s:%u: %s", address, (unsigned)port, strerror(errno));
    return -1;
}
