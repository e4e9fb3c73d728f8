/* SPDX-License-Identifier: MIT
 * libxml2's push parser, as events only. Its network and entities are off three times over: by option, by a
 * lookup that knows none but the five of XML, and by refusing every document type declaration. */
#include "workers/processors/office.h"

#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <stdlib.h>
#include <string.h>

#include "lib/text.h"

#define ATTRIBUTE_FIELDS 5 /* local name, prefix, URI, value, end of value */

struct office_xml {
    struct office *office;
    const char *part;
    const struct office_events *events;
    void *context;
    xmlParserCtxtPtr parser;
    int depth;
    bool failed;
};

static void stop(struct office_xml *xml) {
    xml->failed = true;
    xmlStopParser(xml->parser);
}

/* NOLINTNEXTLINE(readability-function-size): libxml2 gives it nine arguments */
static void on_start(void *opaque, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
                     int namespaces, const xmlChar **namespace_list, int count, int defaulted,
                     const xmlChar **values) {
    struct office_xml *xml = opaque;
    const struct office_attributes attributes = {values, count};

    if (xml->failed)
        return;
    if ((uint64_t)++xml->depth > xml->office->context->guards.depth) {
        (void)processor_fail(xml->office->context, "bad_input", "%s is nested too deeply", xml->part);
        stop(xml);
    } else if (xml->events->start(xml->context, (const char *)name, &attributes) != 0) {
        stop(xml);
    }
}

static void on_end(void *opaque, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri) {
    struct office_xml *xml = opaque;

    if (xml->failed)
        return;
    xml->depth--;
    if (xml->events->end(xml->context, (const char *)name) != 0)
        stop(xml);
}

static void on_text(void *opaque, const xmlChar *text, int size) {
    struct office_xml *xml = opaque;

    if (!xml->failed && xml->events->text != NULL &&
        xml->events->text(xml->context, (const char *)text, (size_t)size) != 0)
        stop(xml);
}

static void on_doctype(void *opaque, const xmlChar *name, const xmlChar *external, const xmlChar *system) {
    struct office_xml *xml = opaque;

    (void)processor_fail(xml->office->context, "bad_input", "%s declares a document type", xml->part);
    stop(xml);
}

static xmlEntityPtr on_entity(void *opaque, const xmlChar *name) {
    return xmlGetPredefinedEntity(name);
}

static void be_silent(void *opaque, xmlErrorPtr error) {
}

static xmlParserInputPtr load_nothing(const char *url, const char *id, xmlParserCtxtPtr parser) {
    return NULL;
}

void office_xml_warm(void) {
    xmlInitParser();
    xmlSetExternalEntityLoader(load_nothing);
}

static int fail(struct office_xml *xml) {
    xml->failed = true;
    if (xml->parser->errNo == XML_ERR_NO_MEMORY)
        return processor_fail(xml->office->context, "memory_limit", "no memory left");
    return processor_fail(xml->office->context, "bad_input", "%s is not well-formed XML: error %d", xml->part,
                          xml->parser->errNo);
}

struct office_xml *office_xml_new(struct office *office, const char *part, const struct office_events *events,
                                  void *context) {
    static xmlSAXHandler handlers = {.startElementNs = on_start,
                                     .endElementNs = on_end,
                                     .characters = on_text,
                                     .cdataBlock = on_text,
                                     .ignorableWhitespace = on_text,
                                     .internalSubset = on_doctype,
                                     .getEntity = on_entity,
                                     .serror = be_silent,
                                     .initialized = XML_SAX2_MAGIC};
    struct office_xml *xml = calloc(1, sizeof *xml);

    if (xml != NULL)
        xml->parser = xmlCreatePushParserCtxt(&handlers, xml, NULL, 0, NULL);
    if (xml == NULL || xml->parser == NULL) {
        free(xml);
        (void)processor_fail(office->context, "memory_limit", "no memory left");
        return NULL;
    }
    xml->office = office;
    xml->part = part;
    xml->events = events;
    xml->context = context;
    /* Substitution means the five of XML, in attributes too: there are no others. */
    (void)xmlCtxtUseOptions(xml->parser, XML_PARSE_NONET | XML_PARSE_NOENT | XML_PARSE_NOERROR |
                                             XML_PARSE_NOWARNING | XML_PARSE_COMPACT);
    return xml;
}

int office_xml_feed(struct office_xml *xml, const char *bytes, size_t size) {
    (void)xmlParseChunk(xml->parser, bytes, (int)size, 0);
    if (xml->failed)
        return -1; /* the callback has said why */
    return xml->parser->wellFormed ? 0 : fail(xml);
}

int office_xml_finish(struct office_xml *xml) {
    (void)xmlParseChunk(xml->parser, NULL, 0, 1);
    if (xml->failed)
        return -1;
    return xml->parser->wellFormed ? 0 : fail(xml);
}

void office_xml_free(struct office_xml *xml) {
    if (xml == NULL)
        return;
    xmlFreeParserCtxt(xml->parser);
    free(xml);
}

/* Takes away what a cut has left of a last character in UTF-8. */
static void trim_character(char *text) {
    size_t size = strlen(text);

    while (size > 0 && !text_is_utf8(text, size))
        size--;
    text[size] = '\0';
}

bool office_attribute(const struct office_attributes *attributes, const char *name, char *target,
                      size_t size) {
    for (int i = 0; i < attributes->count; i++) {
        const unsigned char **fields = attributes->values + i * ATTRIBUTE_FIELDS;
        if (strcmp((const char *)fields[0], name) != 0)
            continue;
        if (text_format(target, size, "%.*s", (int)(fields[4] - fields[3]), (const char *)fields[3]) != 0)
            trim_character(target);
        return true;
    }
    target[0] = '\0';
    return false;
}

uint64_t office_attribute_number(const struct office_attributes *attributes, const char *name,
                                 uint64_t fallback) {
    char text[24];
    uint64_t value;

    if (!office_attribute(attributes, name, text, sizeof text) ||
        text_parse_u64(text, 0, UINT64_MAX, &value) != 0)
        return fallback;
    return value;
}
