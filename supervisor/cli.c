/* SPDX-License-Identifier: MIT
 * Verbs. Each is a thin wrap: of the supervisor, of one line to its socket, or of another program of ours. */
#include "supervisor/cli.h"

#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "supervisor/instance.h"
#include "supervisor/postgres.h"
#include "supervisor/supervisor.h"
#include "supervisor/verbs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static verb_fn do_help, do_version;

static const struct verb verbs[] = {
    {.name = "serve",
     .fn = verb_serve,
     .usage = "[--demo]",
     .help = "run this node until it is told to stop"},
    {.name = "health",
     .fn = verb_health,
     .usage = "[--wait]",
     .help = "whether it serves; waits until it does"},
    {.name = "stats", .fn = verb_ask, .help = "services and counters as JSON"},
    {.name = "top",
     .fn = verb_top,
     .program = "filemill-top",
     .usage = "[--once] [--interval S]",
     .help = "what the node does now, live"},
    {.name = "metrics", .fn = verb_ask, .help = "the same for Prometheus"},
    {.name = "jobs", .fn = verb_ask, .help = "the queue, by type and state"},
    {.name = "pause", .fn = verb_ask, .usage = "TYPE", .help = "start no more jobs of a type"},
    {.name = "resume", .fn = verb_ask, .usage = "TYPE", .help = "start them again"},
    {.name = "scale",
     .fn = verb_scale,
     .usage = "workers=N slots=N",
     .help = "more or fewer workers, until a restart"},
    {.name = "reload", .fn = verb_ask, .help = "reread the configuration (as SIGHUP does)"},
    {.name = "drain", .fn = verb_ask, .help = "finish what runs and stop (as SIGTERM does)"},
    {.name = "config", .fn = verb_config, .usage = "[--markdown]", .help = "every option with its value"},
    {.name = "env", .fn = verb_env, .help = "shell exports for curl, psql and S3 clients"},
    {.name = "run",
     .fn = verb_run,
     .program = "filemill-run",
     .audience = FOR_RUN,
     .usage = "TYPE|--list|--help …",
     .help = "one document through one processor, here"},
    {.name = "migrate",
     .fn = verb_program,
     .program = "filemill-migrate",
     .audience = FOR_MIGRATE,
     .help = "bring the database's schema up to date"},
    {.name = "rotate-keys",
     .fn = verb_program,
     .program = "filemill-rotate-keys",
     .audience = FOR_SCHEDULER,
     .help = "wrap all data keys by the first master key"},
    {.name = "token",
     .fn = verb_program,
     .program = "filemill-token",
     .audience = FOR_TOKEN,
     .usage = "--user UUID …",
     .help = "make a token for development"},
    {.name = "admin",
     .fn = verb_program,
     .program = "filemill-admin",
     .audience = FOR_TOKEN | FOR_DEMO,
     .usage = "VERB …",
     .help = "queue, jobs, retry, cancel, schedules of the whole service"},
    {.name = "doctor",
     .fn = verb_program,
     .program = "filemill-doctor",
     .audience = FOR_MIGRATE | FOR_GATEWAY | FOR_SCHEDULER | FOR_RUN | FOR_TOKEN,
     .usage = "[--json]",
     .help = "check machine, sandbox, database and what the bucket enforces"},
    {.name = "console",
     .fn = verb_program,
     .program = "filemill-console",
     .audience = FOR_TOKEN,
     .usage = "[--user UUID | --admin]",
     .help = "a link to the web console that signs in once"},
    {.name = "demo",
     .fn = verb_program,
     .program = "filemill-demo",
     .audience = FOR_DEMO | FOR_TOKEN,
     .usage = "[FILE…]",
     .help = "send files through the running instance"},
    {.name = "version", .fn = do_version, .help = "print the version"},
    {.name = "help", .fn = do_help, .help = "print this"},
};
#define VERB_COUNT (sizeof verbs / sizeof verbs[0])

