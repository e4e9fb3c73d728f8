/* SPDX-License-Identifier: MIT
 * The verbs' functions. They print to people, so they use stdio, not the log. */
#include "supervisor/verbs.h"

#include "lib/clock.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "supervisor/command.h"
#include "supervisor/instance.h"
#include "supervisor/supervisor.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 180000
#define WAIT_STEP_US 20000

int verb_complain(int status, const char *error) {
    fprintf(stderr, "filemill: %s\n", error);
    return status;
}

static bool has_switch(const struct cli *cli, const char *name) {
    for (size_t i = 0; i < cli->words.count; i++) {
        if (strcmp(cli->words.list[i], name) == 0)
            return true;
    }
    return false;
}

/* Complains about the first word that is not the one switch that this verb knows; 0 if there is none. */
static int refuse_words(const struct cli *cli, const char *known) {
    for (size_t i = 0; i < cli->words.count; i++) {
        if (known == NULL || strcmp(cli->words.list[i], known) != 0) {
            fprintf(stderr, "filemill %s: \"%s\" is not understood\n", cli->verb->name, cli->words.list[i]);
            return 2;
        }
    }
    return 0;
}

int verb_serve(struct cli *cli) {
    int refused = refuse_words(cli, "--demo");

    return refused != 0 ? refused : supervisor_serve(&cli->sources, has_switch(cli, "--demo"));
}

/* Asks one line and prints the answer; the exit status. */
static int ask_and_print(struct cli *cli, const char *line) {
    struct instance instance;
    char error[512];
    char *answer = NULL;
    int status = 1;

    if (instance_find(&instance, &cli->sources, error, sizeof error) == 0)
        answer = instance_ask(&instance, line, error, sizeof error);
    if (answer == NULL) {
        (void)verb_complain(1, error);
    } else if (text_starts_with(answer, "error ")) {
        fprintf(stderr, "filemill: %s", answer + strlen("error "));
    } else {
        fputs(answer, stdout);
        status = 0;
    }
    free(answer);
    instance_clear(&instance);
    return status;
}

int verb_ask(struct cli *cli) {
    char line[COMMAND_LINE_MAX];

    if (text_format(line, sizeof line, "%s%s%s", cli->verb->name, cli->words.count > 0 ? " " : "",
                    cli->words.count > 0 ? cli->words.list[0] : "") != 0 ||
        cli->words.count > (cli->verb->usage != NULL ? 1 : 0)) {
        fprintf(stderr, "usage: filemill %s %s\n", cli->verb->name,
                cli->verb->usage != NULL ? cli->verb->usage : "");
        return 2;
    }
    return ask_and_print(cli, line);
}

/* "workers=3" is asked as "workers 3". All words are checked before the first is asked. */
int verb_scale(struct cli *cli) {
    int status = cli->words.count == 0 ? 2 : 0;

    for (size_t i = 0; i < cli->words.count && status == 0; i++) {
        char *equals = strchr(cli->words.list[i], '=');
        if (equals == NULL || (!text_starts_with(cli->words.list[i], "workers=") &&
                               !text_starts_with(cli->words.list[i], "slots=")))
            status = 2;
        else
            *equals = ' ';
    }
    if (status != 0) {
        fprintf(stderr, "usage: filemill scale workers=N slots=N\n");
        return status;
    }
    for (size_t i = 0; i < cli->words.count && status == 0; i++)
        status = ask_and_print(cli, cli->words.list[i]);
    return status;
}

/* The answer of `health`, or NULL; prints nothing. */
static char *ask_health(struct cli *cli, char *error, size_t error_size) {
    struct instance instance;
    char *answer = NULL;

    if (instance_find(&instance, &cli->sources, error, error_size) == 0)
        answer = instance_ask(&instance, "health", error, error_size);
    instance_clear(&instance);
    return answer;
}

int verb_health(struct cli *cli) {
    int64_t deadline_ms = clock_monotonic_ms() + (has_switch(cli, "--wait") ? WAIT_MS : 0);
    char error[512];
    int refused = refuse_words(cli, "--wait");

    while (refused == 0) {
        char *answer = ask_health(cli, error, sizeof error);
        bool ready = answer != NULL && strstr(answer, "\"status\":\"ready\"") != NULL;
        bool last = ready || clock_monotonic_ms() >= deadline_ms;
        if (last && answer != NULL)
            fputs(answer, stdout);
        else if (last)
            (void)verb_complain(1, error);
        free(answer);
        if (last)
            return ready ? 0 : 1;
        usleep(WAIT_STEP_US);
    }
    return refused;
}

