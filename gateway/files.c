/* SPDX-License-Identifier: MIT
 * What the handlers of files have in common; see files.h. */
#include "gateway/files.h"

#include "gateway/content.h"
#include "gateway/statements.h"
#include "lib/memory.h"
#include <stdlib.h>
#include <string.h>

struct file_state {
    struct file_view view; /* first: the call's state is the view */
    enum file_access access;
    file_fn *then;
};

static void clear_state(void *state) {
    struct file_state *file = state;
    if (file->view.work_clear != NULL) {
        file->view.work_clear(file->view.work);
    }
    free(file->view.work);
}

static void fill_view(struct file_view *view, const struct database_result *result) {
    result_copy(view->id, sizeof view->id, result, 0, "id");
    result_copy(view->tenant, sizeof view->tenant, result, 0, "tenant");
    result_copy(view->visibility, sizeof view->visibility, result, 0, "visibility");
    result_copy(view->status, sizeof view->status, result, 0, "status");
    result_copy(view->key, sizeof view->key, result, 0, "key");
    result_copy(view->mime, sizeof view->mime, result, 0, "mime");
    result_copy(view->detected_mime, sizeof view->detected_mime, result, 0, "detected_mime");
    result_copy(view->filename, sizeof view->filename, result, 0, "filename");
    view->size_bytes = result_number(result, 0, "size_bytes");
    view->finalized = result_bool(result, 0, "finalized");
    view->sealed = result_bool(result, 0, "sealed");
}

/* True if the caller may; else the call is answered. */
static bool may(struct call *call, enum file_access access, const struct database_result *result) {
    bool member = result_text(result, 0, "role") != NULL;
    bool own = result_bool(result, 0, "own");
    bool elevated = result_bool(result, 0, "elevated");
    bool readable = result_bool(result, 0, "readable");
    if (!member && !(access == FILE_ACCESS_LINK && readable)) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return false;
    }
    const bool allowed[] = {
        [FILE_ACCESS_LINK] = readable,
        [FILE_ACCESS_READ] = readable,
        [FILE_ACCESS_CHANGE] = own || elevated,
        [FILE_ACCESS_MANAGE] = elevated,
    };
    if (!allowed[access]) {
        call_problem(call, PROBLEM_FORBIDDEN, NULL);
        return false;
    }
    return true;
}

static void looked(struct call *call, const struct database_answer *answer) {
    struct file_state *state = call->state;
    const struct database_result *result = answer->results[0];
    if (result_rows(result) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    if (may(call, state->access, result)) {
        fill_view(&state->view, result);
        state->then(call, &state->view);
    }
}

void file_look(struct call *call, const char *id, enum file_access access, file_fn *then) {
    struct file_state *state = call_state(call, sizeof *state, clear_state);
    state->access = access;
    state->then = then;
    const struct query query = {.statement = &statements[STATEMENT_FILE_LOOK], .values = {id}};
    call_read(call, &query, 1, looked);
}

/* RFC 6266 with RFC 8187's encoding: saved, not shown, under the name it came with. NULL where there is none.
 */
static char *make_disposition(const char *filename) {
    size_t room = strlen(filename) * 3 + 1;
    char *encoded = memory_new(room);
    char *disposition = NULL;
    if (filename[0] != '\0' && text_percent_encode(encoded, room, filename, false) == 0) {
        disposition = memory_format("attachment; filename*=UTF-8''%s", encoded);
    }
    free(encoded);
    return disposition;
}

/* A name that would make the URL too long is left out. */
static int presign(struct call *call, const char *key, const char *filename, char url[STORAGE_URL_MAX]) {
    char *disposition = make_disposition(filename);
    struct storage_presign what = {
        .method = "GET",
        .key = key,
        .expires_s = call->gateway->settings.download_url_seconds,
        .content_length = -1,
        .response_disposition = disposition != NULL ? disposition : "attachment",
    };
    int result = storage_presign(call->gateway->storage, &what, url, STORAGE_URL_MAX);
    if (result != 0) {
        what.response_disposition = "attachment";
        result = storage_presign(call->gateway->storage, &what, url, STORAGE_URL_MAX);
    }
    free(disposition);
    return result;
}

/* <base>/<key> */
static int public_url(const char *base, const char *key, char url[STORAGE_URL_MAX]) {
    size_t length = strlen(base);
    length -= length > 0 && base[length - 1] == '/' ? 1 : 0;
    return text_format(url, STORAGE_URL_MAX, "%.*s/%s", (int)length, base, key);
}

/* 0, and whether the link expires; -1 when there is none. What is encrypted has one to this gateway. */
static int make_link(struct call *call, const struct file_view *file, const struct file_link *link,
                     char url[STORAGE_URL_MAX], bool *expires) {
    const struct settings *settings = &call->gateway->settings;
    const char *base = key_is_published(link->key)               ? settings->cdn_base_url
                       : strcmp(file->visibility, "public") == 0 ? settings->public_base_url
                                                                 : NULL;
    *expires = true;
    if (link->sealed) {
        return content_link(call, link->of, file->id, link->kind, settings->download_url_seconds, url);
    }
    if (base != NULL) {
        *expires = false;
        return public_url(base, link->key, url);
    }
    return presign(call, link->key, link->filename, url);
}

static bool lies_elsewhere(const struct call *call, const char *key) {
    return key_source(key) != NULL ||
           (key_is_published(key) && call->gateway->settings.cdn_base_url == NULL);
}

bool file_answer_elsewhere(struct call *call, const char *key) {
    char url[STORAGE_URL_MAX];
    bool published = key_is_published(key);
    if (!published && !lies_elsewhere(call, key)) {
        return false;
    }
    if (!lies_elsewhere(call, key) && public_url(call->gateway->settings.cdn_base_url, key, url) == 0) {
        call_redirect(call, url);
    } else {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
    }
    return true;
}

void file_answer_link(struct call *call, const struct file_view *file, const struct file_link *link, json_t *extra) {
    char url[STORAGE_URL_MAX];
    json_t *body = extra != NULL ? extra : json_object();
    const char *redirect = call_query_value(call, "redirect");
    bool expires;
    if (lies_elsewhere(call, link->key)) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
    } else if (make_link(call, file, link, url, &expires) != 0) {
        call_problem(call, link->sealed ? PROBLEM_KEY_UNAVAILABLE : PROBLEM_INTERNAL, NULL);
    } else if (redirect != NULL && strcmp(redirect, "1") == 0) {
        call_redirect(call, url);
    } else {
        if (expires) {
            json_object_set_new(body, "expires_in_seconds",
                                json_integer(call->gateway->settings.download_url_seconds));
        }
        json_object_set_new(body, "download_url", json_string(url));
        call_respond_take(call, 200, json_dumps(body, JSON_COMPACT));
    }
    json_decref(body);
}
