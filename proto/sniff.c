/* SPDX-License-Identifier: MIT
 * What the first bytes of a file show. It answers "which family of parsers would be offered this", so it
 * reads signatures only and never decides that a file is well formed. Signatures at the start win over those
 * that may stand later (PDF; a zip may hold one), text comes last. */
#include "proto/plan.h"

#include <string.h>
#include <strings.h>

#include "lib/text.h"

#define MEDIA_DOCX "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
#define MEDIA_XLSX "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
#define MEDIA_PPTX "application/vnd.openxmlformats-officedocument.presentationml.presentation"

#define OLE_MAGIC "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
#define PDF_SEARCH_BYTES 1024
#define ISO_BRANDS_MAX_BYTES 256
#define ZIP_HEADER_BYTES 30
#define FIRST_BYTES 4096
#define LEGACY_MIN_BYTES 16
#define LEGACY_LONG_BYTES 128
#define TEXT_WHOLE_BYTES 1024 /* who sniffs gives more than this of a file that has it */

struct bytes {
    const unsigned char *at;
    size_t size;
};

static bool has_at(struct bytes bytes, size_t offset, const char *magic, size_t size) {
    return bytes.size >= offset && bytes.size - offset >= size && memcmp(bytes.at + offset, magic, size) == 0;
}

#define HAS_AT(bytes, offset, literal) has_at(bytes, offset, literal, sizeof(literal) - 1)

/* Signatures at fixed places, at most two per row. */
struct magic_row {
    const char *media_type;
    const char *magic;
    size_t size;
    const char *second; /* NULL: none */
    size_t second_size;
    size_t second_offset;
};

#define MAGIC(literal) .magic = literal, .size = sizeof(literal) - 1
#define AND_AT(offset, literal) .second = literal, .second_size = sizeof(literal) - 1, .second_offset = offset

static const struct magic_row magic_rows[] = {
    {.media_type = "image/png", MAGIC("\x89PNG\r\n\x1a\n")},
    {.media_type = "image/jpeg", MAGIC("\xff\xd8\xff")},
    {.media_type = "image/gif", MAGIC("GIF87a")},
    {.media_type = "image/gif", MAGIC("GIF89a")},
    {.media_type = "image/webp", MAGIC("RIFF"), AND_AT(8, "WEBP")},
    {.media_type = "image/tiff", MAGIC("II*\0")},
    {.media_type = "image/tiff", MAGIC("MM\0*")},
    {.media_type = "image/tiff", MAGIC("II+\0")},
    {.media_type = "image/tiff", MAGIC("MM\0+")},
    {.media_type = "image/bmp", MAGIC("BM"), AND_AT(14, "\x28\0\0\0")},
    {.media_type = "image/bmp", MAGIC("BM"), AND_AT(14, "\x0c\0\0\0")},
    {.media_type = "image/bmp", MAGIC("BM"), AND_AT(14, "\x34\0\0\0")},
    {.media_type = "image/bmp", MAGIC("BM"), AND_AT(14, "\x38\0\0\0")},
    {.media_type = "image/bmp", MAGIC("BM"), AND_AT(14, "\x40\0\0\0")},
    {.media_type = "image/bmp", MAGIC("BM"), AND_AT(14, "\x6c\0\0\0")},
    {.media_type = "image/bmp", MAGIC("BM"), AND_AT(14, "\x7c\0\0\0")},
    {.media_type = "image/jxl", MAGIC("\xff\x0a")},
    {.media_type = "image/jxl", MAGIC("\0\0\0\x0cJXL \r\n\x87\n")},
    {.media_type = "image/jp2", MAGIC("\0\0\0\x0cjP  \r\n\x87\n")},
    {.media_type = "image/vnd.adobe.photoshop", MAGIC("8BPS\0")},
    {.media_type = "audio/wav", MAGIC("RIFF"), AND_AT(8, "WAVE")},
    {.media_type = "audio/wav", MAGIC("RF64"), AND_AT(8, "WAVE")},
    {.media_type = "video/x-msvideo", MAGIC("RIFF"), AND_AT(8, "AVI ")},
    {.media_type = "audio/aiff", MAGIC("FORM"), AND_AT(8, "AIFF")},
    {.media_type = "audio/aiff", MAGIC("FORM"), AND_AT(8, "AIFC")},
    {.media_type = "audio/mpeg", MAGIC("ID3")},
    {.media_type = "audio/flac", MAGIC("fLaC")},
    {.media_type = "audio/x-caf", MAGIC("caff\0\1")},
    {.media_type = "audio/amr", MAGIC("#!AMR")},
    {.media_type = "video/ogg", MAGIC("OggS"), AND_AT(28, "\x80theora")},
    {.media_type = "audio/ogg", MAGIC("OggS\0")},
    {.media_type = "video/mpeg", MAGIC("\0\0\x01\xba")},
    {.media_type = "application/x-ole-storage", MAGIC(OLE_MAGIC)},
    {.media_type = "application/rtf", MAGIC("{\\rtf")},
    {.media_type = "application/postscript", MAGIC("%!PS")},
    {.media_type = "application/gzip", MAGIC("\x1f\x8b\x08")},
    {.media_type = "application/x-bzip2", MAGIC("BZh"), AND_AT(4, "1AY&SY")},
    {.media_type = "application/x-xz",
     MAGIC("\xfd"
           "7zXZ\0")},
    {.media_type = "application/zstd", MAGIC("\x28\xb5\x2f\xfd")},
    {.media_type = "application/x-7z-compressed", MAGIC("7z\xbc\xaf\x27\x1c")},
    {.media_type = "application/vnd.rar", MAGIC("Rar!\x1a\x07")},
};

