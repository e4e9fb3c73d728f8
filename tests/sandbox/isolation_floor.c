/* SPDX-License-Identifier: MIT
 * The same work without isolation, for bench/isolation.py: `isolation_floor fork COUNT` does nothing in a
 * forked child, waited for; `isolation_floor pdf PATH COUNT` reads a PDF's text in this very process. Prints
 * the microseconds of each round, one per line. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/text.h"
#include "workers/processors/pdf.h"
#include "workers/progress.h"

#define ROUNDS_MAX 100000

static void fork_once(void *context) {
    struct progress_page *progress = context;
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        atomic_store(&progress->done, 1); /* all that the no-op processor does */
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        fatal_errno("fork");
}

struct file {
    unsigned char *bytes;
    size_t size;
};

static void read_pdf_once(void *context) {
    const struct file *file = context;
    enum pdf_status status;
    struct pdf *pdf = pdf_open(file->bytes, file->size, &status);
    char *text;
    size_t size;

    if (pdf == NULL)
        fatal("not a PDF");
    for (int page = 0; page < pdf_page_count(pdf); page++) {
        if (pdf_page_text(pdf, page, PDF_ORDER_RAW, &text, &size) != PDF_OK || size == 0)
            fatal("a page without text");
        free(text);
    }
    pdf_close(pdf);
}

static void measure(uint64_t rounds, void (*once)(void *context), void *context) {
    for (uint64_t i = 0; i < rounds; i++) {
        int64_t started_us = clock_monotonic_us();
        once(context);
        printf("%lld\n", (long long)(clock_monotonic_us() - started_us));
    }
}

static void *map(int fd, size_t size) {
    int flags = fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_PRIVATE;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

    if (memory == MAP_FAILED)
        fatal_errno("mmap");
    return memory;
}

static struct file map_file(const char *path) {
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &status) != 0)
        fatal_errno("open %s", path);
    struct file file = {.bytes = map(fd, (size_t)status.st_size), .size = (size_t)status.st_size};
    close(fd);
    return file;
}

int main(int argc, char **argv) {
    uint64_t rounds;

    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (argc < 3 || text_parse_u64(argv[argc - 1], 1, ROUNDS_MAX, &rounds) != 0)
        return 2;
    if (argc == 3 && strcmp(argv[1], "fork") == 0) {
        measure(rounds, fork_once, map(-1, PROGRESS_PAGE_BYTES));
        return 0;
    }
    if (argc == 4 && strcmp(argv[1], "pdf") == 0) {
        struct file file = map_file(argv[2]);
        if (pdf_warm() != 0)
            return 1;
        measure(rounds, read_pdf_once, &file);
        return 0;
    }
    return 2;
}
