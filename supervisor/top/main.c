/* SPDX-License-Identifier: MIT
 * filemill-top SOCKET [--once] [--interval SECONDS]: asks the stats socket again and again and draws. q, Esc
 * or Ctrl-C end it; the terminal is left as it was found. Without a terminal it draws once. */
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/text.h"
#include "supervisor/top/terminal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX ((size_t)8 * 1024 * 1024)
#define ANSWER_SECONDS 5

struct order {
    const char *socket;
    bool once;
    uint64_t interval_s;
};

static int connect_to(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval limit = {.tv_sec = ANSWER_SECONDS};
    int fd = text_copy(address.sun_path, sizeof address.sun_path, path) == 0
                 ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
                 : -1;

    if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
                    connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* One answer to `stats`, or NULL. */
static struct top_sample *take_sample(const char *path) {
    struct top_sample *sample = NULL;
    struct buffer answer;
    char chunk[16384];
    ssize_t size = -1;
    int fd = connect_to(path);

    if (fd < 0)
        return NULL;
    buffer_init(&answer, ANSWER_MAX);
    if (send(fd, "stats\n", 6, MSG_NOSIGNAL) == 6) {
        while ((size = recv(fd, chunk, sizeof chunk, 0)) > 0 || (size < 0 && errno == EINTR)) {
            if (size > 0 && buffer_append(&answer, chunk, (size_t)size) != 0)
                break;
        }
    }
    if (size == 0 && answer.size > 0)
        sample = top_sample_new(answer.data, (double)clock_monotonic_us() / 1e6);
    buffer_clear(&answer);
    close(fd);
    return sample;
}

static int watch(const struct order *order) {
    struct top_sample *before = NULL, *sample = take_sample(order->socket);
    struct top_model *model = calloc(1, sizeof *model);
    int status = 0;

    if (model == NULL || sample == NULL) {
        (void)fprintf(stderr, "filemill: %s does not answer\n", order->socket);
        free(model);
        return 1;
    }
    bool live = !order->once && terminal_enter();
    while (sample != NULL) {
        top_model_fill(model, sample, before);
        terminal_show(model, live);
        if (!live || !terminal_wait((int64_t)order->interval_s * 1000))
            break;
        top_sample_free(before);
        before = sample;
        sample = take_sample(order->socket);
    }
    if (live)
        terminal_leave();
    if (sample == NULL) {
        (void)fputs("filemill: the node has stopped\n", stderr);
        status = 1;
    }
    top_sample_free(before);
    top_sample_free(sample);
    free(model);
    return status;
}

static int parse(struct order *order, int count, char **arguments) {
    if (count < 2)
        return -1;
    order->socket = arguments[1];
    for (int i = 2; i < count; i++) {
        if (strcmp(arguments[i], "--once") == 0)
            order->once = true;
        else if (strcmp(arguments[i], "--interval") != 0 || i + 1 == count ||
                 text_parse_u64(arguments[++i], 1, 3600, &order->interval_s) != 0)
            return -1;
    }
    return 0;
}

int main(int count, char **arguments) {
    struct order order = {.interval_s = 2};

    log_init("top", LOG_WARN);
    if (parse(&order, count, arguments) != 0) {
        (void)fputs("usage: filemill top [--once] [--interval SECONDS]\n", stderr);
        return 2;
    }
    return watch(&order);
}
