/* SPDX-License-Identifier: MIT
 * Idempotency-Key; see idempotency.h. */
#include "gateway/idempotency.h"

#include "gateway/statements.h"
#include "lib/log.h"
#include "lib/memory.h"
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define POLL_MS 50
#define MAX_POLLS 100 /* 5 s for another request's answer */

struct kept {
    struct call *call;
    int status;
    char *body;
};

static bool is_key(const char *text) {
    size_t length = strnlen(text, sizeof((struct call *)0)->idempotency.key);
    if (length == 0 || length >= sizeof((struct call *)0)->idempotency.key) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] < 0x21 || text[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

/* SHA-256 over method, path and body. */
static void hash_request(const struct call *call, char hash[65]) {
    unsigned char digest[32];
    size_t size;
    const char *body = http_request_body(call->request, &size);
    const char *method = http_request_method(call->request);
    const char *path = http_request_raw_path(call->request);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(context, method, strlen(method) + 1) != 1 ||
        EVP_DigestUpdate(context, path, strlen(path) + 1) != 1 ||
        EVP_DigestUpdate(context, body, size) != 1 || EVP_DigestFinal_ex(context, digest, NULL) != 1) {
        fatal("SHA-256 failed");
    }
    EVP_MD_CTX_free(context);
    text_hex_encode(hash, digest, sizeof digest);
}

static void send_content(struct call *call, int status, const char *body, const struct http_header *extra) {
    call_send(call, status, status >= 400 ? "application/problem+json" : "application/json", body, extra);
}

static void look(struct call *call);

static void poll_again(void *context) {
    struct call *call = context;
    look(call);
    call_release(call);
}

static void wait_for_other(struct call *call) {
    struct call_idempotency *state = &call->idempotency;
    if (++state->polls > MAX_POLLS) {
        state->active = false;
        call_problem(call, PROBLEM_IN_PROGRESS, NULL);
        return;
    }
    if (state->timer == NULL) {
        state->timer = loop_timer_new(call->gateway->loop, poll_again, call);
    }
    call_hold(call);
    loop_timer_set(state->timer, POLL_MS);
}

static void looked(struct call *call, const struct database_answer *answer) {
    const struct database_result *found = answer->results[1];
    if (result_rows(found) == 0) {
        if (call->request != NULL) { /* nobody is left to want it */
            call->route->handler(call);
        }
    } else if (strcmp(result_text(found, 0, "request_hash"), call->idempotency.hash) != 0) {
        call->idempotency.active = false;
        call_problem(call, PROBLEM_KEY_REUSED, NULL);
    } else if (result_bool(found, 0, "lost")) {
        call->idempotency.active = false;
        call_problem(call, PROBLEM_ANSWER_LOST, NULL);
    } else if (result_text(found, 0, "status") == NULL) {
        wait_for_other(call);
    } else {
        const struct http_header extra[] = {{"Idempotency-Replayed", "true"}, {NULL, NULL}};
        send_content(call, (int)result_number(found, 0, "status"), result_text(found, 0, "body"), extra);
    }
}

/* A key without an answer is of a transaction that was committed by a gateway that died before it could tell. Where
 * doing it again does no harm, it is done again. */
static void look(struct call *call) {
    const char *once = (call->route->flags & ROUTE_ONCE) != 0 ? "true" : "false";
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_IDEMPOTENCY_CLEAR], .values = {call->idempotency.key, once}},
        {.statement = &statements[STATEMENT_IDEMPOTENCY_FIND], .values = {call->idempotency.key}},
    };
    call_read(call, queries, 2, looked);
}

bool idempotency_begin(struct call *call) {
    const char *key = http_request_header(call->request, "Idempotency-Key");
    if (key == NULL || (call->route->flags & ROUTE_IDEMPOTENT_KEY) == 0) {
        return false;
    }
    if (!is_key(key)) {
        call_problem(call, PROBLEM_BAD_REQUEST, "Idempotency-Key: 1 to 255 visible ASCII characters");
        return true;
    }
    text_copy(call->idempotency.key, sizeof call->idempotency.key, key);
    hash_request(call, call->idempotency.hash);
    call->idempotency.active = true;
    look(call);
    return true;
}

bool idempotency_lost_race(struct call *call, const struct database_answer *answer) {
    if (!call->idempotency.active || strcmp(answer->sqlstate, "23505") != 0 ||
        strcmp(answer->constraint, "idempotency_keys_pkey") != 0) {
        return false;
    }
    wait_for_other(call);
    return true;
}

static void send_kept(void *context, const struct database_answer *answer) {
    struct kept *kept = context;
    struct call *call = kept->call;
    if (answer->outcome !=
        DATABASE_OK) { /* the effect stands; only a later repeat would not see this answer */
        log_warn("request=%s idempotency=lost msg=\"%s\"", call->request_id, answer->message);
    }
    send_content(call, kept->status, kept->body, NULL);
    free(kept->body);
    free(kept);
    call_release(call);
}

bool idempotency_store(struct call *call, int status, const char *body) {
    struct call_idempotency *state = &call->idempotency;
    if (!state->active || !state->recorded || state->stored || status == state->known_status) {
        return false;
    }
    state->stored = true;
    char number[12];
    (void)text_format(number, sizeof number, "%d", status);
    struct kept *kept = memory_new(sizeof *kept);
    *kept = (struct kept){.call = call, .status = status, .body = memory_copy_text(body)};
    const struct query query = {
        .statement = &statements[STATEMENT_IDEMPOTENCY_STORE],
        .values = {state->key, number, kept->body},
    };
    const struct database_local locals[] = {{.name = "filemill.user_id", .value = call->user},
                                            {.name = NULL}};
    call_hold(call);
    database_run(call->gateway->database, locals, &query, 1, send_kept, kept);
    return true;
}
