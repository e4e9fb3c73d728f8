/* SPDX-License-Identifier: MIT
 * Names of media types: syntax, other names of the same type, and whether a declared type can hold what was
 * sniffed. Where a container hides its kind (ISO media, zip, OLE) the family decides; images, PDF and audio
 * that show exactly what they are must be declared as such. */
#include "proto/plan.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "lib/text.h"

#define MEDIA_TYPE_MAX 200

struct alias_row {
    const char *other;
    const char *name;
};

static const struct alias_row alias_rows[] = {
    {"image/jpg", "image/jpeg"},
    {"image/pjpeg", "image/jpeg"},
    {"image/jfif", "image/jpeg"},
    {"image/x-png", "image/png"},
    {"image/apng", "image/png"},
    {"image/tif", "image/tiff"},
    {"image/x-tiff", "image/tiff"},
    {"image/x-bmp", "image/bmp"},
    {"image/x-ms-bmp", "image/bmp"},
    {"image/heic-sequence", "image/heic"},
    {"image/heif-sequence", "image/heif"},
    {"image/svg", "image/svg+xml"},
    {"application/x-pdf", "application/pdf"},
    {"audio/x-wav", "audio/wav"},
    {"audio/wave", "audio/wav"},
    {"audio/vnd.wave", "audio/wav"},
    {"audio/x-pn-wav", "audio/wav"},
    {"audio/mp3", "audio/mpeg"},
    {"audio/x-mp3", "audio/mpeg"},
    {"audio/x-mpeg", "audio/mpeg"},
    {"audio/mpeg3", "audio/mpeg"},
    {"audio/x-flac", "audio/flac"},
    {"audio/caf", "audio/x-caf"},
    {"audio/x-aiff", "audio/aiff"},
    {"audio/x-aac", "audio/aac"},
    {"audio/aacp", "audio/aac"},
    {"audio/m4a", "audio/mp4"},
    {"audio/x-m4a", "audio/mp4"},
    {"audio/opus", "audio/ogg"},
    {"audio/vorbis", "audio/ogg"},
    {"video/x-m4v", "video/mp4"},
    {"video/avi", "video/x-msvideo"},
    {"video/msvideo", "video/x-msvideo"},
    {"text/xml", "application/xml"},
    {"text/rtf", "application/rtf"},
    {"application/x-zip", "application/zip"},
    {"application/x-zip-compressed", "application/zip"},
    {"application/x-gzip", "application/gzip"},
    {"application/x-rar-compressed", "application/vnd.rar"},
    /* libmagic's */
    {"application/csv", "text/csv"},
    {"application/x-rar", "application/vnd.rar"},
    {"application/x-zstd", "application/zstd"},
    {"audio/x-hx-aac-adts", "audio/aac"},
    {"image/vnd.microsoft.icon", "image/x-icon"},
    {"application/vnd.microsoft.portable-executable", "application/x-dosexec"},
    {"application/x-msdownload", "application/x-dosexec"},
    {"application/x-msdos-program", "application/x-dosexec"},
};

/* A declared type that is not named alike may still hold a sniffed one. A name that ends in '*' is a prefix,
 * one that begins with '*' a suffix. */
struct holds_row {
    const char *declared;
    const char *sniffed;
};

static const struct holds_row holds_rows[] = {
    /* ISO media: brands are used loosely */
    {"audio/mp4", "video/mp4"},
    {"video/mp4", "audio/mp4"},
    {"video/mp4", "video/quicktime"},
    {"video/quicktime", "video/mp4"},
    {"video/3gpp*", "video/mp4"},
    {"audio/3gpp*", "video/*"},
    {"audio/aac", "*/mp4"},
    {"image/heic", "image/heif"},
    {"image/heif", "image/heic"},
    {"image/heif", "image/avif"},
    {"image/avif", "image/heif"},
    /* Matroska and Ogg: the same container with and without pictures */
    {"audio/webm", "video/webm"},
    {"video/webm", "audio/webm"},
    {"video/x-matroska", "audio/webm"},
    {"video/x-matroska", "audio/x-matroska"},
    {"audio/x-matroska", "video/x-matroska"},
    {"audio/x-matroska", "*/webm"},
    {"video/x-matroska", "video/webm"},
    {"video/webm", "video/x-matroska"},
    {"application/ogg", "*/ogg"},
    {"video/ogg", "audio/ogg"},
    /* a zip whose first names do not show what it is, and the other way round */
    {"application/zip", "application/vnd.openxmlformats-officedocument.*"},
    {"application/zip", "application/vnd.oasis.opendocument.*"},
    {"application/zip", "application/epub+zip"},
    {"application/vnd.openxmlformats-officedocument.*", "application/zip"},
    {"application/vnd.oasis.opendocument.*", "application/zip"},
    {"application/vnd.ms-*", "application/zip"},
    {"application/vnd.ms-*", "application/vnd.openxmlformats-officedocument.*"},
    {"application/java-archive", "application/zip"},
    {"application/vnd.android.package-archive", "application/zip"},
    {"*+zip", "application/zip"},
    /* OLE documents */
    {"application/msword", "application/x-ole-storage"},
    {"application/msword", "application/rtf"},
    {"application/vnd.ms-*", "application/x-ole-storage"},
    {"application/vnd.openxmlformats-officedocument.*", "application/x-ole-storage"}, /* with a password */
    {"application/vnd.openxmlformats-officedocument.*", "application/encrypted"},
    {"application/vnd.ms-*", "application/encrypted"},
    /* text of every kind; what is served keeps the declared type, so a script is not run from text/plain */
    {"text/*", "text/plain"},
    {"text/plain", "text/html"},
    {"text/plain", "*xml"},
    {"text/plain", "application/rtf"},
    {"text/plain", "text/csv"},
    {"text/markdown", "text/csv"},
    {"text/tab-separated-values", "text/csv"},
    {"text/markdown", "text/html"},
    {"text/markdown", "*xml"},
    {"text/html", "application/xhtml+xml"},
    {"application/xhtml+xml", "text/html"},
    {"application/xhtml+xml", "application/xml"},
    {"application/xml", "text/plain"},
    {"application/xml", "*+xml"},
    {"*+xml", "application/xml"},
    {"application/json", "text/plain"},
    {"application/x-ndjson", "text/plain"},
    {"*+json", "text/plain"},
    {"application/javascript", "text/plain"},
    {"application/ecmascript", "text/plain"},
    {"application/yaml", "text/plain"},
    {"application/x-yaml", "text/plain"},
    {"application/toml", "text/plain"},
    {"application/sql", "text/plain"},
    {"application/csv", "text/plain"},
    {"application/x-subrip", "text/plain"},
};