static const char *sniff_magic(struct bytes bytes) {
    for (size_t i = 0; i < sizeof magic_rows / sizeof magic_rows[0]; i++) {
        const struct magic_row *row = &magic_rows[i];
        if (has_at(bytes, 0, row->magic, row->size) &&
            (row->second == NULL || has_at(bytes, row->second_offset, row->second, row->second_size))) {
            return row->media_type;
        }
    }
    return NULL;
}

/* OOXML with a password is an OLE file with a stream of this name (MS-OFFCRYPTO 2.3.4.4); its directory
 * stands early in all that office programs write. libmagic's name for it. */
static const char *sniff_encrypted(struct bytes bytes) {
    static const char stream[] = "E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e";
    return HAS_AT(bytes, 0, OLE_MAGIC) && memmem(bytes.at, bytes.size, stream, sizeof stream - 1) != NULL
               ? "application/encrypted"
               : NULL;
}

/* Handlers of the tracks (ISO/IEC 14496-12 8.4.3), where the index stands in front: sound, and no pictures.
 */
static bool has_sound_only(struct bytes bytes) {
    const unsigned char *index = bytes.at != NULL ? memmem(bytes.at, bytes.size, "moov", 4) : NULL;
    size_t start = index != NULL ? (size_t)(index - bytes.at) : 0;
    if (start < 4) {
        return false;
    }
    size_t box = ((size_t)index[-4] << 24) | ((size_t)index[-3] << 16) | ((size_t)index[-2] << 8) | index[-1];
    if (box < 8 || box > bytes.size - (start - 4)) {
        return false; /* not all of it is here */
    }
    bool sound = false;
    for (size_t at = start; at + 20 <= start - 4 + box; at++) {
        if (HAS_AT(bytes, at, "hdlr")) {
            sound = sound || HAS_AT(bytes, at + 12, "soun");
            if (HAS_AT(bytes, at + 12, "vide")) {
                return false;
            }
        }
    }
    return sound;
}

