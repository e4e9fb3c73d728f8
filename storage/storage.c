/* SPDX-License-Identifier: MIT
 * Where the settings say that the objects are, and presigned URLs. What a provider is known to enforce (a signed
 * checksum header, If-None-Match on PUT) is part of its row (provider.h), so that a URL never asks for something
 * that the provider would answer with an error. */
#include "storage/storage.h"

#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "storage/provider.h"
#include "storage/sigv4.h"
#include <stdlib.h>
#include <string.h>

#define SECRET_MAX 256
#define SIGNED_PATH_MAX 1600

struct endpoint {
    bool tls;
    char host[PROVIDER_HOST_MAX]; /* with ":port" unless it is the scheme's own */
};

struct storage {
    const struct provider *provider;
    struct endpoint internal;
    struct endpoint public;
    bool virtual_host;
    char region[64];
    char bucket[64];
    char access_key[SECRET_MAX];
    char secret_key[SECRET_MAX];
    struct sigv4_key *key;
};

struct fault {
    char *text;
    size_t size;
};

static int refuse(const struct fault *fault, const char *option, const char *what) {
    (void)text_format(fault->text, fault->size, "%s: %s", option, what);
    return -1;
}

/* Without a port, as for comparing with a suffix. */
static void copy_host_name(char *target, size_t size, const char *host) {
    (void)text_copy(target, size, host);
    target[strcspn(target, ":")] = '\0';
}

static bool is_set(const char *text) {
    return text != NULL && text[0] != '\0';
}

/* scheme://host[:port][/]; a bare host means https, as the older systems' variables have it. */
static int parse_endpoint(const char *text, struct endpoint *endpoint) {
    static const char host_alphabet[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]";
    const char *host = text;
    size_t length;

    endpoint->tls = true;
    if (text_starts_with(text, "https://")) {
        host = text + strlen("https://");
    } else if (text_starts_with(text, "http://")) {
        host = text + strlen("http://");
        endpoint->tls = false;
    }
    length = strspn(host, host_alphabet);
    if (length == 0 || length >= sizeof(endpoint->host) ||
        (host[length] != '\0' && strcmp(host + length, "/") != 0))
        return -1;
    for (size_t i = 0; i < length; i++)
        endpoint->host[i] = host[i] >= 'A' && host[i] <= 'Z' ? (char)(host[i] - 'A' + 'a') : host[i];
    endpoint->host[length] = '\0';
    /* A client leaves the scheme's own port out of Host, so the signature must not have it. */
    const char *own_port = endpoint->tls ? ":443" : ":80";
    if (text_ends_with(endpoint->host, own_port))
        endpoint->host[length - strlen(own_port)] = '\0';
    return 0;
}

static const struct provider *choose_provider(const struct settings *settings, const struct fault *fault) {
    struct endpoint endpoint;

    if (is_set(settings->storage_provider)) {
        const struct provider *provider = provider_named(settings->storage_provider);
        if (provider == NULL)
            (void)refuse(fault, "storage-provider", "unknown; it is r2, aws, spaces, b2, minio or filemill");
        return provider;
    }
    if (is_set(settings->storage_endpoint)) {
        if (parse_endpoint(settings->storage_endpoint, &endpoint) == 0)
            return provider_of_host(endpoint.host);
        (void)refuse(fault, "storage-endpoint", "must be scheme://host[:port] with http or https");
        return NULL;
    }
    if (is_set(settings->r2_account_id))
        return provider_named("r2");
    if (is_set(settings->spaces_region))
        return provider_named("spaces");
    if (is_set(settings->b2_region))
        return provider_named("b2");
    return provider_named("filemill");
}

/* The provider's own variable before the general one: a region that only means something to it. */
static const char *configured_region(const struct provider *provider, const struct settings *settings) {
    if (strcmp(provider->name, "spaces") == 0 && is_set(settings->spaces_region))
        return settings->spaces_region;
    if (strcmp(provider->name, "b2") == 0 && is_set(settings->b2_region))
        return settings->b2_region;
    return is_set(settings->storage_region) ? settings->storage_region : NULL;
}