static bool matches(const char *pattern, const char *name) {
    size_t size = strlen(pattern);
    if (pattern[0] == '*') {
        return text_ends_with(name, pattern + 1);
    }
    if (pattern[size - 1] == '*') {
        return strncmp(name, pattern, size - 1) == 0;
    }
    return strcmp(name, pattern) == 0;
}

/* Lower case, without parameters, under its usual name. */
static const char *usual_name(const char *media_type, char *scratch, size_t scratch_size) {
    size_t size = strcspn(media_type, "; \t");
    size = size < scratch_size ? size : scratch_size - 1;
    for (size_t i = 0; i < size; i++) {
        scratch[i] = text_lower(media_type[i]);
    }
    scratch[size] = '\0';
    for (size_t i = 0; i < sizeof alias_rows / sizeof alias_rows[0]; i++) {
        if (strcmp(alias_rows[i].other, scratch) == 0) {
            return alias_rows[i].name;
        }
    }
    return scratch;
}

const char *media_type_usual(const char *media_type) {
    for (size_t i = 0; i < sizeof alias_rows / sizeof alias_rows[0]; i++) {
        if (strcmp(alias_rows[i].other, media_type) == 0) {
            return alias_rows[i].name;
        }
    }
    return media_type;
}

/* What no job is ever planned for is stored and handed back: its family is enough. */
static bool is_of_family(const char *declared, const char *sniffed) {
    static const bool loose[MEDIA_FAMILY_COUNT] = {
        [MEDIA_OTHER] = true, [MEDIA_VIDEO] = true, [MEDIA_ARCHIVE] = true, [MEDIA_EXECUTABLE] = true};
    enum media_family family = media_family_of(sniffed);
    return loose[family] && media_family_of(declared) == family;
}

bool media_type_agrees(const char *declared, const char *sniffed) {
    char scratch[MEDIA_TYPE_MAX + 1];
    const char *name = usual_name(declared, scratch, sizeof scratch);
    if (strcmp(name, "application/octet-stream") == 0) {
        return true;
    }
    if (sniffed == NULL) {
        return text_starts_with(name, "text/");
    }
    if (strcmp(name, sniffed) == 0) {
        return true;
    }
    for (size_t i = 0; i < sizeof holds_rows / sizeof holds_rows[0]; i++) {
        if (matches(holds_rows[i].declared, name) && matches(holds_rows[i].sniffed, sniffed)) {
            return true;
        }
    }
    return is_of_family(name, sniffed);
}

/* Length of a token (RFC 9110 §5.6.2) at `text`. */
static size_t token_length(const char *text) {
    size_t size = 0;
    while (text[size] != '\0' &&
           (isalnum((unsigned char)text[size]) || strchr("!#$%&'*+-.^_`|~", text[size]) != NULL)) {
        size++;
    }
    return size;
}

/* Length of a quoted string (RFC 9110 §5.6.4) with its quotes, 0 if it is none. */
static size_t quoted_length(const char *text) {
    size_t size = 1;
    if (text[0] != '"') {
        return 0;
    }
    while (text[size] != '"') {
        size += text[size] == '\\' ? 1 : 0;
        unsigned char c = (unsigned char)text[size];
        if ((c < 0x20 && c != '\t') || c >= 0x7f) {
            return 0;
        }
        size++;
    }
    return size + 1;
}

static const char *skip_spaces(const char *text) {
    return text + strspn(text, " \t");
}

bool media_type_is_valid(const char *text) {
    if (strlen(text) > MEDIA_TYPE_MAX) {
        return false;
    }
    size_t size = token_length(text);
    if (size == 0 || text[size] != '/') {
        return false;
    }
    text += size + 1;
    size = token_length(text);
    if (size == 0) {
        return false;
    }
    text += size;
    while (*text != '\0') {
        text = skip_spaces(text);
        if (*text != ';') {
            return false;
        }
        text = skip_spaces(text + 1);
        size = token_length(text);
        if (size == 0 || text[size] != '=') {
            return false;
        }
        text += size + 1;
        size = *text == '"' ? quoted_length(text) : token_length(text);
        if (size == 0) {
            return false;
        }
        text += size;
    }
    return true;
}
