/* SPDX-License-Identifier: MIT
 * The providers of object storage: a row each; nothing else compares a provider's name. Workers, who hold no
 * key and see presigned URLs alone, tell from one whose it is, to count what fails. */
#ifndef STORAGE_PROVIDER_H
#define STORAGE_PROVIDER_H

#include "config/settings.h"
#include "lib/counters.h"
#include <stdbool.h>

#define PROVIDER_HOST_MAX 256

struct provider {
    const char *name;
    enum counter errors;     /* requests that failed */
    const char *host_prefix; /* its hosts are <prefix><region or account><suffix>; NULL: any host */
    const char *host_suffix;
    const char *region;   /* when none is set and the host does not tell; NULL: must be set */
    bool region_in_host;  /* else what varies in the host is the account */
    bool virtual_host;    /* bucket in the host name with addressing "auto" */
    bool checksum_header; /* accepts and enforces a signed x-amz-checksum-sha256 */
    bool create_only;     /* honours If-None-Match: * on PUT */
    bool https_only;
};

/* NULL if there is none of that name. */
const struct provider *provider_named(const char *name);
/* Of host[:port]; any other server that speaks S3 is "minio". */
const struct provider *provider_of_host(const char *host);
/* Whose a presigned URL is: told from its host, else from which of the two buckets' endpoints it names. */
const struct provider *provider_of_url(const struct settings *settings, const char *url);

#endif
