/* SPDX-License-Identifier: MIT
 * See pdf_document.h. */
#include "workers/processors/pdf_document.h"

#include "lib/text.h"

#define TEXT_BYTES_MAX 4096
#define PROPERTIES_MAX 64
#define OUTLINE_MAX 5000
#define ATTACHMENTS_MAX 1000

struct list {
    struct buffer *json;
    size_t count, most;
    int status;
};

int pdf_json_string(struct buffer *json, const char *text, size_t size) {
    size_t plain = 0;
    int status = buffer_append(json, "\"", 1);

    if (!text_is_utf8(text, size))
        size = 0;
    for (size_t i = 0; i < size && status == 0; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte >= ' ' && byte != '"' && byte != '\\')
            continue;
        status = buffer_append(json, text + plain, i - plain);
        if (status == 0)
            status = buffer_append_format(json, "\\u%04x", byte);
        plain = i + 1;
    }
    if (status == 0)
        status = buffer_append(json, text + plain, size > plain ? size - plain : 0);
    return status == 0 ? buffer_append(json, "\"", 1) : -1;
}

/* A text of the document, cut between characters. */
static int add_text(struct buffer *json, const char *text, size_t size) {
    if (size > TEXT_BYTES_MAX) {
        size = TEXT_BYTES_MAX;
        while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
            size--;
    }
    return pdf_json_string(json, text, size);
}

/* Non-zero when there may be no more. */
static int begin(struct list *list) {
    if (list->status != 0 || list->count == list->most)
        return 1;
    list->status |= list->count++ == 0 ? 0 : buffer_append_text(list->json, ",");
    return list->status;
}

static int add_property(void *context, const struct pdf_property *property) {
    struct list *list = context;

    if (begin(list) != 0)
        return 1;
    list->status |= add_text(list->json, property->name, property->name_size);
    list->status |= buffer_append_text(list->json, ":");
    list->status |= add_text(list->json, property->value, property->value_size);
    return list->status;
}

static int add_heading(void *context, const struct pdf_heading *heading) {
    struct list *list = context;

    if (begin(list) != 0)
        return 1;
    list->status |= buffer_append_format(list->json, "{\"level\":%d,\"title\":", heading->level);
    list->status |= add_text(list->json, heading->title, heading->size);
    list->status |= buffer_append_text(list->json, "}");
    return list->status;
}

static int add_attachment(void *context, const struct pdf_attachment *attachment) {
    struct list *list = context;

    if (begin(list) != 0)
        return 1;
    list->status |= buffer_append_text(list->json, "{\"name\":");
    list->status |= add_text(list->json, attachment->name, attachment->name_size);
    list->status |= buffer_append_text(list->json, ",\"mime\":");
    list->status |= add_text(list->json, attachment->mime, attachment->mime_size);
    list->status |= buffer_append_format(list->json, ",\"bytes\":%d}", attachment->bytes);
    return list->status;
}

int pdf_document_json(struct buffer *json, struct pdf *pdf) {
    struct list properties = {.json = json, .most = PROPERTIES_MAX};
    struct list outline = {.json = json, .most = OUTLINE_MAX};
    struct list attachments = {.json = json, .most = ATTACHMENTS_MAX};
    int status = buffer_append_text(json, "\"properties\":{");

    (void)pdf_properties(pdf, add_property, &properties);
    status |= properties.status | buffer_append_text(json, "},\n\"outline\":[");
    (void)pdf_outline(pdf, add_heading, &outline);
    status |= outline.status | buffer_append_text(json, "],\n\"attachments\":[");
    (void)pdf_attachments(pdf, add_attachment, &attachments);
    return status | attachments.status | buffer_append_text(json, "]");
}