/* What storage-endpoint would have said, made from the other settings. */
static int default_endpoint(const struct provider *provider, const struct settings *settings, char *target,
                            const struct fault *fault) {
    const char *region = configured_region(provider, settings);
    int cut;

    if (strcmp(provider->name, "filemill") == 0) {
        const char *address = is_set(settings->store_address) ? settings->store_address : "127.0.0.1";
        bool bare_v6 = strchr(address, ':') != NULL;
        cut = text_format(target, PROVIDER_HOST_MAX, "http://%s%s%s:%lld", bare_v6 ? "[" : "", address,
                          bare_v6 ? "]" : "", (long long)settings->store_port);
    } else if (provider->host_prefix == NULL) {
        return refuse(fault, "storage-endpoint", "must be set for provider minio");
    } else if (provider->region_in_host) {
        if (region == NULL)
            return refuse(fault, "storage-region", "must be set for this provider (or set storage-endpoint)");
        cut = text_format(target, PROVIDER_HOST_MAX, "https://%s%s%s", provider->host_prefix, region,
                          provider->host_suffix);
    } else {
        if (!is_set(settings->r2_account_id))
            return refuse(fault, "r2-account-id", "must be set for provider r2 (or set storage-endpoint)");
        cut = text_format(target, PROVIDER_HOST_MAX, "https://%s%s%s", provider->host_prefix, settings->r2_account_id,
                          provider->host_suffix);
    }
    return cut == 0 ? 0 : refuse(fault, "storage-endpoint", "is too long");
}

static int resolve_endpoints(struct storage *storage, const struct settings *settings,
                             const struct fault *fault) {
    static const char shape[] = "must be scheme://host[:port] with http or https";
    char text[PROVIDER_HOST_MAX];

    if (is_set(settings->storage_endpoint)) {
        if (parse_endpoint(settings->storage_endpoint, &storage->internal) != 0)
            return refuse(fault, "storage-endpoint", shape);
    } else if (default_endpoint(storage->provider, settings, text, fault) != 0) {
        return -1;
    } else if (parse_endpoint(text, &storage->internal) != 0) {
        return refuse(fault, storage->provider->region_in_host ? "storage-region" : "r2-account-id",
                      "does not make a host name");
    }
    if (storage->provider->https_only && !storage->internal.tls)
        return refuse(fault, "storage-endpoint", "must be https for this provider");
    storage->public = storage->internal;
    if (is_set(settings->storage_public_endpoint) &&
        parse_endpoint(settings->storage_public_endpoint, &storage->public) != 0)
        return refuse(fault, "storage-public-endpoint", shape);
    return 0;
}

static bool region_from_host(const struct provider *provider, const char *host, char *region, size_t size) {
    char name[PROVIDER_HOST_MAX];
    size_t prefix;
    size_t length;

    if (!provider->region_in_host)
        return false;
    copy_host_name(name, sizeof(name), host);
    if (!text_starts_with(name, provider->host_prefix) || !text_ends_with(name, provider->host_suffix))
        return false;
    prefix = strlen(provider->host_prefix);
    length = strlen(name);
    if (length <= prefix + strlen(provider->host_suffix))
        return false;
    name[length - strlen(provider->host_suffix)] = '\0';
    return strchr(name + prefix, '.') == NULL && text_copy(region, size, name + prefix) == 0;
}

