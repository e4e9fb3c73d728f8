/* SPDX-License-Identifier: MIT
 * `page_images`: pictures of up to 50 pages of a PDF, as a ZIP of WebP files named for their pages
 * (0001.webp …), stored as they are, so that whoever wants one page reads its bytes alone. A page that can't
 * be drawn is left out. After 20 s no further page is begun: `last` says how far it came, and whoever wants
 * the rest asks from there on. */
#include <stdlib.h>
#include <string.h>

#include "lib/buffer.h"
#include "lib/clock.h"
#include "lib/text.h"
#include "workers/processors/engines.h"
#include "workers/processors/parameters.h"
#include "workers/processors/pdf_input.h"
#include "workers/processors/webp.h"
#include "workers/processors/zip_store.h"

#define PAGES_MOST 50
#define FIRST_MOST 1000000
#define ENOUGH_MS 20000
_Static_assert(PAGES_MOST <= ZIP_MAX_ENTRIES, "an entry for each page");

struct options {
    int first, pages, pixels;
};

static const struct parameter_field fields[] = {
#define MEMBER(field) .name = #field, .offset = offsetof(struct options, field), .read = parameter_read_int
    {MEMBER(first), .least = 1, .most = FIRST_MOST},
    {MEMBER(pages), .least = 1, .most = PAGES_MOST},
    {MEMBER(pixels), .least = 64, .most = 2400},
    {.name = NULL},
};

static int write_output(void *context, const void *bytes, size_t size) {
    return processor_write(context, 0, bytes, size);
}

/* 1: it is there, 0: it can't be drawn, -1 after processor_fail. */
static int add_page(struct processor_context *context, struct zip_store *zip, struct pdf *pdf, int page,
                    int pixels) {
    struct pdf_bitmap bitmap = {0};
    enum pdf_status status = pdf_page_fit(pdf, page, pixels, &bitmap);
    struct pixels drawn = {.width = bitmap.width, .height = bitmap.height, .bytes = bitmap.pixels};
    struct buffer encoded;
    char name[16];
    int result;

    if (status == PDF_NO_MEMORY)
        return processor_fail(context, "memory_limit", "page %d can't be drawn", page + 1);
    if (status != PDF_OK)
        return 0;
    buffer_init(&encoded, context->output_bytes);
    (void)text_format(name, sizeof name, "%04d.webp", page + 1);
    result = webp_encode(context, &drawn, WEBP_QUALITY, &encoded);
    free(bitmap.pixels);
    if (result == 0)
        result = zip_add(zip, name, encoded.data, encoded.size);
    buffer_clear(&encoded);
    return result == 0 ? 1 : -1;
}

static int draw_pages(struct processor_context *context, struct pdf *pdf, const struct options *options) {
    int count = pdf_page_count(pdf), end = options->first - 1 + options->pages, drawn = 0;
    int64_t enough_ms = clock_monotonic_ms() + ENOUGH_MS;
    int page = options->first - 1;
    struct zip_store zip;

    if (options->first > count)
        return processor_fail(context, "bad_parameters", "first: the document has %d pages", count);
    if (end > count)
        end = count;
    zip_begin(&zip, write_output, context);
    do {
        int added = add_page(context, &zip, pdf, page, options->pixels);
        if (added < 0)
            return -1;
        drawn += added;
        page++;
        processor_progress(context, (uint64_t)(page + 1 - options->first),
                           (uint64_t)(end + 1 - options->first));
    } while (page < end && clock_monotonic_ms() < enough_ms);
    processor_fact(context, 0, "first", (uint64_t)options->first);
    processor_fact(context, 0, "last", (uint64_t)page);
    processor_fact(context, 0, "drawn", (uint64_t)drawn);
    return zip_end(&zip);
}

static int run(struct processor_context *context) {
    struct options options = {.first = 1, .pages = PAGES_MOST, .pixels = 1200};
    struct pdf *pdf;
    int result;

    if (parameters_read_all(context, fields, &options) != 0 || context->outputs[0] < 0)
        return context->error == NULL ? 0 : -1;
    pdf = pdf_input_open(context);
    if (pdf == NULL)
        return -1;
    context->page_count = (uint64_t)pdf_page_count(pdf);
    result = draw_pages(context, pdf, &options);
    pdf_close(pdf);
    return result;
}

/* Drawing is warmed by thumbnail, of the same nursery. */
const struct processor processor_page_images = {
    .name = "page_images", .run = run, .engines = {engine_poppler}};
