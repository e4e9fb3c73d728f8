/* SPDX-License-Identifier: MIT
 * The little XML that S3 speaks: a writer that escapes, and a reader for the three documents that clients
 * send (elements and text only; no DTD, no entities but the five and character references). */
#ifndef STORAGE_STORE_XML_H
#define STORAGE_STORE_XML_H

#include "lib/buffer.h"
#include <stdbool.h>
#include <stddef.h>

#define XML_DECLARATION "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define XML_NAMESPACE "http://s3.amazonaws.com/doc/2006-03-01/"

int xml_escape(struct buffer *out, const char *text);
/* <name>text</name> */
int xml_element(struct buffer *out, const char *name, const char *text);
int xml_element_number(struct buffer *out, const char *name, long long number);

struct xml_events {
    /* Names come without prefix and attributes; depth of the root is 1. Return -1 to refuse. */
    int (*open)(void *context, const char *name, unsigned depth);
    int (*close)(void *context, const char *name, unsigned depth,
                 const char *text); /* text directly inside */
};

/* -1 when not well-formed or refused. Changes `text`. */
int xml_parse(char *text, size_t size, const struct xml_events *events, void *context);

#endif
