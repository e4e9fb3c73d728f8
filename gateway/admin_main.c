/* SPDX-License-Identifier: MIT
 * filemill-admin: the admin routes for people at a shell. Makes itself a token of a minute's life with the
 * instance's own key, for the first of the option admins; with keys that are elsewhere, FILEMILL_ADMIN_TOKEN
 * is used. Prints a table, or with --json the answer as it came. */
#include "config/settings.h"
#include "gateway/admin_orders.h"
#include "gateway/json.h"
#include "gateway/token_make.h"
#include "http/client.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/memory.h"
#include "lib/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 30000
#define ANSWER_MAX ((size_t)8 * 1024 * 1024)
#define TOKEN_SECONDS 60

struct column {
    const char *name;
    const char *head;
    int width; /* at most; 0: what it takes */
};

static const struct column queue_columns[] = {{"type", "TYPE", 24},
                                              {"status", "STATUS", 0},
                                              {"jobs", "JOBS", 0},
                                              {"oldest_seconds", "OLDEST S", 0},
                                              {NULL, NULL, 0}};
static const struct column job_columns[] = {{"id", "ID", 0},
                                            {"type", "TYPE", 20},
                                            {"status", "STATUS", 0},
                                            {"attempts", "TRIES", 0},
                                            {"error_code", "ERROR", 24},
                                            {"filename", "FILE", 30},
                                            {"created_at", "CREATED", 19},
                                            {NULL, NULL, 0}};
static const struct column schedule_columns[] = {{"name", "NAME", 40},
                                                 {"every_seconds", "EVERY S", 0},
                                                 {"cron", "CRON", 30},
                                                 {"time_zone", "ZONE", 24},
                                                 {"next_run", "NEXT RUN", 19},
                                                 {"enabled", "ON", 0},
                                                 {"last_run", "LAST RUN", 19},
                                                 {"last_result", "RESULT", 40},
                                                 {"failures", "FAILURES", 0},
                                                 {NULL, NULL, 0}};

static const struct column limit_columns[] = {{"name", "NAME", 40},
                                              {"max_running", "RUNNING", 0},
                                              {"max_per_minute", "PER MIN", 0},
                                              {"type", "TYPE", 24},
                                              {"per_tenant", "PER TENANT", 0},
                                              {"per_user", "PER USER", 0},
                                              {"tenant_id", "TENANT", 0},
                                              {NULL, NULL, 0}};

static const struct column priority_columns[] = {
    {"tenant_id", "TENANT", 0}, {"first_priority", "FIRST", 0}, {NULL, NULL, 0}};
static const struct column backend_columns[] = {{"name", "NAME", 40},
                                                {"enabled", "ON", 0},
                                                {"url", "URL", 50},
                                                {"share", "SHARE", 0},
                                                {"deadline_ms", "DEADLINE MS", 0},
                                                {"poll_ms", "POLL MS", 0},
                                                {"poll_max_ms", "AT MOST", 0},
                                                {"jobs_out", "JOBS OUT", 0},
                                                {NULL, NULL, 0}};

static const struct column price_columns[] = {{"model", "MODEL", 60},
                                              {"prompt_per_million", "PROMPT", 0},
                                              {"completion_per_million", "COMPLETION", 0},
                                              {"valid_from", "FROM", 24},
                                              {"in_force", "IN FORCE", 0},
                                              {NULL, NULL, 0}};

/* Options become members of the body, or parameters of the query. */
struct option {
    const char *flag, *name;
};
static const struct option filters[] = {
    {"--tenant", "tenant_id"}, {"--type", "type"},   {"--state", "status"}, {"--error", "error"},
    {"--since", "since"},      {"--limit", "limit"}, {NULL, NULL}};
static const struct option retry_options[] = {
    {"--tenant", "tenant_id"}, {"--type", "type"}, {"--error", "error"}, {"--since", "since"}, {NULL, NULL}};