/* What docs/configuration.md says before the tables. */
static const char reference_head[] =
    "<!-- Made by `make docs` from config/settings.c: change it there. -->\n\n"
    "# Configuration\n\n"
    "Every option is an environment variable, a line `NAME=value` of the file that `--config` or "
    "`FILEMILL_CONFIG`\n"
    "names, or a flag of `filemill serve`: `FILEMILL_WORKER_SLOTS=4` is `--worker-slots 4`. Flags win over "
    "the\n"
    "environment, the environment over the file, an option's own variable over its older names. An empty "
    "value is an\n"
    "unset one. A malformed value, or an unknown name that begins with `FILEMILL_`, stops the start with one "
    "line that\n"
    "names it. Sizes in bytes may end in `k`, `M` or `G` (powers of 1024).\n\n"
    "`filemill config` prints what is in force. Each process is told only what it needs; see\n"
    "[security.md](security.md).\n\n";

int verb_config(struct cli *cli) {
    struct instance instance;
    char error[512];
    int status = refuse_words(cli, "--markdown");

    if (status != 0)
        return status;
    if (has_switch(cli, "--markdown")) {
        fputs(reference_head, stdout);
        options_print(&settings_table, NULL, true, stdout);
        return 0;
    }
    if (instance_find(&instance, &cli->sources, error, sizeof error) == 0)
        options_print(&settings_table, &instance.configuration.settings, false, stdout);
    else
        status = verb_complain(2, error);
    instance_clear(&instance);
    return status;
}

/* export NAME='value', safe for any value. */
static void print_export(const char *name, const char *value) {
    if (value == NULL)
        return;
    printf("export %s='", name);
    for (; *value != '\0'; value++)
        fputs(*value == '\'' ? "'\\''" : (char[]){*value, '\0'}, stdout);
    fputs("'\n", stdout);
}

/* No name here is one that `filemill serve` reads: a shell that has these can start another node. */
int verb_env(struct cli *cli) {
    struct instance instance;
    char error[512];
    int status = refuse_words(cli, NULL);

    if (status == 0 && instance_find(&instance, &cli->sources, error, sizeof error) == 0) {
        const struct settings *settings = &instance.configuration.settings;
        char *base = settings->public_url != NULL ? memory_copy_text(settings->public_url)
                                                  : memory_format("http://%s:%lld", settings->gateway_address,
                                                                  (long long)settings->gateway_port);
        print_export("API_BASE", base);
        print_export("STATE_DIRECTORY", instance.layout.state);
        print_export("PSQL_URL", settings->database_url);
        print_export("AWS_ENDPOINT_URL", settings->storage_endpoint);
        print_export("AWS_ACCESS_KEY_ID", settings->storage_access_key);
        print_export("AWS_SECRET_ACCESS_KEY", settings->storage_secret_key);
        print_export("AWS_REGION", settings->storage_region);
        print_export("AWS_DEFAULT_REGION", settings->storage_region);
        print_export("AWS_BUCKET", settings->storage_bucket);
        free(base);
        instance_clear(&instance);
    } else if (status == 0) {
        status = verb_complain(1, error);
        instance_clear(&instance);
    }
    return status;
}

/* Told nothing but where the socket is: no settings, no secrets. */
int verb_top(struct cli *cli) {
    struct instance instance;
    char error[512] = "";
    struct words words = {.list = memory_new_array(cli->words.count + 2, sizeof *words.list)};

    if (instance_find(&instance, &cli->sources, error, sizeof error) == 0) {
        words.list[words.count++] = instance.layout.stats_socket;
        for (size_t i = 0; i < cli->words.count; i++)
            words.list[words.count++] = cli->words.list[i];
        (void)instance_exec(&instance, cli->verb->program, &words, 0, error, sizeof error);
    }
    free(words.list);
    instance_clear(&instance);
    return verb_complain(1, error);
}

int verb_program(struct cli *cli) {
    struct instance instance;
    char error[512];

    if (instance_find(&instance, &cli->sources, error, sizeof error) == 0)
        (void)instance_exec(&instance, cli->verb->program, &cli->words, cli->verb->audience, error,
                            sizeof error);
    instance_clear(&instance);
    return verb_complain(1, error);
}

/* Needs no instance: only the configuration. The program itself says what is wrong with that, in the form that
 * its caller reads. */
int verb_run(struct cli *cli) {
    struct instance instance = {0};
    struct words words = {.list = memory_new_array(cli->words.count + 2, sizeof *words.list)};
    char flag[] = "--configuration-refused", refusal[512], error[512];

    for (; words.count < cli->words.count; words.count++)
        words.list[words.count] = cli->words.list[words.count];
    if (configuration_load(&instance.configuration, &cli->sources, refusal, sizeof refusal) != 0) {
        words.list[words.count++] = flag;
        words.list[words.count++] = refusal;
    }
    (void)instance_exec(&instance, cli->verb->program, &words, cli->verb->audience, error, sizeof error);
    free(words.list);
    configuration_clear(&instance.configuration);
    return verb_complain(1, error);
}
