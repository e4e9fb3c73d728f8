/* SPDX-License-Identifier: MIT
 * The operators' socket. Whatever a client sends, or fails to read, costs it its connection and nothing else.
 */
#include "supervisor/stats.h"

#include "lib/buffer.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS_MAX 32
#define CLIENT_MS 30000
#define REPLY_MAX ((size_t)8 * 1024 * 1024)
#define ERROR_MAX 512

struct stats_client {
    struct stats *stats;
    int fd; /* -1: free place */
    struct loop_watch *watch;
    struct loop_timer *timer;
    char line[COMMAND_LINE_MAX + 1];
    size_t line_size;
    struct buffer reply;
    bool waits; /* its command is being carried out */
};

struct stats {
    struct loop *loop;
    char *path;
    int fd;
    struct loop_watch *watch;
    stats_command_fn *fn;
    void *context;
    struct stats_client clients[CLIENTS_MAX];
};

static void client_close(struct stats_client *client) {
    loop_watch_free(client->watch);
    loop_timer_free(client->timer);
    client->watch = NULL;
    client->timer = NULL;
    close(client->fd);
    client->fd = -1;
    client->line_size = 0;
    client->waits = false;
    buffer_clear(&client->reply);
}

static void on_client_late(void *context) {
    struct stats_client *client = context;

    if (client
            ->waits) /* whoever owes the reply has a shorter deadline; the place must not be reused before */
        loop_timer_set(client->timer, CLIENT_MS);
    else
        client_close(client);
}

static void send_reply(struct stats_client *client) {
    while (client->reply.size > 0) {
        ssize_t size = send(client->fd, client->reply.data, client->reply.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0 && errno == EAGAIN) {
            loop_watch_set(client->watch, LOOP_WRITE);
            return;
        }
        if (size < 0)
            break;
        buffer_consume(&client->reply, (size_t)size);
    }
    client_close(client);
}

void stats_reply(struct stats_client *client, const char *text) {
    client->waits = false;
    if (buffer_append_text(&client->reply, text) != 0)
        (void)buffer_append_text(&client->reply, "error answer too long\n");
    send_reply(client);
}

void stats_reply_error(struct stats_client *client, const char *error) {
    char text[ERROR_MAX];

    (void)text_format(text, sizeof text, "error %s\n", error);
    stats_reply(client, text);
}

static void carry_out(struct stats_client *client, size_t size) {
    struct command command;
    char error[ERROR_MAX - 16];

    client->waits = true;
    loop_watch_set(client->watch, 0);
    if (command_parse(&command, client->line, size, error, sizeof error) != 0)
        stats_reply_error(client, error);
    else
        client->stats->fn(client->stats->context, &command, client);
}

static void on_client(void *context, uint32_t events) {
    struct stats_client *client = context;

    if (client->reply.size > 0 || (events & LOOP_WRITE) != 0) {
        send_reply(client);
        return;
    }
    ssize_t size = recv(client->fd, client->line + client->line_size, sizeof client->line - client->line_size,
                        MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size < 0 || (size == 0 && client->line_size == 0)) {
        client_close(client);
        return;
    }
    client->line_size += (size_t)size;
    const char *end = memchr(client->line, '\n', client->line_size);
    if (end != NULL)
        carry_out(client, (size_t)(end - client->line));
    else if (size == 0 || client->line_size == sizeof client->line)
        carry_out(client, client->line_size);
}

static struct stats_client *find_place(struct stats *stats) {
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        if (stats->clients[i].fd < 0)
            return &stats->clients[i];
    }
    return NULL;
}

static void on_listener(void *context, uint32_t events) {
    struct stats *stats = context;
    static const char full[] = "error too many clients\n";

    int fd = accept4(stats->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct stats_client *client = find_place(stats);
    if (client == NULL) {
        (void)send(fd, full, sizeof full - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        close(fd);
        return;
    }
    client->fd = fd;
    client->watch = loop_watch_new(stats->loop, fd, LOOP_READ, on_client, client);
    client->timer = loop_timer_new(stats->loop, on_client_late, client);
    loop_timer_set(client->timer, CLIENT_MS);
}

/* Bound under a mask that makes the socket 0600 from its first moment. */
static int listen_at(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (text_copy(address.sun_path, sizeof address.sun_path, path) != 0) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    (void)unlink(path); /* what a killed instance left; the lock says that none is alive */
    mode_t mask = umask(0177);
    int result = bind(fd, (const struct sockaddr *)&address, sizeof address);
    (void)umask(mask);
    if (result == 0 && listen(fd, CLIENTS_MAX) == 0)
        return fd;
    int saved_errno = errno;
    close(fd);
    errno = saved_errno;
    return -1;
}

struct stats *stats_new(struct loop *loop, const char *path, stats_command_fn *fn, void *context, char *error,
                        size_t error_size) {
    int fd = listen_at(path);

    if (fd < 0) {
        (void)text_format(error, error_size, "%s: %s", path, strerror(errno));
        return NULL;
    }
    struct stats *stats = memory_new(sizeof *stats);
    stats->loop = loop;
    stats->path = memory_copy_text(path);
    stats->fd = fd;
    stats->fn = fn;
    stats->context = context;
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        stats->clients[i].stats = stats;
        stats->clients[i].fd = -1;
        buffer_init(&stats->clients[i].reply, REPLY_MAX);
    }
    stats->watch = loop_watch_new(loop, fd, LOOP_READ, on_listener, stats);
    return stats;
}

void stats_free(struct stats *stats) {
    if (stats == NULL)
        return;
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        if (stats->clients[i].fd >= 0)
            client_close(&stats->clients[i]);
    }
    loop_watch_free(stats->watch);
    close(stats->fd);
    (void)unlink(stats->path);
    free(stats->path);
    free(stats);
}
