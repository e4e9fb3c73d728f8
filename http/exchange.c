/* SPDX-License-Identifier: MIT
 * Requests and their answers on libmicrohttpd: its callbacks on one side, the handlers and what they call on
 * the other. A request that waits is suspended in libmicrohttpd; whatever ends the wait resumes it. */
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/connection.h"
#include "http/exchange.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/memory.h"

#define STREAM_BLOCK_BYTES 8192u
#define SIZED_BLOCK_BYTES 65536u

/* ---- suspending and resuming ---- */

static void suspend(struct http_request *request) {
    if (!request->suspended) {
        request->suspended = true;
        MHD_suspend_connection(request->mhd);
    }
}

static void resume(struct http_request *request) {
    if (request->suspended) {
        request->suspended = false;
        request->connection->server->run_wanted = true;
        request->connection->since_ms = clock_monotonic_ms();
        request->connection->received_bytes = 0;
        MHD_resume_connection(request->mhd);
    }
}

/* Makes libmicrohttpd give the connection up on its next turn, without another byte of its own. */
void exchange_break(struct http_request *request) {
    if (request->state != REQUEST_SENDING)
        request->state = REQUEST_BROKEN;
    if (request->suspended)
        resume(request);
    else if (!request->in_handler)
        (void)shutdown(request->connection->fd, request->state == REQUEST_SENDING ? SHUT_RDWR : SHUT_RD);
}

/* ---- requests ---- */

static struct http_connection *connection_of(struct MHD_Connection *mhd) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info != NULL ? info->socket_context : NULL;
}

void *exchange_target(void *context, const char *target, struct MHD_Connection *mhd) {
    struct http_connection *connection = connection_of(mhd);

    if (connection != NULL) {
        free(connection->target);
        connection->target = memory_copy_text(target);
    }
    return NULL;
}

/* Decoding is request.c's. */
size_t exchange_keep_escapes(void *context, struct MHD_Connection *mhd, char *text) {
    return strlen(text);
}

static enum MHD_Result take_header(void *context, enum MHD_ValueKind kind, const char *name,
                                   const char *value) {
    request_add_header(context, name, value != NULL ? value : "");
    return MHD_YES;
}

static void read_frame(struct http_request *request) {
    const char *length = http_request_header(request, "Content-Length");

    request->frame.chunked = http_request_header(request, "Transfer-Encoding") != NULL;
    if (length != NULL)
        request->frame.content_length = strtoull(length, NULL, 10); /* eighteen digits at most */
}

/* NULL when the guard has not seen this request: then it must not be served. */
static struct http_request *request_new(struct MHD_Connection *mhd, const char *method) {
    struct http_connection *connection = connection_of(mhd);

    if (connection == NULL || connection->target == NULL || connection->guard.heads <= connection->begun) {
        log_error("event=http_request_past_guard");
        return NULL;
    }
    connection->begun++;
    connection->since_ms = clock_monotonic_ms();
    connection->received_bytes = 0;
    struct http_request *request = memory_new(sizeof(*request));
    request->connection = connection;
    request->mhd = mhd;
    request->method = method;
    if (request_set_target(request, connection->target) != 0) {
        request_clear(request);
        free(request);
        return NULL;
    }
    (void)MHD_get_connection_values(mhd, MHD_HEADER_KIND, take_header, request);
    read_frame(request);
    connection->request = request;
    return request;
}

static enum MHD_Result queue_response(struct http_request *request) {
    struct MHD_Response *response = request->response;

    request->state = REQUEST_SENDING;
    request->response = NULL;
    enum MHD_Result result = MHD_queue_response(request->mhd, (unsigned)request->status, response);
    MHD_destroy_response(response);
    return result;
}

static void respond_error(struct http_request *request, int status, const char *code) {
    struct http_header headers[2];
    struct http_response response;
    char body[ERROR_BODY_MAX];

    server_make_error(request->connection->server, status, code, body, headers, &response);
    http_respond(request, &response);
}

/* Asks the handler for limits; afterwards the request is READING, ANSWERED or BROKEN. */
static void choose_limits(struct http_request *request) {
    struct http_server *server = request->connection->server;
    struct http_plan plan = {.max_body_bytes = 0};
    int result = server->handlers.begin(server->context, request, &plan);

    if (request->state != REQUEST_BEGINNING)
        return;
    if (result != 0) {
        log_error("event=http_refused_without_answer peer=%s", request->connection->peer);
        request->state = REQUEST_BROKEN;
        return;
    }
    request->max_body_bytes = plan.max_body_bytes;
    request->streamed = plan.streamed;
    buffer_init(&request->body, plan.max_body_bytes < SIZE_MAX ? (size_t)plan.max_body_bytes : SIZE_MAX - 1);
    if (!request->frame.chunked && request->frame.content_length > plan.max_body_bytes)
        respond_error(request, 413, "payload_too_large");
    else
        request->state = REQUEST_READING;
}

