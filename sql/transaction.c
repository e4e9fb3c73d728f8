/* SPDX-License-Identifier: MIT
 * A transaction's copy, its messages and its answer. */
#include "sql/transaction.h"

#include <stdlib.h>
#include <string.h>

#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "sql/link.h"

#define LOCALS_MAX 16
#define PREPARED_MAX 256
#define TRIES_MAX 3

/* ---- names prepared in a session ---- */

struct prepared {
    /* Statements are rows of static tables, so their address names them; the locals' text, made here, is told
     * apart by its number of pairs. */
    const struct statement *rows[PREPARED_MAX];
    size_t count;
    bool locals[LOCALS_MAX + 1];
};

struct prepared *prepared_new(void) {
    return memory_new(sizeof(struct prepared));
}

void prepared_free(struct prepared *prepared) {
    free(prepared);
}

static bool prepared_has(const struct prepared *prepared, const struct statement *statement) {
    for (size_t i = 0; i < prepared->count; i++)
        if (prepared->rows[i] == statement)
            return true;
    return false;
}

static void prepared_forget(struct prepared *prepared, const struct statement *statement) {
    for (size_t i = 0; i < prepared->count; i++)
        if (prepared->rows[i] == statement)
            prepared->rows[i] = prepared->rows[--prepared->count];
}

/* ---- the copy ---- */

struct locals {
    const char *pairs[2 * LOCALS_MAX];
    size_t count; /* pairs */
};

static void locals_add(struct locals *locals, const char *name, const char *value) {
    if (locals->count == LOCALS_MAX)
        fatal("event=too_many_local_settings name=%s", name);
    locals->pairs[2 * locals->count] = name;
    locals->pairs[2 * locals->count + 1] = value == NULL ? "" : value;
    locals->count++;
}

static const char *copy_text(char **free_space, const char *text) {
    size_t size;
    char *copy = *free_space;

    if (text == NULL)
        return NULL;
    size = strlen(text) + 1;
    memcpy(copy, text, size);
    *free_space += size;
    return copy;
}

/* "select set_config($1, $2, true), …": one statement for all settings, so one per number of them. */
static void transaction_name_locals(struct transaction *transaction, size_t pairs) {
    static char texts[LOCALS_MAX + 1][LOCALS_MAX * 32];
    char *text = texts[pairs];
    size_t used = 0;

    if (text[0] == '\0') {
        used = strlen("select");
        memcpy(text, "select", used);
        for (size_t i = 0; i < pairs; i++) {
            text_format(text + used, sizeof texts[0] - used, "%s set_config($%zu, $%zu, true)",
                        i == 0 ? "" : ",", 2 * i + 1, 2 * i + 2);
            used += strlen(text + used);
        }
    }
    text_format(transaction->local_name, sizeof transaction->local_name, "filemill_locals_%zu", pairs);
    transaction->local_statement = (struct statement){
        .name = transaction->local_name, .text = text, .parameters = (unsigned)(2 * pairs)};
}

static size_t texts_size(const struct locals *locals, const struct query *queries, size_t count) {
    size_t size = 1;

    for (size_t i = 0; i < 2 * locals->count; i++)
        size += strlen(locals->pairs[i]) + 1;
    for (size_t i = 0; i < count; i++)
        for (size_t p = 0; p < queries[i].statement->parameters; p++)
            size += queries[i].values[p] == NULL ? 0 : strlen(queries[i].values[p]) + 1;
    return size;
}

