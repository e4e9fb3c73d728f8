/* SPDX-License-Identifier: MIT
 * See terminal.h. */
#include "supervisor/top/terminal.h"

#include "lib/clock.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;
static struct termios saved_terminal;

static void on_signal(int number) {
    stopped = 1;
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
void terminal_show(const struct top_model *model, bool live) {
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

bool terminal_enter(void) {
    const struct sigaction action = {.sa_handler = on_signal};

    if (!isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &saved_terminal) != 0)
        return false;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    struct termios raw = saved_terminal;

    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    put("\x1b[?1049h\x1b[?25l", strlen("\x1b[?1049h\x1b[?25l"));
    return true;
}

void terminal_leave(void) {
    put("\x1b[?25h\x1b[?1049l", strlen("\x1b[?25h\x1b[?1049l"));
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &saved_terminal);
}

/* Until the time is over or a key says that it is enough. */
bool terminal_wait(int64_t milliseconds) {
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
    return !stopped;
}
