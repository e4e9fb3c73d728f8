/* SPDX-License-Identifier: MIT
 * Paths and file names of document portals, and trace headers. A path that is accepted has only harmless
 * characters, is the one that its parts make, and names its owner; a cleaned name is clean. */
#include "lib/trace.h"
#include "storage/portal_paths.h"
#include "tests/fuzz/fuzz.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/";

static void check_path(const char *bytes, size_t size, enum portal_identity identity) {
    struct portal_path parts;
    char text[PORTAL_PATH_MAX], made[PORTAL_PATH_MAX];

    if (portal_path_check(bytes, size, identity, &parts) != NULL)
        return;
    require(size < sizeof text);
    memcpy(text, bytes, size);
    text[size] = '\0';
    require(strlen(text) == size && strspn(text, alphabet) == size && strstr(text, "..") == NULL);
    require(text[0] != '/' && strstr(text, "//") == NULL && text_is_uuid(parts.user) &&
            text_is_uuid(parts.item));
    require(parts.name > bytes && parts.name < bytes + size);
    if (parts.area == PORTAL_OUTPUT)
        require(portal_path_output(made, sizeof made, parts.user, parts.item, strrchr(text, '/') + 1) == 0 &&
                strcmp(made, text) == 0);
    if (parts.area == PORTAL_MASTER)
        require(portal_path_master(made, sizeof made, parts.user, parts.item) == 0 &&
                strcmp(made, text) == 0);
}

static void check_name(const char *name) {
    static const char id[] = "3b241101-e2bb-4255-8caf-4136c566a962";
    char clean[PORTAL_FILENAME_MAX + 1], again[PORTAL_FILENAME_MAX + 1], path[PORTAL_PATH_MAX];

    portal_clean_filename(clean, name);
    require(clean[0] != '\0' && clean[0] != '.' && strspn(clean, alphabet) == strlen(clean));
    require(strchr(clean, '/') == NULL && strstr(clean, "..") == NULL);
    portal_clean_filename(again, clean);
    require(strcmp(clean, again) == 0);
    require(portal_path_raw(path, sizeof path, id, id, UINT64_MAX, name) == 0);
    require(portal_path_check(path, strlen(path), PORTAL_UUID4, NULL) == NULL);
}

static void check_trace(const char *text) {
    char id[TRACE_ID_SIZE], header[TRACE_HEADER_SIZE], again[TRACE_ID_SIZE];

    if (!trace_parse(text, id))
        return;
    require(trace_is_id(id) && trace_header(header, id) == 0);
    require(trace_parse(header, again) && strcmp(id, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    char *copy = exact_copy(bytes, size), *text = exact_text(bytes, size);

    check_path(copy, size, PORTAL_UUID4);
    check_path(copy, size, PORTAL_ANY_UUID);
    check_name(text);
    check_trace(text);
    free(text);
    free(copy);
    return 0;
}
