/* SPDX-License-Identifier: MIT
 * Judging URLs and addresses; see outbound.h. Host names that are numbers in disguise (0x7f000001, 127.1)
 * come out of curl's parser as plain addresses, and are judged as such. */
#include "http/outbound.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "http/client.h"
#include "lib/memory.h"
#include "lib/text.h"

#define NETWORKS_MAX 64
#define NETWORK_TEXT_MAX 64

/* IPv4 networks are kept in their mapped form, ::ffff:a.b.c.d. */
struct network {
    uint8_t prefix[16];
    unsigned bits;
};

struct outbound {
    bool allow_http, allow_private;
    struct network networks[NETWORKS_MAX];
    size_t count;
};

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* "10.0.0.0/8", "fd00::/8"; a plain address is a network of one. */
static int parse_network(struct network *network, const char *text, size_t size) {
    char address[NETWORK_TEXT_MAX];
    char *slash;
    uint64_t bits;
    struct in_addr four;
    bool is_four;

    if (size >= sizeof address)
        return -1;
    memcpy(address, text, size);
    address[size] = '\0';
    slash = strchr(address, '/');
    if (slash != NULL)
        *slash = '\0';
    is_four = inet_pton(AF_INET, address, &four) == 1;
    if (is_four) {
        memcpy(network->prefix, mapped, sizeof mapped);
        memcpy(network->prefix + 12, &four, 4);
    } else if (inet_pton(AF_INET6, address, network->prefix) != 1) {
        return -1;
    }
    bits = is_four ? 32 : 128;
    if (slash != NULL && text_parse_u64(slash + 1, 0, bits, &bits) != 0)
        return -1;
    network->bits = (unsigned)bits + (is_four ? 96 : 0);
    return 0;
}

struct outbound *outbound_new(bool allow_http, bool allow_private, const char *networks, char *error,
                              size_t error_size) {
    struct outbound *outbound = memory_new(sizeof *outbound);
    const char *at = networks != NULL ? networks : "";

    outbound->allow_http = allow_http;
    outbound->allow_private = allow_private;
    for (at += strspn(at, ", "); *at != '\0'; at += strspn(at, ", ")) {
        size_t size = strcspn(at, ", ");
        if (outbound->count == NETWORKS_MAX ||
            parse_network(&outbound->networks[outbound->count], at, size) != 0) {
            (void)text_format(error, error_size, "%.*s is no network, or one too many",
                              (int)(size < 80 ? size : 80), at);
            free(outbound);
            return NULL;
        }
        outbound->count++;
        at += size;
    }
    return outbound;
}

void outbound_free(struct outbound *outbound) {
    free(outbound);
}

static bool is_in(const struct network *network, const uint8_t *address) {
    unsigned whole = network->bits / 8, rest = network->bits % 8;

    for (unsigned i = 0; i < whole; i++)
        if (address[i] != network->prefix[i])
            return false;
    return rest == 0 || (address[whole] ^ network->prefix[whole]) >> (8 - rest) == 0;
}

bool outbound_allows_address(const struct outbound *outbound, const struct sockaddr *address) {
    uint8_t bytes[16];

    if (address->sa_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, address, sizeof four);
        memcpy(bytes, mapped, sizeof mapped);
        memcpy(bytes + 12, &four.sin_addr, 4);
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, address, sizeof six);
        memcpy(bytes, &six.sin6_addr, sizeof bytes);
    } else {
        return false;
    }
    if (outbound->allow_private || http_address_is_global(address))
        return true;
    for (size_t i = 0; i < outbound->count; i++)
        if (is_in(&outbound->networks[i], bytes))
            return true;
    return false;
}

/* Of a host that is an address, or a name that can only mean this machine. */
static const char *judge_host(const struct outbound *outbound, char *host) {
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    size_t size = strlen(host);
    bool literal4, literal6 = false;

    if (size == 0)
        return "it names no host";
    if (host[0] == '[' && host[size - 1] == ']') {
        host[size - 1] = '\0';
        literal6 = inet_pton(AF_INET6, host + 1, &six.sin6_addr) == 1;
        if (!literal6)
            return "its address is not a plain one";
    }
    if (host[size - 1] == '.')
        host[--size] = '\0';
    literal4 = inet_pton(AF_INET, host, &four.sin_addr) == 1;
    if ((literal4 && !outbound_allows_address(outbound, (const struct sockaddr *)&four)) ||
        (literal6 && !outbound_allows_address(outbound, (const struct sockaddr *)&six)))
        return "its address is not a public one";
    if (!outbound->allow_private && outbound->count == 0 &&
        (strcasecmp(host, "localhost") == 0 ||
         (size > 10 && strcasecmp(host + size - 10, ".localhost") == 0)))
        return "its address is not a public one";
    return NULL;
}

static const char *judge_scheme(const struct outbound *outbound, const char *scheme) {
    if (strcmp(scheme, "https") == 0)
        return NULL;
    if (strcmp(scheme, "http") != 0)
        return "only https is allowed";
    return outbound->allow_http ? NULL : "only https is allowed";
}

static const char *judge_parts(const struct outbound *outbound, CURLU *parts) {
    char *scheme = NULL, *host = NULL, *user = NULL, *fragment = NULL;
    const char *reason = NULL;

    if (curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK)
        reason = "it is no URL";
    else if (curl_url_get(parts, CURLUPART_USER, &user, 0) != CURLUE_NO_USER)
        reason = "it holds credentials";
    else if (curl_url_get(parts, CURLUPART_FRAGMENT, &fragment, 0) != CURLUE_NO_FRAGMENT)
        reason = "it has a fragment";
    if (reason == NULL)
        reason = judge_scheme(outbound, scheme);
    if (reason == NULL)
        reason = judge_host(outbound, host);
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_free(fragment);
    return reason;
}

const char *outbound_refuses_url(const struct outbound *outbound, const char *url) {
    const char *reason = "it is no URL";
    CURLU *parts;

    if (strlen(url) > OUTBOUND_URL_MAX)
        return "it is too long";
    for (const char *at = url; *at != '\0'; at++)
        if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f || *at == '\\')
            return "it has characters that a URL can't have";
    parts = curl_url();
    if (parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK)
        reason = judge_parts(outbound, parts);
    curl_url_cleanup(parts);
    return reason;
}
