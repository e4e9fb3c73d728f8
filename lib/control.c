/* SPDX-License-Identifier: MIT
 * Questions and answers over a socket pair; see control.h for the lines. Both directions are bounded buffers;
 * a peer that stops reading is treated as gone once its buffer is full. */
#include "lib/control.h"

#include "lib/buffer.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_MAX 4096
#define OUTPUT_MAX ((size_t)4 * CONTROL_LINE_MAX)

struct waiting {
    struct control *control;
    uint64_t id; /* 0: free */
    control_answer_fn *on_answer;
    void *context;
    struct loop_timer *timer;
};

struct control {
    struct loop *loop;
    int fd; /* -1 once closed */
    struct loop_watch *watch;
    struct loop_timer *hangup; /* closing is told from the loop, never from inside a call */
    struct buffer input;
    struct buffer output;
    control_question_fn *on_question;
    void *context;
    uint64_t last_id;
    struct waiting waiting[CONTROL_WAITING_MAX];
};

static void waiting_end(struct waiting *waiting, const char *text) {
    control_answer_fn *on_answer = waiting->on_answer;

    loop_timer_free(waiting->timer);
    waiting->timer = NULL;
    waiting->id = 0;
    on_answer(waiting->context, text);
}

static void waiting_expired(void *context) {
    waiting_end(context, NULL);
}

static void close_socket(struct control *control) {
    loop_watch_free(control->watch);
    control->watch = NULL;
    if (control->fd >= 0)
        close(control->fd);
    control->fd = -1;
    loop_timer_set(control->hangup, 0);
}

static void hung_up(void *context) {
    struct control *control = context;

    for (size_t i = 0; i < CONTROL_WAITING_MAX; i++) {
        if (control->waiting[i].id != 0)
            waiting_end(&control->waiting[i], NULL);
    }
}

static void flush(struct control *control) {
    while (control->fd >= 0 && control->output.size > 0) {
        ssize_t size = send(control->fd, control->output.data, control->output.size, MSG_NOSIGNAL);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0 && errno != EAGAIN)
            close_socket(control);
        if (size <= 0)
            break;
        buffer_consume(&control->output, (size_t)size);
    }
    if (control->fd >= 0)
        loop_watch_set(control->watch, LOOP_READ | (control->output.size > 0 ? LOOP_WRITE : 0));
}

static int send_line(struct control *control, const char *mark, uint64_t id, const char *text) {
    if (control->fd < 0)
        return -1;
    if (buffer_append_format(&control->output, "%s%llu %s\n", mark, (unsigned long long)id, text) != 0) {
        log_warn("event=control_full");
        close_socket(control);
        return -1;
    }
    flush(control);
    return control->fd >= 0 ? 0 : -1;
}

static void take_answer(struct control *control, uint64_t id, const char *text) {
    for (size_t i = 0; i < CONTROL_WAITING_MAX; i++) {
        if (control->waiting[i].id == id) {
            waiting_end(&control->waiting[i], text);
            return;
        }
    }
    /* Not an error: its deadline has passed. */
}

/* One line without its end; -1 when it breaks the rules. */
static int take_line(struct control *control, char *line) {
    bool is_answer = *line == '=';
    char *number = line + (is_answer ? 1 : 0);
    char *text = strchr(number, ' ');
    uint64_t id;

    if (text == NULL)
        return -1;
    *text++ = '\0';
    if (text_parse_u64(number, 1, UINT64_MAX, &id) != 0)
        return -1;
    if (is_answer)
        take_answer(control, id, text);
    else if (control->on_question != NULL)
        control->on_question(control->context, id, text);
    else
        control_answer(control, id, "error not understood");
    return 0;
}