/* ISO base media (ISO/IEC 14496-12): the major brand first, then the compatible ones, in order. */
static const char *sniff_iso(struct bytes bytes) {
    static const struct {
        const char *brand; /* a prefix of the four bytes */
        const char *media_type;
    } rows[] = {
        {"avif", "image/avif"}, {"avis", "image/avif"},      {"heic", "image/heic"}, {"heix", "image/heic"},
        {"heim", "image/heic"}, {"heis", "image/heic"},      {"hevc", "image/heic"}, {"hevx", "image/heic"},
        {"M4A", "audio/mp4"},   {"M4B", "audio/mp4"},        {"M4P", "audio/mp4"},   {"F4A", "audio/mp4"},
        {"M4V", "video/mp4"},   {"qt  ", "video/quicktime"}, {"3gp", "video/3gpp"},  {"3g2", "video/3gpp2"},
    };
    if (!HAS_AT(bytes, 4, "ftyp") || bytes.size < 16) {
        return NULL;
    }
    size_t box =
        ((size_t)bytes.at[0] << 24) | ((size_t)bytes.at[1] << 16) | ((size_t)bytes.at[2] << 8) | bytes.at[3];
    size_t end = box < bytes.size ? box : bytes.size;
    end = end < ISO_BRANDS_MAX_BYTES ? end : ISO_BRANDS_MAX_BYTES;
    for (size_t at = 8; at + 4 <= end; at += at == 8 ? 8 : 4) { /* after the major brand comes a version */
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            if (has_at(bytes, at, rows[i].brand, strlen(rows[i].brand))) {
                return rows[i].media_type;
            }
        }
    }
    if (has_sound_only(bytes)) {
        return "audio/mp4";
    }
    bool still = memmem(bytes.at + 8, end > 8 ? end - 8 : 0, "mif1", 4) != NULL || HAS_AT(bytes, 8, "msf1");
    return still ? "image/heif" : "video/mp4";
}

/* CodecID elements (RFC 9559 §5.1.4.1.21) of the first tracks: "A_OPUS", "V_VP9" … */
static bool has_codec(struct bytes bytes, char kind) {
    for (size_t at = 0; at + 4 < bytes.size; at++) {
        if (bytes.at[at] == 0x86 && (bytes.at[at + 1] & 0x80u) != 0 &&
            bytes.at[at + 2] == (unsigned char)kind && bytes.at[at + 3] == '_') {
            return true;
        }
    }
    return false;
}

static const char *sniff_matroska(struct bytes bytes) {
    if (!HAS_AT(bytes, 0, "\x1a\x45\xdf\xa3")) {
        return NULL;
    }
    bool sound = has_codec(bytes, 'A') && !has_codec(bytes, 'V');
    for (size_t at = 4; at < bytes.size && at < 64; at++) {
        if (HAS_AT(bytes, at, "webm")) {
            return sound ? "audio/webm" : "video/webm";
        }
    }
    return sound ? "audio/x-matroska" : "video/x-matroska";
}

/* An MPEG audio frame header (ISO/IEC 11172-3 §2.4.1.3), none of its reserved values used; AAC in ADTS. */
static const char *sniff_mpeg_audio(struct bytes bytes) {
    if (bytes.size < 4 || bytes.at[0] != 0xff || (bytes.at[1] & 0xe0u) != 0xe0u) {
        return NULL;
    }
    unsigned version = (bytes.at[1] >> 3) & 3u;
    unsigned layer = (bytes.at[1] >> 1) & 3u;
    unsigned bit_rate = bytes.at[2] >> 4;
    unsigned sample_rate = (bytes.at[2] >> 2) & 3u;
    if ((bytes.at[1] & 0xf6u) == 0xf0u && ((bytes.at[2] >> 2) & 15u) < 13) {
        return "audio/aac";
    }
    /* layer I (3) is left out: no one uses it, and UTF-16 text begins like it */
    bool valid =
        version != 1 && (layer == 1 || layer == 2) && bit_rate != 0 && bit_rate != 15 && sample_rate != 3;
    return valid ? "audio/mpeg" : NULL;
}

/* "ustar" of a POSIX archive. */
static const char *sniff_tar(struct bytes bytes) {
    return HAS_AT(bytes, 257, "ustar") ? "application/x-tar" : NULL;
}

/* OpenDocument and EPUB begin with a stored entry "mimetype" that holds the media type. */
static const char *sniff_zip_mimetype(struct bytes bytes) {
    static const char *const types[] = {
        "application/epub+zip",
        "application/vnd.oasis.opendocument.text",
        "application/vnd.oasis.opendocument.spreadsheet",
        "application/vnd.oasis.opendocument.presentation",
        "application/vnd.oasis.opendocument.graphics",
    };
    if (!HAS_AT(bytes, ZIP_HEADER_BYTES, "mimetype")) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (has_at(bytes, ZIP_HEADER_BYTES + sizeof("mimetype") - 1, types[i], strlen(types[i]))) {
            return types[i];
        }
    }
    return NULL;
}

