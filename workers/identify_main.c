/* SPDX-License-Identifier: MIT
 * filemill-identify: tells a gateway what libmagic makes of the first and last bytes of a file. The database
 * is loaded once; each file meets a forked process of its own, which enters the sandbox, answers through its
 * pipe and ends. This process passes descriptors on and never looks into them. Nothing a child says comes
 * back here. */
#include <errno.h>
#include <magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/text.h"
#include "proto/identify.h"
#include "proto/plan.h"
#include "workers/sandbox.h"

#define ANSWER_DESCRIPTOR 3
#define MEMORY_BYTES (UINT64_C(64) << 20)
#define DESCRIPTORS 2

struct errand {
    struct identify_packet packet;
    int bytes, answer;
};

/* --- in the child ------------------------------------------------------------------------------------------
 */

static void answer(const unsigned char *bytes, const struct identify_packet *packet, magic_t magic) {
    char text[IDENTIFY_ANSWER_BYTES];
    size_t head = packet->head_bytes;
    size_t tail = packet->tail_bytes;
    const char *zip = NULL;
    const char *type = magic_buffer(magic, bytes, head);

    if (head >= 2 && bytes[0] == 'P' && bytes[1] == 'K')
        zip = tail > 0 ? media_type_of_zip(bytes + head, tail) : media_type_of_zip(bytes, head);
    if (text_format(text, sizeof text, "%s\n%s\n", type != NULL ? type : "", zip != NULL ? zip : "") != 0 ||
        write(ANSWER_DESCRIPTOR, text, strlen(text)) != (ssize_t)strlen(text))
        _exit(1);
}

static _Noreturn void meet(const struct errand *errand, const struct sandbox *sandbox, magic_t magic,
                           pid_t parent) {
    size_t size = (size_t)errand->packet.head_bytes + errand->packet.tail_bytes;
    const struct sandbox_limits limits = {.memory_bytes = MEMORY_BYTES,
                                          .mapped_bytes = sandbox_mapped_bytes() + size,
                                          .cpu_seconds = IDENTIFY_DEADLINE_S,
                                          .file_bytes = IDENTIFY_ANSWER_BYTES,
                                          .parent = parent};
    const unsigned char *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, errand->bytes, 0);

    (void)prctl(PR_SET_NAME, "filemill-magic", 0, 0, 0);
    (void)signal(SIGALRM, SIG_DFL);
    if (bytes == MAP_FAILED || dup2(errand->answer, ANSWER_DESCRIPTOR) < 0)
        _exit(1);
    (void)alarm(IDENTIFY_DEADLINE_S); /* no call that could stop it is left afterwards */
    for (int fd = 0; fd < ANSWER_DESCRIPTOR; fd++)
        (void)close(fd);
    if (sandbox_enter(sandbox, PROFILE_COMPUTE, &limits, ANSWER_DESCRIPTOR + 1) != 0)
        _exit(1);
    answer(bytes, &errand->packet, magic);
    _exit(0);
}

/* --- errands -----------------------------------------------------------------------------------------------
 */

static void take_descriptors(struct msghdr *header, struct errand *errand) {
    int descriptors[DESCRIPTORS] = {-1, -1};
    struct cmsghdr *attached = CMSG_FIRSTHDR(header);

    if (attached != NULL && attached->cmsg_level == SOL_SOCKET && attached->cmsg_type == SCM_RIGHTS &&
        attached->cmsg_len == CMSG_LEN(sizeof descriptors))
        memcpy(descriptors, CMSG_DATA(attached), sizeof descriptors);
    errand->bytes = descriptors[0];
    errand->answer = descriptors[1];
}

/* 1: an errand, 0: none that could be one, -1: the gateway is gone. */
static int receive(struct errand *errand) {
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * DESCRIPTORS)];
    } control;
    struct iovec part = {.iov_base = &errand->packet, .iov_len = sizeof errand->packet};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes};
    ssize_t size;

    do {
        size = recvmsg(IDENTIFY_SOCKET, &header, MSG_CMSG_CLOEXEC);
    } while (size < 0 && errno == EINTR);
    *errand = (struct errand){.packet = errand->packet, .bytes = -1, .answer = -1};
    if (size <= 0)
        return -1;
    take_descriptors(&header, errand);
    return size == sizeof errand->packet && errand->bytes >= 0 && errand->packet.head_bytes > 0 &&
           errand->packet.head_bytes <= IDENTIFY_HEAD_BYTES &&
           errand->packet.tail_bytes <= IDENTIFY_TAIL_BYTES;
}

static void serve(const struct sandbox *sandbox, magic_t magic) {
    struct errand errand = {.bytes = -1};
    pid_t self = getpid();
    int status;

    while ((status = receive(&errand)) >= 0) {
        pid_t pid = status > 0 ? fork() : -1;
        if (pid == 0)
            meet(&errand, sandbox, magic, self);
        if (pid < 0)
            log_warn_errno("state=no-errand"); /* the pipe ends without an answer */
        if (errand.bytes >= 0)
            (void)close(errand.bytes);
        if (errand.answer >= 0)
            (void)close(errand.answer);
    }
}

/* --- start -------------------------------------------------------------------------------------------------
 */

/* The first buffers of each kind make libmagic compile what it keeps: done once here, not in every child. */
static magic_t load(void) {
    static const char sample[] = "a,b\n1,2\n<html>";
    magic_t magic = magic_open(MAGIC_MIME_TYPE | MAGIC_NO_CHECK_COMPRESS | MAGIC_NO_CHECK_TOKENS);

    if (magic == NULL || magic_load(magic, NULL) != 0)
        fatal("libmagic's database is not there: %s", magic == NULL ? "no memory" : magic_error(magic));
    (void)magic_buffer(magic, sample, sizeof sample - 1);
    return magic;
}

/* `filemill-identify required|optional`: whether a host without all layers of the sandbox will do. */
int main(int argc, char **argv) {
    char layers[SANDBOX_LAYERS_SIZE];

    log_init("identify", LOG_INFO);
    if (argc != 2)
        fatal("started by hand? It belongs to a gateway");
    magic_t magic = load();
    struct sandbox *sandbox = sandbox_new();
    sandbox_describe(sandbox, false, layers);
    if (strcmp(argv[1], "optional") != 0 && !sandbox_is_complete(sandbox))
        fatal("sandbox incomplete, seccomp and Landlock are required: layers=%s", layers);
    if (sandbox_drop_capabilities() != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        fatal_errno("privileges not dropped");
    (void)signal(SIGCHLD, SIG_IGN); /* children are nobody's concern: their pipes tell */
    log_debug("state=serving layers=%s", layers);
    serve(sandbox, magic);
    magic_close(magic);
    sandbox_free(sandbox);
    return 0;
}
