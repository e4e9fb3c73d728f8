/* SPDX-License-Identifier: MIT
 * Plain answers, status texts, and the listening socket. */
#include "http/plain.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/buffer.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/text.h"

#define PLAIN_MAX 65536u
#define LISTEN_BACKLOG 1024

static const struct status_row {
    int status;
    const char *text;
} status_rows[] = {
    {100, "Continue"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {425, "Too Early"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *http_status_text(int status) {
    for (size_t i = 0; i < sizeof(status_rows) / sizeof(status_rows[0]); i++) {
        if (status_rows[i].status == status)
            return status_rows[i].text;
    }
    return "Unknown";
}

void plain_problem(int status, const char *code, char *target, size_t size, const char **content_type) {
    *content_type = "application/problem+json";
    (void)text_format(target, size,
                      "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"error\":\"%s\"}",
                      http_status_text(status), status, code);
}

void plain_send(int fd, const struct http_response *response, const char *server_name) {
    struct buffer text;
    char date[32];
    int failed = 0;

    buffer_init(&text, PLAIN_MAX);
    clock_format_http(date, sizeof(date), clock_wall_ms());
    failed |= buffer_append_format(
        &text, "HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: close\r\nContent-Length: %zu\r\n", response->status,
        http_status_text(response->status), date, response->body_size);
    if (server_name != NULL)
        failed |= buffer_append_format(&text, "Server: %s\r\n", server_name);
    for (size_t i = 0; i < response->header_count; i++) {
        const struct http_header *header = &response->headers[i];
        if (strpbrk(header->name, "\r\n:") == NULL && strpbrk(header->value, "\r\n") == NULL)
            failed |= buffer_append_format(&text, "%s: %s\r\n", header->name, header->value);
    }
    failed |= buffer_append_text(&text, "\r\n");
    failed |= buffer_append(&text, response->body, response->body_size);
    if (failed == 0)
        (void)send(fd, text.data, text.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    else
        log_error("event=http_plain_answer_too_large status=%d bytes=%zu", response->status,
                  response->body_size);
    buffer_clear(&text);
}

/* ---- sockets ---- */

static socklen_t parse_address(const char *address, uint16_t port, struct sockaddr_storage *target) {
    struct sockaddr_in *four = (struct sockaddr_in *)target;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)target;

    memset(target, 0, sizeof(*target));
    if (inet_pton(AF_INET, address, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        return sizeof(*four);
    }
    if (inet_pton(AF_INET6, address, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        return sizeof(*six);
    }
    return 0;
}

static int bind_and_listen(int fd, const struct sockaddr_storage *address, socklen_t size, bool reuse_port) {
    int on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        return -1;
    if (reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
        return -1;
    if (bind(fd, (const struct sockaddr *)address, size) != 0)
        return -1;
    return listen(fd, LISTEN_BACKLOG);
}

int plain_listen(const struct http_server_options *options) {
    struct sockaddr_storage address;
    socklen_t size = parse_address(options->address, options->port, &address);

    if (size == 0) {
        log_error("event=http_listen_failed address=%s reason=not_numeric", options->address);
        return -1;
    }
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind_and_listen(fd, &address, size, options->reuse_port) != 0) {
        log_error_errno("event=http_listen_failed address=%s port=%u", options->address,
                        (unsigned)options->port);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

void plain_format_address(char *target, size_t size, const struct sockaddr *address) {
    const void *bytes = NULL;

    *target = '\0';
    if (address != NULL && address->sa_family == AF_INET)
        bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    else if (address != NULL && address->sa_family == AF_INET6)
        bytes = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    if (bytes != NULL && inet_ntop(address->sa_family, bytes, target, (socklen_t)size) == NULL)
        *target = '\0';
}
