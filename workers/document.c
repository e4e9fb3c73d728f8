/* SPDX-License-Identifier: MIT
 * Memory files. What a runner could use against its watchers is taken away before it gets a descriptor: the
 * progress page cannot be cut (that would be SIGBUS here), the input cannot be changed, and results are read
 * with pread and never mapped. */
#include "workers/document.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/text.h"

#define SEAL_SIZE (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define SEAL_ALL (SEAL_SIZE | F_SEAL_WRITE)

static int new_file(const char *name) {
    return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

static int map_progress(struct document *document) {
    document->progress_fd = new_file("filemill-progress");
    if (document->progress_fd < 0 || ftruncate(document->progress_fd, PROGRESS_PAGE_BYTES) != 0 ||
        fcntl(document->progress_fd, F_ADD_SEALS, SEAL_SIZE) != 0)
        return -1;
    document->progress =
        mmap(NULL, PROGRESS_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, document->progress_fd, 0);
    if (document->progress == MAP_FAILED) {
        document->progress = NULL;
        return -1;
    }
    return 0;
}

static int open_files(struct document *document, uint64_t wanted, int with_input) {
    document->result = new_file("filemill-result");
    if (document->result < 0 || map_progress(document) != 0)
        return -1;
    if (with_input && (document->input = new_file("filemill-input")) < 0)
        return -1;
    for (size_t i = 0; i < document->row->output_count; i++) {
        if ((wanted >> i & 1) != 0 && (document->outputs[i] = new_file("filemill-output")) < 0)
            return -1;
    }
    return 0;
}

int document_init(struct document *document, const struct processor_row *row, uint64_t wanted, int with_input) {
    memset(document, 0, sizeof *document);
    memset(document->outputs, -1, sizeof document->outputs);
    document->row = row;
    document->input = document->parts = document->result = document->progress_fd = -1;
    if (open_files(document, wanted, with_input) == 0)
        return 0;
    document_clear(document);
    return -1;
}

static void close_file(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void document_clear(struct document *document) {
    if (document->progress != NULL)
        munmap(document->progress, PROGRESS_PAGE_BYTES);
    document->progress = NULL;
    close_file(&document->progress_fd);
    close_file(&document->result);
    close_file(&document->input);
    close_file(&document->parts);
    for (size_t i = 0; i < MESSAGE_MAX_OUTPUTS; i++)
        close_file(&document->outputs[i]);
}

int document_seal_input(struct document *document, uint64_t bytes) {
    struct stat status;

    document->input_bytes = bytes;
    if (fstat(document->input, &status) != 0 || (uint64_t)status.st_size != bytes)
        return -1; /* mapping beyond the end would be SIGBUS in the runner */
    return fcntl(document->input, F_ADD_SEALS, SEAL_ALL);
}

int document_open_parts(struct document *document, uint64_t bytes) {
    document->parts_bytes = bytes;
    document->parts = new_file("filemill-parts");
    return document->parts < 0 ? -1 : ftruncate(document->parts, (off_t)bytes);
}

int document_seal_parts(struct document *document) {
    return fcntl(document->parts, F_ADD_SEALS, SEAL_ALL);
}

static int measure_outputs(struct document *document, uint64_t limit) {
    uint64_t total = 0;
    struct stat status;

    for (size_t i = 0; i < MESSAGE_MAX_OUTPUTS; i++) {
        if (document->outputs[i] < 0)
            continue;
        if (fcntl(document->outputs[i], F_ADD_SEALS, SEAL_ALL) != 0 || fstat(document->outputs[i], &status) != 0)
            return -1;
        document->output_bytes[i] = (uint64_t)status.st_size;
        total += document->output_bytes[i];
    }
    return limit != 0 && total > limit ? -1 : 0;
}

const struct reason_row *document_judge(struct document *document, uint64_t limit, struct runner_result *result) {
    const char *error;

    if (result_read(document->result, document->row, result, &error) != 0) {
        (void)text_copy(result->detail, sizeof result->detail, error);
        return reason_find("bad_result");
    }
    if (result->reason != NULL)
        return result->reason;
    if (measure_outputs(document, limit) != 0) {
        (void)text_copy(result->detail, sizeof result->detail, "outputs together are too large");
        return reason_find("output_limit");
    }
    return NULL;
}
