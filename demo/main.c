/* SPDX-License-Identifier: MIT
 * filemill-demo: a client like any other. Makes a token, finds or bootstraps its tenant, sends the samples
 * (or the files named on the command line) through the running instance and shows what came out. */
#include "config/settings.h"
#include "demo/api.h"
#include "demo/token.h"
#include "demo/upload.h"
#include "demo/view.h"
#include "lib/memory.h"
#include "lib/process.h"
#include "lib/text.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 16
#define DEMO_USER "00000000-0000-4000-8000-00000000d311"

struct demo {
    struct settings settings;
    struct loop *loop;
    struct api api;
    struct view *view;
    struct view_row rows[FILES_MAX];
    struct upload *uploads[FILES_MAX];
    char *paths[FILES_MAX];
    char *output_directory;
    size_t count;
    size_t finished;
};

static int by_name(const void *left, const void *right) {
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static void add_path(struct demo *demo, const char *path) {
    if (demo->count < FILES_MAX)
        demo->paths[demo->count++] = memory_copy_text(path);
}

/* The samples lie beside the build tree or below the installation's share folder. */
static void add_samples(struct demo *demo) {
    static const char *const places[] = {"../samples", "../share/filemill/samples", "samples"};
    for (size_t i = 0; i < sizeof places / sizeof places[0] && demo->count == 0; i++) {
        char *folder = memory_format("%s/%s", process_own_directory(), places[i]);
        DIR *directory = opendir(folder);
        const struct dirent *entry;
        while (directory != NULL && (entry = readdir(directory)) != NULL) {
            if (text_ends_with(entry->d_name, ".pdf") || text_ends_with(entry->d_name, ".jpg")) {
                char *path = memory_format("%s/%s", folder, entry->d_name);
                add_path(demo, path);
                free(path);
            }
        }
        if (directory != NULL)
            closedir(directory);
        free(folder);
    }
    qsort(demo->paths, demo->count, sizeof demo->paths[0], by_name);
}

static void upload_finished(void *context, struct upload *upload) {
    struct demo *demo = context;
    if (++demo->finished == demo->count)
        loop_stop(demo->loop, 0);
}

static void send_files(struct demo *demo, const char *tenant) {
    for (size_t i = 0; i < demo->count; i++) {
        const struct upload_plan plan = {.loop = demo->loop,
                                         .api = &demo->api,
                                         .view = demo->view,
                                         .row = &demo->rows[i],
                                         .path = demo->paths[i],
                                         .tenant = tenant,
                                         .output_directory = demo->output_directory,
                                         .finished = upload_finished,
                                         .context = demo};
        demo->uploads[i] = upload_start(&plan);
        if (demo->uploads[i] == NULL) {
            loop_stop(demo->loop, 1);
            return;
        }
    }
}

static void bootstrapped(void *context, int status, const json_t *body) {
    struct demo *demo = context;
    if (status / 100 != 2) {
        log_error("step=bootstrap status=%d error=%s", status, api_text(body, "error"));
        loop_stop(demo->loop, 1);
        return;
    }
    send_files(demo, api_text(body, "tenant_id"));
}

static void tenants_listed(void *context, int status, const json_t *body) {
    struct demo *demo = context;
    const json_t *first = json_array_get(json_object_get(body, "tenants"), 0);
    if (status != 200) {
        log_error("step=tenants status=%d error=%s msg=\"is Filemill running at %s?\"", status,
                  api_text(body, "error"), demo->api.base_url);
        loop_stop(demo->loop, 1);
    } else if (first != NULL) {
        send_files(demo, api_text(first, "id"));
    } else {
        api_call(&demo->api, "POST", "/v1/tenants/bootstrap", json_pack("{s:s}", "name", "Demo"),
                 bootstrapped, demo);
    }
}

static void prepare(struct demo *demo, int count, char **files) {
    settings_load(&demo->settings, "demo");
    for (int i = 0; i < count; i++)
        add_path(demo, files[i]);
    if (demo->count == 0)
        add_samples(demo);
    if (demo->count == 0)
        fatal("msg=\"no samples found; name files to send\"");
    for (size_t i = 0; i < demo->count; i++) {
        const char *slash = strrchr(demo->paths[i], '/');
        demo->rows[i].name = slash == NULL ? demo->paths[i] : slash + 1;
    }
    demo->output_directory = memory_copy_text("filemill-demo");
    if (mkdir(demo->output_directory, 0755) != 0 && errno != EEXIST)
        fatal_errno("msg=\"cannot make the output folder\" folder=%s", demo->output_directory);
    demo->api.token = token_make(DEMO_USER);
    if (demo->api.token == NULL)
        fatal("msg=\"filemill-token made no token\"");
    demo->api.base_url = demo->settings.public_url != NULL
                             ? memory_copy_text(demo->settings.public_url)
                             : memory_format("http://%s:%lld", demo->settings.gateway_address,
                                             (long long)demo->settings.gateway_port);
}

int main(int argc, char **argv) {
    static struct demo demo;
    prepare(&demo, argc - 1, argv + 1);
    demo.loop = loop_new();
    demo.api.client = http_client_new(demo.loop, FILES_MAX);
    demo.view = view_new(demo.rows, demo.count, isatty(STDOUT_FILENO));

    printf("Sending %zu files through %s\n", demo.count, demo.api.base_url);
    api_call(&demo.api, "GET", "/v1/tenants", NULL, tenants_listed, &demo);
    int status = loop_run(demo.loop);
    if (status == 0) {
        printf("\nWhat came out:\n");
        for (size_t i = 0; i < demo.count; i++)
            if (upload_report(demo.uploads[i]) != 0)
                status = 1;
    }

    for (size_t i = 0; i < demo.count; i++) {
        upload_free(demo.uploads[i]);
        free(demo.paths[i]);
    }
    view_free(demo.view);
    http_client_free(demo.api.client);
    loop_free(demo.loop);
    free(demo.api.base_url);
    free(demo.api.token);
    free(demo.output_directory);
    settings_clear(&demo.settings);
    return status;
}
