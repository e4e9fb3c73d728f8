/* SPDX-License-Identifier: MIT
 * Which parts of a package hold text, and in which order: DOCX (headers, body, notes, footers), PPTX (slides
 * in their order, each with its notes) and OpenDocument (headers and footers of texts, content). */
#include "workers/processors/office.h"

#include <stdlib.h>
#include <string.h>

#include "lib/text.h"

#define MAX_PARTS 4000

/* In the order of reading. */
enum part_kind { PART_HEADER, PART_MAIN, PART_FOOTNOTES, PART_ENDNOTES, PART_FOOTER, PART_KINDS };

static const char *const relation_types[PART_KINDS] = {
    [PART_HEADER] = "header",     [PART_MAIN] = NULL,       [PART_FOOTNOTES] = "footnotes",
    [PART_ENDNOTES] = "endnotes", [PART_FOOTER] = "footer",
};

/* --- DOCX ----------------------------------------------------------------------------------------------- */

static int read_parts(struct office *office, const struct office_relations *relations, const char *type) {
    for (size_t i = 0; i < relations->count; i++) {
        if (strcmp(relations->at[i].type, type) != 0 || !office_package_has(office, relations->at[i].name))
            continue;
        if (office_flow_read(office, relations->at[i].name, OFFICE_FLOW_OOXML) != 0)
            return -1;
    }
    return 0;
}

int office_word_read(struct office *office, const char *main_part) {
    struct office_relations relations;
    int status = office_relations_read(office, main_part, &relations);

    for (int kind = 0; kind < PART_KINDS && status == 0; kind++) {
        if (relation_types[kind] == NULL)
            status = office_flow_read(office, main_part, OFFICE_FLOW_OOXML);
        else
            status = read_parts(office, &relations, relation_types[kind]);
    }
    free(relations.at);
    return status;
}

/* --- PPTX ----------------------------------------------------------------------------------------------- */

struct slide_list {
    struct office *office;
    size_t count;
    char ids[MAX_PARTS][24];
};

static int slide_start(void *context, const char *name, const struct office_attributes *attributes) {
    struct slide_list *list = context;
    char id[24];

    if (strcmp(name, "sldId") != 0)
        return 0;
    if (list->count == MAX_PARTS)
        return processor_fail(list->office->context, "too_many_pages", "more than %d slides", MAX_PARTS);
    /* `id` without a namespace stands before `r:id`: the last one counts */
    for (int i = 0; i < attributes->count; i++) {
        const struct office_attributes one = {attributes->values + 5 * i, 1};
        if (office_attribute(&one, "id", id, sizeof id))
            (void)text_copy(list->ids[list->count], sizeof list->ids[0], id);
    }
    list->count++;
    return 0;
}

static int slide_end(void *context, const char *name) {
    return 0;
}

static int read_slide(struct office *office, const char *name) {
    struct office_relations relations;
    const struct office_relation *notes;
    int status = office_flow_read(office, name, OFFICE_FLOW_OOXML);

    if (status != 0)
        return -1;
    status = office_relations_read(office, name, &relations);
    notes = office_relations_of_type(&relations, "notesSlide");
    if (status == 0 && notes != NULL && office_package_has(office, notes->name))
        status = office_flow_read(office, notes->name, OFFICE_FLOW_OOXML);
    free(relations.at);
    return status == 0 ? office_put_text(office, "\n") : -1;
}

int office_slides_read(struct office *office, const char *main_part) {
    static const struct office_events events = {.start = slide_start, .end = slide_end};
    static struct slide_list list;
    struct office_relations relations;
    int status;

    list.office = office;
    status = office_relations_read(office, main_part, &relations);
    if (status == 0)
        status = office_package_parse(office, main_part, &events, &list);
    for (size_t i = 0; i < list.count && status == 0; i++) {
        const struct office_relation *slide = office_relations_find(&relations, list.ids[i]);
        if (slide != NULL)
            status = read_slide(office, slide->name);
    }
    json_object_set_new(office->meta, "slides", json_integer((json_int_t)list.count));
    free(relations.at);
    return status;
}

/* --- OpenDocument --------------------------------------------------------------------------------------- */

static int manifest_start(void *context, const char *name, const struct office_attributes *attributes) {
    struct office *office = context;

    if (strcmp(name, "encryption-data") == 0)
        return processor_fail(office->context, "password_required", "the document is encrypted");
    return 0;
}

int office_odf_read(struct office *office, bool with_headers) {
    static const struct office_events manifest = {.start = manifest_start, .end = slide_end};

    if (office_package_has(office, "META-INF/manifest.xml") &&
        office_package_parse(office, "META-INF/manifest.xml", &manifest, office) != 0)
        return -1;
    if (with_headers && office_package_has(office, "styles.xml") &&
        office_flow_read(office, "styles.xml", OFFICE_FLOW_ODF) != 0)
        return -1;
    return office_flow_read(office, "content.xml", OFFICE_FLOW_ODF);
}
