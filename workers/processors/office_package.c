/* SPDX-License-Identifier: MIT
 * The ZIP package of OOXML and OpenDocument, read from memory with libzip: how many entries, what each
 * expands to and at which ratio is checked while reading, because headers lie. An encrypted OOXML document is
 * no ZIP but an OLE file around one. */
#include "workers/processors/engines.h"
#include "workers/processors/office.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "lib/text.h"

#define READ_BYTES 32768
#define MAX_RELATIONS 20000

static const char ole_magic[] = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";
static const char ole_encrypted[] =
    "E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e"; /* a stream's name, UTF-16 */

static int fail_with_zip(struct office *office, zip_error_t *error, const char *what) {
    struct processor_context *context = office->context;
    int status;

    if (zip_error_code_zip(error) == ZIP_ER_MEMORY)
        status = processor_fail(context, "memory_limit", "no memory left");
    else
        status = processor_fail(context, "bad_input", "%s: %s", what, zip_error_strerror(error));
    return status;
}

/* --- opening -------------------------------------------------------------------------------------------- */

static int refuse_ole(struct processor_context *context) {
    if (memmem(context->input, context->input_size, ole_encrypted, sizeof ole_encrypted - 1) != NULL)
        return processor_fail(context, "password_required", "the document is encrypted");
    return processor_fail(context, "unsupported_input", "a document of the old binary formats");
}

int office_package_open(struct office *office) {
    struct processor_context *context = office->context;
    zip_error_t error;
    zip_source_t *source;
    zip_int64_t entries;

    if (context->input_size >= sizeof ole_magic - 1 &&
        memcmp(context->input, ole_magic, sizeof ole_magic - 1) == 0)
        return refuse_ole(context);
    zip_error_init(&error);
    source = zip_source_buffer_create(context->input, context->input_size, 0, &error);
    if (source != NULL)
        office->zip = zip_open_from_source(source, ZIP_RDONLY, &error);
    if (office->zip == NULL)
        return fail_with_zip(office, &error, "not a readable package");
    entries = zip_get_num_entries(office->zip, 0);
    if (entries > 0 && (uint64_t)entries > context->guards.archive_entries)
        return processor_fail(context, "too_many_entries", "%" PRId64 " entries, %" PRIu64 " allowed",
                              (int64_t)entries, context->guards.archive_entries);
    return 0;
}

bool office_package_has(const struct office *office, const char *name) {
    return zip_name_locate(office->zip, name, ZIP_FL_NOCASE) >= 0;
}

/* --- one entry ------------------------------------------------------------------------------------------ */

static int check_expansion(struct office *office, const char *name, uint64_t expanded, uint64_t compressed) {
    struct processor_context *context = office->context;

    if (expanded > OFFICE_RATIO_GRACE_BYTES && expanded / context->guards.archive_ratio > compressed)
        return processor_fail(context, "archive_bomb", "%s expands more than %" PRIu64 " times", name,
                              context->guards.archive_ratio);
    if (expanded > context->guards.archive_bytes ||
        office->expanded_bytes > context->guards.archive_bytes - expanded)
        return processor_fail(context, "archive_bomb", "expands to more than %" PRIu64 " bytes",
                              context->guards.archive_bytes);
    return 0;
}

static int check_entry(struct office *office, const char *name, const zip_stat_t *status) {
    const zip_uint64_t needed =
        ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;

    if ((status->valid & needed) != needed)
        return processor_fail(office->context, "bad_input", "%s has no size", name);
    if (status->encryption_method != ZIP_EM_NONE)
        return processor_fail(office->context, "password_required", "%s is encrypted", name);
    if (status->comp_method != ZIP_CM_STORE && status->comp_method != ZIP_CM_DEFLATE)
        return processor_fail(office->context, "unsupported_input", "%s: compression method %d", name,
                              (int)status->comp_method);
    return check_expansion(office, name, status->size, status->comp_size);
}

static int stream_entry(struct office *office, const char *name, zip_file_t *file, uint64_t compressed,
                        struct office_xml *xml) {
    char bytes[READ_BYTES];
    uint64_t expanded = 0;
    zip_int64_t count;

    while ((count = zip_fread(file, bytes, sizeof bytes)) > 0) {
        expanded += (uint64_t)count;
        if (check_expansion(office, name, expanded, compressed) != 0 ||
            office_xml_feed(xml, bytes, (size_t)count) != 0)
            return -1;
        processor_progress(office->context, office->expanded_bytes + expanded, 0);
    }
    office->expanded_bytes += expanded;
    if (count < 0)
        return fail_with_zip(office, zip_file_get_error(file), name);
    return office_xml_finish(xml);
}

