/* SPDX-License-Identifier: MIT
 * What S3 clients send as text: XML documents, ranges and dates. Elements are opened and closed in order. */
#include "lib/clock.h"
#include "storage/store/conditions.h"
#include "storage/store/xml.h"
#include "tests/fuzz/fuzz.h"

static int on_open(void *context, const char *name, unsigned depth) {
    unsigned *open = context;

    require(*name != '\0');
    (*open)++;
    require(depth == *open);
    return 0;
}

static int on_close(void *context, const char *name, unsigned depth, const char *text) {
    unsigned *open = context;
    struct buffer out;

    require(depth == *open && *open > 0);
    (*open)--;
    buffer_init(&out, 1 << 20);
    (void)xml_element(&out, name, text);
    buffer_clear(&out);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const struct xml_events events = {.open = on_open, .close = on_close};
    char *copy = malloc(size + 1); /* as a body has it: a NUL behind its bytes */
    unsigned open = 0;
    uint64_t offset, length;

    require(copy != NULL);
    memcpy(copy, bytes, size);
    copy[size] = '\0';
    if (range_parse(copy, 1000, &offset, &length) == RANGE_PART)
        require(length > 0 && offset < 1000 && length <= 1000 - offset);
    (void)clock_parse_http(copy);
    (void)conditions_read(&(struct conditions){.if_match = copy, .if_none_match = copy}, "etag", 0);
    if (xml_parse(copy, size, &events, &open) == 0)
        require(open == 0);
    free(copy);
    return 0;
}
