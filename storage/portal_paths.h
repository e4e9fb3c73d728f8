/* SPDX-License-Identifier: MIT
 * The object paths of document portals: made here, checked here, and nowhere else.
 *   raw/{user}/{job}/{timestamp}_{filename}.enc        what a user sent
 *   master/{user}/{document}/{document}.enc            a processed document
 *   output/{user}/{job}/{name}                         what is handed out: {timestamp}_output.zip.enc,
 * preview.jpg Identities are UUIDs, names have letters, digits, '.', '_' and '-' only. Pure. */
#ifndef STORAGE_PORTAL_PATHS_H
#define STORAGE_PORTAL_PATHS_H

#include "lib/text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PORTAL_FILENAME_MAX 128
#define PORTAL_PATH_MAX 320 /* holds every path that is valid, with its NUL */

enum portal_area { PORTAL_RAW, PORTAL_MASTER, PORTAL_OUTPUT, PORTAL_AREA_COUNT };

/* Which UUIDs are identities: version 4 (RFC 9562) unless a caller has to take older ones. */
enum portal_identity { PORTAL_UUID4, PORTAL_ANY_UUID };

struct portal_path {
    enum portal_area area;
    char user[UUID_TEXT_SIZE];
    char item[UUID_TEXT_SIZE]; /* the job, or in master the document */
    const char *name;          /* the last part: points into the path */
};

/* Lower case or upper case, version 4 and its variant. */
bool portal_is_uuid4(const char *text);

/* The name without folders, other characters made '_', no "..", no dot at the beginning, at most
 * PORTAL_FILENAME_MAX bytes with the extension kept; "file" when nothing is left. `target` holds
 * PORTAL_FILENAME_MAX + 1. Cleaning twice changes nothing. */
void portal_clean_filename(char *target, const char *filename);

/* Each writes a path that portal_path_check accepts. 0, or -1 when an identity is no UUID or it does not fit.
 */
int portal_path_raw(char *target, size_t size, const char *user, const char *job, uint64_t timestamp,
                    const char *filename);
int portal_path_master(char *target, size_t size, const char *user, const char *document);
int portal_path_output(char *target, size_t size, const char *user, const char *job, const char *name);

/* The document that a lease of a job makes: the job's own id for the first, another for each later one, so that a key
 * belongs to one lease. `document` holds UUID_TEXT_SIZE; `job` is a UUID. */
void portal_document_of(char *document, const char *job, uint64_t epoch);

/* `path` as it came from outside, `size` bytes that need not be a text. NULL, or why it is refused: one
 * static line. Fills `parts` (may be NULL) when it is accepted. */
const char *portal_path_check(const char *path, size_t size, enum portal_identity identity,
                              struct portal_path *parts);

#endif
