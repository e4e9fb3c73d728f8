/* SPDX-License-Identifier: MIT
 * filemill-store: S3-compatible objects on the local disk, for one machine. Wiring only. */
#include "config/settings.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/process.h"
#include "lib/text.h"
#include "storage/store/routes.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONNECTIONS_MAX 1024
#define DRAIN_LOOK_MS 20

struct program {
    struct store store;
    struct settings settings;
    struct loop_timer *drain_timer;
    struct loop_timer *drain_look;
    bool draining;
    char hosts[2][256];
    char *cors_origins;
};

static void make_parents(const char *path) {
    char part[4096];

    (void)text_copy(part, sizeof(part), path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(part, 0700); /* what is missing in the end is reported by whoever opens it */
        *slash = '/';
    }
}

static struct disk *open_disk(const struct settings *settings) {
    char *state = settings_state_directory(settings);
    char directory[4096];

    if (state == NULL || text_format(directory, sizeof(directory), "%s/store", state) != 0)
        fatal("option=state-directory reason=\"%s\"", state == NULL ? "there is no home" : "too long");
    free(state);
    make_parents(directory);
    return disk_open(directory);
}

static void require_option(const char *value, const char *option) {
    if (value == NULL || value[0] == '\0' || strlen(value) > 255) {
        log_error("option=%s reason=\"must be set, and at most 255 bytes\"", option);
        exit(2);
    }
}

/* "https://files.example.com/" -> "files.example.com" */
static const char *host_of_endpoint(const char *endpoint, char *target, size_t size) {
    const char *host = endpoint != NULL ? strstr(endpoint, "://") : NULL;

    if (host == NULL || text_copy(target, size, host + 3) != 0)
        return NULL;
    target[strcspn(target, "/")] = '\0';
    return target;
}

static void check_settings(const struct settings *settings) {
    require_option(settings->storage_access_key, "storage-access-key");
    require_option(settings->storage_secret_key, "storage-secret-key");
    if (settings->storage_bucket != NULL && !disk_bucket_name_is_valid(settings->storage_bucket)) {
        log_error("option=storage-bucket reason=\"is not a bucket name: 3 to 63 of a-z 0-9 . -\"");
        exit(2);
    }
}

static int inherited_socket(void) {
    const char *text = getenv("FILEMILL_LISTEN_FD");
    uint64_t number;

    if (text == NULL)
        return -1;
    if (text_parse_u64(text, 0, INT32_MAX, &number) != 0 || fcntl((int)number, F_SETFD, FD_CLOEXEC) != 0)
        fatal("variable=FILEMILL_LISTEN_FD reason=\"is not an open descriptor\"");
    return (int)number;
}

/* ---- stopping ---- */

static void look_whether_drained(void *context) {
    struct program *program = context;

    if (program->store.calls == 0)
        loop_stop(program->store.loop, 0);
    else
        loop_timer_set(program->drain_look, DRAIN_LOOK_MS);
}

static void stop_now(void *context) {
    struct program *program = context;

    log_warn("event=drain_deadline requests=%u", program->store.calls);
    loop_stop(program->store.loop, 0);
}

static void drain(void *context, int signal_number) {
    struct program *program = context;

    if (program->draining) {
        stop_now(program);
        return;
    }
    program->draining = true;
    log_info("event=drain requests=%u", program->store.calls);
    http_server_drain(program->store.server);
    loop_timer_set(program->drain_timer, program->settings.drain_ms);
    loop_timer_set(program->drain_look, 0);
}

/* ---- starting ---- */

static void open_store(struct program *program) {
    struct settings *settings = &program->settings;
    struct store *store = &program->store;

    store->disk = open_disk(settings);
    store->syncer = syncer_new(store->loop);
    store->credentials = (struct sigv4_credentials){.access_key = settings->storage_access_key,
                                                    .secret_key = settings->storage_secret_key,
                                                    .region = settings->storage_region != NULL &&
                                                                      settings->storage_region[0] != '\0'
                                                                  ? settings->storage_region
                                                                  : "us-east-1",
                                                    .service = "s3"};
    program->cors_origins = settings_store_origins(settings);
    store->cors_origins = program->cors_origins;
    store->endpoint_hosts[0] =
        host_of_endpoint(settings->storage_endpoint, program->hosts[0], sizeof(program->hosts[0]));
    store->endpoint_hosts[1] =
        host_of_endpoint(settings->storage_public_endpoint, program->hosts[1], sizeof(program->hosts[1]));
    if (settings->storage_bucket != NULL && disk_bucket(store->disk, settings->storage_bucket) == NULL &&
        disk_create_bucket(store->disk, settings->storage_bucket) == NULL)
        fatal_errno("bucket=%s event=create_bucket", settings->storage_bucket);
}

static void open_server(struct program *program) {
    const struct http_server_options options = {.listen_fd = inherited_socket(),
                                                .address = program->settings.store_address,
                                                .port = (uint16_t)program->settings.store_port,
                                                .max_connections = CONNECTIONS_MAX,
                                                .head_timeout_s = 30,
                                                .server_name = "filemill-store",
                                                .error_body = store_error_body};

    program->store.server = http_server_new(program->store.loop, &options, &store_handlers, &program->store);
    if (program->store.server == NULL)
        fatal("event=no_server address=%s port=%lld", program->settings.store_address,
              (long long)program->settings.store_port);
    log_info("event=serving address=%s port=%u region=%s", program->settings.store_address,
             http_server_port(program->store.server), program->store.credentials.region);
}

int main(void) {
    static struct program program;
    int status;

    settings_load(&program.settings, "store");
    check_settings(&program.settings);
    (void)signal(SIGPIPE, SIG_IGN);
    process_raise_open_files();
    counters_attach();
    program.store.loop = loop_new();
    (void)loop_signal_new(program.store.loop, SIGTERM, drain, &program);
    (void)loop_signal_new(program.store.loop, SIGINT, drain, &program);
    program.drain_timer = loop_timer_new(program.store.loop, stop_now, &program);
    program.drain_look = loop_timer_new(program.store.loop, look_whether_drained, &program);
    open_store(&program);
    open_server(&program);
    process_report_ready();
    status = loop_run(program.store.loop);
    http_server_free(program.store.server);
    syncer_free(program.store.syncer);
    disk_free(program.store.disk);
    loop_free(program.store.loop);
    free(program.cors_origins);
    settings_clear(&program.settings);
    return status;
}
