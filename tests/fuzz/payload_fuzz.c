/* SPDX-License-Identifier: MIT
 * Payloads of `filemill run --contract`. One that is taken names a job, a user and one source, and a path
 * among them is that user's. */
#include "oneshot/contract.h"
#include "tests/fuzz/fuzz.h"
#include <stdarg.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

/* As contract.c has it, without the table of codes. */
int contract_fail(struct contract_error *error, const char *code, const char *format, ...) {
    va_list arguments;

    require(code != NULL);
    va_start(arguments, format);
    (void)vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct contract_error error = {.message = ""};
    struct contract_payload payload;
    struct portal_path parts;
    int fd = memfd_create("payload", MFD_CLOEXEC);

    require(fd >= 0 && write(fd, bytes, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
    if (contract_payload_read(&payload, fd, &error) != 0) {
        require(error.message[0] != '\0' && (payload.job == NULL || text_is_uuid(payload.job)));
    } else {
        require(text_is_uuid(payload.job) && text_is_uuid(payload.user) && json_is_object(payload.schema));
        require((payload.url == NULL) != (payload.raw_path == NULL) && payload.mime != NULL);
        require(
            payload.raw_path == NULL ||
            (portal_path_check(payload.raw_path, strlen(payload.raw_path), PORTAL_ANY_UUID, &parts) == NULL &&
             parts.area == PORTAL_RAW && strcasecmp(parts.user, payload.user) == 0));
    }
    contract_payload_clear(&payload);
    close(fd);
    return 0;
}