/* Cuts the first whole line off the input; NULL when there is none yet. The caller frees it. */
static char *cut_line(struct control *control) {
    char *end = control->input.size > 0 ? memchr(control->input.data, '\n', control->input.size) : NULL;

    if (end == NULL)
        return NULL;
    size_t size = (size_t)(end - control->input.data);
    char *line = memory_copy_bytes(control->input.data, size);
    buffer_consume(&control->input, size + 1);
    return line;
}

static void on_socket(void *context, uint32_t events) {
    struct control *control = context;
    char chunk[READ_MAX];
    char *line;

    if ((events & LOOP_WRITE) != 0)
        flush(control);
    if (control->fd < 0)
        return;
    ssize_t size = recv(control->fd, chunk, sizeof chunk, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0 || buffer_append(&control->input, chunk, (size_t)size) != 0) {
        close_socket(control);
        return;
    }
    while (control->fd >= 0 && (line = cut_line(control)) != NULL) {
        int result = take_line(control, line);
        free(line);
        if (result != 0) {
            log_warn("event=control_line_refused");
            close_socket(control);
        }
    }
}

int control_pair(int ends[2]) {
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends);
}

struct control *control_new(struct loop *loop, int fd, control_question_fn *on_question, void *context) {
    struct control *control = memory_new(sizeof *control);

    control->loop = loop;
    control->fd = fd;
    control->on_question = on_question;
    control->context = context;
    buffer_init(&control->input, CONTROL_LINE_MAX + READ_MAX);
    buffer_init(&control->output, OUTPUT_MAX);
    for (size_t i = 0; i < CONTROL_WAITING_MAX; i++)
        control->waiting[i].control = control;
    control->hangup = loop_timer_new(loop, hung_up, control);
    control->watch = loop_watch_new(loop, fd, LOOP_READ, on_socket, control);
    return control;
}

struct control *control_attach(struct loop *loop, control_question_fn *on_question, void *context) {
    const char *variable = getenv("FILEMILL_CONTROL_FD");
    uint64_t fd;

    if (variable == NULL)
        return NULL;
    if (text_parse_u64(variable, 3, INT_MAX, &fd) != 0 || fcntl((int)fd, F_SETFD, FD_CLOEXEC) != 0 ||
        fcntl((int)fd, F_SETFL, O_NONBLOCK) != 0) {
        log_warn("event=control_not_attached variable=FILEMILL_CONTROL_FD");
        return NULL;
    }
    unsetenv("FILEMILL_CONTROL_FD");
    return control_new(loop, (int)fd, on_question, context);
}

void control_free(struct control *control) {
    if (control == NULL)
        return;
    close_socket(control);
    hung_up(control);
    loop_timer_free(control->hangup);
    buffer_clear(&control->input);
    buffer_clear(&control->output);
    free(control);
}

static struct waiting *find_free(struct control *control) {
    for (size_t i = 0; i < CONTROL_WAITING_MAX; i++) {
        if (control->waiting[i].id == 0)
            return &control->waiting[i];
    }
    return NULL;
}

int control_ask(struct control *control, const char *words, int64_t timeout_ms, control_answer_fn *on_answer,
                void *context) {
    struct waiting *waiting = find_free(control);

    if (waiting == NULL || control->fd < 0 || strchr(words, '\n') != NULL ||
        strlen(words) > CONTROL_LINE_MAX - 32)
        return -1;
    if (send_line(control, "", control->last_id + 1, words) != 0)
        return -1;
    waiting->id = ++control->last_id;
    waiting->on_answer = on_answer;
    waiting->context = context;
    waiting->timer = loop_timer_new(control->loop, waiting_expired, waiting);
    loop_timer_set(waiting->timer, timeout_ms);
    return 0;
}

void control_answer(struct control *control, uint64_t id, const char *text) {
    if (strlen(text) > CONTROL_LINE_MAX - 32)
        text = "error answer too long";
    char *line = memory_copy_text(text);
    for (char *c = line; *c != '\0'; c++) {
        if (*c == '\n')
            *c = ' ';
    }
    (void)send_line(control, "=", id, line);
    free(line);
}