static bool starts_with_any(struct bytes bytes, size_t offset, const char *const *prefixes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (has_at(bytes, offset, prefixes[i], strlen(prefixes[i]))) {
            return true;
        }
    }
    return false;
}

/* Looks at the names in local headers. Sizes in them may be missing or lies, so headers are found by
 * signature. */
static const char *sniff_zip(struct bytes bytes) {
    static const struct {
        const char *prefix;
        const char *media_type;
    } parts[] = {{"word/", MEDIA_DOCX}, {"xl/", MEDIA_XLSX}, {"ppt/", MEDIA_PPTX}};
    /* parts of the package, which come in any order: a folder called word alone is not a document */
    static const char *const package[] = {
        "[Content_Types].xml", "_rels/.rels",          "docProps/",
        "word/document.xml",   "word/_rels/",          "xl/_rels/",
        "xl/workbook.xml",     "ppt/presentation.xml", "ppt/_rels/",
    };
    if (HAS_AT(bytes, 0, "PK\5\6")) {
        return "application/zip";
    }
    if (!HAS_AT(bytes, 0, "PK\3\4")) {
        return NULL;
    }
    const char *kind = sniff_zip_mimetype(bytes);
    if (kind != NULL) {
        return kind;
    }
    bool office = false;
    for (size_t at = 0; at + ZIP_HEADER_BYTES < bytes.size; at++) {
        if (!HAS_AT(bytes, at, "PK\3\4")) {
            continue;
        }
        size_t name = at + ZIP_HEADER_BYTES;
        office = office || starts_with_any(bytes, name, package, sizeof package / sizeof package[0]);
        for (size_t i = 0; kind == NULL && i < sizeof parts / sizeof parts[0]; i++) {
            kind = has_at(bytes, name, parts[i].prefix, strlen(parts[i].prefix)) ? parts[i].media_type : NULL;
        }
    }
    return office && kind != NULL ? kind : "application/zip";
}

/* "%PDF-1.7" anywhere in the first 1024 bytes, as readers accept it. */
static const char *sniff_pdf(struct bytes bytes) {
    for (size_t at = 0; at < bytes.size && at < PDF_SEARCH_BYTES; at++) {
        if (HAS_AT(bytes, at, "%PDF-")) {
            return "application/pdf";
        }
    }
    return NULL;
}

static struct bytes skip_blank(struct bytes bytes) {
    while (bytes.size > 0 && memchr(" \t\r\n\f", bytes.at[0], 5) != NULL) {
        bytes.at++;
        bytes.size--;
    }
    return bytes;
}

static bool has_tag(struct bytes bytes, const char *tag) {
    size_t size = strlen(tag);
    return bytes.size > size && strncasecmp((const char *)bytes.at, tag, size) == 0 &&
           memchr(" \t\r\n\f/>", bytes.at[size], 7) != NULL;
}

/* The rest after "<?…?>", "<!--…-->" and "<!…>" in front of the root element; stops where they end. */
static struct bytes skip_markup_prolog(struct bytes bytes) {
    for (;;) {
        bytes = skip_blank(bytes);
        const char *close = HAS_AT(bytes, 0, "<!--") ? "-->"
                            : HAS_AT(bytes, 0, "<?") ? "?>"
                            : HAS_AT(bytes, 0, "<!") ? ">"
                                                     : NULL;
        if (close == NULL) {
            return bytes;
        }
        const unsigned char *end = memmem(bytes.at, bytes.size, close, strlen(close));
        if (end == NULL) {
            return (struct bytes){.at = bytes.at, .size = 0};
        }
        size_t skipped = (size_t)(end - bytes.at) + strlen(close);
        bytes.at += skipped;
        bytes.size -= skipped;
    }
}

/* An <svg> tag anywhere: after a DOCTYPE with entities (of which hostile files are fond) the root stands
 * late. */
