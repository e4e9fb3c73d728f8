/* SPDX-License-Identifier: MIT
 * Paths of document portals. The check reads bytes, not texts, because what it is given may hold a NUL; it
 * says what is wrong, because a client has to mend it. */
#include "storage/portal_paths.h"

#include <string.h>

#define UUID_LENGTH (UUID_TEXT_SIZE - 1)
#define EXTENSION_MAX 16
#define SUFFIX ".enc"
#define TIMESTAMP_MAX 20
/* a timestamp and its underscore, a file name, the suffix */
#define NAME_MAX_BYTES (TIMESTAMP_MAX + 1 + PORTAL_FILENAME_MAX + sizeof SUFFIX - 1)

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

static const char *const area_names[PORTAL_AREA_COUNT] = {
    [PORTAL_RAW] = "raw/", [PORTAL_MASTER] = "master/", [PORTAL_OUTPUT] = "output/"};

_Static_assert(sizeof "output/" - 1 + 2 * (UUID_LENGTH + 1) + NAME_MAX_BYTES < PORTAL_PATH_MAX,
               "the longest path must fit");

bool portal_is_uuid4(const char *text) {
    return text_is_uuid(text) && text[14] == '4' && strchr("89abAB", text[19]) != NULL;
}

static bool is_identity(const char *text, enum portal_identity identity) {
    return identity == PORTAL_ANY_UUID ? text_is_uuid(text) : portal_is_uuid4(text);
}

/* --- names ---------------------------------------------------------------------------------------------- */

/* Cuts from the middle, so that a short extension stays. */
static void shorten(char *name) {
    size_t length = strlen(name);
    const char *dot = strrchr(name, '.');
    size_t tail = dot == NULL ? 0 : strlen(dot);

    if (length <= PORTAL_FILENAME_MAX)
        return;
    if (tail > EXTENSION_MAX + 1)
        tail = 0;
    size_t head = PORTAL_FILENAME_MAX - tail;
    while (head > 0 && name[head - 1] == '.')
        head--;
    memmove(name + head, name + length - tail, tail);
    name[head + tail] = '\0';
}

/* The part of the name that can still matter: an extension may come after any number of letters. */
static size_t gather(char *target, size_t size, const char *name) {
    size_t used = 0;

    for (; *name != '\0' && used + 1 < size; name++) {
        bool known = strchr(alphabet, *name) != NULL;
        if (*name == '.' && (used == 0 || target[used - 1] == '.'))
            continue;
        if (((unsigned char)*name & 0xc0) == 0x80) /* one '_' for a letter of several bytes */
            continue;
        target[used++] = known ? *name : '_';
    }
    target[used] = '\0';
    return used;
}

void portal_clean_filename(char *target, const char *filename) {
    char name[4096] = "";
    const char *last = filename;

    for (const char *at = filename; *at != '\0'; at++) {
        if (*at == '/' || *at == '\\')
            last = at + 1;
    }
    size_t used = gather(name, sizeof name, last);
    while (used > 0 && name[used - 1] == '.')
        name[--used] = '\0';
    shorten(name);
    (void)text_copy(target, PORTAL_FILENAME_MAX + 1, used == 0 ? "file" : name);
}

/* --- making --------------------------------------------------------------------------------------------- */

static int accept(const char *path, int cut) {
    return cut == 0 && portal_path_check(path, strlen(path), PORTAL_ANY_UUID, NULL) == NULL ? 0 : -1;
}

int portal_path_raw(char *target, size_t size, const char *user, const char *job, uint64_t timestamp,
                    const char *filename) {
    char name[PORTAL_FILENAME_MAX + 1];

    portal_clean_filename(name, filename);
    return accept(target, text_format(target, size, "raw/%s/%s/%llu_%s" SUFFIX, user, job,
                                      (unsigned long long)timestamp, name));
}

