/* SPDX-License-Identifier: MIT
 * Stands in for every service in the supervisor's tests. How it behaves is read from "<own file>.mode", words
 * separated by blanks: `never` (not ready), `die=MS` (exit 3 so long after the start), `deaf` (ignores
 * SIGTERM), `drain=MS` (time from the first SIGTERM to its end), `hold` (does not end before
 * "<own folder>/go" is there), `orphan` (leaves a grandchild behind), `silent` (does not answer questions).
 * What happens to it is appended to "<own folder>/events"; its environment and descriptors are written to
 * "<own file>.PID". */
#include "lib/control.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/memory.h"
#include "lib/process.h"
#include "lib/text.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

extern char **environ;

struct dummy {
    struct loop *loop;
    const char *name;
    char mode[256];
    int listen_fd;
    struct loop_watch *accepting;
    struct loop_timer *end;
    struct control *control;
    const struct counters *health;
    unsigned stops;
};

static void note_event(const struct dummy *dummy, const char *event) {
    char *path = memory_format("%s/events", process_own_directory());
    char *line = memory_format("%s %d %s\n", dummy->name, (int)getpid(), event);
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

    if (fd >= 0) {
        (void)!write(fd, line, strlen(line));
        close(fd);
    }
    free(line);
    free(path);
}

static void read_mode(struct dummy *dummy) {
    char *path = memory_format("%s/%s.mode", process_own_directory(), dummy->name);
    FILE *stream = fopen(path, "re");

    if (stream != NULL) {
        dummy->mode[fread(dummy->mode, 1, sizeof dummy->mode - 1, stream)] = '\0';
        fclose(stream);
    }
    free(path);
}

static bool has_mode(const struct dummy *dummy, const char *word) {
    return strstr(dummy->mode, word) != NULL;
}

/* The number after "word=", or -1. */
static long mode_number(const struct dummy *dummy, const char *word) {
    const char *found = strstr(dummy->mode, word);

    return found != NULL ? strtol(found + strlen(word), NULL, 10) : -1;
}

/* Environment, descriptors and identity, for the test to judge. */
static void write_surroundings(const struct dummy *dummy) {
    char *path = memory_format("%s/%s.%d", process_own_directory(), dummy->name, (int)getpid());
    DIR *directory = opendir("/proc/self/fd");
    FILE *stream = fopen(path, "we");
    const struct dirent *entry;

    for (size_t i = 0; stream != NULL && environ[i] != NULL; i++)
        fprintf(stream, "env %s\n", environ[i]);
    while (stream != NULL && directory != NULL && (entry = readdir(directory)) != NULL) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        if (entry->d_name[0] != '.' && fd != dirfd(directory) && fd != fileno(stream))
            fprintf(stream, "fd %d\n", fd);
    }
    if (stream != NULL) {
        fprintf(stream, "uid %d\nend\n", (int)geteuid());
        fclose(stream);
    }
    if (directory != NULL)
        closedir(directory);
    free(path);
}

static void leave_orphan(void) {
    pid_t child = fork();

    if (child == 0) {
        if (fork() == 0) {
            sleep(600);
            _exit(0);
        }
        _exit(0);
    }
}

static void on_connection(void *context, uint32_t events) {
    struct dummy *dummy = context;
    char request[2048];
    char reply[256];

    int fd = accept4(dummy->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t size = recv(fd, request, sizeof request - 1, 0);
    request[size > 0 ? size : 0] = '\0';
    bool unhealthy = strstr(request, "/ready") != NULL && dummy->health != NULL &&
                     counters_read(dummy->health, COUNT_SUPERVISOR_FAILED) > 0;
    (void)text_format(reply, sizeof reply,
                      "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%d\n",
                      unhealthy ? "503 Service Unavailable" : "200 OK",
                      (size_t)snprintf(NULL, 0, "%d\n", (int)getpid()), (int)getpid());
    (void)send(fd, reply, strlen(reply), MSG_NOSIGNAL);
    close(fd);
    counter_add(COUNT_HTTP_REQUESTS_2XX, 1);
}

static void on_question(void *context, uint64_t id, const char *words) {
    struct dummy *dummy = context;

    char *answer = memory_format("ok %s", words);
    note_event(dummy, "asked");
    if (!has_mode(dummy, "silent"))
        control_answer(dummy->control, id, answer);
    free(answer);
}

static bool is_held(const struct dummy *dummy) {
    char *path = memory_format("%s/go", process_own_directory());
    bool held = has_mode(dummy, "hold") && dummy->stops == 1 && access(path, F_OK) != 0;

    free(path);
    return held;
}

static void on_end(void *context) {
    struct dummy *dummy = context;

    if (is_held(dummy)) {
        loop_timer_set(dummy->end, 20);
        return;
    }
    loop_stop(dummy->loop, mode_number(dummy, "die=") >= 0 && dummy->stops == 0 ? 3 : 0);
}

static void on_stop(void *context, int signal_number) {
    struct dummy *dummy = context;
    long drain_ms = mode_number(dummy, "drain=");

    note_event(dummy, ++dummy->stops == 1 ? "term" : "term-again");
    if (has_mode(dummy, "deaf"))
        return;
    /* A gateway answers on until it is asked twice. */
    if (strcmp(dummy->name, "filemill-gateway") == 0 && dummy->stops == 1)
        return;
    loop_timer_set(dummy->end, drain_ms >= 0 && dummy->stops == 1 ? drain_ms : 0);
}

static void on_retire(void *context, int signal_number) {
    struct dummy *dummy = context;

    note_event(dummy, "retire");
    loop_watch_free(dummy->accepting);
    dummy->accepting = NULL;
    loop_timer_set(dummy->end, 50);
}

static void start_serving(struct dummy *dummy) {
    const char *listener = getenv("FILEMILL_LISTEN_FD");

    dummy->control = control_attach(dummy->loop, on_question, dummy);
    dummy->health = counters_open_health();
    if (listener != NULL) {
        dummy->listen_fd = (int)strtol(listener, NULL, 10);
        dummy->accepting = loop_watch_new(dummy->loop, dummy->listen_fd, LOOP_READ, on_connection, dummy);
    }
    if (has_mode(dummy, "orphan"))
        leave_orphan();
    if (mode_number(dummy, "die=") >= 0)
        loop_timer_set(dummy->end, mode_number(dummy, "die="));
    counter_note("a note with a \"quote\"");
    if (!has_mode(dummy, "never"))
        process_report_ready();
}

int main(int argument_count, char **arguments) {
    struct dummy dummy = {.listen_fd = -1};
    const char *slash = strrchr(arguments[0], '/');

    dummy.name = slash != NULL ? slash + 1 : arguments[0];
    log_init(dummy.name, LOG_INFO);
    write_surroundings(&dummy);
    counters_attach();
    read_mode(&dummy);
    note_event(&dummy, "start");
    if (strcmp(dummy.name, "filemill-migrate") == 0)
        return mode_number(&dummy, "die=") >= 0 ? 3 : 0;
    dummy.loop = loop_new();
    dummy.end = loop_timer_new(dummy.loop, on_end, &dummy);
    loop_signal_new(dummy.loop, SIGTERM, on_stop, &dummy);
    loop_signal_new(dummy.loop, SIGUSR2, on_retire, &dummy);
    start_serving(&dummy);
    int status = loop_run(dummy.loop);
    note_event(&dummy, "end");
    control_free(dummy.control);
    loop_free(dummy.loop);
    return status;
}