static enum MHD_Result begin_request(struct http_request *request) {
    request->in_handler = true;
    choose_limits(request);
    request->in_handler = false;
    if (request->state == REQUEST_BROKEN)
        return MHD_NO;
    if (request->state == REQUEST_ANSWERED && (request->frame.chunked || request->frame.content_length > 0)) {
        request->drain_rest = true;
        return queue_response(request);
    }
    return MHD_YES;
}

static enum MHD_Result take_body(struct http_request *request, const char *bytes, size_t *size) {
    struct http_server *server = request->connection->server;

    if (request->paused) {
        suspend(request);
        return MHD_YES;
    }
    request->in_handler = true;
    request->body_bytes += *size;
    if (request->body_bytes > request->max_body_bytes) {
        connection_refuse(request->connection, 413, "payload_too_large", "body over the limit");
    } else if (!request->streamed) {
        if (buffer_append(&request->body, bytes, *size) != 0)
            connection_refuse(request->connection, 503, "out_of_memory", "no memory for a body");
    } else if (server->handlers.body(server->context, request, bytes, *size) != 0) {
        exchange_break(request);
    }
    request->in_handler = false;
    if (request->state != REQUEST_READING)
        return MHD_NO;
    *size = 0;
    if (request->paused)
        suspend(request);
    return MHD_YES;
}

static void complete_request(struct http_request *request) {
    struct http_server *server = request->connection->server;

    request->state = REQUEST_WAITING;
    request->in_handler = true;
    server->handlers.complete(server->context, request);
    request->in_handler = false;
}

/* NOLINTNEXTLINE(readability-function-size): libmicrohttpd gives it eight arguments */
enum MHD_Result exchange_access(void *context, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *bytes, size_t *size,
                                void **place) {
    struct http_request *request = *place;

    if (request == NULL) {
        request = request_new(mhd, method);
        *place = request;
        return request != NULL ? begin_request(request) : MHD_NO;
    }
    if (request->state == REQUEST_BROKEN)
        return MHD_NO;
    if (*size > 0)
        return take_body(request, bytes, size);
    if (request->paused) {
        suspend(request);
        return MHD_YES;
    }
    if (request->state == REQUEST_READING)
        complete_request(request);
    if (request->state == REQUEST_ANSWERED)
        return queue_response(request);
    if (request->state == REQUEST_BROKEN)
        return MHD_NO;
    suspend(request);
    return MHD_YES;
}

