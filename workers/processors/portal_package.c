/* SPDX-License-Identifier: MIT
 * The ZIP of a document that a service outside has made: its input is the document, which is packed and not
 * looked into. What portal_document makes here comes with its own. Parameters: {"filename": "name in the
 * ZIP"}. */
#include "workers/processors/parameters.h"
#include "workers/processors/photo.h"
#include "workers/processors/zip_store.h"

struct package {
    char filename[PHOTO_FILENAME_SIZE];
};

static const struct parameter_field fields[] = {
    {.name = "filename", .read = photo_filename_read, .offset = offsetof(struct package, filename)},
    {.name = "unmeasured", .read = parameter_read_ignored}, /* is for the scheduler */
    {.name = NULL},
};

static int write_output(void *context, const void *bytes, size_t size) {
    return processor_write(context, 0, bytes, size);
}

static int run(struct processor_context *context) {
    struct package package = {.filename = "document"};
    struct zip_store zip;
    int status = parameters_read_all(context, fields, &package);

    if (status != 0 || context->outputs[0] < 0)
        return status;
    zip_begin(&zip, write_output, context);
    if (zip_add(&zip, package.filename, context->input, context->input_size) != 0 || zip_end(&zip) != 0)
        return -1;
    processor_fact(context, 0, "entries", zip.count);
    return 0;
}

const struct processor processor_portal_package = {.name = "portal_package", .run = run};
