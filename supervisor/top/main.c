/* SPDX-License-Identifier: MIT
 * filemill-top SOCKET [--once] [--interval SECONDS]: asks the stats socket again and again and draws. q, Esc
 * or Ctrl-C end it; the terminal is left as it was found. Without a terminal it draws once. */
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/text.h"
#include "supervisor/top/screen.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#define ANSWER_MAX ((size_t)8 * 1024 * 1024)
#define ANSWER_SECONDS 5

struct order {
    const char *socket;
    bool once;
    uint64_t interval_s;
};

static volatile sig_atomic_t stopped;
static struct termios saved_terminal;

static void on_signal(int number) {
    (void)number;
    stopped = 1;
}

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

static struct top_size terminal_size(void) {
    struct winsize window;
    struct top_size size = {
        .columns = 80, .rows = 24, .color = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL};

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 && window.ws_row > 0) {
        size.columns = window.ws_col;
        size.rows = window.ws_row;
    }
    return size;
}

static void put(const char *text, size_t size) {
    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, text, size);
        if (written < 0 && errno == EINTR && !stopped)
            continue;
        if (written <= 0) {
            stopped = 1;
            return;
        }
        text += written;
        size -= (size_t)written;
    }
}

/* Each line is cleared to its end, so that nothing flickers. */
static void show(const struct top_model *model, bool live) {
    struct top_size size = terminal_size();
    struct buffer text, page;

    buffer_init(&text, 1024 * 1024);
    buffer_init(&page, 1024 * 1024);
    if (!live)
        size.rows = TOP_SERVICES_MAX + 20;
    top_screen_draw(&text, model, &size);
    (void)buffer_append_text(&page, live ? "\x1b[H" : "");
    for (size_t i = 0; i < text.size; i++)
        (void)buffer_append_text(&page,
                                 live && text.data[i] == '\n' ? "\x1b[K\r\n" : (char[]){text.data[i], '\0'});
    (void)buffer_append_text(&page, live ? "\x1b[K\x1b[J" : "\n");
    put(page.data, page.size);
    buffer_clear(&page);
    buffer_clear(&text);
}

static void enter_screen(void) {
    struct termios raw = saved_terminal;

    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    put("\x1b[?1049h\x1b[?25l", strlen("\x1b[?1049h\x1b[?25l"));
}

static void leave_screen(void) {
    put("\x1b[?25h\x1b[?1049l", strlen("\x1b[?25h\x1b[?1049l"));
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &saved_terminal);
}

/* Until the time is over or a key says that it is enough. */
static void wait_for_key(int64_t milliseconds) {
    int64_t end = clock_monotonic_ms() + milliseconds;
    struct pollfd keys = {.fd = STDIN_FILENO, .events = POLLIN};
    int64_t left;

    while (!stopped && (left = end - clock_monotonic_ms()) > 0) {
        char key;
        if (poll(&keys, 1, (int)left) <= 0)
            continue;
        if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' || key == 0x1b)
            stopped = 1;
    }
}

static int watch(const struct order *order) {
    struct top_sample *before = NULL, *sample = take_sample(order->socket);
    struct top_model *model = calloc(1, sizeof *model);
    bool live = !order->once && isatty(STDOUT_FILENO) && tcgetattr(STDIN_FILENO, &saved_terminal) == 0;
    int status = 0;

    if (model == NULL || sample == NULL) {
        (void)fprintf(stderr, "filemill: %s does not answer\n", order->socket);
        free(model);
        return 1;
    }
    if (live)
        enter_screen();
    while (sample != NULL) {
        top_model_fill(model, sample, before);
        show(model, live);
        if (!live)
            break;
        wait_for_key((int64_t)order->interval_s * 1000);
        if (stopped)
            break;
        top_sample_free(before);
        before = sample;
        sample = take_sample(order->socket);
    }
    if (live)
        leave_screen();
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
    const struct sigaction action = {.sa_handler = on_signal};

    log_init("top", LOG_WARN);
    if (parse(&order, count, arguments) != 0) {
        (void)fputs("usage: filemill top [--once] [--interval SECONDS]\n", stderr);
        return 2;
    }
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    return watch(&order);
}
