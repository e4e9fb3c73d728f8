/* SPDX-License-Identifier: MIT
 * Object keys: made from UUIDs, kinds of derivative and a cleaned extension, and checked before anything is
 * signed. What cannot be made by these functions is not a key of Filemill. */
#include "storage/keys.h"

#include "lib/text.h"
#include "storage/portal_paths.h"
#include <string.h>

#define EXTENSION_MAX 16
#define KIND_MAX 64
#define CLASS_MAX 63
#define PUBLISHED "published/"
#define UUID_LENGTH (UUID_TEXT_SIZE - 1)

void key_extension(char *target, size_t size, const char *filename) {
    const char *dot = strrchr(filename, '.');
    size_t used = 0;

    if (dot != NULL) {
        for (const char *c = dot + 1; *c != '\0' && used < EXTENSION_MAX && used + 1 < size; c++) {
            if ((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9'))
                target[used++] = *c;
            else if (*c >= 'A' && *c <= 'Z')
                target[used++] = (char)(*c - 'A' + 'a');
        }
    }
    target[used] = '\0';
    if (used == 0)
        (void)text_copy(target, size, "bin");
}

int key_original(char *target, size_t size, const char *tenant, const char *owner, const char *file,
                 const char *extension) {
    if (text_format(target, size, "t/%s/u/%s/%s.%s", tenant, owner, file, extension) != 0)
        return -1;
    return key_is_valid(target) ? 0 : -1;
}

int key_derivative(char *target, size_t size, const struct key_parts *parts) {
    const char *root = parts->published ? PUBLISHED : "t/", *folder = parts->published ? "" : "derived/";
    int result = parts->first ? text_format(target, size, "%s%s/%s%s/%s.%s", root, parts->tenant, folder, parts->file,
                                            parts->kind, parts->extension)
                              : text_format(target, size, "%s%s/%s%s/%s.%s-%llu.%s", root, parts->tenant, folder,
                                            parts->file, parts->kind, parts->job,
                                            (unsigned long long)parts->epoch, parts->extension);

    return result == 0 && key_is_valid(target) ? 0 : -1;
}

int key_retained(char *target, size_t size, const char *retention_class, const char *user, const char *id,
                 const char *extension) {
    int result = text_format(target, size, "%s/%s/%s.%s", retention_class, user, id, extension);

    return result == 0 && key_is_valid(target) ? 0 : -1;
}

int key_retained_output(char *target, size_t size, const char *retention_class, const char *user,
                        const struct key_parts *parts) {
    char later[96] = "";

    if (parts->first)
        return key_retained(target, size, retention_class, user, parts->file, parts->extension);
    if (text_format(later, sizeof later, "%s.%s-%llu", parts->file, parts->job,
                    (unsigned long long)parts->epoch) != 0)
        return -1;
    return key_retained(target, size, retention_class, user, later, parts->extension);
}

/* Each take_* moves the cursor over one part of the key; false leaves it anywhere. */
static bool take_text(const char **cursor, const char *text) {
    size_t length = strlen(text);

    if (strncmp(*cursor, text, length) != 0)
        return false;
    *cursor += length;
    return true;
}

static bool take_uuid(const char **cursor) {
    char uuid[UUID_TEXT_SIZE];

    if (strnlen(*cursor, UUID_LENGTH) < UUID_LENGTH)
        return false;
    memcpy(uuid, *cursor, UUID_LENGTH);
    uuid[UUID_LENGTH] = '\0';
    *cursor += UUID_LENGTH;
    return text_is_uuid(uuid);
}

static bool take_word(const char **cursor, const char *alphabet, size_t max) {
    size_t length = strspn(*cursor, alphabet);

    *cursor += length;
    return length >= 1 && length <= max;
}

static bool take_extension(const char **cursor) {
    return take_text(cursor, ".") && take_word(cursor, "abcdefghijklmnopqrstuvwxyz0123456789", EXTENSION_MAX);
}

/* Sealed objects end in it. */
static bool is_end(const char *key) {
    return *key == '\0' || strcmp(key, ".enc") == 0;
}

static bool is_original(const char *key) {
    return take_text(&key, "t/") && take_uuid(&key) && take_text(&key, "/u/") && take_uuid(&key) &&
           take_text(&key, "/") && take_uuid(&key) && take_extension(&key) && *key == '\0';
}

/* What the first job of a file made has no more than an extension; later ones have their job's id and time.
 */
static bool is_ending(const char *key) {
    const char *rest = key;

    if (take_extension(&rest) && is_end(rest))
        return true;
    return take_text(&key, ".") && take_uuid(&key) && take_text(&key, "-") &&
           take_word(&key, "0123456789", 20) && take_extension(&key) && is_end(key);
}

static bool is_derivative(const char *key) {
    static const char kind_alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
    bool published = key_is_published(key);

    return take_text(&key, published ? PUBLISHED : "t/") && take_uuid(&key) &&
           take_text(&key, published ? "/" : "/derived/") && take_uuid(&key) && take_text(&key, "/") &&
           take_word(&key, kind_alphabet, KIND_MAX) && is_ending(key);
}

/* No class is named as another layout begins ("t", "raw"): classes have a dash. */
static bool is_retained(const char *key) {
    size_t word = strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-");

    if (word == 0 || word > CLASS_MAX || memchr(key, '-', word) == NULL || *key < 'a')
        return false;
    key += word;
    return take_text(&key, "/") && take_uuid(&key) && take_text(&key, "/") && take_uuid(&key) &&
           is_ending(key);
}

const char *key_source(const char *key) {
    return take_text(&key, SOURCE_PREFIX) && take_uuid(&key) && take_text(&key, "/") && *key != '\0' ? key : NULL;
}

bool key_is_published(const char *key) {
    return strncmp(key, PUBLISHED, sizeof PUBLISHED - 1) == 0;
}

bool key_is_valid(const char *key) {
    size_t length = strnlen(key, KEY_MAX);

    return length < KEY_MAX && (is_original(key) || is_derivative(key) || is_retained(key) ||
                                portal_path_check(key, length, PORTAL_ANY_UUID, NULL) == NULL);
}
