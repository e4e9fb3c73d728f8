/* SPDX-License-Identifier: MIT
 * See provider.h. */
#include "storage/provider.h"

#include <string.h>
#include <strings.h>

#include "lib/text.h"

static const struct provider providers[] = {
    {.name = "r2",
     .errors = COUNT_STORAGE_ERRORS_R2,
     .host_prefix = "",
     .host_suffix = ".r2.cloudflarestorage.com",
     .region = "auto",
     .checksum_header = true,
     .create_only = true,
     .https_only = true},
    {.name = "aws",
     .errors = COUNT_STORAGE_ERRORS_AWS,
     .host_prefix = "s3.",
     .host_suffix = ".amazonaws.com",
     .region_in_host = true,
     .virtual_host = true,
     .checksum_header = true,
     .create_only = true},
    {.name = "spaces",
     .errors = COUNT_STORAGE_ERRORS_SPACES,
     .host_prefix = "",
     .host_suffix = ".digitaloceanspaces.com",
     .region_in_host = true,
     .virtual_host = true,
     .https_only = true},
    {.name = "b2",
     .errors = COUNT_STORAGE_ERRORS_B2,
     .host_prefix = "s3.",
     .host_suffix = ".backblazeb2.com",
     .region_in_host = true,
     .https_only = true},
    {.name = "minio",
     .errors = COUNT_STORAGE_ERRORS_MINIO,
     .region = "us-east-1",
     .checksum_header = true,
     .create_only = true},
    {.name = "filemill",
     .errors = COUNT_STORAGE_ERRORS_FILEMILL,
     .region = "us-east-1",
     .checksum_header = true,
     .create_only = true},
};
#define PROVIDER_COUNT (sizeof(providers) / sizeof(providers[0]))

const struct provider *provider_named(const char *name) {
    for (size_t i = 0; i < PROVIDER_COUNT; i++) {
        if (strcmp(providers[i].name, name) == 0)
            return &providers[i];
    }
    return NULL;
}

static const struct provider *provider_of_suffix(const char *host) {
    char name[PROVIDER_HOST_MAX];

    (void)text_copy(name, sizeof name, host);
    name[strcspn(name, ":")] = '\0';
    for (size_t i = 0; i < PROVIDER_COUNT; i++) {
        if (providers[i].host_suffix != NULL && text_ends_with(name, providers[i].host_suffix))
            return &providers[i];
    }
    return NULL;
}

const struct provider *provider_of_host(const char *host) {
    const struct provider *provider = provider_of_suffix(host);

    return provider != NULL ? provider : provider_named("minio");
}

/* host[:port] of scheme://host[:port]/path, or of what has no scheme. */
static void copy_host(char *target, size_t size, const char *url) {
    const char *scheme = strstr(url, "://");
    const char *host = scheme != NULL ? scheme + strlen("://") : url;

    (void)text_format(target, size, "%.*s", (int)strcspn(host, "/?"), host);
}

static bool is_published(const struct settings *settings, const char *host) {
    char published[PROVIDER_HOST_MAX];

    if (settings->publish_endpoint == NULL)
        return false;
    copy_host(published, sizeof published, settings->publish_endpoint);
    return strcasecmp(published, host) == 0;
}

const struct provider *provider_of_url(const struct settings *settings, const char *url) {
    char host[PROVIDER_HOST_MAX];
    const struct provider *provider;

    copy_host(host, sizeof host, url);
    provider = provider_of_suffix(host);
    if (provider == NULL && settings->storage_provider != NULL && !is_published(settings, host))
        provider = provider_named(settings->storage_provider);
    return provider != NULL ? provider : provider_of_host(host);
}
