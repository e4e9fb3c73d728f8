/* SPDX-License-Identifier: MIT
 * What kind of package a zip is by the names in its central directory (PKWARE APPNOTE 4.3.12, 4.3.16), which
 * is what programs go by; local headers may name anything. Offsets in it are not followed, nothing is
 * unpacked. */
#include "proto/plan.h"

#include <stdint.h>
#include <string.h>

#define END_BYTES 22u
#define ENTRY_BYTES 46u
#define COMMENT_MAX 65535u
#define OOXML "application/vnd.openxmlformats-officedocument."

struct names {
    bool content_types, word, sheets, slides, content_xml, manifest_xml, container_xml, mimetype, jar,
        android;
};

static unsigned read16(const unsigned char *at) {
    return (unsigned)at[0] | (unsigned)at[1] << 8;
}

static uint32_t read32(const unsigned char *at) {
    return read16(at) | (uint32_t)read16(at + 2) << 16;
}

/* The end record whose comment ends with the bytes; NULL if there is none. */
static const unsigned char *find_end(const unsigned char *bytes, size_t size) {
    for (size_t back = END_BYTES; back <= size && back <= END_BYTES + COMMENT_MAX; back++) {
        const unsigned char *at = bytes + size - back;
        if (memcmp(at, "PK\5\6", 4) == 0 && read16(at + 20) == back - END_BYTES) {
            return at;
        }
    }
    return NULL;
}

static bool is(const unsigned char *name, size_t size, const char *wanted) {
    return size == strlen(wanted) && memcmp(name, wanted, size) == 0;
}

static bool is_below(const unsigned char *name, size_t size, const char *folder) {
    return size > strlen(folder) && memcmp(name, folder, strlen(folder)) == 0;
}

static void note(struct names *names, const unsigned char *name, size_t size) {
    names->content_types |= is(name, size, "[Content_Types].xml");
    names->word |= is_below(name, size, "word/");
    names->sheets |= is_below(name, size, "xl/");
    names->slides |= is_below(name, size, "ppt/");
    names->content_xml |= is(name, size, "content.xml");
    names->manifest_xml |= is(name, size, "META-INF/manifest.xml");
    names->container_xml |= is(name, size, "META-INF/container.xml");
    names->mimetype |= is(name, size, "mimetype");
    names->jar |= is(name, size, "META-INF/MANIFEST.MF");
    names->android |= is(name, size, "AndroidManifest.xml");
}

static const char *judge(const struct names *names, bool whole) {
    const struct {
        bool has;
        const char *media_type;
    } rows[] = {
        {names->content_types && names->word, OOXML "wordprocessingml.document"},
        {names->content_types && names->sheets, OOXML "spreadsheetml.sheet"},
        {names->content_types && names->slides, OOXML "presentationml.presentation"},
        {names->content_xml && names->manifest_xml, "application/vnd.oasis.opendocument"},
        {names->container_xml && names->mimetype, "application/epub+zip"},
        {names->android, "application/vnd.android.package-archive"},
        {names->jar, "application/java-archive"},
        {whole, "application/zip"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].has) {
            return rows[i].media_type;
        }
    }
    return NULL;
}

const char *media_type_of_zip(const unsigned char *bytes, size_t size) {
    const unsigned char *end = find_end(bytes, size);
    struct names names = {false};
    if (end == NULL) {
        return NULL;
    }
    uint32_t directory = read32(end + 12);
    size_t before = (size_t)(end - bytes);
    bool whole = directory <= before && read16(end + 10) != 0xffff;
    const unsigned char *at = whole ? end - directory : memmem(bytes, before, "PK\1\2", 4);
    while (at != NULL && (size_t)(end - at) >= ENTRY_BYTES && memcmp(at, "PK\1\2", 4) == 0) {
        size_t name = read16(at + 28);
        size_t entry = ENTRY_BYTES + name + read16(at + 30) + read16(at + 32);
        if (entry > (size_t)(end - at)) {
            whole = false;
            break;
        }
        note(&names, at + ENTRY_BYTES, name);
        at += entry;
    }
    return judge(&names, whole && at == end);
}