static const struct option limit_options[] = {{"--running", "max_running"},
                                              {"--per-minute", "max_per_minute"},
                                              {"--type", "type"},
                                              {"--tenant", "tenant_id"},
                                              {"--user", "user_id"},
                                              {"--per", "per"},
                                              {NULL, NULL}};
static const struct option priority_options[] = {{"--first", "first_priority"}, {NULL, NULL}};
static const struct option schedule_options[] = {
    {"--cron", "cron"}, {"--zone", "time_zone"}, {"--every", "every_seconds"}, {NULL, NULL}};
static const struct option backend_options[] = {
    {"--url", "url"},           {"--enabled", "enabled"},         {"--share", "share"}, {"--deadline", "deadline_ms"},
    {"--poll", "poll_ms"},      {"--poll-max", "poll_max_ms"},    {NULL, NULL}};
static const struct option price_options[] = {{"--prompt", "prompt_per_million"},
                                              {"--completion", "completion_per_million"},
                                              {"--from", "valid_from"},
                                              {NULL, NULL}};
static const struct option price_drop_options[] = {{"--from", "valid_from"}, {NULL, NULL}};
static const struct option no_options[] = {{NULL, NULL}};

enum shape { SHAPE_OK, SHAPE_TABLE, SHAPE_RETRIED, SHAPE_SCHEDULED, SHAPE_ORDERS, SHAPE_SCHEDULED_ORDERS };

static const struct verb {
    const char *name;
    const char *method;
    const char *path;   /* with '%' for the word */
    const char *word;   /* what the word is called; NULL: none */
    const char *member; /* the word goes into the body, or the query, under this name */
    const char *body;   /* a fixed body */
    const struct option *options;
    enum shape shape;
    const char *list; /* the member that holds the rows */
    const struct column *columns;
} verbs[] = {
    {"queue", "GET", "/v1/admin/queue", NULL, NULL, NULL, no_options, SHAPE_TABLE, "queue", queue_columns},
    {"jobs", "GET", "/v1/admin/jobs", NULL, NULL, NULL, filters, SHAPE_TABLE, "jobs", job_columns},
    {"retry", "POST", "/v1/admin/jobs/retry", "JOB|all", "job_id", NULL, retry_options, SHAPE_RETRIED, NULL,
     NULL},
    {"cancel", "POST", "/v1/admin/jobs/%/cancel", "JOB", NULL, "{}", no_options, SHAPE_OK, NULL, NULL},
    {"schedules", "GET", "/v1/admin/schedules", NULL, NULL, NULL, no_options, SHAPE_TABLE, "schedules",
     schedule_columns},
    {"limits", "GET", "/v1/admin/limits", NULL, NULL, NULL, no_options, SHAPE_TABLE, "limits", limit_columns},
    {"priorities", "GET", "/v1/admin/limits", NULL, NULL, NULL, no_options, SHAPE_TABLE, "priorities",
     priority_columns},
    {"drop-limit", "DELETE", "/v1/admin/limits/%", "NAME", NULL, NULL, no_options, SHAPE_OK, NULL, NULL},
    {"pause-tenant", "POST", "/v1/admin/tenants/%/pause", "TENANT", NULL, "{}", no_options, SHAPE_OK, NULL,
     NULL},
    {"resume-tenant", "POST", "/v1/admin/tenants/%/resume", "TENANT", NULL, "{}", no_options, SHAPE_OK, NULL,
     NULL},
    {"priority", "PUT", "/v1/admin/tenants/%/priority", "TENANT", NULL, NULL, priority_options, SHAPE_OK, NULL, NULL},
    {"enqueue", "POST", "/v1/admin/jobs", NULL, NULL, NULL, no_options, SHAPE_ORDERS, NULL, NULL},
    {"limit", "PUT", "/v1/admin/limits/%", "NAME", NULL, NULL, limit_options, SHAPE_OK, NULL, NULL},
    {"schedule", "POST", "/v1/admin/schedules/%", "NAME", NULL, NULL, schedule_options, SHAPE_SCHEDULED, NULL, NULL},
    {"put-schedule", "PUT", "/v1/admin/schedules/%", "NAME", NULL, NULL, schedule_options, SHAPE_SCHEDULED_ORDERS,
     NULL, NULL},
    {"drop-schedule", "DELETE", "/v1/admin/schedules/%", "NAME", NULL, NULL, no_options, SHAPE_OK, NULL, NULL},
    {"compute-backends", "GET", "/v1/admin/compute-backends", NULL, NULL, NULL, no_options, SHAPE_TABLE, "backends",
     backend_columns},
    {"compute-backend", "PUT", "/v1/admin/compute-backends/%", "NAME", NULL, NULL, backend_options, SHAPE_OK,
     NULL, NULL},
    {"prices", "GET", "/v1/admin/model-prices", NULL, NULL, NULL, no_options, SHAPE_TABLE, "prices", price_columns},
    {"price", "PUT", "/v1/admin/model-prices", "MODEL", "model", NULL, price_options, SHAPE_OK, NULL, NULL},
    {"drop-price", "DELETE", "/v1/admin/model-prices", "MODEL", "model", NULL, price_drop_options, SHAPE_OK, NULL,
     NULL},
    {"run-schedule", "POST", "/v1/admin/schedules/%", "NAME", NULL, "{\"run_now\":true}", no_options,
     SHAPE_OK, NULL, NULL},
};
#define VERB_COUNT (sizeof verbs / sizeof verbs[0])

