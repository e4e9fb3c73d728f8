/* SPDX-License-Identifier: MIT
 * URLs that users want events sent to, up to the first line end, and lists of networks behind it. What is
 * allowed is https without credentials, and a host that is an address in any of the forms that C libraries
 * read is a global one. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <strings.h>

#include "http/client.h"
#include "http/outbound.h"
#include "tests/fuzz/fuzz.h"

static void check_host(char *host) {
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    size_t size = strlen(host);

    require(size > 0);
    if (host[0] == '[' && host[size - 1] == ']') {
        host[size - 1] = '\0';
        require(inet_pton(AF_INET6, host + 1, &six.sin6_addr) == 1 &&
                http_address_is_global((const struct sockaddr *)&six));
    } else if (inet_aton(host, &four.sin_addr) != 0) {
        require(http_address_is_global((const struct sockaddr *)&four));
    }
}

static void check_allowed(const char *url) {
    CURLU *parts = curl_url();
    char *host = NULL, *user = NULL;

    require(strncasecmp(url, "https:", 6) == 0 || strstr(url, "://") == NULL);
    require(parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK);
    require(curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK);
    require(curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_NO_USER);
    check_host(host);
    curl_free(host);
    curl_url_cleanup(parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    char error[200] = "", *line, *text = exact_text(bytes, size);
    struct outbound *strict = outbound_new(false, false, NULL, error, sizeof error), *wide;

    line = strchr(text, '\n');
    if (line != NULL)
        *line = '\0';
    require(strict != NULL);
    if (outbound_refuses_url(strict, text) == NULL)
        check_allowed(text);
    wide = outbound_new(true, false, line != NULL ? line + 1 : NULL, error, sizeof error);
    require((wide == NULL) == (error[0] != '\0'));
    if (wide != NULL)
        (void)outbound_refuses_url(wide, text);
    outbound_free(wide);
    outbound_free(strict);
    free(text);
    return 0;
}
