/* SPDX-License-Identifier: MIT
 * Making and starting the embedded cluster. Runs as the services' user, blocking, in a process of its own:
 * the supervisor itself never waits for it. Durability is never traded: fsync, synchronous_commit and
 * full_page_writes stay on. */
#include "supervisor/postgres.h"

#include "lib/log.h"
#include "lib/memory.h"
#include "lib/process.h"
#include "lib/text.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Where distributions put a version's programs; %s is the major version, or * for any. */
static const char *const program_places[] = {"/usr/lib/postgresql/%s/bin", "/usr/pgsql-%s/bin",
                                             "/usr/local/pgsql/bin", "/usr/local/bin", "/usr/bin"};

/* Small, durable, quiet. LOG lines rank above ERROR, hence fatal: clients log their own errors. */
static const char *const server_settings[] = {
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "password_encryption=scram-sha-256",
    "shared_buffers=64MB",
    "work_mem=4MB",
    "maintenance_work_mem=32MB",
    "max_wal_size=512MB",
    "max_parallel_workers_per_gather=0",
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_destination=stderr",
    "logging_collector=off",
    "log_min_messages=fatal",
    "log_min_error_statement=panic",
    "log_error_verbosity=terse",
    "log_line_prefix=postgres[%p] ",
    "cluster_name=filemill",
};
#define SETTING_COUNT (sizeof server_settings / sizeof server_settings[0])

static int major_version(const char *directory) {
    const char *digits = strpbrk(directory, "0123456789");

    return digits != NULL ? (int)strtol(digits, NULL, 10) : 0;
}

/* Adds to `best` what one place has, if that is newer. Takes and returns owned texts. */
static char *newest_in(const char *place, const char *version, char *best) {
    static const char program[] = "/initdb";
    const char *mark = strstr(place, "%s");
    char pattern[PATH_MAX];
    glob_t found = {0};

    if (mark != NULL)
        (void)text_format(pattern, sizeof pattern, "%.*s%s%s%s", (int)(mark - place), place, version,
                          mark + 2, program);
    else
        (void)text_format(pattern, sizeof pattern, "%s%s", place, program);
    if (glob(pattern, 0, NULL, &found) != 0)
        return best;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char *directory = memory_copy_bytes(found.gl_pathv[i], strlen(found.gl_pathv[i]) - strlen(program));
        bool is_newer = best == NULL || major_version(directory) > major_version(best);
        free(is_newer ? best : directory);
        best = is_newer ? directory : best;
    }
    globfree(&found);
    return best;
}

/* The directory of the newest postgres of this major version ("*": of any); NULL when there is none. */
static char *find_programs(const char *version) {
    char *best = NULL;

    for (size_t i = 0; i < sizeof program_places / sizeof program_places[0] && best == NULL; i++)
        best = newest_in(program_places[i], version, best);
    return best;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place) {
    return remove(path);
}

