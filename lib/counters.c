/* SPDX-License-Identifier: MIT
 * Counters in a shared memory segment: one writer (the child), one reader (the supervisor), no locks.
 * The reader does not trust the writer: the segment's size is sealed, so that a child cannot shrink it under
 * the reader's feet, and the note is cleaned of control characters as it is read. */
#include "lib/counters.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"

#define NOTE_SIZE 256
#define NOTE_WORDS (NOTE_SIZE / sizeof(uint64_t))
#define NOTE_READS_MAX 16

struct counters {
    _Atomic uint64_t values[COUNT_LAST];
    _Atomic uint64_t note_version; /* odd while the writer is inside */
    _Atomic uint64_t note[NOTE_WORDS];
};

const struct counter_row counter_rows[COUNT_LAST] = {
#define COUNTER(symbol, row_name, row_kind, row_help)                                                        \
    [COUNT_##symbol] = {.name = (row_name), .kind = (row_kind), .help = (row_help)},
#include "lib/counters.def"
#undef COUNTER
};

size_t counter_family_size(const struct counter_row *row) {
    static const char *const endings[] = {"_bucket", "_sum", "_count"};
    size_t size = strcspn(row->name, "{");

    if (row->kind != COUNTER_BUCKET && row->kind != COUNTER_SUM)
        return size;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t length = strlen(endings[i]);
        if (size > length && memcmp(row->name + size - length, endings[i], length) == 0)
            return size - length;
    }
    return size;
}

static struct counters *own;

/* Upper bounds of a histogram's buckets, in microseconds; the last is infinite. As in counters.def. */
static const uint64_t bounds[] = {5000,     10000,    25000,    50000,     100000,
                                  250000,   500000,   1000000,  2500000,   5000000,
                                  10000000, 30000000, 60000000, 300000000, UINT64_MAX};
#define BOUND_COUNT (sizeof bounds / sizeof bounds[0])
_Static_assert(COUNT_JOB_QUEUE_SUM - COUNT_JOB_QUEUE == BOUND_COUNT, "a bucket for each bound");

static struct counters *map_segment(int fd) {
    void *memory = mmap(NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

struct counters *counters_create(int *fd) {
    struct counters *counters = NULL;
    int segment = memfd_create("filemill-counters", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (segment < 0)
        return NULL;
    if (ftruncate(segment, sizeof(struct counters)) != 0 ||
        fcntl(segment, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        goto close_segment;
    counters = map_segment(segment);
    if (counters == NULL)
        goto close_segment;
    *fd = segment;
    return counters;

close_segment:;
    int saved_errno = errno;
    close(segment);
    errno = saved_errno;
    return NULL;
}

/* The segment that the supervisor passed, or NULL when there is none that fits. */
static struct counters *map_inherited(void) {
    const char *variable = getenv("FILEMILL_COUNTERS_FD");
    struct stat status;
    uint64_t fd;

    if (variable == NULL)
        return NULL;
    if (text_parse_u64(variable, 3, INT32_MAX, &fd) != 0 || fstat((int)fd, &status) != 0 ||
        status.st_size != (off_t)sizeof(struct counters)) {
        log_warn("event=counters_not_shared variable=FILEMILL_COUNTERS_FD");
        return NULL;
    }
    struct counters *counters = map_segment((int)fd);
    if (counters == NULL)
        log_warn_errno("event=counters_not_shared");
    close((int)fd);
    return counters;
}

void counters_attach(void) {
    if (own != NULL)
        return;
    own = map_inherited();
    if (own == NULL)
        own = memory_new(sizeof(*own));
}

const struct counters *counters_open_health(void) {
    const char *variable = getenv("FILEMILL_HEALTH_FD");
    struct stat status;
    uint64_t fd;

    if (variable == NULL || text_parse_u64(variable, 3, INT32_MAX, &fd) != 0)
        return NULL;
    if (fstat((int)fd, &status) != 0 || status.st_size != (off_t)sizeof(struct counters)) {
        log_warn("event=health_not_shared variable=FILEMILL_HEALTH_FD");
        return NULL;
    }
    void *memory = mmap(NULL, sizeof(struct counters), PROT_READ, MAP_SHARED, (int)fd, 0);
    close((int)fd);
    unsetenv("FILEMILL_HEALTH_FD");
    return memory == MAP_FAILED ? NULL : memory;
}

void counters_free(struct counters *counters) {
    if (counters != NULL)
        munmap(counters, sizeof(*counters));
}

uint64_t counters_read(const struct counters *counters, enum counter counter) {
    return atomic_load_explicit(&counters->values[counter], memory_order_relaxed);
}

void counter_add(enum counter counter, uint64_t amount) {
    if (own != NULL)
        atomic_fetch_add_explicit(&own->values[counter], amount, memory_order_relaxed);
}

void counter_set(enum counter counter, uint64_t value) {
    if (own != NULL)
        atomic_store_explicit(&own->values[counter], value, memory_order_relaxed);
}

void counter_raise(enum counter counter, uint64_t value) {
    if (own != NULL && value > atomic_load_explicit(&own->values[counter], memory_order_relaxed))
        counter_set(counter, value);
}

void counter_observe(enum counter histogram, uint64_t microseconds) {
    /* The widest first: who reads meanwhile, the narrowest first, finds no more in one than in the next. */
    counter_add(histogram + (enum counter)BOUND_COUNT + 1, 1);
    counter_add(histogram + (enum counter)BOUND_COUNT, microseconds);
    for (size_t i = BOUND_COUNT; i-- > 0 && microseconds <= bounds[i];)
        counter_add(histogram + (enum counter)i, 1);
}

/* The note is a sequence lock: odd while it changes, and a reader that saw it change reads again. */
void counter_note(const char *text) {
    uint64_t words[NOTE_WORDS] = {0};

    if (own == NULL)
        return;
    text_copy((char *)words, sizeof(words), text);
    uint64_t version = atomic_load_explicit(&own->note_version, memory_order_relaxed) & ~UINT64_C(1);
    atomic_store_explicit(&own->note_version, version + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < NOTE_WORDS; i++)
        atomic_store_explicit(&own->note[i], words[i], memory_order_relaxed);
    atomic_store_explicit(&own->note_version, version + 2, memory_order_release);
}

const char *counters_note(const struct counters *counters) {
    static union {
        uint64_t words[NOTE_WORDS];
        char text[NOTE_SIZE];
    } note;

    for (int reads = 0; reads < NOTE_READS_MAX; reads++) {
        uint64_t before = atomic_load_explicit(&counters->note_version, memory_order_acquire);
        for (size_t i = 0; i < NOTE_WORDS; i++)
            note.words[i] = atomic_load_explicit(&counters->note[i], memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire);
        if (before % 2 == 0 && atomic_load_explicit(&counters->note_version, memory_order_relaxed) == before)
            break;
    }
    note.text[NOTE_SIZE - 1] = '\0';
    for (char *c = note.text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    }
    return note.text;
}
