/* SPDX-License-Identifier: MIT
 * dictd's files: an index with one line per headword (headword, offset and length in base 64), and the text
 * as a gzip whose pieces can be read by themselves (dictzip: the extra field RA has their sizes). One pass
 * over the index finds all words at once; then only the pieces that hold their definitions are inflated. */
#include "workers/processors/dictionary.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "lib/memory.h"
#include "lib/text.h"

#define HITS_MAX 24         /* definitions of one form */
#define DEFINITION_MAX 8192 /* of each, what is looked at */
#define FILE_MAX (INT64_C(512) << 20)
#define FORMS_MAX (64 * DICTIONARY_FORMS)

struct mapping {
    const unsigned char *bytes;
    size_t size;
};

struct pieces { /* of a dictzip file */
    struct mapping file;
    uint32_t length; /* of a piece, inflated */
    uint32_t count;
    const unsigned char *sizes; /* two bytes each, little endian */
    size_t data;                /* where the first begins */
};

struct place {
    uint64_t offset, length;
};

/* The places of one form of one word. */
struct hits {
    struct dictionary_word *word;
    int form;
    char folded[DICTIONARY_TEXT];
    size_t size;
    struct place places[HITS_MAX];
    size_t count;
};

static int map_file(struct mapping *mapping, const char *path) {
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    void *bytes = MAP_FAILED;

    if (file >= 0 && fstat(file, &status) == 0 && status.st_size > 0 && status.st_size <= FILE_MAX)
        bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (file >= 0)
        close(file);
    if (bytes == MAP_FAILED)
        return -1;
    *mapping = (struct mapping){.bytes = bytes, .size = (size_t)status.st_size};
    return 0;
}

static void unmap_file(struct mapping *mapping) {
    if (mapping->bytes != NULL)
        munmap((void *)(uintptr_t)mapping->bytes, mapping->size);
    mapping->bytes = NULL;
}

/* --- the text ---------------------------------------------------------------------------------------------
 */

static uint32_t two(const unsigned char *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

/* RFC 1952's head, and within its extra field dictzip's: "RA", size, version 1, length of a piece, count,
 * sizes. */
static int read_pieces(struct pieces *pieces) {
    const unsigned char *bytes = pieces->file.bytes;
    size_t size = pieces->file.size, extra, at;

    if (size < 22 || bytes[0] != 0x1f || bytes[1] != 0x8b || bytes[2] != 8 || (bytes[3] & 4) == 0)
        return -1;
    extra = two(bytes + 10);
    at = 12 + extra;
    if (at > size || extra < 10 || bytes[12] != 'R' || bytes[13] != 'A' || two(bytes + 16) != 1)
        return -1;
    pieces->length = two(bytes + 18);
    pieces->count = two(bytes + 20);
    pieces->sizes = bytes + 22;
    if (pieces->length == 0 || 10 + 2 * (size_t)pieces->count > extra)
        return -1;
    for (int flag = 8; flag <= 16; flag *= 2) { /* name, comment */
        const unsigned char *end = (bytes[3] & flag) == 0 ? NULL : memchr(bytes + at, '\0', size - at);
        if ((bytes[3] & flag) != 0 && end == NULL)
            return -1;
        at = end == NULL ? at : (size_t)(end - bytes) + 1;
    }
    at += (bytes[3] & 2) != 0 ? 2 : 0;
    pieces->data = at;
    return at < size ? 0 : -1;
}

/* One piece, inflated into `target` of pieces->length bytes; how many came, 0 when it is broken. */
static size_t inflate_piece(const struct pieces *pieces, uint32_t index, unsigned char *target) {
    size_t from = pieces->data, size = two(pieces->sizes + 2 * (size_t)index);
    z_stream stream = {0};
    size_t got;

    for (uint32_t i = 0; i < index; i++)
        from += two(pieces->sizes + 2 * (size_t)i);
    if (from > pieces->file.size || size > pieces->file.size - from ||
        inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return 0;
    stream.next_in = (unsigned char *)(uintptr_t)(pieces->file.bytes + from);
    stream.avail_in = (uInt)size;
    stream.next_out = target;
    stream.avail_out = pieces->length;
    (void)inflate(&stream, Z_SYNC_FLUSH);
    got = pieces->length - stream.avail_out;
    inflateEnd(&stream);
    return got;
}

/* A definition as text that the caller frees; NULL when it can't be read. */
static char *read_place(const struct pieces *pieces, const struct place *place) {
    size_t wanted = place->length < DEFINITION_MAX ? (size_t)place->length : DEFINITION_MAX, used = 0;
    uint64_t piece = place->offset / pieces->length, skip = place->offset % pieces->length;
    unsigned char *buffer = memory_new(pieces->length);
    char *text = memory_new(wanted + 1);

    for (; used < wanted && piece < pieces->count; piece++, skip = 0) {
        size_t got = inflate_piece(pieces, (uint32_t)piece, buffer);
        size_t part = got > skip ? got - (size_t)skip : 0;
        if (part == 0)
            break;
        part = part < wanted - used ? part : wanted - used;
        memcpy(text + used, buffer + skip, part);
        used += part;
    }
    free(buffer);
    text[used] = '\0';
    if (used == wanted)
        return text;
    free(text);
    return NULL;
}

/* --- the index --------------------------------------------------------------------------------------------
 */

/* ASCII and Latin-1's letters in UTF-8 to lower case; enough to compare headwords, which are nearly always
 * so. */
static size_t fold(char *target, size_t room, const char *from, size_t size) {
    if (size >= room)
        return 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)from[i], before = i > 0 ? (unsigned char)from[i - 1] : 0;
        bool is_latin = before == 0xc3 && byte >= 0x80 && byte <= 0x9e && byte != 0x97;
        target[i] = (char)(byte >= 'A' && byte <= 'Z' ? byte + 32 : is_latin ? byte + 32 : byte);
    }
    target[size] = '\0';
    return size;
}

