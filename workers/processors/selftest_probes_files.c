/* SPDX-License-Identifier: MIT
 * Probes: files, read and changed. */
#include "workers/processors/selftest_probes_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_for_reading(const char *path) {
    return probe_opened(open(path, O_RDONLY | O_CLOEXEC));
}

#define OPEN_PROBE(label, path)                                                                              \
    static int probe_##label(void) {                                                                         \
        return open_for_reading(path);                                                                       \
    }
OPEN_PROBE(open_passwd, "/etc/passwd")
OPEN_PROBE(open_passwd_dots, "/usr/share/fonts/../../../etc/passwd")
OPEN_PROBE(open_root, "/")
OPEN_PROBE(open_environ, "/proc/self/environ")
OPEN_PROBE(open_memory, "/proc/self/mem")
OPEN_PROBE(open_maps, "/proc/self/maps")
OPEN_PROBE(open_descriptors, "/proc/self/fd")
OPEN_PROBE(open_init, "/proc/1/status")
OPEN_PROBE(open_sys, "/sys/kernel")
OPEN_PROBE(open_zero, "/dev/zero")
OPEN_PROBE(open_own_program, "/proc/self/exe")

static int probe_open_parent(void) {
    char path[64];

    (void)snprintf(path, sizeof path, "/proc/%d/environ", (int)getppid());
    return open_for_reading(path);
}

static int probe_openat2(void) {
    uint64_t how[3] = {O_RDONLY, 0, 0};

    return probe_opened(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", how, sizeof how));
}

static int probe_open_by_handle(void) {
    return probe_reached(syscall(SYS_open_by_handle_at, -1, NULL, 0), EFAULT);
}

static int probe_name_to_handle(void) {
    return probe_reached(syscall(SYS_name_to_handle_at, AT_FDCWD, "/", NULL, NULL, 0), EFAULT);
}

static int probe_stat_passwd(void) {
    struct stat status;

    return probe_result_of(syscall(SYS_stat, "/etc/passwd", &status));
}

static int probe_readlink(void) {
    char target[64];

    return probe_result_of(readlink("/proc/self/exe", target, sizeof target));
}

static int probe_create(void) {
    const char *path = "/tmp/filemill-selftest-probe";
    int error = probe_opened(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));

    if (error == 0)
        unlink(path);
    return error;
}

static int probe_create_font(void) {
    const char *path = "/usr/share/fonts/filemill-selftest-probe";
    int error = probe_opened(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));

    if (error == 0)
        unlink(path);
    return error;
}

static int probe_open_unnamed(void) {
    return probe_opened(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

static int probe_mkdir(void) {
    const char *path = "/tmp/filemill-selftest-folder";
    int error = probe_result_of(mkdir(path, 0700));

    if (error == 0)
        rmdir(path);
    return error;
}

static int probe_unlink(void) {
    return probe_reached(unlink("/tmp/filemill-selftest-missing"), ENOENT);
}

static int probe_rename(void) {
    return probe_reached(rename("/tmp/filemill-selftest-missing", "/tmp/filemill-selftest-other"), ENOENT);
}

static int probe_link(void) {
    return probe_reached(link("/tmp/filemill-selftest-missing", "/tmp/filemill-selftest-other"), ENOENT);
}

static int probe_symlink(void) {
    const char *path = "/tmp/filemill-selftest-link";
    int error = probe_result_of(symlink("/etc/passwd", path));

    if (error == 0)
        unlink(path);
    return error;
}

static int probe_truncate(void) {
    return probe_reached(truncate("/tmp/filemill-selftest-missing", 0), ENOENT);
}

static int probe_chmod(void) {
    return probe_reached(chmod("/tmp/filemill-selftest-missing", 0600), ENOENT);
}

#define ROW(label)                                                                                           \
    { .name = #label, .attempt = probe_##label }

/* clang-format off: several to a line */
const struct selftest_probe selftest_probes_files[] = {
    ROW(open_passwd),      ROW(open_passwd_dots), ROW(open_root),
    ROW(open_environ),     ROW(open_memory),      ROW(open_maps),
    ROW(open_descriptors), ROW(open_init),        ROW(open_sys),
    ROW(open_zero),        ROW(open_own_program), ROW(open_parent),
    ROW(openat2),          ROW(open_by_handle),   ROW(name_to_handle),
    ROW(stat_passwd),      ROW(readlink),         ROW(create),
    ROW(create_font),      ROW(open_unnamed),     ROW(mkdir),
    ROW(unlink),           ROW(rename),           ROW(link),
    ROW(symlink),          ROW(truncate),         ROW(chmod),
    {.name = NULL}};
/* clang-format on */