struct transaction *transaction_new(const char *role, int64_t timeout_ms, const struct database_local *given,
                                    const struct query *queries, size_t count) {
    struct transaction *transaction = memory_new(sizeof *transaction);
    struct locals locals = {.count = 0};
    char timeout[24];
    char *space;

    if (role != NULL)
        locals_add(&locals, "role", role);
    if (timeout_ms > 0) {
        text_format(timeout, sizeof timeout, "%lld", (long long)timeout_ms);
        locals_add(&locals, "statement_timeout", timeout);
        locals_add(&locals, "lock_timeout", timeout);
        locals_add(&locals, "idle_in_transaction_session_timeout", timeout);
    }
    for (; given != NULL && given->name != NULL; given++)
        locals_add(&locals, given->name, given->value);
    transaction->texts = space = memory_new(texts_size(&locals, queries, count));
    transaction->query_count = count;
    transaction->statements = memory_new_array(count + 1, sizeof *transaction->statements);
    transaction->prepared = memory_new_array(count + 1, sizeof *transaction->prepared);
    transaction->values = memory_new_array(count + 1, sizeof *transaction->values);
    transaction->results = memory_new_array(count + 1, sizeof *transaction->results);
    transaction->result_list = memory_new_array(count + 1, sizeof *transaction->result_list);
    for (size_t i = 0; i < count; i++) {
        transaction->statements[i] = queries[i].statement;
        transaction->result_list[i] = &transaction->results[i];
        for (size_t p = 0; p < queries[i].statement->parameters; p++)
            transaction->values[i][p] = copy_text(&space, queries[i].values[p]);
    }
    if (locals.count > 0) {
        transaction_name_locals(transaction, locals.count);
        transaction->local_values = memory_new_array(2 * locals.count, sizeof *transaction->local_values);
        for (size_t i = 0; i < 2 * locals.count; i++)
            transaction->local_values[i] = copy_text(&space, locals.pairs[i]);
    }
    return transaction;
}

void transaction_rewind(struct transaction *transaction) {
    for (size_t i = 0; i < transaction->query_count; i++) {
        PQclear(transaction->results[i].result);
        transaction->results[i].result = NULL;
    }
    PQclear(transaction->error);
    transaction->error = NULL;
    transaction->step = 0;
    transaction->prepares = 0;
}

void transaction_free(struct transaction *transaction) {
    if (transaction == NULL)
        return;
    transaction_rewind(transaction);
    free(transaction->statements);
    free(transaction->prepared);
    free(transaction->values);
    free(transaction->results);
    free(transaction->result_list);
    free(transaction->local_values);
    free(transaction->texts);
    free(transaction);
}

/* ---- sending ---- */

static int send_prepare(struct transaction *transaction, PGconn *connection, struct prepared *prepared,
                        const struct statement *statement) {
    if (prepared_has(prepared, statement) || prepared->count == PREPARED_MAX)
        return 0;
    if (PQsendPrepare(connection, statement->name, statement->text, (int)statement->parameters, NULL) != 1)
        return -1;
    prepared->rows[prepared->count++] = statement;
    transaction->prepared[transaction->prepares++] = statement;
    return 0;
}

static int send_prepares(struct transaction *transaction, PGconn *connection, struct prepared *prepared) {
    size_t pairs = transaction->local_statement.parameters / 2;

    if (pairs > 0 && !prepared->locals[pairs]) {
        if (PQsendPrepare(connection, transaction->local_name, transaction->local_statement.text,
                          (int)(2 * pairs), NULL) != 1)
            return -1;
        prepared->locals[pairs] = true;
        transaction->prepared[transaction->prepares++] = &transaction->local_statement;
    }
    for (size_t i = 0; i < transaction->query_count; i++)
        if (send_prepare(transaction, connection, prepared, transaction->statements[i]) != 0)
            return -1;
    return 0;
}

static int send_statement(PGconn *connection, const struct statement *statement, const char *const *values,
                          bool by_name) {
    int parameters = (int)statement->parameters;

    if (by_name)
        return PQsendQueryPrepared(connection, statement->name, parameters, values, NULL, NULL, 0) == 1 ? 0
                                                                                                        : -1;
    return PQsendQueryParams(connection, statement->text, parameters, NULL, values, NULL, NULL, 0) == 1 ? 0
                                                                                                        : -1;
}

