/* SPDX-License-Identifier: MIT
 * filemill-console: the address of the web console, with a one-time code in the fragment where the instance
 * has a shared secret to sign it with. A browser never sends a fragment, so the code is in no server's log.
 * Prints the address on standard output and nothing else. filemill-console [--user UUID | --admin] */
#include "config/settings.h"
#include "gateway/console.h"
#include "gateway/json.h"
#include "gateway/token.h"
#include "gateway/token_make.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The user whom `filemill demo` sends its samples as: what it made is what one sees first. */
#define DEMO_USER "00000000-0000-4000-8000-00000000d311"

static char *make_code(const struct settings *settings, const char *user) {
    enum token_key_fault fault;
    char id[UUID_TEXT_SIZE];
    struct token_key *key = token_key_from_secret(settings->jwt_secret, &fault);
    if (key == NULL) {
        fatal("option=jwt-secret error=\"shorter than 32 bytes\"");
    }
    json_int_t now_s = (json_int_t)(clock_wall_ms() / 1000);
    text_uuid4(id);
    json_t *claims = json_pack("{s:s,s:s,s:s,s:s,s:I,s:I}", "sub", user, "aud", CONSOLE_AUDIENCE, "role",
                               "authenticated", "jti", id, "iat", now_s, "exp", now_s + CONSOLE_CODE_SECONDS);
    char *code = claims != NULL ? token_sign(key, claims) : NULL;
    json_decref(claims);
    token_key_free(key);
    return code;
}

static char *make_base(const struct settings *settings) {
    const char *address = settings->gateway_address;
    if (settings->public_url != NULL) {
        size_t length = strlen(settings->public_url);
        return memory_format("%.*s", (int)(length - (settings->public_url[length - 1] == '/' ? 1 : 0)),
                             settings->public_url);
    }
    if (strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0) {
        address = "127.0.0.1";
    }
    bool is_ipv6 = strchr(address, ':') != NULL;
    return memory_format("http://%s%s%s:%lld", is_ipv6 ? "[" : "", address, is_ipv6 ? "]" : "",
                         (long long)settings->gateway_port);
}

/* Whom the link signs in; NULL when the words are wrong, "" when there is no admin. `admin` is room for one.
 */
static const char *choose_user(const struct settings *settings, int count, char **arguments,
                               char admin[UUID_TEXT_SIZE]) {
    if (count == 3 && strcmp(arguments[1], "--user") == 0 && text_is_uuid(arguments[2])) {
        return arguments[2];
    }
    if (count == 2 && strcmp(arguments[1], "--admin") == 0) {
        token_first_user(settings->admins, admin);
        return text_is_uuid(admin) ? admin : "";
    }
    return count == 1 ? DEMO_USER : NULL;
}

int main(int count, char **arguments) {
    struct settings settings;
    char admin[UUID_TEXT_SIZE] = "";
    settings_load(&settings, "console");
    const char *user = choose_user(&settings, count, arguments, admin);
    if (user == NULL || user[0] == '\0') {
        (void)fputs(user == NULL ? "usage: filemill console [--user UUID | --admin]\n"
                                 : "filemill: there is no admin to sign in: set FILEMILL_ADMINS\n",
                    stderr);
        settings_clear(&settings);
        return user == NULL ? 2 : 1;
    }
    if (!settings.console) {
        fatal("option=console error=\"off: this instance serves no console\"");
    }
    char *base = make_base(&settings);
    char *code = settings.jwt_secret != NULL ? make_code(&settings, user) : NULL;
    if (code != NULL) {
        (void)printf("%s/console/#code=%s\n", base, code);
    } else {
        (void)printf("%s/console/\n", base);
        (void)fputs("There is no shared secret to sign a one-time code with: sign in with a user's token.\n",
                    stderr);
    }
    free(code);
    free(base);
    settings_clear(&settings);
    return 0;
}
