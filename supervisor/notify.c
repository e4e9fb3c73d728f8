/* SPDX-License-Identifier: MIT
 * sd_notify without its library. */
#include "supervisor/notify.h"

#include "lib/clock.h"
#include "lib/memory.h"
#include "lib/text.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct watchdog {
    struct loop_timer *timer;
    int64_t every_ms;
};

void notify_send(const char *lines) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (path == NULL || (*path != '/' && *path != '@') || strlen(path) >= sizeof address.sun_path)
        return;
    (void)text_copy(address.sun_path, sizeof address.sun_path, path);
    if (*path == '@')
        address.sun_path[0] = '\0'; /* abstract */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, lines, strlen(lines), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
    close(fd);
}

void notify_reloading(void) {
    char lines[64];

    (void)text_format(lines, sizeof lines, "RELOADING=1\nMONOTONIC_USEC=%lld",
                      (long long)clock_monotonic_us());
    notify_send(lines);
}

static void beat(void *context) {
    struct watchdog *watchdog = context;

    notify_send("WATCHDOG=1");
    loop_timer_set(watchdog->timer, watchdog->every_ms);
}

void notify_watchdog_start(struct loop *loop) {
    static struct watchdog watchdog;
    const char *interval = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    uint64_t interval_us;

    if (interval == NULL || text_parse_u64(interval, 1, UINT32_MAX, &interval_us) != 0 ||
        (pid != NULL && strtoll(pid, NULL, 10) != (long long)getpid()))
        return;
    watchdog.every_ms = (int64_t)(interval_us / 2000);
    watchdog.timer = loop_timer_new(loop, beat, &watchdog);
    beat(&watchdog);
}