struct order {
    const struct verb *verb;
    const char *word;
    bool json;
    json_t *members; /* of the body, or the query */
    struct admin_orders orders;
};

static int usage(void) {
    (void)fputs("usage: filemill admin VERB [WORD] [--json]\n"
                "  queue                        the queue by type and state\n"
                "  jobs [--type T] [--state S] [--tenant ID] [--error CODE] [--since TIME] [--limit N]\n"
                "  retry JOB | all [--type T] [--tenant ID] [--error CODE] [--since TIME]\n"
                "  cancel JOB                   and what it waits for\n"
                "  enqueue < ORDERS             a JSON object per line: file_id, type, parameters, …\n"
                "  priority TENANT [--first N]  the first band that its jobs may be in; without N the service's own\n"
                "  priorities                   of those who have one; - is the service's\n"
                "  schedules                    work that comes round\n"
                "  schedule NAME [--cron '30 3 * * *' [--zone Europe/Berlin]] [--every SECONDS]\n"
                "  put-schedule NAME … < ORDERS one that queues these jobs, with the same options\n"
                "  drop-schedule NAME           one that queues jobs\n"
                "  run-schedule NAME            as soon as a scheduler looks\n"
                "  limits                       on what runs at once, or starts in a minute\n"
                "  limit NAME [--running N] [--per-minute N] [--type T] [--tenant ID] [--user ID] [--per "
                "type|tenant|user]\n"
                "  drop-limit NAME\n"
                "  pause-tenant ID, resume-tenant ID\n"
                "  prices                       of models, per million tokens; they make the costs in llm_metrics\n"
                "  price MODEL --prompt P --completion P [--from TIME]\n"
                "  drop-price MODEL [--from TIME]\n"
                "  compute-backends             services outside that do portals' jobs\n"
                "  compute-backend NAME [--url URL] [--enabled yes|no] [--share N] [--deadline MS] [--poll MS] "
                "[--poll-max MS]\n",
                stderr);
    return 2;
}

/* --- what is asked --- */

static const char *option_name(const struct verb *verb, const char *flag) {
    for (const struct option *option = verb->options; option->flag != NULL; option++) {
        if (strcmp(option->flag, flag) == 0) {
            return option->name;
        }
    }
    return NULL;
}

