/* SPDX-License-Identifier: MIT
 * Answers that many handlers give; see replies.h. */
#include "gateway/replies.h"

#include <string.h>

const struct database_result *reply_result(const struct call *call, const struct database_answer *answer) {
    return answer->results[call->query_count - 1];
}

void reply_answer(struct call *call, const struct database_answer *answer) {
    const struct database_result *result = reply_result(call, answer);
    const char *text = result_rows(result) > 0 ? result_text(result, 0, "answer") : NULL;
    if (text == NULL) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
    } else {
        call_respond(call, call->route->success, text);
    }
}

void reply_ok(struct call *call, const struct database_answer *answer) {
    call_respond(call, call->route->success, "{\"ok\":true}");
}

void reply_ok_if_found(struct call *call, const struct database_answer *answer) {
    if (result_rows(reply_result(call, answer)) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
    } else {
        reply_ok(call, answer);
    }
}

/* --- roles --- */

bool caller_belongs(struct call *call, const struct database_result *result) {
    if (result_rows(result) == 0 || result_text(result, 0, "role") == NULL) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return false;
    }
    return true;
}

static bool has_role(struct call *call, const struct database_result *result, const char *const roles[3]) {
    if (!caller_belongs(call, result)) {
        return false;
    }
    for (size_t i = 0; i < 3 && roles[i] != NULL; i++) {
        if (strcmp(roles[i], result_text(result, 0, "role")) == 0) {
            return true;
        }
    }
    call_problem(call, PROBLEM_INSUFFICIENT_ROLE, NULL);
    return false;
}

bool caller_manages(struct call *call, const struct database_result *result) {
    return has_role(call, result, (const char *const[3]){"owner", "admin"});
}

bool caller_is_elevated(struct call *call, const struct database_result *result) {
    return has_role(call, result, (const char *const[3]){"owner", "admin", "internal"});
}
