/* SPDX-License-Identifier: MIT
 * The CLI's view of an instance. Everything it knows comes from files that only the instance's user may read.
 */
#include "supervisor/instance.h"

#include "lib/buffer.h"
#include "lib/memory.h"
#include "lib/process.h"
#include "lib/text.h"
#include "supervisor/embedded.h"
#include "supervisor/variables.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX ((size_t)16 * 1024 * 1024)
#define ANSWER_SECONDS 30

extern char **environ;

/* The settings that the running instance has published. */
static int load_running(struct instance *instance, char *error, size_t error_size) {
    struct variables variables = {0};
    struct configuration running = {0};
    int result = -1;

    if (variables_read(&variables, instance->layout.instance, error, error_size) == 0) {
        const struct sources sources = {.environment = variables.list};
        result = configuration_load(&running, &sources, error, error_size);
    }
    variables_clear(&variables);
    if (result != 0) {
        configuration_clear(&running);
        return -1;
    }
    configuration_clear(&instance->configuration);
    instance->configuration = running;
    return 0;
}

/* Who asks is not the running one's to say. */
static int load_running_as(struct instance *instance, char *error, size_t error_size) {
    struct settings *settings = &instance->configuration.settings;
    char *token = settings->admin_token == NULL ? NULL : memory_copy_text(settings->admin_token);
    int result = load_running(instance, error, error_size);

    if (token != NULL) {
        free(settings->admin_token);
        settings->admin_token = token;
    }
    return result;
}

int instance_find(struct instance *instance, const struct sources *sources, char *error, size_t error_size) {
    struct variables secrets = {0};
    int result = 0;

    memset(instance, 0, sizeof *instance);
    if (configuration_load(&instance->configuration, sources, error, error_size) != 0 ||
        layout_find(&instance->layout, &instance->configuration.settings, error, error_size) != 0)
        return -1;
    instance->pid = layout_owner(&instance->layout);
    if (instance->pid != 0)
        return load_running_as(instance, error, error_size);
    if (access(instance->layout.secrets, R_OK) == 0) {
        result = embedded_secrets(&secrets, &instance->layout, error, error_size);
        if (result == 0)
            embedded_fill(&instance->configuration, &instance->layout, &secrets);
        variables_clear(&secrets);
    }
    return result;
}

void instance_clear(struct instance *instance) {
    configuration_clear(&instance->configuration);
    layout_clear(&instance->layout);
}

static int connect_to(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval limit = {.tv_sec = ANSWER_SECONDS};

    if (text_copy(address.sun_path, sizeof address.sun_path, path) != 0) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0 &&
        connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    int saved_errno = errno;
    close(fd);
    errno = saved_errno;
    return -1;
}

static int exchange(int fd, const char *line, struct buffer *answer) {
    char chunk[16384];
    ssize_t size;

    if (send(fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line) ||
        send(fd, "\n", 1, MSG_NOSIGNAL) != 1)
        return -1;
    while ((size = recv(fd, chunk, sizeof chunk, 0)) != 0) {
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0 || buffer_append(answer, chunk, (size_t)size) != 0)
            return -1;
    }
    return answer->size > 0 ? 0 : -1;
}

char *instance_ask(const struct instance *instance, const char *line, char *error, size_t error_size) {
    struct buffer answer;
    char *text = NULL;

    if (instance->pid == 0) {
        (void)text_format(error, error_size, "no instance runs in %s", instance->layout.state);
        return NULL;
    }
    int fd = connect_to(instance->layout.stats_socket);
    if (fd < 0) {
        (void)text_format(error, error_size, "%s: %s", instance->layout.stats_socket, strerror(errno));
        return NULL;
    }
    buffer_init(&answer, ANSWER_MAX);
    if (exchange(fd, line, &answer) == 0)
        text = buffer_take(&answer, NULL);
    else
        (void)text_format(error, error_size, "process %d does not answer", (int)instance->pid);
    buffer_clear(&answer);
    close(fd);
    return text;
}

int instance_exec(const struct instance *instance, const char *program, const struct words *arguments,
                  unsigned audience, char *error, size_t error_size) {
    struct variables variables = {0};
    char **settings = settings_environment(&instance->configuration.settings, audience);
    char **line = memory_new_array(arguments->count + 2, sizeof *line);

    for (size_t i = 0; environ[i] != NULL; i++) {
        char *one[] = {environ[i], NULL};
        if (!text_starts_with(environ[i], "FILEMILL_"))
            variables_merge(&variables, one);
    }
    variables_merge(&variables, settings);
    options_free_environment(settings);
    line[0] = memory_format("%s/%s", process_own_directory(), program);
    memcpy(line + 1, arguments->list, arguments->count * sizeof *line);
    (void)execve(line[0], line, variables.list);
    (void)text_format(error, error_size, "%s: %s", line[0], strerror(errno));
    free(line[0]);
    free(line);
    variables_clear(&variables);
    return -1;
}
