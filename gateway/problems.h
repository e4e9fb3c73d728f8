/* SPDX-License-Identifier: MIT
 * Every error that the API answers with, one row each: PROBLEM(symbol, code, status, title). The code is the
 * stable part; docs/api.md and the OpenAPI document list the same rows. */
#ifndef GATEWAY_PROBLEMS_H
#define GATEWAY_PROBLEMS_H

#include <jansson.h>

#define PROBLEM_ROWS                                                                                         \
    PROBLEM(BAD_REQUEST, "bad_request", 400, "The request is not as described; see details.")                \
    PROBLEM(OBJECT_NOT_FOUND, "object_not_found_in_storage", 400, "Nothing was uploaded for this file.")     \
    PROBLEM(MISSING_TOKEN, "missing_token", 401, "No bearer token was sent.")                                \
    PROBLEM(INVALID_TOKEN, "invalid_token", 401, "The bearer token is not valid.")                           \
    PROBLEM(OUT_OF_CREDIT, "out_of_credit", 402, "Not enough credit; see balance and needed.")              \
    PROBLEM(INVALID_CODE, "invalid_code", 403, "The sign-in code is not valid, too old, or used.")           \
    PROBLEM(NOT_A_MEMBER, "not_a_member", 403, "You are not a member of this tenant.")                       \
    PROBLEM(INSUFFICIENT_ROLE, "insufficient_role", 403, "Your role in this tenant does not allow it.")      \
    PROBLEM(FORBIDDEN, "forbidden", 403, "You may not do this.")                                             \
    PROBLEM(NOT_FOUND, "not_found", 404, "There is no such thing.")                                          \
    PROBLEM(METHOD_NOT_ALLOWED, "method_not_allowed", 405, "This path has no such method; see Allow.")       \
    PROBLEM(ALREADY_MEMBER, "already_member", 409, "The user is a member already.")                          \
    PROBLEM(LAST_OWNER, "last_owner", 409, "A tenant needs an owner.")                                       \
    PROBLEM(NOT_FINALIZED, "not_finalized", 409, "The upload was not finalized.")                            \
    PROBLEM(UPLOAD_EXPIRED, "upload_expired", 409, "The upload was given up; start a new one.")              \
    PROBLEM(OBJECT_CHANGED, "object_changed", 409,                                                           \
            "The object changed while it was looked at; finalize again.")                                    \
    PROBLEM(JOB_FINISHED, "job_finished", 409, "The job has ended already.")                                 \
    PROBLEM(IN_PROGRESS, "idempotency_in_progress", 409, "A request with this key is being worked on.")      \
    PROBLEM(UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", 415,                                           \
            "Bodies are application/json, not encoded.")                                                     \
    PROBLEM(EMPTY_FILE, "empty_file", 422, "The uploaded object has no bytes.")                              \
    PROBLEM(SIZE_MISMATCH, "size_mismatch", 422, "The object's size is not the declared one.")               \
    PROBLEM(TYPE_MISMATCH, "type_mismatch", 422, "The object's bytes are not of the declared type.")         \
    PROBLEM(UNKNOWN_JOB_TYPE, "unknown_job_type", 422, "There is no such type of job; see /v1/processors.")  \
    PROBLEM(NOT_APPLICABLE, "type_not_applicable", 422, "This type of job takes no such bytes.")             \
    PROBLEM(BAD_PARAMETERS, "bad_parameters", 422, "The job's parameters are not as described; see details.") \
    PROBLEM(BAD_PLAN, "bad_plan", 422, "The plan is not as described; see details.")                         \
    PROBLEM(CREDIT_BALANCE, "credit_balance", 409, "The user has not so many credits to take back.")        \
    PROBLEM(WEBHOOK_LIMIT, "webhook_limit", 409, "The tenant has as many webhook endpoints as it may.")      \
    PROBLEM(WEBHOOK_DISABLED, "webhook_disabled", 409, "The webhook endpoint is disabled; enable it first.") \
    PROBLEM(WEBHOOK_SENDING, "webhook_sending", 409, "The delivery is under way.")                           \
    PROBLEM(WEBHOOK_URL, "webhook_url_refused", 422, "Webhooks can't go to this URL; see detail.")           \
    PROBLEM(FORM_TOO_LARGE, "payload_too_large", 413, "A file of the form is larger than allowed.")          \
    PROBLEM(FORMS_BUSY, "uploads_busy", 503, "Too many forms are being read; wait as Retry-After says.")     \
    PROBLEM(NO_TEXT, "no_text", 409, "The file has no text yet, or one without words; classify it first.")       \
    PROBLEM(UNKNOWN_LABEL, "unknown_label", 422, "The tenant has no such label.")                            \
    PROBLEM(BAD_SCHEDULE, "bad_schedule", 422, "This is no time that a schedule can have; see detail.")      \
    PROBLEM(BAD_ORDERS, "bad_orders", 422, "Nothing was queued: some orders can't be; see details.")          \
    PROBLEM(ANSWER_LOST, "idempotency_answer_lost", 409,                                                     \
            "A request with this key was carried out, but its answer was lost: look for what it made.")      \
    PROBLEM(KEY_REUSED, "idempotency_key_reused", 422, "This key was used for another request.")             \
    PROBLEM(PAYLOAD_INVALID, "payload_invalid", 400, "The job is not as described; see details.")            \
    PROBLEM(WEBHOOK_SECRET, "webhook_secret", 401, "X-Webhook-Secret is missing or wrong.")                  \
    PROBLEM(SCHEMA_NOT_FOUND, "schema_not_found", 404, "There is no such portal schema.")                    \
    PROBLEM(LINK_REFUSED, "link_refused", 403, "The link is not valid, or not any more; ask for a new one.")  \
    PROBLEM(RANGE_REFUSED, "range_not_satisfiable", 416, "The content has no such range.")                  \
    PROBLEM(CONDITION_FAILED, "precondition_failed", 412, "The content is not the one that was asked for.") \
    PROBLEM(NOT_ENCRYPTED, "encryption_off", 409, "This server has no key to encrypt to.")                  \
    PROBLEM(BAD_ENVELOPE, "bad_envelope", 422, "The object is not encrypted as announced; see detail.")     \
    PROBLEM(DECRYPT_FAILED, "decrypt_failed", 500, "The stored object was changed: it can't be decrypted.") \
    PROBLEM(KEY_UNAVAILABLE, "key_unavailable", 503, "The master key of this object is not here.")          \
    PROBLEM(BUSY, "too_many_downloads", 503, "Too much is being downloaded through this gateway.")          \
    PROBLEM(CLASS_SIZE, "too_large_for_class", 413, "The file is larger than its retention class takes.")    \
    PROBLEM(CLASS_TYPE, "type_not_of_class", 422, "The retention class takes no files of this type.")        \
    PROBLEM(COOLDOWN, "cooldown", 429, "The next document may come later; see Retry-After.")                 \
    PROBLEM(WORDLIST_PAIRS, "bad_word_pairs", 422,                                                           \
            "Word pairs are at most 40 objects with source (1 to 100 characters) and target (at most 200).") \
    PROBLEM(WORDLIST_NOT_READY, "wordlist_not_ready", 409, "The job has made no word list (yet).")           \
    PROBLEM(RATE_LIMITED, "rate_limited", 429, "Too many requests; wait as Retry-After says.")               \
    PROBLEM(INTERNAL, "internal_error", 500, "Something went wrong here.")                                   \
    PROBLEM(DATABASE_UNAVAILABLE, "database_unavailable", 503, "The database can't be reached.")             \
    PROBLEM(STORAGE_UNAVAILABLE, "storage_unavailable", 503, "The object store can't be reached.")           \
    PROBLEM(KEYS_UNAVAILABLE, "keys_unavailable", 503,                                                       \
            "The keys that tokens are checked with can't be fetched.")                                       \
    PROBLEM(NOT_READY, "not_ready", 503, "A part of the service is missing; see details.")                   \
    PROBLEM(DRAINING, "draining", 503, "This gateway is stopping; send the request again.")

enum problem {
#define PROBLEM(symbol, code, status, title) PROBLEM_##symbol,
    PROBLEM_ROWS
#undef PROBLEM
        PROBLEM_COUNT
};

struct problem_row {
    const char *code;
    int status;
    const char *title;
};
extern const struct problem_row problem_rows[PROBLEM_COUNT];

/* The problem document (RFC 9457) with the member "error" beside the standard ones; `detail` may be NULL;
 * takes `members` (an object merged in; may be NULL). Compact JSON that the caller frees. It depends on its
 * arguments only: two refusals of one kind are equal byte for byte. */
char *problem_document(enum problem problem, const char *detail, json_t *members);

#endif
