/* SPDX-License-Identifier: MIT
 * One JSON call to the gateway with the user's token. */
#ifndef DEMO_API_H
#define DEMO_API_H

#include "http/client.h"
#include <jansson.h>

struct api {
    struct http_client *client;
    char *base_url; /* "http://127.0.0.1:8080" */
    char *token;
};

/* `status` 0: no answer came. `body` is borrowed and may be NULL when the answer was not JSON. */
typedef void api_done_fn(void *context, int status, const json_t *body);

/* Takes `request` (may be NULL). `done` is called once, later. */
void api_call(struct api *api, const char *method, const char *path, json_t *request, api_done_fn *done,
              void *context);

/* The text of a member, or "" when it is absent or no text. */
const char *api_text(const json_t *object, const char *key);

#endif
