/* SPDX-License-Identifier: MIT
 * Errands to filemill-identify; see identify.h and proto/identify.h. Bytes go in a sealed memory file,
 * answers come through a pipe per errand, straight from the process that met the bytes. */
#include "gateway/identify.h"

#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/process.h"
#include "lib/text.h"
#include "proto/identify.h"
#include "proto/plan.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ERRANDS_MAX 64
#define DEADLINE_MS (IDENTIFY_DEADLINE_S * 1000 + 500) /* the child's own alarm comes first */
#define RESTART_MS 1000

struct errand {
    struct identify *identify;
    struct errand *previous, *next;
    int answer; /* -1: there will be none */
    struct loop_watch *watch;
    struct loop_timer *timer;
    identify_fn *done;
    void *context;
    size_t size;
    char text[IDENTIFY_ANSWER_BYTES + 1];
};

struct identify {
    struct loop *loop;
    bool sandbox_required;
    pid_t pid;
    int pidfd, socket; /* -1: not running */
    struct loop_watch *ended;
    struct loop_timer *restart;
    struct errand *errands;
    unsigned errand_count;
};

/* --- the child ---------------------------------------------------------------------------------------------
 */

static void on_ended(void *context, uint32_t events);

static void start(void *context) {
    struct identify *identify = context;
    int sockets[2];
    char name[] = "filemill-identify";
    char required[] = "required";
    char optional[] = "optional";
    char *arguments[] = {name, identify->sandbox_required ? required : optional, NULL};
    char locale[] = "LC_ALL=C";
    char *environment[] = {locale, NULL};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
        log_error_errno("service=identify state=no-socket");
        loop_timer_set(identify->restart, RESTART_MS);
        return;
    }
    char *path = memory_format("%s/filemill-identify", process_own_directory());
    const struct process_descriptor descriptor = {.from = sockets[1], .to = IDENTIFY_SOCKET};
    identify->pid = process_spawn(&(struct process_plan){.path = path,
                                                         .arguments = arguments,
                                                         .environment = environment,
                                                         .descriptors = &descriptor,
                                                         .descriptor_count = 1,
                                                         .own_session = true},
                                  &identify->pidfd);
    close(sockets[1]);
    if (identify->pid < 0) {
        log_error_errno("service=identify path=%s state=not-started", path);
        close(sockets[0]);
        loop_timer_set(identify->restart, RESTART_MS);
    } else {
        identify->socket = sockets[0];
        identify->ended = loop_watch_new(identify->loop, identify->pidfd, LOOP_READ, on_ended, identify);
    }
    free(path);
}

static void forget(struct identify *identify) {
    loop_watch_free(identify->ended);
    identify->ended = NULL;
    if (identify->pidfd >= 0) {
        close(identify->pidfd);
        close(identify->socket);
    }
    identify->pidfd = identify->socket = -1;
    identify->pid = -1;
}

/* Errands under way have processes of their own, and end with those. */
static void on_ended(void *context, uint32_t events) {
    struct identify *identify = context;
    char text[64];
    int status = 0;
    if (waitpid(identify->pid, &status, WNOHANG) != identify->pid) {
        return;
    }
    process_describe_status(text, sizeof text, status);
    log_warn("service=identify pid=%d state=ended status=\"%s\"", (int)identify->pid, text);
    forget(identify);
    loop_timer_set(identify->restart, RESTART_MS);
}

struct identify *identify_new(struct loop *loop, bool sandbox_required) {
    struct identify *identify = memory_new(sizeof *identify);
    identify->loop = loop;
    identify->sandbox_required = sandbox_required;
    identify->pid = -1;
    identify->pidfd = identify->socket = -1;
    identify->restart = loop_timer_new(loop, start, identify);
    start(identify);
    return identify;
}

/* --- errands -----------------------------------------------------------------------------------------------
 */

static void errand_free(struct errand *errand) {
    struct identify *identify = errand->identify;
    struct errand **link = errand->previous != NULL ? &errand->previous->next : &identify->errands;
    *link = errand->next;
    if (errand->next != NULL) {
        errand->next->previous = errand->previous;
    }
    identify->errand_count--;
    loop_watch_free(errand->watch);
    loop_timer_free(errand->timer);
    if (errand->answer >= 0) {
        close(errand->answer);
    }
    free(errand);
}

/* A media type, or "": the process that said it belonged to the document. */
static bool is_plain(const char *text) {
    return text[0] == '\0' || (media_type_is_valid(text) && strpbrk(text, "; \"*") == NULL);
}

