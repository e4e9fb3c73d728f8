/* SPDX-License-Identifier: MIT
 * Prints a presigned URL of storage/storage.h, for tests that give it to S3 servers: settings from the
 * environment, arguments METHOD KEY EXPIRES_S [name=value ...] with type, length, sha256, create_only,
 * disposition. */
#include "config/settings.h"
#include "lib/text.h"
#include "storage/storage.h"
#include <stdio.h>
#include <string.h>

static void take_option(struct storage_presign *what, const char *option) {
    const char *value = strchr(option, '=') != NULL ? strchr(option, '=') + 1 : "";

    if (text_starts_with(option, "type="))
        what->content_type = value;
    else if (text_starts_with(option, "length="))
        (void)text_parse_i64(value, 0, INT64_MAX, &what->content_length);
    else if (text_starts_with(option, "sha256="))
        what->checksum_sha256 = value;
    else if (text_starts_with(option, "create_only"))
        what->create_only = true;
    else if (text_starts_with(option, "disposition="))
        what->response_disposition = value;
}

int main(int argument_count, char **arguments) {
    static struct settings settings;
    struct storage_presign what = {.content_length = -1, .internal = true};
    char url[STORAGE_URL_MAX];
    char error[256];
    struct storage *storage;

    settings_load(&settings, "presign");
    if (argument_count < 4 || text_parse_i64(arguments[3], 1, 604800, &what.expires_s) != 0)
        return 2;
    what.method = arguments[1];
    what.key = arguments[2];
    for (int i = 4; i < argument_count; i++)
        take_option(&what, arguments[i]);
    storage = storage_new(&settings, error, sizeof(error));
    if (storage == NULL || storage_presign(storage, &what, url, sizeof(url)) != 0) {
        (void)fprintf(stderr, "%s\n", storage == NULL ? error : "does not fit");
        storage_free(storage);
        settings_clear(&settings);
        return 1;
    }
    (void)printf("%s\n", url);
    storage_free(storage);
    settings_clear(&settings);
    return 0;
}
