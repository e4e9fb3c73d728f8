/* SPDX-License-Identifier: MIT
 * The state directory. Everything the supervisor itself reads lies where services can't write: services own
 * only their own subdirectories. */
#include "supervisor/layout.h"

#include "lib/memory.h"
#include "lib/process.h"
#include "lib/text.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The longest name below run/: s/.s.PGSQL.5432 */
#define RUN_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - sizeof "/s/.s.PGSQL.5432")

static int fail(char *error, size_t error_size, const char *path, const char *what) {
    (void)text_format(error, error_size, "state-directory: %s: %s", path, what);
    return -1;
}

static char *absolute(const char *path) {
    char directory[PATH_MAX];

    if (*path == '/' || getcwd(directory, sizeof directory) == NULL)
        return memory_copy_text(path);
    return memory_format("%s/%s", directory, path);
}

static char *find_state(const struct settings *settings) {
    char *directory = settings_state_directory(settings);
    char *whole = directory != NULL ? absolute(directory) : NULL;

    free(directory);
    return whole;
}

static char *find_run(const char *state) {
    char *inside = memory_format("%s/run", state);
    char target[PATH_MAX];
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    const unsigned long long hash = text_hash(state, 0);
    char *outside;

    ssize_t size = readlink(inside, target, sizeof target - 1);
    if (size > 0) {
        free(inside);
        return memory_copy_bytes(target, (size_t)size);
    }
    if (strlen(inside) <= RUN_PATH_MAX)
        return inside;
    free(inside);
    if (geteuid() == 0)
        return memory_format("/run/filemill-%016llx", hash);
    if (runtime != NULL && *runtime == '/' && strlen(runtime) + 26 <= RUN_PATH_MAX)
        outside = memory_format("%s/filemill-%016llx", runtime, hash);
    else
        outside = memory_format("/tmp/filemill-%u-%016llx", (unsigned)geteuid(), hash);
    return outside;
}

static int find_user(struct layout *layout, const struct settings *settings, char *error, size_t error_size) {
    layout->set_user = geteuid() == 0;
    layout->user = geteuid();
    layout->group = getegid();
    layout->user_name = "the user of the supervisor";
    if (!layout->set_user)
        return 0;
    static const char *const candidates[] = {"filemill", "nobody"};
    for (size_t i = 0; settings->user == NULL && i < 2; i++) {
        layout->user_name = candidates[i];
        if (process_find_user(candidates[i], &layout->user, &layout->group) == 0)
            return 0;
    }
    if (settings->user != NULL && process_find_user(settings->user, &layout->user, &layout->group) == 0 &&
        layout->user != 0) {
        static char name[64];
        (void)text_copy(name, sizeof name, settings->user);
        layout->user_name = name;
        return 0;
    }
    (void)text_format(error, error_size, "user: \"%s\" is not an unprivileged user of this system",
                      settings->user != NULL ? settings->user : "filemill");
    return -1;
}

int layout_find(struct layout *layout, const struct settings *settings, char *error, size_t error_size) {
    memset(layout, 0, sizeof *layout);
    layout->state = find_state(settings);
    if (layout->state == NULL) {
        (void)text_format(error, error_size, "state-directory: not set, and there is no HOME to put it in");
        return -1;
    }
    layout->run = find_run(layout->state);
    layout->sockets = memory_format("%s/s", layout->run);
    layout->stats_socket = memory_format("%s/stats.sock", layout->run);
    layout->instance = memory_format("%s/instance.env", layout->run);
    layout->channel_endpoint = memory_format("ipc://%s/channel", layout->sockets);
    layout->secrets = memory_format("%s/secrets", layout->state);
    layout->lock = memory_format("%s/lock", layout->state);
    layout->postgres = memory_format("%s/postgres", layout->state);
    layout->store = memory_format("%s/store", layout->state);
    return find_user(layout, settings, error, error_size);
}

void layout_clear(struct layout *layout) {
    char *const texts[] = {
        layout->state,   layout->run,      layout->sockets, layout->stats_socket, layout->channel_endpoint,
        layout->secrets, layout->instance, layout->lock,    layout->postgres,     layout->store};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        free(texts[i]);
    memset(layout, 0, sizeof *layout);
}

/* A directory and what is missing above it. */
static int make_path(const char *path, mode_t mode) {
    char *copy = memory_copy_text(path);

    for (char *slash = strchr(copy + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0755) != 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
            break;
        *slash = '/';
    }
    free(copy);
    return mkdir(path, mode) == 0 || errno == EEXIST ? 0 : -1;
}

