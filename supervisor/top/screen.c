/* SPDX-License-Identifier: MIT
 * Readable in 80 by 24; wider terminals show more of the notes, taller ones more services. */
#include "supervisor/top/screen.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/text.h"

#define LINE_MAX_COLUMNS 400
#define PLAIN ""
#define BOLD "\x1b[1m"
#define DIM "\x1b[2m"
#define RED "\x1b[31m"
#define REVERSE "\x1b[7m"
#define RESET "\x1b[0m"

struct page {
    struct buffer *text;
    const struct top_size *size;
    unsigned used;
};

static void add_line(struct page *page, const char *style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void add_line(struct page *page, const char *style, const char *format, ...) {
    char line[LINE_MAX_COLUMNS + 1];
    unsigned width = page->size->columns < LINE_MAX_COLUMNS ? page->size->columns : LINE_MAX_COLUMNS;
    bool styled = page->size->color && style[0] != '\0';
    va_list arguments;

    if (page->used == page->size->rows)
        return;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (strlen(line) > width)
        line[width] = '\0';
    for (char *at = line; *at != '\0'; at++)
        *at = (unsigned char)*at < 0x20 || (unsigned char)*at >= 0x7f ? '?' : *at;
    if (page->used++ > 0)
        (void)buffer_append_text(page->text, "\n");
    (void)buffer_append_format(page->text, "%s%s%s", styled ? style : "", line, styled ? RESET : "");
}

static const char *duration(char target[16], double seconds) {
    long whole = (long)seconds;

    if (whole >= 86400)
        (void)text_format(target, 16, "%ldd%02ldh", whole / 86400, whole / 3600 % 24);
    else if (whole >= 3600)
        (void)text_format(target, 16, "%ldh%02ldm", whole / 3600, whole / 60 % 60);
    else if (whole >= 60)
        (void)text_format(target, 16, "%ldm%02lds", whole / 60, whole % 60);
    else
        (void)text_format(target, 16, "%lds", whole);
    return target;
}

static const char *latency(char target[16], double seconds) {
    if (seconds < 0)
        return "-";
    (void)text_format(target, 16, seconds < 1 ? "%.0f ms" : "%.1f s", seconds < 1 ? seconds * 1000 : seconds);
    return target;
}

static const char *bytes(char target[16], double count) {
    static const char *const units[] = {"B", "kB", "MB", "GB"};
    size_t unit = 0;

    while (count >= 1000 && unit < 3) {
        count /= 1000;
        unit++;
    }
    (void)text_format(target, 16, unit == 0 || count >= 100 ? "%.0f %s" : "%.1f %s", count, units[unit]);
    return target;
}

static void add_figures(struct page *page, const struct top_model *model) {
    const struct top_rates *rates = &model->rates;
    char in[16], out[16], since[24] = "since the start";

    if (model->interval_s > 0)
        (void)text_format(since, sizeof since, "over %.0f s", model->interval_s);
    add_line(page, model->oldest_s > 60 ? RED : BOLD,
             " QUEUE    ready %llu  delayed %llu  running %llu  oldest %llu s     SLOTS %llu of %llu busy",
             (unsigned long long)model->ready, (unsigned long long)model->delayed,
             (unsigned long long)model->running, (unsigned long long)model->oldest_s,
             (unsigned long long)model->busy, (unsigned long long)model->slots);
    add_line(page, rates->failed > 0 ? RED : PLAIN,
             " JOBS/s   claimed %.1f  done %.1f  failed %.1f  retried %.1f  (%s)", rates->claimed,
             rates->done, rates->failed, rates->retried, since);
    add_line(page, rates->http_5xx > 0 ? RED : PLAIN,
             " HTTP/s   2xx %.1f  3xx %.1f  4xx %.1f  5xx %.1f  refused %.1f   open %llu  streams %llu",
             rates->http_2xx, rates->http_3xx, rates->http_4xx, rates->http_5xx, rates->http_refused,
             (unsigned long long)model->connections, (unsigned long long)model->streams);
    add_line(page, rates->killed > 0 ? RED : PLAIN,
             " RUNNERS  %.1f/s  killed %.2f/s  cores %.2f   in %s/s  out %s/s", rates->runners, rates->killed,
             rates->cores, bytes(in, rates->bytes_in), bytes(out, rates->bytes_out));
    if (rates->storage_errors + rates->database_errors > 0)
        add_line(page, RED, " ERRORS/s storage %.2f  database %.2f", rates->storage_errors,
                 rates->database_errors);
}

static void add_latencies(struct page *page, const struct top_model *model) {
    static const char *const heads[] = {"p50", "p95"};
    const double *const rows[] = {model->p50_s, model->p95_s};

    add_line(page, DIM, " LATENCY %10s %10s %10s %10s %10s", top_phases[0], top_phases[1], top_phases[2],
             top_phases[3], top_phases[4]);
    for (size_t i = 0; i < 2; i++) {
        char cells[TOP_PHASES][16];
        const char *shown[TOP_PHASES];
        for (size_t phase = 0; phase < TOP_PHASES; phase++)
            shown[phase] = latency(cells[phase], rows[i][phase]);
        add_line(page, PLAIN, "   %s   %10s %10s %10s %10s %10s", heads[i], shown[0], shown[1], shown[2],
                 shown[3], shown[4]);
    }
}

static void add_services(struct page *page, const struct top_model *model) {
    add_line(page, DIM, " %-14s %-9s %8s %7s %5s  %s", "SERVICE", "STATE", "PID", "UP", "DIED",
             "WHAT IT DOES");
    for (size_t i = 0; i < model->service_count; i++) {
        const struct top_service *service = &model->services[i];
        char name[40], up[16];
        const char *runs = strstr(service->note, "; runs ");
        bool worker = strcmp(service->name, "worker") == 0;
        bool bad = strcmp(service->state, "ready") != 0 && strcmp(service->state, "done") != 0;
        if (page->used + 1 == page->size->rows && i + 1 < model->service_count) {
            add_line(page, DIM, " and %zu more", model->service_count - i);
            return;
        }
        (void)text_format(name, sizeof name, "%s.%u", service->name, service->index);
        add_line(page, bad ? RED : PLAIN, " %-14s %-9s %8d %7s %5u  %s", name, service->state, service->pid,
                 service->pid > 0 ? duration(up, service->uptime_s) : "-", service->restarts,
                 runs != NULL ? runs + strlen("; runs ")
                 : worker     ? "idle"
                              : "");
    }
}

void top_screen_draw(struct buffer *text, const struct top_model *model, const struct top_size *size) {
    struct page page = {.text = text, .size = size};
    char up[16];

    add_line(&page, strcmp(model->status, "ready") == 0 ? REVERSE : REVERSE RED,
             " Filemill %s   %s   %s   up %s%-80s", model->version, model->node, model->status,
             duration(up, model->uptime_s), "");
    add_line(&page, PLAIN, "%s", "");
    add_figures(&page, model);
    add_line(&page, PLAIN, "%s", "");
    add_latencies(&page, model);
    add_line(&page, PLAIN, "%s", "");
    add_services(&page, model);
}
