/* SPDX-License-Identifier: MIT
 * Commands, one function each, in a table by verb. */
#include "supervisor/operators.h"

#include "lib/buffer.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "supervisor/exporter.h"
#include "supervisor/metrics.h"
#include "supervisor/report.h"
#include "supervisor/stats.h"
#include <stdlib.h>

#define REPORT_MAX ((size_t)4 * 1024 * 1024)
#define ASK_MS 10000

struct operators {
    struct supervisor *supervisor;
    struct stats *stats;
    struct exporter *exporter; /* NULL: not wanted */
};

typedef void command_fn(struct supervisor *supervisor, const struct command *command,
                        struct stats_client *client);

static void reply_report(struct supervisor *supervisor, struct stats_client *client,
                         void (*fn)(const struct supervisor *supervisor, struct buffer *text)) {
    struct buffer text;

    buffer_init(&text, REPORT_MAX);
    fn(supervisor, &text);
    stats_reply(client, text.data != NULL ? text.data : "");
    buffer_clear(&text);
}

static void do_stats(struct supervisor *supervisor, const struct command *command,
                     struct stats_client *client) {
    reply_report(supervisor, client, report_stats);
}

static void on_metrics(void *context, const char *text) {
    stats_reply(context, text);
}

static void do_metrics(struct supervisor *supervisor, const struct command *command,
                       struct stats_client *client) {
    metrics_collect(supervisor, on_metrics, client);
}

static void do_health(struct supervisor *supervisor, const struct command *command,
                      struct stats_client *client) {
    reply_report(supervisor, client, report_health);
}

static void do_drain(struct supervisor *supervisor, const struct command *command,
                     struct stats_client *client) {
    log_info("command=drain");
    if (supervisor->stop_requests == 0)
        drain_request(supervisor);
    stats_reply(client, "ok draining\n");
}

static void reply_result(struct stats_client *client, int result, const char *error) {
    if (result == 0)
        stats_reply(client, "ok\n");
    else
        stats_reply_error(client, error);
}

static void do_reload(struct supervisor *supervisor, const struct command *command,
                      struct stats_client *client) {
    char error[480];

    log_info("command=reload");
    reply_result(client, renewal_reload(supervisor, error, sizeof error), error);
}

static void do_workers(struct supervisor *supervisor, const struct command *command,
                       struct stats_client *client) {
    char error[480];

    reply_result(client, renewal_set_workers(supervisor, (unsigned)command->number, error, sizeof error),
                 error);
}

static void do_slots(struct supervisor *supervisor, const struct command *command,
                     struct stats_client *client) {
    char error[480];

    reply_result(client, renewal_set_slots(supervisor, (unsigned)command->number, error, sizeof error),
                 error);
}

static void on_answer(void *context, const char *text) {
    struct stats_client *client = context;

    if (text == NULL) {
        stats_reply(client, "error the scheduler does not answer\n");
        return;
    }
    char *line = memory_format("%s\n", text);
    stats_reply(client, line);
    free(line);
}

/* pause, resume and jobs: the same words go to the scheduler, its one line comes back. */
static void do_ask(struct supervisor *supervisor, const struct command *command,
                   struct stats_client *client) {
    const struct child *scheduler = supervisor->children[SERVICE_SCHEDULER][0];
    char words[COMMAND_TEXT_MAX + 16];

    (void)text_format(words, sizeof words, "%s%s%s", command_rows[command->verb].name,
                      command->word[0] != '\0' ? " " : "", command->word);
    if (command->verb != COMMAND_JOBS)
        log_info("command=\"%s\"", words);
    if (scheduler == NULL || scheduler->run == NULL || scheduler->run->control == NULL ||
        control_ask(scheduler->run->control, words, ASK_MS, on_answer, client) != 0)
        stats_reply(client, "error no scheduler runs here now\n");
}

static command_fn *const command_functions[] = {
    [COMMAND_STATS] = do_stats, [COMMAND_METRICS] = do_metrics, [COMMAND_HEALTH] = do_health,
    [COMMAND_DRAIN] = do_drain, [COMMAND_RELOAD] = do_reload,   [COMMAND_WORKERS] = do_workers,
    [COMMAND_SLOTS] = do_slots, [COMMAND_PAUSE] = do_ask,       [COMMAND_RESUME] = do_ask,
    [COMMAND_JOBS] = do_ask,
};
_Static_assert(sizeof command_functions / sizeof command_functions[0] == COMMAND_COUNT,
               "a command without function");

static void on_command(void *context, const struct command *command, struct stats_client *client) {
    struct operators *operators = context;

    command_functions[command->verb](operators->supervisor, command, client);
}

struct operators *operators_new(struct supervisor *supervisor, char *error, size_t error_size) {
    struct operators *operators = memory_new(sizeof *operators);

    operators->supervisor = supervisor;
    operators->stats = stats_new(supervisor->loop, supervisor->layout.stats_socket, on_command, operators,
                                 error, error_size);
    if (operators->stats == NULL)
        goto free_operators;
    if (supervisor->configuration.settings.metrics_port > 0) {
        operators->exporter = exporter_new(supervisor, error, error_size);
        if (operators->exporter == NULL)
            goto free_stats;
    }
    return operators;

free_stats:
    stats_free(operators->stats);
free_operators:
    free(operators);
    return NULL;
}

void operators_free(struct operators *operators) {
    if (operators == NULL)
        return;
    exporter_free(operators->exporter);
    stats_free(operators->stats);
    free(operators);
}