static bool read_number(const char **at, const char *end, uint64_t *number) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *start = *at;

    for (*number = 0; *at < end && **at != '\t' && *at - start < 8; (*at)++) {
        const char *digit = **at == '\0' ? NULL : strchr(digits, **at);
        if (digit == NULL)
            return false;
        *number = *number * 64 + (uint64_t)(digit - digits);
    }
    return *at > start && (*at == end || **at == '\t');
}

static void read_line(struct hits *hits, size_t count, const char *line, const char *end) {
    const char *tab = memchr(line, '\t', (size_t)(end - line)), *at;
    char folded[DICTIONARY_TEXT];
    struct place place;
    size_t size;

    if (tab == NULL || (size_t)(tab - line) >= sizeof folded)
        return;
    size = fold(folded, sizeof folded, line, (size_t)(tab - line));
    for (size_t i = 0; i < count; i++) {
        if (hits[i].size != size || memcmp(hits[i].folded, folded, size) != 0 || hits[i].count == HITS_MAX)
            continue;
        at = tab + 1;
        if (!read_number(&at, end, &place.offset) || at == end)
            return;
        at++;
        if (read_number(&at, end, &place.length))
            hits[i].places[hits[i].count++] = place;
    }
}

static void read_index(const struct mapping *index, struct hits *hits, size_t count) {
    const char *at = (const char *)index->bytes, *end = at + index->size;
    bool starts[256] = {false};

    for (size_t i = 0; i < count; i++) /* most lines are told apart by one byte */
        starts[(unsigned char)hits[i].folded[0]] = true;
    while (at < end) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        unsigned char first = (unsigned char)*at;
        next = next == NULL ? end : next;
        if (starts[first >= 'A' && first <= 'Z' ? first + 32 : first])
            read_line(hits, count, at, next);
        at = next + 1;
    }
}

/* --- all together -----------------------------------------------------------------------------------------
 */

static const char *three_letters(const char *code) {
    static const char codes[] =
        "af afr ar ara bg bul br bre ca cat cs ces cy cym da dan de deu el ell en eng eo epo "
        "es spa fi fin fr fra ga gle hi hin hr hrv hu hun id ind is isl it ita ja jpn ku kur "
        "la lat lt lit mk mkd nl nld nn nno no nob pl pol pt por ru rus sk slk sl slv sr srp "
        "sv swe sw swh tr tur ";
    static char found[2][4];
    static unsigned turn;

    for (const char *at = codes; strlen(code) == 2 && *at != '\0'; at += 7)
        if (strncmp(at, code, 2) == 0) {
            turn = !turn;
            (void)text_format(found[turn], sizeof found[turn], "%.3s", at + 3);
            return found[turn];
        }
    return code;
}

static int open_dictionary(struct mapping *index, struct pieces *pieces, const char *from, const char *to) {
    const char *source = three_letters(from), *target = three_letters(to);
    char path[200];

    if (strlen(source) != 3 || strlen(target) != 3 || strspn(source, "abcdefghijklmnopqrstuvwxyz") != 3 ||
        strspn(target, "abcdefghijklmnopqrstuvwxyz") != 3)
        return -1;
    (void)text_format(path, sizeof path, DICTIONARY_FOLDER "/freedict-%s-%s.index", source, target);
    if (map_file(index, path) != 0)
        return -1;
    (void)text_format(path, sizeof path, DICTIONARY_FOLDER "/freedict-%s-%s.dict.dz", source, target);
    return map_file(&pieces->file, path) == 0 && read_pieces(pieces) == 0 ? 0 : -1;
}

static void take_hits(const struct pieces *pieces, const struct hits *hits) {
    char *texts[HITS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < hits->count; i++) {
        texts[count] = read_place(pieces, &hits->places[i]);
        count += texts[count] != NULL;
    }
    dictionary_choose(hits->word->target, (const char *const *)texts, count);
    if (hits->word->target[0] != '\0')
        hits->word->found = hits->form;
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
}

bool dictionary_translate(const char *from, const char *to, struct dictionary_word *words, size_t count) {
    struct hits *hits = memory_new_array(FORMS_MAX, sizeof *hits);
    struct mapping index = {0};
    struct pieces pieces = {0};
    size_t used = 0;
    bool is_there = open_dictionary(&index, &pieces, from, to) == 0;

    for (size_t i = 0; i < count; i++) {
        words[i].found = -1;
        words[i].target[0] = '\0';
        for (int form = 0; form < DICTIONARY_FORMS && words[i].forms[form] != NULL && used < FORMS_MAX;
             form++) {
            struct hits *next = &hits[used];
            next->word = &words[i];
            next->form = form;
            next->size =
                fold(next->folded, sizeof next->folded, words[i].forms[form], strlen(words[i].forms[form]));
            used += next->size > 0;
        }
    }
    if (is_there)
        read_index(&index, hits, used);
    for (size_t i = 0; is_there && i < used; i++)
        if (hits[i].count > 0 && hits[i].word->found < 0)
            take_hits(&pieces, &hits[i]);
    unmap_file(&index);
    unmap_file(&pieces.file);
    free(hits);
    return is_there;
}