int transaction_send(struct transaction *transaction, PGconn *connection, struct prepared *prepared) {
    /* Parse messages go first: an error in a statement would make the server skip those behind it. */
    if (prepared != NULL && send_prepares(transaction, connection, prepared) != 0)
        return -1;
    if (transaction->local_statement.parameters > 0 &&
        send_statement(connection, &transaction->local_statement, transaction->local_values,
                       prepared != NULL) != 0)
        return -1;
    for (size_t i = 0; i < transaction->query_count; i++) {
        const struct statement *statement = transaction->statements[i];
        bool by_name = prepared != NULL && prepared_has(prepared, statement);
        if (send_statement(connection, statement, transaction->values[i], by_name) != 0)
            return -1;
    }
    return PQpipelineSync(connection) == 1 ? 0 : -1;
}

/* ---- the answer ---- */

void transaction_take(struct transaction *transaction, PGresult *result) {
    size_t before = transaction->prepares + (transaction->local_statement.parameters > 0 ? 1 : 0);
    size_t step = transaction->step++;
    ExecStatusType status = PQresultStatus(result);

    if (status == PGRES_FATAL_ERROR && transaction->error == NULL) {
        transaction->error = result;
        transaction->error_step = step;
        return;
    }
    if ((status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) && step >= before &&
        step - before < transaction->query_count && transaction->results[step - before].result == NULL) {
        transaction->results[step - before].result = result;
        return;
    }
    PQclear(result);
}

static const char *error_field(const struct transaction *transaction, int field) {
    const char *text = PQresultErrorField(transaction->error, field);

    return text == NULL ? "" : text;
}

/* A Parse that failed, and those behind it, left no name in the session. */
static void forget_failed_prepares(struct transaction *transaction, struct prepared *prepared) {
    for (size_t i = transaction->error_step; i < transaction->prepares; i++) {
        if (transaction->prepared[i] == &transaction->local_statement)
            prepared->locals[transaction->local_statement.parameters / 2] = false;
        else
            prepared_forget(prepared, transaction->prepared[i]);
    }
}

bool transaction_settle(struct transaction *transaction, struct prepared *prepared) {
    /* The last: a name that another transaction in flight failed to prepare. */
    static const char *const again[] = {"40001", "40P01", "26000"};
    static bool warned;
    const char *state;

    if (transaction->error == NULL) {
        transaction->outcome = DATABASE_OK;
        return false;
    }
    transaction->outcome = DATABASE_REFUSED;
    if (prepared != NULL)
        forget_failed_prepares(transaction, prepared);
    state = error_field(transaction, PG_DIAG_SQLSTATE);
    if (!warned && (strcmp(state, "42P05") == 0 || (strcmp(state, "26000") == 0 && transaction->tries > 0))) {
        warned = true;
        log_warn("state=prepared_statement_lost hint=\"this pooler needs FILEMILL_DATABASE_PREPARE=off\"");
    }
    for (size_t i = 0; i < sizeof again / sizeof again[0]; i++)
        if (strcmp(state, again[i]) == 0)
            return ++transaction->tries < TRIES_MAX;
    return false;
}

void transaction_deliver(struct transaction *transaction, enum database_outcome outcome) {
    struct database_answer answer = {.outcome = outcome, .message = "", .constraint = ""};
    char message[256] = "";

    if (outcome == DATABASE_REFUSED) {
        text_copy(answer.sqlstate, sizeof answer.sqlstate, error_field(transaction, PG_DIAG_SQLSTATE));
        link_copy_line(message, sizeof message, error_field(transaction, PG_DIAG_MESSAGE_PRIMARY));
        answer.message = message;
        answer.constraint = error_field(transaction, PG_DIAG_CONSTRAINT_NAME);
    }
    if (outcome == DATABASE_OK) {
        answer.results = transaction->result_list;
        answer.result_count = transaction->query_count;
    } else {
        counter_add(COUNT_DATABASE_ERRORS, 1);
    }
    if (transaction->done != NULL)
        transaction->done(transaction->context, &answer);
}