static bool is_number(const char *name) {
    static const char *const names[] = {"max_running", "max_per_minute", "first_priority", "every_seconds", "share",
                                        "deadline_ms", "poll_ms",        "poll_max_ms"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* A number with a fraction or without; NULL when the text is none. */
static json_t *read_decimal(const char *name, const char *value) {
    char *end;
    double number = strtod(value, &end);

    return text_ends_with(name, "_per_million") && value[0] != '\0' && *end == '\0' ? json_real(number) : NULL;
}

/* Numbers are numbers, yes and no are true and false, and "--per tenant" is per_tenant: true. */
static void set_member(json_t *members, const char *name, const char *value) {
    json_t *decimal = read_decimal(name, value);
    uint64_t number;
    char flag[32];

    if (decimal != NULL) {
        json_object_set_new(members, name, decimal);
    } else if (strcmp(name, "per") == 0 && text_format(flag, sizeof flag, "per_%s", value) == 0) {
        json_object_set_new(members, flag, json_true());
    } else if (strcmp(name, "enabled") == 0 && (strcmp(value, "yes") == 0 || strcmp(value, "no") == 0)) {
        json_object_set_new(members, name, json_boolean(value[0] == 'y'));
    } else if (is_number(name) && text_parse_u64(value, 0, INT32_MAX, &number) == 0) {
        json_object_set_new(members, name, json_integer((json_int_t)number));
    } else {
        json_object_set_new(members, name, json_string(value));
    }
}

static int parse(struct order *order, int count, char **arguments) {
    for (size_t i = 0; count > 1 && i < VERB_COUNT; i++) {
        if (strcmp(verbs[i].name, arguments[1]) == 0) {
            order->verb = &verbs[i];
        }
    }
    if (order->verb == NULL) {
        return -1;
    }
    for (int i = 2; i < count; i++) {
        const char *name = option_name(order->verb, arguments[i]);
        if (strcmp(arguments[i], "--json") == 0) {
            order->json = true;
        } else if (name != NULL && i + 1 < count) {
            set_member(order->members, name, arguments[++i]);
        } else if (arguments[i][0] != '-' && order->verb->word != NULL && order->word == NULL) {
            order->word = arguments[i];
        } else {
            return -1;
        }
    }
    if ((order->verb->word != NULL) != (order->word != NULL)) {
        return -1;
    }
    bool is_all = order->verb->shape == SHAPE_RETRIED && strcmp(order->word, "all") == 0;
    if (order->verb->member != NULL && !is_all) {
        json_object_set_new(order->members, order->verb->member, json_string(order->word));
    }
    return 0;
}

static void append_escaped(struct buffer *url, const char *text) {
    for (; *text != '\0'; text++) {
        bool plain = (*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'z') ||
                     (*text >= 'A' && *text <= 'Z') || strchr("-_.", *text) != NULL;
        (void)buffer_append_format(url, plain ? "%c" : "%%%02X", (unsigned char)*text);
    }
}

static char *make_url(const struct settings *settings, const struct order *order) {
    struct buffer url;
    const char *separator = "?";
    const char *name;
    json_t *value;
    const char *address =
        strcmp(settings->gateway_address, "0.0.0.0") == 0 ? "127.0.0.1" : settings->gateway_address;

    buffer_init(&url, 16 * 1024);
    (void)buffer_append_format(&url, strchr(address, ':') != NULL ? "http://[%s]:%lld" : "http://%s:%lld",
                               address, (long long)settings->gateway_port);
    for (const char *at = order->verb->path; *at != '\0'; at++) {
        if (*at == '%') {
            append_escaped(&url, order->word);
        } else {
            (void)buffer_append(&url, at, 1);
        }
    }
    if (strcmp(order->verb->method, "GET") == 0 || strcmp(order->verb->method, "DELETE") == 0) {
        json_object_foreach(order->members, name, value) {
            (void)buffer_append_format(&url, "%s%s=", separator, name);
            append_escaped(&url, json_string_value(value));
            separator = "&";
        }
    }
    return buffer_take(&url, NULL);
}

static char *make_body(const struct order *order) {
    if (order->verb->body != NULL) {
        return memory_copy_text(order->verb->body);
    }
    return json_encode(order->members);
}

/* --- what is answered --- */

static const char *cell(const json_t *row, const struct column *column, char *target, size_t size) {
    const json_t *value = json_object_get(row, column->name);
    if (json_is_string(value)) {
        (void)text_copy(target, size, json_string_value(value));
    } else if (json_is_integer(value)) {
        (void)text_format(target, size, "%lld", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        (void)text_format(target, size, "%.15g", json_real_value(value));
    } else {
        (void)text_copy(target, size, json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "-");
    }
    if (column->width > 0 && strlen(target) > (size_t)column->width) {
        target[column->width] = '\0';
    }
    for (char *at = target; *at != '\0';
         at++) { /* names of files may hold anything; a terminal must not see it */
        *at = (unsigned char)*at < 0x20 || *at == 0x7f ? '?' : *at;
    }
    return target;
}

static void print_table(const json_t *rows, const struct column *columns) {
    char text[1024];
    size_t widths[16];
    size_t index;
    const json_t *row;

    for (size_t i = 0; columns[i].name != NULL; i++) {
        widths[i] = strlen(columns[i].head);
        json_array_foreach(rows, index, row) {
            size_t size = strlen(cell(row, &columns[i], text, sizeof text));
            widths[i] = size > widths[i] ? size : widths[i];
        }
        printf("%-*s  ", (int)widths[i], columns[i].head);
    }
    (void)putchar('\n');
    json_array_foreach(rows, index, row) {
        for (size_t i = 0; columns[i].name != NULL; i++) {
            printf("%-*s  ", (int)widths[i], cell(row, &columns[i], text, sizeof text));
        }
        (void)putchar('\n');
    }
}

static int print_answer(const struct order *order, const struct http_client_reply *reply) {
    const char *reason;
    json_t *answer = json_decode(reply->body, reply->body_size, &reason);
    int status = reply->status >= 200 && reply->status < 300 && answer != NULL ? 0 : 1;

    if (order->json && answer != NULL) {
        printf("%s\n", reply->body);
    } else if (status != 0) {
        const char *error = json_text_member(answer, "error");
        const char *detail = json_text_member(answer, "detail");
        const char *title = detail != NULL ? detail : json_text_member(answer, "title");
        (void)fprintf(stderr, "filemill: %s%s%s\n", error != NULL ? error : "no answer that can be read",
                      title != NULL ? ": " : "", title != NULL ? title : "");
        admin_orders_tell(&order->orders, answer, status);
    } else if (order->verb->shape == SHAPE_TABLE) {
        print_table(json_object_get(answer, order->verb->list), order->verb->columns);
    } else if (order->verb->shape == SHAPE_RETRIED) {
        printf("%lld queued again\n", (long long)json_integer_value(json_object_get(answer, "retried")));
    } else if (order->verb->shape == SHAPE_SCHEDULED || order->verb->shape == SHAPE_SCHEDULED_ORDERS) {
        const char *next = json_text_member(answer, "next_run");
        printf("next run %s\n", next != NULL ? next : "-");
    } else if (order->verb->shape == SHAPE_ORDERS) {
        admin_orders_tell(&order->orders, answer, status);
    } else {
        (void)puts("ok");
    }
    json_decref(answer);
    return status;
}

struct errand {
    struct loop *loop;
    const struct order *order;
};

static void on_reply(void *context, const struct http_client_reply *reply) {
    struct errand *errand = context;
    int status = 1;

    if (reply->error != HTTP_CLIENT_OK) {
        (void)fprintf(stderr, "filemill: the gateway does not answer: %s\n",
                      http_client_error_name(reply->error));
    } else {
        status = print_answer(errand->order, reply);
    }
    loop_stop(errand->loop, status);
}

static int ask(const struct settings *settings, const struct order *order, const char *token) {
    struct errand errand = {.loop = loop_new(), .order = order};
    struct http_client *client = http_client_new(errand.loop, 1);
    char *url = make_url(settings, order);
    char *authorization = memory_format("Authorization: Bearer %s", token);
    bool has_body = strcmp(order->verb->method, "POST") == 0 || strcmp(order->verb->method, "PUT") == 0;
    char *body = has_body ? make_body(order) : NULL;
    const char *const headers[] = {authorization, "Content-Type: application/json", NULL};
    const struct http_client_request request = {.method = order->verb->method,
                                                .url = url,
                                                .headers = headers,
                                                .body = body,
                                                .body_size = body != NULL ? strlen(body) : 0,
                                                .upload_fd = -1,
                                                .sink_fd = -1,
                                                .max_bytes = ANSWER_MAX,
                                                .max_body = ANSWER_MAX,
                                                .timeout_ms = TIMEOUT_MS};
    int status = 1;

    if (http_client_start(client, &request, on_reply, &errand) != NULL) {
        status = loop_run(errand.loop);
    } else {
        (void)fprintf(stderr, "filemill: %s can't be asked\n", url);
    }
    http_client_free(client);
    loop_free(errand.loop);
    free(body);
    explicit_bzero(authorization, strlen(authorization));
    free(authorization);
    free(url);
    return status;
}

/* One request per piece of the input; the first that fails is the last. */
static int ask_orders(const struct settings *settings, struct order *order, const char *token) {
    int status = 0;

    while (status == 0) {
        json_t *list = admin_orders_read(&order->orders, stdin);
        if (list == NULL || json_array_size(list) == 0) {
            status = list == NULL ? 1 : 0;
            json_decref(list);
            break;
        }
        json_object_set_new(order->members, "jobs", list);
        status = ask(settings, order, token);
    }
    return status;
}

/* A schedule is one piece. */
static int ask_schedule(const struct settings *settings, struct order *order, const char *token) {
    json_t *list = admin_orders_read(&order->orders, stdin);
    struct admin_orders beyond = {.line = order->orders.line};
    json_t *more = list != NULL ? admin_orders_read(&beyond, stdin) : NULL;
    bool is_whole = more != NULL && json_array_size(more) == 0;

    if (more != NULL && !is_whole) {
        (void)fprintf(stderr, "filemill: more than %d orders\n", ADMIN_ORDERS_MOST);
    }
    json_decref(more);
    json_object_set_new(order->members, "jobs", list != NULL ? list : json_array());
    return is_whole ? ask(settings, order, token) : 1;
}

int main(int count, char **arguments) {
    struct settings settings;
    struct order order = {.members = json_object()};
    char user[UUID_TEXT_SIZE];
    char *token;

    if (parse(&order, count, arguments) != 0) {
        json_decref(order.members);
        return usage();
    }
    settings_load(&settings, "admin");
    token_first_user(settings.admins, user);
    token = settings.admin_token != NULL ? memory_copy_text(settings.admin_token) : NULL;
    if (token == NULL && text_is_uuid(user)) {
        token = token_make(&settings, &(struct token_wish){.user = user, .ttl_s = TOKEN_SECONDS});
    }
    if (token == NULL) {
        (void)fputs("filemill: no admin to speak as: set FILEMILL_ADMINS where the JWT secret is known, or "
                    "FILEMILL_ADMIN_TOKEN\n",
                    stderr);
    }
    int status = token == NULL                                    ? 1
                 : order.verb->shape == SHAPE_ORDERS           ? ask_orders(&settings, &order, token)
                 : order.verb->shape == SHAPE_SCHEDULED_ORDERS ? ask_schedule(&settings, &order, token)
                                                               : ask(&settings, &order, token);
    free(token);
    json_decref(order.members);
    settings_clear(&settings);
    return status;
}
