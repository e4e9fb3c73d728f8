/* SPDX-License-Identifier: MIT
 * A fuzz target without a fuzzer: goes through the seeds of a target, and through what small changes make of
 * them, the same ones each time. So every target is built and run with every build, sanitizers or none. */
#include <dirent.h>
#include <stdio.h>

#include "tests/fuzz/fuzz.h"

#define SEED_MAX 8192
#define CHANGES 150

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* A byte is changed, a piece is left out, or a piece is said again. */
static size_t change(uint8_t *bytes, size_t size, uint32_t *state) {
    size_t at = next_random(state) % size, count = 1 + next_random(state) % 16;

    count = count < size - at ? count : size - at;
    switch (next_random(state) % 4) {
    case 0:
        bytes[at] ^= (uint8_t)(1u << next_random(state) % 8);
        return size;
    case 1:
        bytes[at] = (uint8_t)next_random(state);
        return size;
    case 2:
        memmove(bytes + at, bytes + at + count, size - at - count);
        return size - count;
    default:
        memmove(bytes + at + count, bytes + at, size - at);
        return size + count;
    }
}

static void run_seed(const uint8_t *seed, size_t size) {
    static uint8_t bytes[2 * SEED_MAX];
    uint32_t state = 1;

    (void)LLVMFuzzerTestOneInput(seed, size);
    for (int i = 0; i < CHANGES; i++) {
        size_t length = size;
        memcpy(bytes, seed, size);
        for (uint32_t more = 1 + next_random(&state) % 4; more > 0 && length > 0; more--)
            length = change(bytes, length, &state);
        (void)LLVMFuzzerTestOneInput(bytes, length);
    }
}

int main(int count, char **arguments) {
    static uint8_t seed[SEED_MAX];
    static char path[4096];
    DIR *folder;
    size_t seeds = 0;

    require(count == 3 &&
            snprintf(path, sizeof path, "%s/%s", arguments[1], arguments[2]) < (int)sizeof path);
    folder = opendir(path);
    require(folder != NULL);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        require(snprintf(path, sizeof path, "%s/%s/%s", arguments[1], arguments[2], entry->d_name) <
                (int)sizeof path);
        FILE *file = fopen(path, "rb");
        require(file != NULL);
        run_seed(seed, fread(seed, 1, sizeof seed, file));
        (void)fclose(file);
        seeds++;
    }
    (void)closedir(folder);
    printf("%zu seeds\n", seeds);
    return seeds > 0 ? 0 : 1;
}
