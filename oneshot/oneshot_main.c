/* SPDX-License-Identifier: MIT
 * `filemill run`: wiring. Standard output belongs to the document's output or to one JSON payload: it is put
 * aside before anything else starts, and what others print goes to standard error. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/text.h"
#include "oneshot/arguments.h"
#include "oneshot/contract.h"
#include "oneshot/list.h"
#include "oneshot/report.h"

extern char **environ;

static int complain(int status, const char *what) {
    fprintf(stderr, "filemill run: %s\n", what);
    return status;
}

/* -1 with errno. */
static int take_standard_output(void) {
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

    return fd < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ? -1 : fd;
}

/* --- a run ------------------------------------------------------------------------------------------------
 */

/* 0, or the exit status after a complaint. */
static int open_input(const struct order *order, const struct settings *settings, struct document *document) {
    int fd = STDIN_FILENO, status;

    if (order->input != NULL)
        fd = open(order->input, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    else if (isatty(STDIN_FILENO) != 0)
        return complain(EXIT_USAGE,
                        "standard input is a terminal: give a document by < FILE or --input FILE");
    if (fd < 0) {
        fprintf(stderr, "filemill run: %s: %s\n", order->input, strerror(errno));
        return EXIT_HERE;
    }
    status = oneshot_read_input(document, fd, (uint64_t)settings->run_max_input_bytes);
    if (status != 0)
        fprintf(stderr, "filemill run: %s: %s\n", order->input == NULL ? "standard input" : order->input,
                errno == EFBIG ? "larger than --input-bytes allows" : strerror(errno));
    if (fd != STDIN_FILENO)
        close(fd);
    return status == 0 ? 0 : EXIT_HERE;
}

static int print_result(const struct order *order, const struct oneshot_job *job,
                        const struct oneshot_end *end, int standard_output) {
    json_t *result = report_result(order, job, end);
    char *text = json_dumps(result, JSON_COMPACT);
    int fd = order->json ? standard_output : STDERR_FILENO;
    int status = 0;

    json_decref(result);
    if (text == NULL || ((order->json || !order->quiet) &&
                         (report_write(fd, text, strlen(text)) != 0 || report_write(fd, "\n", 1) != 0)))
        status = complain(EXIT_HERE, "the result could not be written");
    free(text);
    return status;
}

static int conclude(const struct order *order, struct oneshot_job *job, const struct oneshot_end *end,
                    int standard_output) {
    int status = report_exit_status(end->reason), printed;
    char error[512];

    if (end->reason != NULL)
        fprintf(stderr, "filemill run: %s%s%s\n", end->reason->code, end->detail[0] == '\0' ? "" : ": ",
                end->detail);
    else if (report_outputs(order, job, end, standard_output, error, sizeof error) != 0)
        status = complain(EXIT_HERE, error);
    printed = print_result(order, job, end, standard_output);
    return status != EXIT_DONE ? status : printed;
}

static int run(const struct order *order, const struct settings *settings, int standard_output) {
    struct oneshot_job job = {.mime = order->mime};
    struct oneshot_end end;
    struct oneshot *oneshot;
    char *parameters;
    int status;

    if (document_init(&job.document, order->row, order->wanted, 1) != 0)
        return complain(EXIT_HERE, strerror(errno));
    status = open_input(order, settings, &job.document);
    oneshot = status == 0 ? oneshot_new(settings) : NULL;
    if (oneshot != NULL) {
        parameters = json_dumps(order->parameters, JSON_COMPACT);
        job.parameters = parameters;
        if (job.mime == NULL)
            job.mime = oneshot_sniff(&job.document);
        oneshot_limits(settings, order->row, &job.limits);
        oneshot_run(oneshot, &job, &end);
        status = oneshot_signal(oneshot) != 0 ? EXIT_SIGNAL + oneshot_signal(oneshot)
                                              : conclude(order, &job, &end, standard_output);
        free(parameters);
        oneshot_free(oneshot);
    } else if (status == 0) {
        status = complain(EXIT_SANDBOX, "no sandbox could be started");
    }
    document_clear(&job.document);
    return status;
}

/* --- main -------------------------------------------------------------------------------------------------
 */

static bool is_contract(int count, char **words) {
    for (int i = 0; i < count; i++) {
        if (strcmp(words[i], "--contract") == 0)
            return true;
    }
    return false;
}

/* The services' level "info" is too much for a command; "debug" was asked for. */
static void settle_log(const struct settings *settings) {
    enum log_level level = LOG_WARN;

    if (settings->log_level != NULL)
        (void)log_level_parse(settings->log_level, &level);
    log_set_level(level == LOG_INFO ? LOG_WARN : level);
}

static int dispatch(const struct order *order, struct settings *settings, int standard_output) {
    switch (order->mode) {
    case ORDER_LIST:
        (void)dup2(standard_output, STDOUT_FILENO);
        return list_print(order->json, stdout) == 0 ? EXIT_DONE : EXIT_HERE;
    case ORDER_HELP:
        (void)dup2(standard_output, STDOUT_FILENO);
        arguments_print_help();
        return EXIT_DONE;
    case ORDER_CONTRACT:
        return contract_serve(settings, order->refusal, standard_output);
    case ORDER_RUN:
        break;
    }
    return order->refusal != NULL ? complain(EXIT_USAGE, order->refusal)
                                  : run(order, settings, standard_output);
}

int main(int argc, char **argv) {
    struct settings settings = {0};
    struct order order;
    char error[512] = "", refusal[512];
    int standard_output = take_standard_output(), status;

    log_init("run", LOG_WARN);
    if (standard_output < 0)
        return complain(EXIT_HERE, "standard output is closed");
    if (settings_read(&settings, environ, refusal, sizeof refusal) != 0)
        (void)text_copy(error, sizeof error, refusal);
    settle_log(&settings);
    if (arguments_read(&order, argc - 1, argv + 1, &settings, refusal, sizeof refusal) != 0) {
        status = is_contract(argc - 1, argv + 1) ? contract_serve(&settings, refusal, standard_output)
                                                 : complain(EXIT_USAGE, refusal);
    } else {
        if (error[0] != '\0' && order.refusal == NULL)
            order.refusal = error;
        status = dispatch(&order, &settings, standard_output);
    }
    arguments_clear(&order);
    settings_clear(&settings);
    return status;
}
