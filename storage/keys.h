/* SPDX-License-Identifier: MIT
 * Object keys, made here and nowhere else. No text from a user is in a key but a cleaned extension:
 *   t/<tenant>/u/<owner>/<file>.<extension>                 originals
 *   t/<tenant>/derived/<file>/<kind>.<extension>            a derivative's first attempt
 *   t/<tenant>/derived/<file>/<kind>.<job>-<epoch>.<ext>    any later one: a key belongs to one lease only,
 * so a late writer can never touch a committed object. Of a sealed derivative (envelope.h) ".enc" follows. Keys of
 * document portals: portal_paths.h. */
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
};
int key_derivative(char *target, size_t size, const struct key_parts *parts);
/* Every key that Filemill signs must pass: UUIDs where UUIDs belong, no "..", no "//", no control bytes. */
bool key_is_valid(const char *key);

#endif
