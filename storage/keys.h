/* SPDX-License-Identifier: MIT
 * Object keys, made here and nowhere else. No text from a user is in a key but a cleaned extension:
 *   t/<tenant>/u/<owner>/<file>.<extension>                 originals
 *   t/<tenant>/derived/<file>/<kind>.<extension>            a derivative's first attempt
 *   t/<tenant>/derived/<file>/<kind>.<job>-<epoch>.<ext>    any later one
 *   <class>/<user>/<id>.<extension>                         what a retention class keeps (0048_retention.sql)
 *   <class>/<user>/<id>.<job>-<epoch>.<extension>           a later attempt at it
 *   published/<tenant>/<file>/<kind>.<job>-<epoch>.<ext>    what lies behind a CDN, in another bucket, never changes
 * A key belongs to one lease only, so a late writer can never touch a committed object. Of a sealed
 * derivative (envelope.h) ".enc" follows. Keys of document portals: portal_paths.h. */
#ifndef STORAGE_KEYS_H
#define STORAGE_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_MAX 512

/* Last extension of a file name, lower case, [a-z0-9] only, at most 16 bytes; "bin" if none is left. */
void key_extension(char *target, size_t size, const char *filename);
int key_original(char *target, size_t size, const char *tenant, const char *owner, const char *file,
                 const char *extension);
/* What the key of a derivative is made from; `first`: the plain key of a first attempt. */
struct key_parts {
    const char *tenant, *file, *kind, *extension, *job;
    uint64_t epoch;
    bool first;
    bool published;
};
int key_derivative(char *target, size_t size, const struct key_parts *parts);
/* Of a retention class: the class's name first, then the owner. -1 when a part is not what it should be. */
int key_retained(char *target, size_t size, const char *retention_class, const char *user, const char *id,
                 const char *extension);
/* What a job makes for it: `parts` as of a derivative, whose file is the id; tenant and kind are not in it. */
int key_retained_output(char *target, size_t size, const char *retention_class, const char *user,
                        const struct key_parts *parts);
/* Every key that Filemill signs must pass: UUIDs where UUIDs belong, no "..", no "//", no control bytes. */
bool key_is_valid(const char *key);
/* Of a key that is valid: its object lies in the bucket that media is published to. */
bool key_is_published(const char *key);

/* What files.r2_key_original says of a file whose original lies at a source outside: SOURCE_PREFIX, the file's id, a
 * slash, and what to ask the source for: a key of its own or a URL. NULL: `key` is no such text. */
#define SOURCE_PREFIX "source:"
const char *key_source(const char *key);

#endif
