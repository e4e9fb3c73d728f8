/* SPDX-License-Identifier: MIT
 * A file as the caller may see it: what all handlers of files begin with, and what they have in common. */
#ifndef GATEWAY_FILES_H
#define GATEWAY_FILES_H

#include "gateway/call.h"
#include "storage/keys.h"

enum file_access {
    FILE_ACCESS_LINK,   /* a link to its bytes: as its visibility says; strangers too when it is public */
    FILE_ACCESS_READ,   /* members of its tenant, as its visibility says */
    FILE_ACCESS_CHANGE, /* its owner, and owner, admin and internal of the tenant */
    FILE_ACCESS_MANAGE, /* owner, admin and internal of the tenant */
};

#define FILE_NAME_MAX 1100 /* 256 UTF-16 code units in UTF-8, and to spare */

struct file_view {
    char id[UUID_TEXT_SIZE];
    char tenant[UUID_TEXT_SIZE];
    char visibility[16];
    char status[16];
    char key[KEY_MAX + 1];
    char mime[256];
    char detected_mime[256]; /* "" before finalize */
    char filename[FILE_NAME_MAX];
    int64_t size_bytes;
    bool finalized;
    bool sealed; /* the original is encrypted */
    void *work; /* the handler's own, freed with the view, after work_clear (may be NULL) */
    void (*work_clear)(void *work);
};

typedef void file_fn(struct call *call, struct file_view *file);

/* Reads the file and judges access: 404 where it is not there or not the caller's to know of, 403 where it is
 * known to be of the caller's tenant. Goes on with `then`; the view lives as long as the call. */
void file_look(struct call *call, const char *id, enum file_access access, file_fn *then);

/* What content.h streams, by which links name it. */
enum content_kind { CONTENT_FILE, CONTENT_DERIVATIVE, CONTENT_ARTIFACT, CONTENT_KIND_COUNT };

struct file_link {
    const char *key, *filename;
    bool sealed; /* it goes through here, decrypted */
    enum content_kind of;
    const char *kind;
};

/* The answer of the two download routes: a link, with more members in `extra` (taken; NULL: none). */
void file_answer_link(struct call *call, const struct file_view *file, const struct file_link *link, json_t *extra);
/* Whether an object lies where nothing is read or signed here: then the call is answered, with the way to the CDN
 * where it is published, else as not there. */
bool file_answer_elsewhere(struct call *call, const char *key);

/* "report.pdf" and "pdf_text.txt" become "report.pdf_text.txt"; ".enc" is left out. */
void file_name_derivative(char *target, size_t size, const char *filename, const char *kind, const char *key);

#endif
