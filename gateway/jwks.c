/* SPDX-License-Identifier: MIT
 * The key set's source; see jwks.h. */
#include "gateway/jwks.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/memory.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RENEW_MS (10 * 60 * 1000)
#define COOLDOWN_MS (30 * 1000)
#define FIRST_RETRY_MS 1000
#define FETCH_TIMEOUT_MS 5000

struct waiter {
    jwks_fn *fn;
    void *context;
};

struct jwks {
    struct http_client *client;
    char *url;
    char *file;
    struct key_set *set;
    struct loop_timer *timer;
    struct http_transfer *transfer;
    int64_t asked_ms;
    bool asked;
    struct waiter *waiters;
    size_t waiter_count;
    jwks_fn *changed;
    void *context;
};

static int take_set(struct jwks *jwks, const char *bytes, size_t size, const char *source) {
    bool weak;
    struct key_set *set = key_set_parse(bytes, size, &weak);
    if (set == NULL) {
        log_warn("jwks=%s state=refused error=\"not a key set\"", source);
        return -1;
    }
    if (weak) {
        log_warn("jwks=%s state=weak error=\"a key is too short and not used\"", source);
    }
    if (weak && jwks->file != NULL && jwks->set == NULL) {
        key_set_free(set);
        return -1;
    }
    key_set_free(jwks->set);
    jwks->set = set;
    log_info("jwks=%s state=loaded keys=%zu", source, key_set_count(set));
    jwks->changed(jwks->context);
    return 0;
}

static int read_file(struct jwks *jwks) {
    char *bytes = memory_new(KEY_SET_MAX_BYTES + 1);
    int result = -1;
    int fd = open(jwks->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t size = fd < 0 ? -1 : read(fd, bytes, KEY_SET_MAX_BYTES + 1);
    if (size < 0) {
        log_warn_errno("jwks=file state=unreadable");
    } else {
        result = take_set(jwks, bytes, (size_t)size, "file");
    }
    if (fd >= 0) {
        close(fd);
    }
    free(bytes);
    return result;
}

static void call_waiters(struct jwks *jwks) {
    struct waiter *waiters = jwks->waiters;
    size_t count = jwks->waiter_count;
    jwks->waiters = NULL;
    jwks->waiter_count = 0;
    for (size_t i = 0; i < count; i++) {
        waiters[i].fn(waiters[i].context);
    }
    free(waiters);
}

static void fetched(void *context, const struct http_client_reply *reply) {
    struct jwks *jwks = context;
    jwks->transfer = NULL;
    if (reply->error == HTTP_CLIENT_OK && reply->status == 200) {
        (void)take_set(jwks, reply->body, reply->body_size, "url");
    } else {
        log_warn("jwks=url state=failed error=%s status=%d", http_client_error_name(reply->error),
                 reply->status);
    }
    loop_timer_set(jwks->timer, jwks->set != NULL ? RENEW_MS : FIRST_RETRY_MS);
    call_waiters(jwks);
}

static void start(struct jwks *jwks) {
    jwks->asked_ms = clock_monotonic_ms();
    jwks->asked = true;
    if (jwks->file != NULL) {
        (void)read_file(jwks);
        loop_timer_set(jwks->timer, RENEW_MS);
        return;
    }
    const struct http_client_request request = {
        .method = "GET",
        .url = jwks->url,
        .upload_fd = -1,
        .sink_fd = -1,
        .max_bytes = KEY_SET_MAX_BYTES,
        .max_body = KEY_SET_MAX_BYTES,
        .timeout_ms = FETCH_TIMEOUT_MS,
    };
    jwks->transfer = http_client_start(jwks->client, &request, fetched, jwks);
}

static void renew(void *context) {
    struct jwks *jwks = context;
    if (jwks->transfer == NULL) {
        start(jwks);
    }
}

struct jwks *jwks_new(struct loop *loop, struct http_client *client, const char *url, const char *file,
                      jwks_fn *changed, void *context) {
    struct jwks *jwks = memory_new(sizeof *jwks);
    jwks->client = client;
    jwks->url = url != NULL ? memory_copy_text(url) : NULL;
    jwks->file = file != NULL ? memory_copy_text(file) : NULL;
    jwks->changed = changed;
    jwks->context = context;
    jwks->timer = loop_timer_new(loop, renew, jwks);
    if (file != NULL && (read_file(jwks) != 0 || key_set_count(jwks->set) == 0)) {
        fatal(
            "option=jwks-file error=\"unreadable, not a key set, or without a key of sufficient strength\"");
    }
    loop_timer_set(jwks->timer, file != NULL ? RENEW_MS : 0);
    return jwks;
}

void jwks_free(struct jwks *jwks) {
    if (jwks == NULL) {
        return;
    }
    if (jwks->transfer != NULL) {
        http_client_cancel(jwks->transfer);
    }
    loop_timer_free(jwks->timer);
    key_set_free(jwks->set);
    free(jwks->waiters);
    free(jwks->url);
    free(jwks->file);
    free(jwks);
}

bool jwks_is_loaded(const struct jwks *jwks) {
    return jwks->set != NULL;
}

const struct token_key *jwks_find(const struct jwks *jwks, const struct token_header *header) {
    return jwks->set != NULL ? key_set_find(jwks->set, header) : NULL;
}

bool jwks_refresh(struct jwks *jwks) {
    if (jwks->transfer != NULL) {
        return true;
    }
    if (!jwks->asked || clock_monotonic_ms() - jwks->asked_ms >= COOLDOWN_MS) {
        start(jwks);
        loop_timer_set(jwks->timer, RENEW_MS);
    }
    return jwks->transfer != NULL;
}

void jwks_wait(struct jwks *jwks, jwks_fn *fn, void *context) {
    jwks->waiters = memory_resize_array(jwks->waiters, jwks->waiter_count + 1, sizeof *jwks->waiters);
    jwks->waiters[jwks->waiter_count++] = (struct waiter){.fn = fn, .context = context};
}
