/* SPDX-License-Identifier: MIT
 * filemill-token: a token for trying things out, signed with the instance's own HS256 secret (or with the
 * private key in jwks-file). Prints it on standard output and nothing else. filemill-token [--user UUID]
 * [--ttl 1h] [--email ADDRESS] */
#include "config/settings.h"
#include "gateway/token_make.h"
#include "lib/log.h"
#include "lib/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TTL_S (366 * 24 * 3600)

struct wish {
    char user[UUID_TEXT_SIZE];
    const char *email;
    uint64_t ttl_s;
};

static int usage(void) {
    (void)fputs("usage: filemill-token [--user UUID] [--ttl 90s|15m|1h|7d] [--email ADDRESS]\n", stderr);
    return 2;
}

static int parse_ttl(const char *text, uint64_t *seconds) {
    static const struct {
        char letter;
        uint64_t factor;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char number[16];
    size_t length = strlen(text);
    uint64_t factor = 1;
    if (length == 0 || length >= sizeof number) {
        return -1;
    }
    (void)text_copy(number, sizeof number, text);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (text[length - 1] == units[i].letter) {
            factor = units[i].factor;
            number[length - 1] = '\0';
        }
    }
    if (text_parse_u64(number, 1, MAX_TTL_S, seconds) != 0 || *seconds * factor > MAX_TTL_S) {
        return -1;
    }
    *seconds *= factor;
    return 0;
}

static int parse_arguments(int count, char **arguments, struct wish *wish) {
    for (int i = 1; i < count; i += 2) {
        const char *name = arguments[i];
        const char *value = i + 1 < count ? arguments[i + 1] : NULL;
        if (value == NULL) {
            return -1;
        }
        if (strcmp(name, "--user") == 0 && text_is_uuid(value)) {
            (void)text_copy(wish->user, sizeof wish->user, value);
        } else if (strcmp(name, "--email") == 0) {
            wish->email = value;
        } else if (strcmp(name, "--ttl") != 0 || parse_ttl(value, &wish->ttl_s) != 0) {
            return -1;
        }
    }
    return 0;
}

int main(int count, char **arguments) {
    struct settings settings;
    struct wish wish = {.email = "dev@localhost", .ttl_s = 3600};
    text_uuid4(wish.user);
    if (parse_arguments(count, arguments, &wish) != 0) {
        return usage();
    }
    settings_load(&settings, "token");
    char *token = token_make(
        &settings, &(struct token_wish){.user = wish.user, .email = wish.email, .ttl_s = wish.ttl_s});
    if (token == NULL) {
        fatal(
            "option=jwt-secret error=\"not set, and there is no private key in jwks-file: no way to sign\"");
    }
    (void)puts(token);
    free(token);
    settings_clear(&settings);
    return 0;
}
