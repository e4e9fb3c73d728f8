/* SPDX-License-Identifier: MIT
 * The table of network processors, and the one call that they have beside those of all processors. */
#include "workers/remote.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

extern const struct remote remote_transcribe, remote_compute_submit, remote_compute_poll, remote_classify,
    remote_wordlist;

static const struct remote *const remotes[] = {
    &remote_transcribe, &remote_compute_submit, &remote_compute_poll, &remote_classify, &remote_wordlist,
};

const struct remote *remote_find(const char *name) {
    for (size_t i = 0; i < sizeof remotes / sizeof remotes[0]; i++) {
        if (strcmp(remotes[i]->name, name) == 0)
            return remotes[i];
    }
    return NULL;
}

int remote_write(struct processor_context *context, struct remote_request *request, const void *bytes,
                 size_t size) {
    const char *from = bytes;

    while (size > 0) {
        ssize_t count = write(request->body, from, size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return processor_fail(context, "memory_limit", "request not written: errno %d", errno);
        from += count;
        size -= (size_t)count;
        request->body_bytes += (uint64_t)count;
    }
    return 0;
}