void exchange_completed(void *context, struct MHD_Connection *mhd, void **place,
                        enum MHD_RequestTerminationCode code) {
    struct http_server *server = context;
    struct http_request *request = *place;

    *place = NULL;
    if (request == NULL)
        return;
    struct http_connection *connection = request->connection;
    if (request->drain_rest && code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        linger_add(server->linger, connection->fd);
    server->handlers.closed(server->context, request);
    connection->request = NULL;
    connection->since_ms = clock_monotonic_ms();
    connection->received_bytes = 0;
    if (server->draining || connection->half_closed)
        (void)shutdown(connection->fd, SHUT_RD);
    if (request->response != NULL)
        MHD_destroy_response(request->response);
    request_clear(request);
    free(request);
}

bool exchange_is_streaming(const struct http_request *request) {
    return request->stream.request != NULL && !request->stream.sized && request->state != REQUEST_BROKEN;
}

void exchange_drop_stream(struct http_stream *stream) {
    if (!stream->dropped) {
        stream->dropped = true;
        exchange_break(stream->request);
    }
}

/* ---- what handlers call ---- */

const char *http_request_peer(const struct http_request *request) {
    return request->connection->peer;
}

void http_request_pause(struct http_request *request) {
    request->paused = true;
}

void http_request_continue(struct http_request *request) {
    if (!request->paused)
        return;
    request->paused = false;
    resume(request);
}

static void add_headers(const struct http_request *request, struct MHD_Response *mhd,
                        const struct http_response *response) {
    const struct http_server *server = request->connection->server;

    for (size_t i = 0; i < response->header_count; i++) {
        if (MHD_add_response_header(mhd, response->headers[i].name, response->headers[i].value) != MHD_YES)
            log_debug("event=http_header_refused name=%s", response->headers[i].name);
    }
    if (server->server_name != NULL)
        (void)MHD_add_response_header(mhd, "Server", server->server_name);
    if (response->close || server->draining)
        (void)MHD_add_response_header(mhd, "Connection", "close");
}

/* True when libmicrohttpd can carry an answer now. Otherwise the body is still coming: a text goes out plain,
 * and in every case the connection ends. */
static bool may_queue(struct http_request *request, const struct http_response *response, bool is_text) {
    if (request->state == REQUEST_BEGINNING || request->state == REQUEST_WAITING)
        return true;
    if (request->state == REQUEST_READING) {
        if (is_text)
            connection_send_plain(request->connection, response);
        else
            log_error("event=http_answer_before_body_end status=%d", response->status);
        exchange_break(request);
    } else if (request->state != REQUEST_BROKEN) {
        log_error("event=http_answered_twice status=%d", response->status);
    }
    return false;
}

static void set_response(struct http_request *request, struct MHD_Response *mhd,
                         const struct http_response *response) {
    if (mhd == NULL) {
        log_error("event=http_response_failed status=%d", response->status);
        exchange_break(request);
        return;
    }
    add_headers(request, mhd, response);
    request->response = mhd;
    request->status = response->status;
    request->state = REQUEST_ANSWERED;
    resume(request);
}

void http_respond(struct http_request *request, const struct http_response *response) {
    if (!may_queue(request, response, true))
        return;
    set_response(request,
                 MHD_create_response_from_buffer(response->body_size, (void *)(uintptr_t)response->body,
                                                 MHD_RESPMEM_MUST_COPY),
                 response);
}

void http_respond_file(struct http_request *request, const struct http_response *response, int fd,
                       uint64_t offset, uint64_t size) {
    if (!may_queue(request, response, false)) {
        close(fd);
        return;
    }
    if (size == 0) {
        close(fd);
        set_response(request, MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT), response);
        return;
    }
    struct MHD_Response *mhd = MHD_create_response_from_fd_at_offset64(size, fd, offset);
    if (mhd == NULL)
        close(fd);
    set_response(request, mhd, response);
}

static ssize_t read_stream(void *context, uint64_t position, char *target, size_t max) {
    struct http_stream *stream = context;
    size_t size = stream->queue.size < max ? stream->queue.size : max;

    if (stream->dropped)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (size == 0 && stream->ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (size == 0) {
        suspend(stream->request);
        if (stream->wanted != NULL)
            stream->wanted(stream->place);
        return 0;
    }
    memcpy(target, stream->queue.data, size);
    buffer_consume(&stream->queue, size);
    return (ssize_t)size;
}

/* False: it takes nothing, as a stream that was dropped. */
static bool begin_stream(struct http_request *request, const struct http_response *response,
                         size_t max_queue) {
    struct http_stream *stream = &request->stream;

    if (stream->request != NULL || !may_queue(request, response, false)) {
        stream->dropped = true;
        return false;
    }
    stream->request = request;
    buffer_init(&stream->queue, max_queue);
    return true;
}

struct http_stream *http_respond_stream(struct http_request *request, const struct http_response *response,
                                        size_t max_queue) {
    struct http_stream *stream = &request->stream;

    if (!begin_stream(request, response, max_queue))
        return stream;
    set_response(
        request,
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, read_stream, stream, NULL),
        response);
    return stream;
}

struct http_stream *http_respond_sized(struct http_request *request, const struct http_response *response,
                                       const struct http_supply *supply) {
    struct http_stream *stream = &request->stream;

    if (!begin_stream(request, response, supply->max_queue))
        return stream;
    stream->sized = true;
    stream->wanted = supply->wanted;
    stream->place = supply->place;
    set_response(
        request,
        MHD_create_response_from_callback(supply->size, SIZED_BLOCK_BYTES, read_stream, stream, NULL), response);
    return stream;
}

void http_stream_abort(struct http_stream *stream) {
    exchange_drop_stream(stream);
}

int http_stream_write(struct http_stream *stream, const void *bytes, size_t size) {
    if (stream->dropped || stream->ended)
        return -1;
    if (buffer_append(&stream->queue, bytes, size) != 0) {
        log_info("event=http_stream_dropped peer=%s queued_bytes=%zu", stream->request->connection->peer,
                 stream->queue.size);
        exchange_drop_stream(stream);
        return -1;
    }
    resume(stream->request);
    return 0;
}

void http_stream_end(struct http_stream *stream) {
    stream->ended = true;
    if (stream->request != NULL)
        resume(stream->request);
}