int office_package_parse(struct office *office, const char *name, const struct office_events *events,
                         void *context) {
    zip_stat_t status;
    zip_file_t *file;
    struct office_xml *xml;
    int result = -1;

    zip_stat_init(&status);
    if (zip_stat(office->zip, name, ZIP_FL_NOCASE, &status) != 0)
        return processor_fail(office->context, "bad_input", "%s is missing", name);
    if (check_entry(office, name, &status) != 0)
        return -1;
    file = zip_fopen_index(office->zip, status.index, 0);
    if (file == NULL)
        return fail_with_zip(office, zip_get_error(office->zip), name);
    xml = office_xml_new(office, name, events, context);
    if (xml != NULL)
        result = stream_entry(office, name, file, status.comp_size, xml);
    office_xml_free(xml);
    zip_fclose(file);
    return result;
}

/* --- relationships -------------------------------------------------------------------------------------- */

int office_package_resolve(const char *part, const char *target, char *name, size_t size) {
    const char *slash = strrchr(part, '/');
    size_t folder = slash == NULL ? 0 : (size_t)(slash - part) + 1;

    if (target[0] == '/')
        return text_copy(name, size, target + 1);
    while (text_starts_with(target, "../")) {
        target += 3;
        for (folder -= folder > 0; folder > 0 && part[folder - 1] != '/'; folder--) {
        }
    }
    return text_format(name, size, "%.*s%s", (int)folder, part, target);
}

struct relations_reader {
    struct office *office;
    const char *part;
    struct office_relations *relations;
};

static int relation_start(void *context, const char *name, const struct office_attributes *attributes) {
    struct relations_reader *reader = context;
    struct office_relations *relations = reader->relations;
    char target[OFFICE_NAME_SIZE], mode[16], type[OFFICE_NAME_SIZE];
    struct office_relation *at = relations->at;

    if (strcmp(name, "Relationship") != 0)
        return 0;
    if (office_attribute(attributes, "TargetMode", mode, sizeof mode) && strcmp(mode, "External") == 0)
        return 0;
    if (relations->count == MAX_RELATIONS)
        return processor_fail(reader->office->context, "bad_input", "%s has too many relationships",
                              reader->part);
    if ((relations->count & (relations->count - 1)) == 0) /* room is doubled at every power of two */
        at = reallocarray(at, relations->count == 0 ? 1 : relations->count * 2, sizeof *at);
    if (at == NULL)
        return processor_fail(reader->office->context, "memory_limit", "no memory left");
    relations->at = at;
    at += relations->count;
    (void)office_attribute(attributes, "Id", at->id, sizeof at->id);
    (void)office_attribute(attributes, "Target", target, sizeof target);
    (void)office_attribute(attributes, "Type", type, sizeof type);
    (void)text_copy(at->type, sizeof at->type, strrchr(type, '/') == NULL ? type : strrchr(type, '/') + 1);
    if (office_package_resolve(reader->part, target, at->name, sizeof at->name) == 0)
        relations->count++;
    return 0;
}

static int relation_end(void *context, const char *name) {
    return 0;
}

int office_relations_read(struct office *office, const char *part, struct office_relations *relations) {
    static const struct office_events events = {.start = relation_start, .end = relation_end};
    struct relations_reader reader = {office, part, relations};
    const char *slash = strrchr(part, '/');
    int folder = slash == NULL ? 0 : (int)(slash - part) + 1;
    char name[2 * OFFICE_NAME_SIZE];

    *relations = (struct office_relations){0};
    (void)text_format(name, sizeof name, "%.*s_rels/%s.rels", folder, part, part + folder);
    return office_package_has(office, name) ? office_package_parse(office, name, &events, &reader) : 0;
}

const struct office_relation *office_relations_find(const struct office_relations *relations,
                                                    const char *id) {
    for (size_t i = 0; i < relations->count; i++) {
        if (strcmp(relations->at[i].id, id) == 0)
            return &relations->at[i];
    }
    return NULL;
}

const struct office_relation *office_relations_of_type(const struct office_relations *relations,
                                                       const char *type) {
    for (size_t i = 0; i < relations->count; i++) {
        if (strcmp(relations->at[i].type, type) == 0)
            return &relations->at[i];
    }
    return NULL;
}

const char *engine_libzip(void) {
    static char name[64];

    (void)text_format(name, sizeof name, "libzip/%s", zip_libzip_version());
    return name;
}
