/* SPDX-License-Identifier: MIT
 * Families of media types, and which of three opinions counts: our own signatures, a zip's directory,
 * libmagic. Ours come first, because plans and tests are made for their names; the others are heard where
 * ours are known to be weak. */
#include "proto/plan.h"

#include "proto/catalog.h"

#include <string.h>

#include "lib/text.h"

#define OOXML "application/vnd.openxmlformats-officedocument."
#define OPEN_DOCUMENT "application/vnd.oasis.opendocument"

struct family_row {
    const char *pattern;
    enum media_family family;
};

/* The first that matches. */
static const struct family_row family_rows[] = {
    {"application/pdf", MEDIA_PDF},
    {"image/*", MEDIA_IMAGE},
    {"application/postscript", MEDIA_IMAGE},
    {"audio/*", MEDIA_AUDIO},
    {"application/ogg", MEDIA_AUDIO},
    {"video/*", MEDIA_VIDEO},
    {OOXML "*", MEDIA_OFFICE},
    {OPEN_DOCUMENT "*", MEDIA_OFFICE},
    {"application/msword", MEDIA_OFFICE},
    {"application/rtf", MEDIA_OFFICE},
    {"application/encrypted", MEDIA_OFFICE},
    {"application/x-ole-storage", MEDIA_OFFICE},
    {"application/vnd.ms-*", MEDIA_OFFICE},
    {"text/*", MEDIA_TEXT},
    {"application/json", MEDIA_TEXT},
    {"application/xml", MEDIA_TEXT},
    {"application/xhtml+xml", MEDIA_TEXT},
    {"application/javascript", MEDIA_TEXT},
    {"application/x-ndjson", MEDIA_TEXT},
    {"message/*", MEDIA_TEXT},
    {"application/zip", MEDIA_ARCHIVE},
    {"application/epub+zip", MEDIA_ARCHIVE},
    {"application/java-archive", MEDIA_ARCHIVE},
    {"application/vnd.android.package-archive", MEDIA_ARCHIVE},
    {"application/gzip", MEDIA_ARCHIVE},
    {"application/zstd", MEDIA_ARCHIVE},
    {"application/vnd.rar", MEDIA_ARCHIVE},
    {"application/x-tar", MEDIA_ARCHIVE},
    {"application/x-bzip2", MEDIA_ARCHIVE},
    {"application/x-xz", MEDIA_ARCHIVE},
    {"application/x-7z-compressed", MEDIA_ARCHIVE},
    {"application/x-cpio", MEDIA_ARCHIVE},
    {"application/x-archive", MEDIA_ARCHIVE},
    {"application/x-iso9660-image", MEDIA_ARCHIVE},
    {"application/vnd.microsoft.portable-executable", MEDIA_EXECUTABLE},
    {"application/x-dosexec", MEDIA_EXECUTABLE},
    {"application/x-executable", MEDIA_EXECUTABLE},
    {"application/x-pie-executable", MEDIA_EXECUTABLE},
    {"application/x-sharedlib", MEDIA_EXECUTABLE},
    {"application/x-object", MEDIA_EXECUTABLE},
    {"application/x-coredump", MEDIA_EXECUTABLE},
    {"application/x-mach-binary", MEDIA_EXECUTABLE},
    {"application/x-msdownload", MEDIA_EXECUTABLE},
    {"application/x-elf", MEDIA_EXECUTABLE},
    {"application/wasm", MEDIA_EXECUTABLE},
};

enum media_family media_family_of(const char *media_type) {
    for (size_t i = 0; i < sizeof family_rows / sizeof family_rows[0]; i++) {
        if (media_pattern_matches(family_rows[i].pattern, media_type)) {
            return family_rows[i].family;
        }
    }
    return MEDIA_OTHER;
}

/* --- which opinion counts ----------------------------------------------------------------------------------
 */

enum choice { CHOOSE_OWN, CHOOSE_MAGIC, CHOOSE_ZIP };

/* A pattern "" is for what is not known, NULL for anything. The first row that matches decides. */
struct choice_row {
    const char *own, *magic, *zip;
    enum choice choice;
};

static const struct choice_row choice_rows[] = {
    /* programs open a package by its directory: where that was read, it says what the file is */
    {OPEN_DOCUMENT "*", NULL, OPEN_DOCUMENT, CHOOSE_OWN}, /* and the first entry says which of them */
    {"application/zip", NULL, OPEN_DOCUMENT, CHOOSE_OWN},
    {"application/zip", NULL, "application/*", CHOOSE_ZIP},
    {"application/epub+zip", NULL, "application/*", CHOOSE_ZIP},
    {OOXML "*", NULL, OPEN_DOCUMENT, CHOOSE_OWN},
    {OOXML "*", NULL, "application/*", CHOOSE_ZIP},
    {OPEN_DOCUMENT "*", NULL, "application/*", CHOOSE_ZIP},
    /* tables are text to us; libmagic counts the commas */
    {"text/plain", "text/csv", NULL, CHOOSE_MAGIC},
    /* a frame of MPEG audio is a signature of eleven bits */
    {"audio/mpeg", "image/*", NULL, CHOOSE_MAGIC},
    {"audio/mpeg", "video/*", NULL, CHOOSE_MAGIC},
    {"audio/mpeg", "application/x-*", NULL, CHOOSE_MAGIC},
    {"audio/aac", "image/*", NULL, CHOOSE_MAGIC},
    {"audio/aac", "application/x-*", NULL, CHOOSE_MAGIC},
    /* with control characters it is no text, whatever its first line looks like */
    {"", "", NULL, CHOOSE_OWN},
    {"", "text/*", NULL, CHOOSE_OWN},
    {"", "message/*", NULL, CHOOSE_OWN},
    {"", "application/json", NULL, CHOOSE_OWN},
    {"", "application/x-ndjson", NULL, CHOOSE_OWN},
    {"", "application/javascript", NULL, CHOOSE_OWN},
    {"", "application/octet-stream", NULL, CHOOSE_OWN},
    {"", "application/x-empty", NULL, CHOOSE_OWN},
    {"", "inode/*", NULL, CHOOSE_OWN},
    /* where we know no signature, libmagic knows two thousand */
    {"", "*", NULL, CHOOSE_MAGIC},
};

static bool fits(const char *pattern, const char *media_type) {
    if (pattern == NULL) {
        return true;
    }
    return pattern[0] == '\0' ? media_type[0] == '\0' : media_pattern_matches(pattern, media_type);
}

const char *media_type_combine(const char *own, const char *magic, const char *zip) {
    const char *names[] = {[CHOOSE_OWN] = own != NULL ? own : "",
                           [CHOOSE_MAGIC] = magic != NULL ? media_type_usual(magic) : "",
                           [CHOOSE_ZIP] = zip != NULL ? zip : ""};
    enum choice choice = CHOOSE_OWN;
    for (size_t i = 0; i < sizeof choice_rows / sizeof choice_rows[0]; i++) {
        const struct choice_row *row = &choice_rows[i];
        if (fits(row->own, names[CHOOSE_OWN]) && fits(row->magic, names[CHOOSE_MAGIC]) &&
            fits(row->zip, names[CHOOSE_ZIP])) {
            choice = row->choice;
            break;
        }
    }
    return names[choice][0] != '\0' ? names[choice] : NULL;
}
