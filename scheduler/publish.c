/* SPDX-License-Identifier: MIT
 * See publish.h. The bearer of the source is not known here: only workers have it. */
#include "scheduler/publish.h"

#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/text.h"
#include "scheduler/finish.h"
#include "scheduler/json_text.h"
#include "storage/keys.h"

struct storage *publish_open(const struct settings *settings) {
    char error[256];
    struct storage *storage = storage_new_published(settings, error, sizeof error);

    if (storage == NULL && error[0] != '\0') {
        log_error("state=refused error=\"%s\"", error);
        exit(2);
    }
    if (storage != NULL && settings->cdn_base_url == NULL)
        log_warn("state=not_publishing error=\"cdn-base-url is not set\"");
    return storage;
}

bool publish_refuse(struct scheduler *scheduler, struct lease *lease) {
    char url[STORAGE_URL_MAX];

    if (lease->outside && !lease_publishes(lease)) {
        finish_refused(scheduler, lease, "source_not_allowed", "only publishing reads sources outside");
        return true;
    }
    if (!lease_publishes(lease) || lease->file_gone)
        return false;
    if (scheduler->published == NULL || scheduler->settings->cdn_base_url == NULL) {
        finish_refused(scheduler, lease, "publish_unconfigured", "publish-bucket or cdn-base-url is not set");
        return true;
    }
    if (lease->outside && publish_source_url(scheduler->settings, lease->key, url) != 0) {
        finish_refused(scheduler, lease, "source_not_allowed", "it is not at source-endpoint");
        return true;
    }
    return false;
}

static bool is_url(const char *text) {
    return strstr(text, "://") != NULL;
}

int publish_source_url(const struct settings *settings, const char *key, char url[STORAGE_URL_MAX]) {
    const char *source = key_source(key), *endpoint = settings->source_endpoint;
    char encoded[STORAGE_URL_MAX / 2];

    if (endpoint == NULL || source == NULL)
        return -1;
    if (is_url(source))
        return text_has_same_origin(source, endpoint)
                   ? text_format(url, STORAGE_URL_MAX, MESSAGE_SOURCE "%s", source)
                   : -1;
    if (text_percent_encode(encoded, sizeof encoded, source, false) != 0)
        return -1;
    return text_format(url, STORAGE_URL_MAX, MESSAGE_SOURCE "%s%skey=%s", endpoint,
                       strchr(endpoint, '?') == NULL ? "?" : "&", encoded);
}

int publish_sign(const struct scheduler *scheduler, const char *key, const char *mime,
                 char url[STORAGE_URL_MAX]) {
    const struct storage_presign what = {.method = "PUT",
                                         .key = key,
                                         .expires_s = TASK_URL_SECONDS,
                                         .internal = true,
                                         .content_type = mime,
                                         .cache_control = scheduler->settings->publish_cache_control,
                                         .content_length = -1};

    return scheduler->published == NULL ? -1
                                        : storage_presign(scheduler->published, &what, url, STORAGE_URL_MAX);
}

const char *published_url(char *target, const struct scheduler *scheduler, const char *key) {
    const char *base = scheduler->settings->cdn_base_url == NULL ? "" : scheduler->settings->cdn_base_url;
    size_t size = strlen(base);

    while (size > 0 && base[size - 1] == '/')
        size--;
    if (text_format(target, PUBLISHED_URL_MAX, "%.*s/%s", (int)size, base, key) != 0)
        target[0] = '\0';
    return target;
}

int published_append_urls(struct buffer *buffer, const struct scheduler *scheduler,
                          const struct message_result *result) {
    char url[PUBLISHED_URL_MAX];
    int broken = json_name(buffer, "cdn_urls") | json_open(buffer, '{');

    for (size_t i = 0; i < result->output_count; i++)
        broken |= json_member_text(buffer, result->outputs[i].kind,
                                   published_url(url, scheduler, result->outputs[i].key));
    return broken | json_close(buffer, '}');
}
