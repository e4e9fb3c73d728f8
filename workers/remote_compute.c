/* SPDX-License-Identifier: MIT
 * Sends a job to a service outside: its parameters are the order, written by the gateway as the payload
 * contract of document portals says. The service has it when it answers 2xx; what it makes of it, it calls
 * back with. */
#include <string.h>

#include "lib/text.h"
#include "workers/remote.h"

static enum remote_step request(struct processor_context *context, const struct settings *settings,
                                struct remote_request *request) {
    (void)settings;
    request->path = "/jobs";
    (void)text_copy(request->content_type, sizeof request->content_type, "application/json");
    return remote_write(context, request, context->parameters, strlen(context->parameters)) == 0
               ? REMOTE_ASK
               : REMOTE_FAILED;
}

static int answer(struct processor_context *context, const struct settings *settings,
                  const struct remote_answer *answer) {
    (void)settings;
    (void)answer;
    processor_progress(context, 1, 1);
    return 0;
}

const struct remote remote_compute_submit = {
    .name = "compute_submit", .service = SERVICE_COMPUTE, .request = request, .answer = answer};
