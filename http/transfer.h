/* SPDX-License-Identifier: MIT
 * One transfer of the client: its structure, and how it is set up. Internal to http/. */
#ifndef HTTP_TRANSFER_H
#define HTTP_TRANSFER_H

#include <curl/curl.h>
#include <openssl/evp.h>

#include "http/client.h"
#include "lib/buffer.h"

#define REPLY_HEADER_MAX 1024u

struct http_transfer {
    struct http_client *client;
    struct http_transfer *next, **place;
    CURL *easy;
    struct http_client_request request; /* its pointers are only used while starting, but for descriptors */
    struct curl_slist *headers;
    char *body;
    http_client_done_fn *done;
    void *context;
    enum http_client_error error; /* known before curl ends; HTTP_CLIENT_OK: curl's result decides */
    bool blocked;                 /* an address was not dialled */
    bool head_complete;           /* curl takes a head that ends in the middle for a whole one */
    bool ended;
    CURLcode result;
    uint64_t received_bytes, header_bytes, sent_bytes, written_bytes;
    int64_t progress_ms;
    EVP_MD_CTX *digest;
    struct buffer kept;
    char etag[REPLY_HEADER_MAX], content_type[REPLY_HEADER_MAX], retry_after[REPLY_HEADER_MAX],
        date[REPLY_HEADER_MAX];
    char detail[CURL_ERROR_SIZE];
};

/* Makes the easy handle, with all rules, limits and callbacks; HTTP_CLIENT_OK or why the request cannot be
 * made. */
enum http_client_error transfer_set_up(struct http_transfer *transfer);

#endif
