/* SPDX-License-Identifier: MIT
 * A few connections at a time, each with a deadline: read a head, answer, close. */
#include "supervisor/exporter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/buffer.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "supervisor/listener.h"
#include "supervisor/metrics.h"

#define SCRAPERS_MAX 8
#define HEAD_MAX 4096
#define SCRAPE_MS 10000
#define ANSWER_MAX ((size_t)5 * 1024 * 1024)

struct scraper {
    struct exporter *exporter;
    int fd;     /* -1: free place */
    bool waits; /* for the metrics: the place is not free before they have come */
    struct loop_watch *watch;
    struct loop_timer *timer;
    char head[HEAD_MAX + 1];
    size_t head_size;
    struct buffer answer;
};

struct exporter {
    struct supervisor *supervisor;
    int fd;
    struct loop_watch *watch;
    struct scraper scrapers[SCRAPERS_MAX];
};

static void scraper_close(struct scraper *scraper) {
    loop_watch_free(scraper->watch);
    loop_timer_free(scraper->timer);
    scraper->watch = NULL;
    scraper->timer = NULL;
    close(scraper->fd);
    scraper->fd = -1;
    scraper->head_size = 0;
    buffer_clear(&scraper->answer);
}

static void send_answer(struct scraper *scraper) {
    while (scraper->answer.size > 0) {
        ssize_t size =
            send(scraper->fd, scraper->answer.data, scraper->answer.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0 && errno == EAGAIN) {
            loop_watch_set(scraper->watch, LOOP_WRITE);
            return;
        }
        if (size < 0)
            break;
        buffer_consume(&scraper->answer, (size_t)size);
    }
    scraper_close(scraper);
}

static void answer(struct scraper *scraper, const char *status, const char *body) {
    (void)buffer_append_format(&scraper->answer,
                               "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                               "Content-Length: %zu\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
                               status, strlen(body));
    (void)buffer_append_text(&scraper->answer, body);
    send_answer(scraper);
}

static void on_metrics(void *context, const char *text) {
    struct scraper *scraper = context;

    scraper->waits = false;
    answer(scraper, "200 OK", text);
}

static void carry_out(struct scraper *scraper) {
    static const char wanted[] = "GET /metrics";
    const char *rest = scraper->head + strlen(wanted);

    loop_watch_set(scraper->watch, 0);
    if (strncmp(scraper->head, wanted, strlen(wanted)) != 0 || (*rest != ' ' && *rest != '?')) {
        answer(scraper, "404 Not Found", "GET /metrics is all there is.\n");
        return;
    }
    scraper->waits = true;
    metrics_collect(scraper->exporter->supervisor, on_metrics, scraper);
}

static void read_head(struct scraper *scraper) {
    ssize_t size =
        recv(scraper->fd, scraper->head + scraper->head_size, HEAD_MAX - scraper->head_size, MSG_DONTWAIT);

    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0) {
        scraper_close(scraper);
        return;
    }
    scraper->head_size += (size_t)size;
    scraper->head[scraper->head_size] = '\0';
    if (strstr(scraper->head, "\r\n\r\n") != NULL)
        carry_out(scraper);
    else if (scraper->head_size == HEAD_MAX)
        answer(scraper, "431 Request Header Fields Too Large", "");
}

static void on_scraper(void *context, uint32_t events) {
    struct scraper *scraper = context;

    if (scraper->answer.size > 0)
        send_answer(scraper);
    else if ((events & LOOP_READ) != 0)
        read_head(scraper);
    else
        scraper_close(scraper);
}

static void on_late(void *context) {
    struct scraper *scraper = context;

    if (scraper->waits) /* whoever owes the metrics has a shorter deadline */
        loop_timer_set(scraper->timer, SCRAPE_MS);
    else
        scraper_close(scraper);
}

static void on_listener(void *context, uint32_t events) {
    struct exporter *exporter = context;
    int fd = accept4(exporter->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    for (size_t i = 0; i < SCRAPERS_MAX; i++) {
        struct scraper *scraper = &exporter->scrapers[i];
        if (scraper->fd >= 0)
            continue;
        scraper->fd = fd;
        scraper->watch = loop_watch_new(exporter->supervisor->loop, fd, LOOP_READ, on_scraper, scraper);
        scraper->timer = loop_timer_new(exporter->supervisor->loop, on_late, scraper);
        loop_timer_set(scraper->timer, SCRAPE_MS);
        return;
    }
    close(fd);
}

struct exporter *exporter_new(struct supervisor *supervisor, char *error, size_t error_size) {
    const struct settings *settings = &supervisor->configuration.settings;
    int fd =
        listener_open(settings->metrics_address, (uint16_t)settings->metrics_port, true, error, error_size);

    if (fd < 0)
        return NULL;
    if (listen(fd, SCRAPERS_MAX) != 0) {
        (void)text_format(error, error_size, "metrics-port: %s", strerror(errno));
        close(fd);
        return NULL;
    }
    struct exporter *exporter = memory_new(sizeof *exporter);
    exporter->supervisor = supervisor;
    exporter->fd = fd;
    for (size_t i = 0; i < SCRAPERS_MAX; i++) {
        exporter->scrapers[i].exporter = exporter;
        exporter->scrapers[i].fd = -1;
        buffer_init(&exporter->scrapers[i].answer, ANSWER_MAX);
    }
    exporter->watch = loop_watch_new(supervisor->loop, fd, LOOP_READ, on_listener, exporter);
    return exporter;
}

void exporter_free(struct exporter *exporter) {
    if (exporter == NULL)
        return;
    for (size_t i = 0; i < SCRAPERS_MAX; i++) {
        if (exporter->scrapers[i].fd >= 0)
            scraper_close(&exporter->scrapers[i]);
    }
    loop_watch_free(exporter->watch);
    close(exporter->fd);
    free(exporter);
}