/* A directory of ours: never one that somebody else made in a shared place, never through a link. */
static int make_directory(const char *path, mode_t mode, uid_t user, gid_t group, char *error,
                          size_t error_size) {
    struct stat status;

    if (make_path(path, mode) != 0)
        return fail(error, error_size, path, strerror(errno));
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail(error, error_size, path, strerror(errno));
    int result = fstat(fd, &status);
    if (result == 0 && status.st_uid != user && geteuid() == 0) {
        result = fchown(fd, user, group);
    } else if (result == 0 && status.st_uid != user) {
        errno = EPERM;
        result = -1;
    }
    if (result == 0 && (status.st_mode & 07777) != mode)
        result = fchmod(fd, mode);
    int saved_errno = errno;
    close(fd);
    return result == 0 ? 0 : fail(error, error_size, path, strerror(saved_errno));
}

/* Whether user and group may enter every directory above `path`: NULL, or the directory that stops them. The
 * result is freed by the caller. */
static char *layout_barrier(const char *path, uid_t user, gid_t group) {
    size_t size = strlen(path);

    for (size_t i = 1; i <= size && user != 0; i++) {
        struct stat status;
        if (i < size && path[i] != '/')
            continue;
        char *directory = memory_copy_bytes(path, i);
        if (stat(directory, &status) == 0) {
            mode_t bit = status.st_uid == user ? S_IXUSR : status.st_gid == group ? S_IXGRP : S_IXOTH;
            if ((status.st_mode & bit) == 0)
                return directory;
        }
        free(directory);
    }
    return NULL;
}

static int check_reach(const struct layout *layout, const char *path, char *error, size_t error_size) {
    char *barrier = layout_barrier(path, layout->user, layout->group);

    if (barrier == NULL)
        return 0;
    (void)text_format(error, error_size, "%s lies in %s, which user %s may not enter", path, barrier,
                      layout->user_name);
    free(barrier);
    return -1;
}

static int take_lock(const struct layout *layout, char *error, size_t error_size) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char text[24];
    int fd = open(layout->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

    if (fd < 0)
        return fail(error, error_size, layout->lock, strerror(errno));
    if (fcntl(fd, F_OFD_SETLK, &whole) != 0) {
        (void)text_format(error, error_size, "state-directory: %s is in use by process %d", layout->state,
                          (int)layout_owner(layout));
        close(fd);
        return -1;
    }
    (void)text_format(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) != 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
        fail(error, error_size, layout->lock, strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

/* Where <state>/run would be too long a name: a link from there to the place that is used instead. */
static int link_run(const struct layout *layout, char *error, size_t error_size) {
    char *inside = memory_format("%s/run", layout->state);
    int result = 0;

    if (strcmp(inside, layout->run) != 0 && symlink(layout->run, inside) != 0 && errno != EEXIST)
        result = fail(error, error_size, inside, strerror(errno));
    free(inside);
    return result;
}

int layout_prepare(const struct layout *layout, char *error, size_t error_size) {
    uid_t own_user = geteuid();
    gid_t own_group = getegid();
    mode_t mode = layout->set_user ? 0711 : 0700;

    if (make_directory(layout->state, mode, own_user, own_group, error, error_size) != 0 ||
        check_reach(layout, process_own_directory(), error, error_size) != 0 ||
        check_reach(layout, layout->state, error, error_size) != 0)
        return -1;
    int lock = take_lock(layout, error, error_size);
    if (lock < 0)
        return -1;
    if (make_directory(layout->run, mode, own_user, own_group, error, error_size) != 0 ||
        link_run(layout, error, error_size) != 0 ||
        make_directory(layout->sockets, 0700, layout->user, layout->group, error, error_size) != 0 ||
        make_directory(layout->postgres, 0700, layout->user, layout->group, error, error_size) != 0 ||
        make_directory(layout->store, 0700, layout->user, layout->group, error, error_size) != 0) {
        close(lock);
        return -1;
    }
    return lock;
}

pid_t layout_owner(const struct layout *layout) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char text[24] = "";
    int64_t pid = 0;
    int fd = open(layout->lock, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    if (fcntl(fd, F_OFD_GETLK, &whole) != 0 || whole.l_type == F_UNLCK) {
        close(fd);
        return 0;
    }
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    text[size > 0 ? strcspn(text, "\n") : 0] = '\0';
    return text_parse_i64(text, 1, INT32_MAX, &pid) == 0 ? (pid_t)pid : -1;
}