static bool has_svg_tag(struct bytes bytes) {
    for (size_t at = 0; at + 4 < bytes.size; at++) {
        if (has_tag((struct bytes){.at = bytes.at + at, .size = bytes.size - at}, "<svg")) {
            return true;
        }
    }
    return false;
}

static bool is_html_doctype(struct bytes bytes) {
    static const char start[] = "<!doctype";
    if (!has_tag(bytes, start)) {
        return false;
    }
    bytes.at += sizeof start - 1;
    bytes.size -= sizeof start - 1;
    return has_tag(skip_blank(bytes), "html");
}

static const char *sniff_markup(struct bytes bytes) {
    if (HAS_AT(bytes, 0, "\xef\xbb\xbf")) {
        bytes.at += 3;
        bytes.size -= 3;
    }
    bytes = skip_blank(bytes);
    if (has_tag(bytes, "<svg")) {
        return "image/svg+xml";
    }
    bool xml = has_tag(bytes, "<?xml");
    bool html = is_html_doctype(bytes);
    struct bytes root = skip_markup_prolog(bytes);
    html = html || has_tag(root, "<html") || (!xml && (has_tag(root, "<head") || has_tag(root, "<body")));
    if (html) {
        return xml ? "application/xhtml+xml" : "text/html";
    }
    if ((xml || has_tag(bytes, "<!doctype")) && has_svg_tag(bytes)) {
        return "image/svg+xml";
    }
    return has_tag(root, "<svg") ? "image/svg+xml" : xml ? "application/xml" : NULL;
}

/* UTF-8. A start of a longer file may end inside a character; a short file may not. */
static bool is_utf8(struct bytes bytes) {
    size_t cut = 0;
    size_t may_cut = bytes.size >= TEXT_WHOLE_BYTES ? 3 : 0;
    while (cut < may_cut && !text_is_utf8((const char *)bytes.at, bytes.size - cut)) {
        cut++;
    }
    return text_is_utf8((const char *)bytes.at, bytes.size - cut);
}

/* UTF-16 with its mark, and no zero character. */
static bool is_utf16(struct bytes bytes) {
    if (bytes.size < 4 || !(HAS_AT(bytes, 0, "\xff\xfe") || HAS_AT(bytes, 0, "\xfe\xff"))) {
        return false;
    }
    for (size_t at = 2; at + 1 < bytes.size; at += 2) {
        if (bytes.at[at] == 0 && bytes.at[at + 1] == 0) {
            return false;
        }
    }
    return true;
}

/* Encodings of one or more bytes from before Unicode have no signature. One byte in nine is a control
 * character where bytes are random, so a long run without any is a text; a short one must be mostly ASCII. */
static bool is_legacy_text(struct bytes bytes) {
    size_t ascii = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        ascii += bytes.at[i] < 0x80;
    }
    return bytes.size >= LEGACY_MIN_BYTES && (bytes.size >= LEGACY_LONG_BYTES || ascii >= bytes.size / 4 * 3);
}

/* Text is what has no control characters; then the encoding is looked for. */
static const char *sniff_text(struct bytes bytes) {
    if (is_utf16(bytes)) {
        return "text/plain";
    }
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char c = bytes.at[i];
        if (c == 0x7f || (c < 0x20 && memchr("\t\n\r\f", c, 4) == NULL)) {
            return NULL;
        }
    }
    return is_utf8(bytes) || is_legacy_text(bytes) ? "text/plain" : NULL;
}

const char *media_type_sniff(const unsigned char *bytes, size_t size) {
    static const struct {
        const char *(*sniff)(struct bytes);
        bool whole; /* looks at all that is given, not at the first bytes only */
    } rows[] = {
        {sniff_encrypted, true},   {sniff_magic, false},  {sniff_iso, true}, {sniff_matroska, false},
        {sniff_mpeg_audio, false}, {sniff_markup, false}, {sniff_zip, true}, {sniff_pdf, false},
        {sniff_tar, false},        {sniff_text, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && size > 0; i++) {
        size_t most = rows[i].whole || size < FIRST_BYTES ? size : FIRST_BYTES;
        const char *media_type = rows[i].sniff((struct bytes){.at = bytes, .size = most});
        if (media_type != NULL) {
            return media_type;
        }
    }
    return NULL;
}
