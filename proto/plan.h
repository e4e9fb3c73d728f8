/* SPDX-License-Identifier: MIT
 * What the bytes are and which jobs they get: pure tables, used by the gateway at finalize and reprocess. */
#ifndef PROTO_PLAN_H
#define PROTO_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#define PLAN_MAX_JOBS 8

/* Media type that the first `size` bytes show (magic numbers; RFC 6838 names), or NULL if none is known. At least the
 * first 4 kB should be given when the file has them: a PDF header may stand anywhere in the first 1024. Parts of
 * packages are looked for in all that is given, the rest in the first 4 kB. */
const char *media_type_sniff(const unsigned char *bytes, size_t size);

/* Can a file declared as `declared` (parameters and case ignored) hold what was sniffed? NULL sniffed: true only
 * for text and application/octet-stream. image/jpg is image/jpeg, and so on; "application/octet-stream" accepts all.
 * Of video, archives, executables and what is none of the known, the family is enough. */
bool media_type_agrees(const char *declared, const char *sniffed);

/* The usual name of a type in lower case without parameters ("image/x-ms-bmp" is "image/bmp"); the text itself where it
 * has no other. */
const char *media_type_usual(const char *media_type);

/* What a zip is by the names in its central directory, given its last bytes (all of a small one): a kind of office
 * document (application/vnd.oasis.opendocument for any of those), an archive of a known kind, application/zip where the
 * directory is whole and shows none; NULL where it can't be read. */
const char *media_type_of_zip(const unsigned char *bytes, size_t size);

/* One of three opinions: of media_type_sniff, of libmagic, of media_type_of_zip; each may be NULL. Returns one of them
 * (libmagic's by its usual name), or NULL. */
const char *media_type_combine(const char *own, const char *magic, const char *zip);

enum media_family {
    MEDIA_OTHER,
    MEDIA_IMAGE,
    MEDIA_AUDIO,
    MEDIA_VIDEO,
    MEDIA_PDF,
    MEDIA_OFFICE,
    MEDIA_TEXT,
    MEDIA_ARCHIVE,
    MEDIA_EXECUTABLE,
    MEDIA_FAMILY_COUNT
};
enum media_family media_family_of(const char *media_type);

/* Syntax of RFC 6838/9110 `type/subtype` with optional parameters, at most 200 bytes. */
bool media_type_is_valid(const char *text);

/* What a job of a plan is. */
struct plan_job {
    const char *type;
    const char *parameters; /* a JSON object */
    int priority;           /* band of the queue, 0 … 3 */
    bool extra;             /* left out where plans are to be lean */
    bool speech;            /* left out where speech is not to be transcribed */
};

struct plan_row {
    const char *media_type; /* one that ends in '*' is a prefix */
    struct plan_job jobs[PLAN_MAX_JOBS];
};

/* The plan of those who have none of their own. A type with {"pages":"needed"} is no job at first: it follows another,
 * where that one finds that it is needed. */
extern const struct plan_row plan_rows[];
extern const size_t plan_row_count;

/* Fills `jobs` for a media type; returns how many (0: nothing to do, the file is ready). */
size_t plan_jobs(const char *media_type, const struct plan_job *jobs[PLAN_MAX_JOBS]);

/* A job that a done one brings with it, when the number `fact` among its metrics is not 0. */
enum plan_option { PLAN_ALWAYS, PLAN_OCR_WHEN_NEEDED };

struct plan_follower {
    const char *after; /* processor */
    const char *fact;
    const char *type;    /* processor */
    const char *payload; /* JSON */
    int priority;
    enum plan_option option; /* which setting may turn it off */
};

/* NULL when the processor brings none. */
const struct plan_follower *plan_follower_of(const char *type);

#endif