/* "<type>\n<type>\n" and no more; cuts it in two. NULL, or the second. */
static const char *split(char *text, size_t size) {
    char *first = memchr(text, '\n', size);
    char *last = first != NULL ? memchr(first + 1, '\n', size - (size_t)(first + 1 - text)) : NULL;
    if (last == NULL || last + 1 != text + size || memchr(text, '\0', size) != NULL) {
        return NULL;
    }
    *first = *last = '\0';
    for (char *at = text; *at != '\0'; at++) {
        *at = text_lower(*at);
    }
    return is_plain(text) && is_plain(first + 1) ? first + 1 : NULL;
}

static void finish(struct errand *errand) {
    identify_fn *done = errand->done;
    void *context = errand->context;
    char text[IDENTIFY_ANSWER_BYTES + 1];
    memcpy(text, errand->text, errand->size);
    text[errand->size] = '\0';
    const char *zip = split(text, errand->size);
    counter_add(zip != NULL ? COUNT_IDENTIFY_ANSWERS : COUNT_IDENTIFY_FAILURES, 1);
    errand_free(errand);
    done(context, zip != NULL ? text : NULL, zip != NULL ? zip : "");
}

static void on_deadline(void *context) {
    struct errand *errand = context;
    if (errand->answer >= 0) {
        log_warn("service=identify state=too-late");
    }
    errand->size = 0;
    finish(errand);
}

static void on_answer(void *context, uint32_t events) {
    struct errand *errand = context;
    ssize_t got = read(errand->answer, errand->text + errand->size, IDENTIFY_ANSWER_BYTES - errand->size);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    errand->size += got > 0 ? (size_t)got : 0;
    if (got <= 0 || errand->size == IDENTIFY_ANSWER_BYTES ||
        (errand->size > 1 && errand->text[errand->size - 1] == '\n')) {
        finish(errand);
    }
}

static int make_file(const struct identify_bytes *bytes) {
    int fd = memfd_create("filemill-identify", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && pwrite(fd, bytes->head, bytes->head_size, 0) == (ssize_t)bytes->head_size &&
        pwrite(fd, bytes->tail, bytes->tail_size, (off_t)bytes->head_size) == (ssize_t)bytes->tail_size &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0) {
        return fd;
    }
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

static int send_packet(int socket, const struct identify_packet *packet, const int descriptors[2]) {
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {.bytes = {0}};
    struct identify_packet copy = *packet;
    struct iovec part = {.iov_base = &copy, .iov_len = sizeof copy};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes};
    struct cmsghdr *attached = CMSG_FIRSTHDR(&header);
    attached->cmsg_level = SOL_SOCKET;
    attached->cmsg_type = SCM_RIGHTS;
    attached->cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(attached), descriptors, 2 * sizeof(int));
    return sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof copy ? 0 : -1;
}

/* The reading end of the answer's pipe, or -1. */
static int send_errand(struct identify *identify, const struct identify_bytes *bytes) {
    const struct identify_packet packet = {.head_bytes = (uint32_t)bytes->head_size,
                                           .tail_bytes = (uint32_t)bytes->tail_size};
    int ends[2];
    if (identify->socket < 0 || identify->errand_count > ERRANDS_MAX || bytes->head_size == 0 ||
        pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    int file = make_file(bytes);
    bool sent = file >= 0 && fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0 &&
                send_packet(identify->socket, &packet, (const int[]){file, ends[1]}) == 0;
    if (file >= 0) {
        close(file);
    }
    close(ends[1]);
    if (!sent) {
        close(ends[0]);
    }
    return sent ? ends[0] : -1;
}

void identify_start(struct identify *identify, const struct identify_bytes *bytes, identify_fn *done,
                    void *context) {
    struct errand *errand = memory_new(sizeof *errand);
    *errand =
        (struct errand){.identify = identify, .next = identify->errands, .done = done, .context = context};
    if (errand->next != NULL) {
        errand->next->previous = errand;
    }
    identify->errands = errand;
    identify->errand_count++;
    errand->timer = loop_timer_new(identify->loop, on_deadline, errand);
    errand->answer = send_errand(identify, bytes);
    if (errand->answer >= 0) {
        errand->watch = loop_watch_new(identify->loop, errand->answer, LOOP_READ, on_answer, errand);
    }
    loop_timer_set(errand->timer, errand->answer >= 0 ? DEADLINE_MS : 0);
}

void identify_free(struct identify *identify) {
    if (identify == NULL) {
        return;
    }
    struct errand *next;
    for (struct errand *errand = identify->errands; errand != NULL; errand = next) {
        next = errand->next;
        errand_free(errand);
    }
    if (identify->pid > 0) {
        (void)kill(identify->pid, SIGKILL);
        (void)waitpid(identify->pid, NULL, 0);
    }
    forget(identify);
    loop_timer_free(identify->restart);
    free(identify);
}