/* Runs a program to its end, its output thrown away; -1 with a log line unless it exits 0. */
static int run_program(char **arguments, int input_fd) {
    int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    const struct process_descriptor descriptors[] = {{.from = null_fd, .to = STDOUT_FILENO},
                                                     {.from = input_fd, .to = STDIN_FILENO}};
    const struct process_plan plan = {.path = arguments[0],
                                      .arguments = arguments,
                                      .environment = environ,
                                      .descriptors = descriptors,
                                      .descriptor_count = input_fd >= 0 ? 2 : 1};
    int pidfd = -1;
    int status = -1;
    char ended[64];

    pid_t pid = process_spawn(&plan, &pidfd);
    int spawn_errno = errno;
    close(null_fd);
    if (pid < 0) {
        log_error("program=%s state=not_started error=\"%s\"", arguments[0], strerror(spawn_errno));
        return -1;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    close(pidfd);
    if (status == 0)
        return 0;
    process_describe_status(ended, sizeof ended, status);
    log_error("program=%s state=failed end=\"%s\"", arguments[0], ended);
    return -1;
}

static int write_access_rules(const char *cluster) {
    static const char rules[] = "local all all scram-sha-256\n";
    char *path = memory_format("%s/pg_hba.conf", cluster);
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    int result = -1;

    if (fd >= 0 && write(fd, rules, sizeof rules - 1) == (ssize_t)(sizeof rules - 1) && fsync(fd) == 0)
        result = 0;
    else
        log_error_errno("path=%s state=not_written", path);
    if (fd >= 0)
        close(fd);
    free(path);
    return result;
}

static int make_cluster(const char *programs, const char *directory, const char *data) {
    char *fresh = memory_format("%s/new", directory);
    char *initdb = memory_format("%s/initdb", programs);
    char *postgres = memory_format("%s/postgres", programs);
    char *make[] = {initdb,
                    "-D",
                    fresh,
                    "--username=postgres",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--lc-ctype=C.UTF-8",
                    "--auth=reject",
                    "--no-instructions",
                    NULL};
    char *fill[] = {
        postgres,   "--single", "-D", fresh, "-c", "exit_on_error=on", "-c", "log_min_messages=fatal",
        "postgres", NULL};
    int result = -1;

    (void)nftw(fresh, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    log_info("service=postgres event=cluster_making");
    if (run_program(make, -1) == 0 && run_program(fill, STDIN_FILENO) == 0 &&
        write_access_rules(fresh) == 0) {
        result = rename(fresh, data);
        if (result != 0)
            log_error_errno("path=%s state=not_renamed", fresh);
    }
    free(fresh);
    free(initdb);
    free(postgres);
    return result;
}

/* The version that a cluster was made with, "*" when there is none yet. */
static void read_version(const char *data, char *version, size_t size) {
    char *path = memory_format("%s/PG_VERSION", data);
    FILE *stream = fopen(path, "re");

    (void)text_copy(version, size, "*");
    if (stream != NULL) {
        if (fgets(version, (int)size, stream) != NULL)
            version[strcspn(version, "\r\n")] = '\0';
        fclose(stream);
    }
    free(path);
}

/* Whether this process is a running Postgres; one that is dead but not reaped by its parent is not. */
static bool is_live_postgres(long pid) {
    char text[512];
    char state = 'X';

    (void)text_format(text, sizeof text, "/proc/%ld/stat", pid);
    FILE *stream = fopen(text, "re");
    if (stream == NULL)
        return false;
    text[fread(text, 1, sizeof text - 1, stream)] = '\0';
    fclose(stream);
    const char *end = strrchr(text, ')');
    if (end != NULL && end[1] == ' ')
        state = end[2];
    return strstr(text, "(postgres)") != NULL && state != 'Z' && state != 'X';
}

/* A killed server leaves its lock file. Postgres itself ignores one whose process is gone, but not one whose
 * process waits to be reaped, or whose pid somebody else has by now. We hold the lock of the state directory,
 * so we may say so, as pg_ctl does: the pid in this variable is not another server. The rest of the file
 * stays, and with it the check that no old backend still has the shared memory. */
static void disown_stale_lock(const char *data) {
    char *path = memory_format("%s/postmaster.pid", data);
    FILE *stream = fopen(path, "re");
    char line[32] = "";

    free(path);
    if (stream == NULL)
        return;
    if (fgets(line, sizeof line, stream) == NULL)
        line[0] = '\0';
    fclose(stream);
    long pid = strtol(line, NULL, 10);
    if (pid > 1 && !is_live_postgres(pid)) {
        line[strcspn(line, "\r\n")] = '\0';
        (void)setenv("PG_GRANDPARENT_PID", line, 1);
    }
}

static void become_server(const char *programs, const char *data, const char *sockets,
                          const char *connections) {
    char *arguments[3 + 2 * (SETTING_COUNT + 2) + 1];
    size_t count = 0;
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (null_fd >= 0)
        (void)dup2(null_fd, STDIN_FILENO);
    disown_stale_lock(data);
    arguments[count++] = memory_format("%s/postgres", programs);
    arguments[count++] = "-D";
    arguments[count++] = memory_copy_text(data);
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        arguments[count++] = "-c";
        arguments[count++] = memory_copy_text(server_settings[i]);
    }
    arguments[count++] = "-c";
    arguments[count++] = memory_format("unix_socket_directories=%s", sockets);
    arguments[count++] = "-c";
    arguments[count++] = memory_format("max_connections=%s", connections);
    arguments[count] = NULL;
    (void)execve(arguments[0], arguments, environ);
    log_error_errno("program=%s state=not_started", arguments[0]);
}

int postgres_launch(int argument_count, char **arguments) {
    char version[16];

    log_init("postgres", LOG_INFO);
    if (argument_count != 3) {
        log_error("state=refused error=\"embedded-postgres is for the supervisor\"");
        return 2;
    }
    char *data = memory_format("%s/data", arguments[0]);
    read_version(data, version, sizeof version);
    char *programs = find_programs(version);
    if (programs == NULL) {
        log_error("service=postgres state=missing version=%s msg=\"install PostgreSQL, or set DATABASE_URL\"",
                  version);
        free(data);
        return 1;
    }
    if (strcmp(version, "*") != 0 || make_cluster(programs, arguments[0], data) == 0)
        become_server(programs, data, arguments[1], arguments[2]);
    free(programs);
    free(data);
    return 1;
}

bool postgres_is_ready(const char *directory, pid_t pid) {
    char *path = memory_format("%s/data/postmaster.pid", directory);
    char text[1024];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    free(path);
    if (fd < 0)
        return false;
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size <= 0)
        return false;
    text[size] = '\0';
    /* Line 1 is the pid, line 8 the state; a file that a crash left behind names another pid. */
    char *line = text;
    if (strtol(text, NULL, 10) != (long)pid)
        return false;
    for (int i = 1; i < 8 && line != NULL; i++) {
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return line != NULL && text_starts_with(line, "ready");
}