static int resolve_region(struct storage *storage, const struct settings *settings,
                          const struct fault *fault) {
    const char *region = configured_region(storage->provider, settings);

    if (region == NULL &&
        region_from_host(storage->provider, storage->internal.host, storage->region, sizeof(storage->region)))
        return 0;
    if (region == NULL)
        region = storage->provider->region;
    if (region == NULL)
        return refuse(fault, "storage-region", "must be set for this provider");
    if (region[strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-")] != '\0' ||
        text_copy(storage->region, sizeof(storage->region), region) != 0)
        return refuse(fault, "storage-region", "may have lower-case letters, digits and '-' only");
    return 0;
}

/* The rules that hold at every provider (AWS: "General purpose bucket naming rules"), with upper case for the
 * older ones that still have it. */
static bool is_bucket_name(const char *name) {
    size_t length = strlen(name);

    return length >= 3 && length <= 63 && strstr(name, "..") == NULL && name[0] != '.' && name[0] != '-' &&
           name[length - 1] != '.' && name[length - 1] != '-' &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")] == '\0';
}

static int resolve_bucket(struct storage *storage, const struct settings *settings,
                          const struct fault *fault) {
    if (!is_set(settings->storage_bucket))
        return refuse(fault, "storage-bucket", "must be set");
    if (!is_bucket_name(settings->storage_bucket) ||
        text_copy(storage->bucket, sizeof(storage->bucket), settings->storage_bucket) != 0)
        return refuse(fault, "storage-bucket", "is not a bucket name: 3 to 63 of a-z 0-9 . -");
    return 0;
}

static int resolve_keys(struct storage *storage, const struct settings *settings, const struct fault *fault) {
    if (!is_set(settings->storage_access_key))
        return refuse(fault, "storage-access-key", "must be set");
    if (strpbrk(settings->storage_access_key, "/, ") != NULL ||
        text_copy(storage->access_key, sizeof(storage->access_key), settings->storage_access_key) != 0)
        return refuse(fault, "storage-access-key", "is too long, or has a slash, comma or space");
    if (!is_set(settings->storage_secret_key))
        return refuse(fault, "storage-secret-key", "must be set");
    if (text_copy(storage->secret_key, sizeof(storage->secret_key), settings->storage_secret_key) != 0)
        return refuse(fault, "storage-secret-key", "is too long");
    return 0;
}

static int resolve_addressing(struct storage *storage, const struct settings *settings,
                              const struct fault *fault) {
    const char *addressing = is_set(settings->storage_addressing) ? settings->storage_addressing : "auto";
    bool is_address = storage->internal.host[0] == '[' ||
                      storage->internal.host[strspn(storage->internal.host, "0123456789.:")] == '\0';

    if (strcmp(addressing, "auto") == 0)
        /* A bucket name with a dot does not match the provider's wildcard certificate. */
        storage->virtual_host =
            storage->provider->virtual_host && strchr(storage->bucket, '.') == NULL && !is_address;
    else if (strcmp(addressing, "virtual") == 0)
        storage->virtual_host = true;
    else if (strcmp(addressing, "path") != 0)
        return refuse(fault, "storage-addressing", "is path, virtual or auto");
    if (storage->virtual_host && is_address)
        return refuse(fault, "storage-addressing", "virtual needs a host name in storage-endpoint");
    return 0;
}

struct storage *storage_new(const struct settings *settings, char *error, size_t error_size) {
    const struct fault fault = {.text = error, .size = error_size};
    struct storage *storage = memory_new(sizeof(*storage));

    storage->key = memory_new(sizeof(*storage->key));
    storage->provider = choose_provider(settings, &fault);
    if (storage->provider == NULL || resolve_endpoints(storage, settings, &fault) != 0 ||
        resolve_region(storage, settings, &fault) != 0 || resolve_bucket(storage, settings, &fault) != 0 ||
        resolve_keys(storage, settings, &fault) != 0 || resolve_addressing(storage, settings, &fault) != 0) {
        storage_free(storage);
        return NULL;
    }
    return storage;
}

/* The variables of the bucket for publishing take the places of the others; what is wrong is named as it is set. */
struct storage *storage_new_published(const struct settings *settings, char *error, size_t error_size) {
    const struct settings view = {
        .storage_provider = settings->publish_endpoint == NULL ? "b2" : NULL,
        .storage_endpoint = settings->publish_endpoint,
        .storage_region = settings->publish_region,
        .b2_region = settings->publish_region,
        .storage_bucket = settings->publish_bucket,
        .storage_access_key = settings->publish_access_key,
        .storage_secret_key = settings->publish_secret_key,
    };
    char fault[200] = "";
    struct storage *storage;

    error[0] = '\0';
    if (!is_set(settings->publish_bucket))
        return NULL;
    storage = storage_new(&view, fault, sizeof fault);
    if (storage == NULL)
        (void)text_format(error, error_size, "publish: %s", text_starts_with(fault, "storage-") ? fault + 8 : fault);
    return storage;
}

void storage_free(struct storage *storage) {
    if (storage == NULL)
        return;
    explicit_bzero(storage->secret_key, sizeof(storage->secret_key));
    explicit_bzero(storage->key, sizeof(*storage->key));
    free(storage->key);
    free(storage);
}

const char *storage_provider_name(const struct storage *storage) {
    return storage->provider->name;
}

void storage_count_error(const struct storage *storage) {
    counter_add(storage->provider->errors, 1);
}

const char *storage_bucket(const struct storage *storage) {
    return storage->bucket;
}

bool storage_binds_checksum(const struct storage *storage) {
    return storage->provider->checksum_header;
}

bool storage_binds_create_only(const struct storage *storage) {
    return storage->provider->create_only;
}

static void sign_header(struct sigv4_request *request, const char *name, const char *value) {
    if (value != NULL)
        request->headers[request->header_count++] = (struct sigv4_pair){.name = name, .value = value};
}

static void sign_query(struct sigv4_request *request, const char *name, const char *value) {
    if (value != NULL)
        request->query[request->query_count++] = (struct sigv4_pair){.name = name, .value = value};
}

/* Host and path as the client will send them, and the URL up to its query. */
static int place_object(const struct storage *storage, const struct storage_presign *what, char *host,
                        char *path, struct buffer *url) {
    const struct endpoint *endpoint = what->internal ? &storage->internal : &storage->public;
    char encoded[SIGNED_PATH_MAX];
    int cut = storage->virtual_host
                  ? text_format(host, PROVIDER_HOST_MAX, "%s.%s", storage->bucket, endpoint->host) ||
                        text_format(path, SIGNED_PATH_MAX, "/%s", what->key)
                  : text_copy(host, PROVIDER_HOST_MAX, endpoint->host) ||
                        text_format(path, SIGNED_PATH_MAX, "/%s/%s", storage->bucket, what->key);

    if (cut != 0 || text_percent_encode(encoded, sizeof(encoded), path, true) != 0)
        return -1;
    return buffer_append_format(url, "%s://%s%s", endpoint->tls ? "https" : "http", host, encoded);
}

int storage_presign(const struct storage *storage, const struct storage_presign *what, char *url,
                    size_t url_size) {
    const struct sigv4_credentials credentials = {.access_key = storage->access_key,
                                                  .secret_key = storage->secret_key,
                                                  .region = storage->region,
                                                  .service = "s3",
                                                  .key = storage->key};
    char host[PROVIDER_HOST_MAX];
    char path[SIGNED_PATH_MAX];
    char length[24];
    char part[12];
    struct sigv4_request request = {
        .method = what->method, .path = path, .payload_hash = SIGV4_UNSIGNED_PAYLOAD};
    bool is_put = strcmp(what->method, "PUT") == 0;
    bool is_read = strcmp(what->method, "GET") == 0 || strcmp(what->method, "HEAD") == 0;
    struct buffer text;
    int result = -1;

    buffer_init(&text, STORAGE_URL_MAX);
    if (place_object(storage, what, host, path, &text) != 0)
        goto clear;
    clock_format_basic(request.date, sizeof(request.date), clock_wall_ms());
    sign_header(&request, "host", host);
    if (is_put) {
        if (what->content_length >= 0) {
            (void)text_format(length, sizeof(length), "%lld", (long long)what->content_length);
            sign_header(&request, "content-length", length);
        }
        sign_header(&request, "cache-control", what->cache_control);
        sign_header(&request, "content-type", what->content_type);
        sign_header(&request, "x-amz-checksum-sha256",
                    storage->provider->checksum_header ? what->checksum_sha256 : NULL);
        sign_header(&request, "if-none-match",
                    what->create_only && storage->provider->create_only ? "*" : NULL);
    }
    if (is_read) {
        sign_query(&request, "response-content-disposition", what->response_disposition);
        sign_query(&request, "response-content-type", what->response_type);
    }
    sign_query(&request, "uploads", what->begin_upload ? "" : NULL);
    sign_query(&request, "uploadId", what->upload_id);
    (void)text_format(part, sizeof(part), "%u", what->part);
    sign_query(&request, "partNumber", what->part > 0 ? part : NULL);
    if (sigv4_presign_query(&credentials, &request, what->expires_s, &text) == 0)
        result = text_copy(url, url_size, text.data);
clear:
    buffer_clear(&text);
    return result;
}