int portal_path_master(char *target, size_t size, const char *user, const char *document) {
    return accept(target, text_format(target, size, "master/%s/%s/%s" SUFFIX, user, document, document));
}

int portal_path_output(char *target, size_t size, const char *user, const char *job, const char *name) {
    return accept(target, text_format(target, size, "output/%s/%s/%s", user, job, name));
}

void portal_document_of(char *document, const char *job, uint64_t epoch) {
    unsigned char node[6] = {0};

    (void)text_copy(document, UUID_TEXT_SIZE, job);
    (void)text_hex_decode(node, sizeof node, document + UUID_LENGTH - 2 * sizeof node);
    epoch = epoch == 0 ? 0 : epoch - 1;
    for (size_t i = sizeof node; i-- > 0; epoch >>= 8)
        node[i] ^= (unsigned char)(epoch & 0xff);
    text_hex_encode(document + UUID_LENGTH - 2 * sizeof node, node, sizeof node);
}

/* --- checking ------------------------------------------------------------------------------------------- */

/* What no path of any area may hold. */
static const char *check_shape(const char *path, size_t size) {
    if (size == 0)
        return "the path is empty";
    if (memchr(path, '\0', size) != NULL)
        return "the path holds a NUL";
    if (size >= PORTAL_PATH_MAX)
        return "the path is too long";
    if (path[0] == '/' || path[0] == '\\')
        return "the path is absolute";
    return NULL;
}

static int take_uuid(const char **at, char *uuid, enum portal_identity identity) {
    if (strnlen(*at, UUID_LENGTH + 1) <= UUID_LENGTH || (*at)[UUID_LENGTH] != '/')
        return -1;
    memcpy(uuid, *at, UUID_LENGTH);
    uuid[UUID_LENGTH] = '\0';
    *at += UUID_LENGTH + 1;
    return is_identity(uuid, identity) ? 0 : -1;
}

static const char *check_name(const char *name) {
    size_t length = strlen(name);

    if (length == 0 || length > NAME_MAX_BYTES)
        return "the path's name is empty or too long";
    if (name[0] == '.' || name[strspn(name, alphabet)] != '\0')
        return "the path's name may have letters, digits, '.', '_' and '-' only";
    return NULL;
}

static const char *check_area(const struct portal_path *parts) {
    if (parts->area == PORTAL_OUTPUT)
        return NULL;
    if (!text_ends_with(parts->name, SUFFIX) || strlen(parts->name) == strlen(SUFFIX))
        return "the path's name must end in .enc";
    if (parts->area == PORTAL_MASTER && (strncmp(parts->name, parts->item, UUID_LENGTH) != 0 ||
                                         strcmp(parts->name + UUID_LENGTH, SUFFIX) != 0))
        return "a master is named for its document";
    return NULL;
}

const char *portal_path_check(const char *path, size_t size, enum portal_identity identity,
                              struct portal_path *parts) {
    struct portal_path own;
    char text[PORTAL_PATH_MAX];
    const char *at = text, *refusal = check_shape(path, size);

    if (refusal != NULL)
        return refusal;
    memcpy(text, path, size);
    text[size] = '\0';
    if (strstr(text, "..") != NULL)
        return "the path holds \"..\"";
    own.area = PORTAL_RAW;
    while (own.area < PORTAL_AREA_COUNT && !text_starts_with(text, area_names[own.area]))
        own.area++;
    if (own.area == PORTAL_AREA_COUNT)
        return "the path does not begin with raw/, master/ or output/";
    at += strlen(area_names[own.area]);
    if (take_uuid(&at, own.user, identity) != 0)
        return "the path's user is not a UUID (version 4)";
    if (take_uuid(&at, own.item, identity) != 0)
        return "the path's job or document is not a UUID (version 4)";
    own.name = at;
    refusal = check_name(at);
    if (refusal == NULL)
        refusal = check_area(&own);
    own.name = path + (at - text);
    if (refusal == NULL && parts != NULL)
        *parts = own;
    return refusal;
}
