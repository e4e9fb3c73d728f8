/* SPDX-License-Identifier: MIT
 * Two statements and their rows as samples. */
#include "scheduler/measure.h"

#include <stdlib.h>

#include "lib/memory.h"

#define TEXT_MAX ((size_t)128 * 1024)

struct measurement {
    struct scheduler *scheduler;
    measure_fn *done;
    void *context;
};

static void append_help(struct buffer *text, const char *name, const char *help) {
    (void)buffer_append_format(text, "# HELP %s %s|# TYPE %s gauge|", name, help, name);
}

static void append_queue(struct buffer *text, const struct database_result *result) {
    append_help(text, "filemill_jobs", "Jobs that are not finished, by type and state.");
    for (size_t row = 0; row < result_rows(result); row++)
        (void)buffer_append_format(text, "filemill_jobs{type=\"%s\",state=\"%s\"} %lld|",
                                   result_text(result, row, "type"), result_text(result, row, "status"),
                                   (long long)result_number(result, row, "n"));
    append_help(text, "filemill_oldest_seconds",
                "Age of the oldest job that could run now, by type and state.");
    for (size_t row = 0; row < result_rows(result); row++)
        if (result_text(result, row, "age") != NULL)
            (void)buffer_append_format(text, "filemill_oldest_seconds{type=\"%s\",state=\"%s\"} %lld|",
                                       result_text(result, row, "type"), result_text(result, row, "status"),
                                       (long long)result_number(result, row, "age"));
}

/* Whose errors filemill_storage_errors_total counts on this node. */
static void append_storage(struct buffer *text, const struct scheduler *scheduler) {
    append_help(text, "filemill_storage_info", "Whose the buckets of this node are.");
    (void)buffer_append_format(text, "filemill_storage_info{bucket=\"files\",provider=\"%s\"} 1|",
                               storage_provider_name(scheduler->storage));
    if (scheduler->published != NULL)
        (void)buffer_append_format(text, "filemill_storage_info{bucket=\"published\",provider=\"%s\"} 1|",
                                   storage_provider_name(scheduler->published));
}

static void append_database(struct buffer *text, const struct database_result *result) {
    static const char *const kinds[] = {"live", "dead"};

    append_help(text, "filemill_table_rows", "Rows of a table as the statistics have them, live and dead.");
    for (size_t row = 0; row < result_rows(result); row++)
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
            (void)buffer_append_format(text, "filemill_table_rows{table=\"%s\",kind=\"%s\"} %lld|",
                                       result_text(result, row, "name"), kinds[i],
                                       (long long)result_number(result, row, kinds[i]));
    if (result_rows(result) == 0)
        return;
    append_help(text, "filemill_oldest_xmin_age",
                "Transactions since the oldest snapshot that is still in use.");
    (void)buffer_append_format(text, "filemill_oldest_xmin_age %lld|",
                               (long long)result_number(result, 0, "xmin_age"));
    append_help(text, "filemill_oldest_transaction_seconds",
                "Age of the oldest transaction that is not idle.");
    (void)buffer_append_format(text, "filemill_oldest_transaction_seconds %lld|",
                               (long long)result_number(result, 0, "oldest_transaction"));
}

static void on_measured(void *context, const struct database_answer *answer) {
    struct measurement *measurement = context;
    struct buffer text;

    buffer_init(&text, TEXT_MAX);
    if (answer->outcome == DATABASE_OK) {
        append_queue(&text, answer->results[0]);
        append_database(&text, answer->results[1]);
        append_storage(&text, measurement->scheduler);
    } else {
        scheduler_log_answer("measure", answer);
    }
    measurement->done(measurement->context, text.size > 0 ? text.data : NULL);
    buffer_clear(&text);
    free(measurement);
}

void measure(struct scheduler *scheduler, measure_fn *done, void *context) {
    struct measurement *measurement = memory_new(sizeof *measurement);
    const struct query queries[] = {{.statement = &statements[STATEMENT_MEASURE_QUEUE]},
                                    {.statement = &statements[STATEMENT_MEASURE_DATABASE]}};

    *measurement = (struct measurement){.scheduler = scheduler, .done = done, .context = context};
    scheduler_run(scheduler, queries, sizeof queries / sizeof queries[0], on_measured, measurement);
}