static void print_help(FILE *stream) {
    fprintf(stream, "usage: filemill VERB [--option value]…\n\n");
    for (size_t i = 0; i < VERB_COUNT; i++) {
        char head[64];
        (void)text_format(head, sizeof head, "%s %s", verbs[i].name,
                          verbs[i].usage != NULL ? verbs[i].usage : "");
        fprintf(stream, "  %-26s %s\n", head, verbs[i].help);
    }
    fprintf(
        stream,
        "\n  --config FILE              read options from a file of NAME=value lines (or FILEMILL_CONFIG)\n"
        "  --state-directory DIR      the instance that is meant\n"
        "  Options are listed by `filemill config`.\n");
}

static int do_help(struct cli *cli) {
    print_help(stdout);
    return 0;
}

static int do_version(struct cli *cli) {
    printf("filemill %s\n", FILEMILL_VERSION);
    return 0;
}

/* Levenshtein's distance of two short words. */
static size_t distance(const char *left, const char *right) {
    size_t row[33];
    size_t width = strlen(right);

    if (width > 32)
        return 99;
    for (size_t j = 0; j <= width; j++)
        row[j] = j;
    for (size_t i = 1; left[i - 1] != '\0'; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= width; j++) {
            size_t best = corner + (left[i - 1] == right[j - 1] ? 0 : 1);
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            corner = row[j];
            row[j] = best;
        }
    }
    return row[width];
}

static int refuse_verb(const char *word) {
    const char *separator = "; did you mean ";

    fprintf(stderr, "filemill: there is no verb \"%s\"", word);
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (distance(word, verbs[i].name) > 2 && !text_starts_with(verbs[i].name, word))
            continue;
        fprintf(stderr, "%s%s", separator, verbs[i].name);
        separator = " or ";
    }
    fprintf(stderr, "\nfilemill help lists all verbs.\n");
    return 2;
}

static const struct verb *find_verb(const char *word) {
    static const char *const synonyms[][2] = {{"--help", "help"}, {"-h", "help"}, {"--version", "version"}};

    for (size_t i = 0; i < sizeof synonyms / sizeof synonyms[0]; i++) {
        if (strcmp(synonyms[i][0], word) == 0)
            word = synonyms[i][1];
    }
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(verbs[i].name, word) == 0)
            return &verbs[i];
    }
    return NULL;
}

/* Programs have options of their own: only those that say which instance is meant are ours. */
static int split_for_program(struct cli *cli, int count, char **arguments, char *error, size_t error_size) {
    static const char *const ours[] = {"--config", "--state-directory"};

    for (int i = 0; i < count; i++) {
        size_t taken = 0;
        for (size_t j = 0; j < sizeof ours / sizeof ours[0]; j++) {
            size_t size = strlen(ours[j]);
            if (strncmp(arguments[i], ours[j], size) != 0)
                continue;
            taken = arguments[i][size] == '=' ? 1 : arguments[i][size] == '\0' ? 2 : 0;
        }
        if (taken == 0) {
            cli->words.list[cli->words.count++] = arguments[i];
            continue;
        }
        char *none[2];
        struct words rest = {.list = none};
        int available = count - i < (int)taken ? count - i : (int)taken;
        if (sources_from_arguments(&cli->sources, available, arguments + i, &rest, error, error_size) != 0)
            return -1;
        i += available - 1;
    }
    return 0;
}

int cli_run(int argument_count, char **arguments) {
    struct cli cli = {.sources = {.environment = environ, .file = getenv("FILEMILL_CONFIG")}};
    char error[512];

    log_init("filemill", LOG_WARN);
    if (argument_count < 2) {
        print_help(stderr);
        return 2;
    }
    if (strcmp(arguments[1], "embedded-postgres") == 0) /* not for people: see postgres.h */
        return postgres_launch(argument_count - 2, arguments + 2);
    cli.verb = find_verb(arguments[1]);
    if (cli.verb == NULL)
        return refuse_verb(arguments[1]);
    if (cli.sources.file != NULL && *cli.sources.file == '\0')
        cli.sources.file = NULL;
    cli.words.list = memory_new_array((size_t)argument_count, sizeof *cli.words.list);
    int result = cli.verb->program != NULL
                     ? split_for_program(&cli, argument_count - 2, arguments + 2, error, sizeof error)
                     : sources_from_arguments(&cli.sources, argument_count - 2, arguments + 2, &cli.words,
                                              error, sizeof error);
    if (result == 0)
        result = cli.verb->fn(&cli);
    else
        result = verb_complain(2, error);
    free(cli.words.list);
    return result;
}
