/* SPDX-License-Identifier: MIT
 * Reading files: the list (newest first, by cursor), one with its derivatives and jobs, and links to the
 * bytes. */
#include "gateway/files.h"
#include "gateway/handlers.h"
#include "gateway/replies.h"
#include "gateway/statements.h"
#include "lib/buffer.h"
#include "lib/memory.h"
#include <inttypes.h>
#include <string.h>

#define PAGE_DEFAULT 50
#define PAGE_MAX 100
#define PAGE_MAX_BYTES (1024u * 1024u)
#define CURSOR_MAX 400

struct page {
    char tenant[UUID_TEXT_SIZE];
    char status[16];
    uint64_t limit;
};

/* A cursor is a place in one list: tenant, status filter, time and id of the last file. What may be seen from
 * there on is checked as for the first page; a cursor of another list is refused. */
static void make_cursor(char *target, size_t size, const struct page *page, int64_t stamp, const char *id) {
    char text[200];
    (void)text_format(text, sizeof text, "%s/%s/%" PRId64 "/%s", page->tenant, page->status, stamp, id);
    (void)text_base64url_encode(target, size, text, strlen(text));
}

static int read_cursor(const char *cursor, const struct page *page, char stamp[24], char id[UUID_TEXT_SIZE]) {
    char text[200];
    char prefix[80];
    int64_t number;
    if (strlen(cursor) > CURSOR_MAX * 2 / 3) {
        return -1;
    }
    int64_t size = text_base64url_decode(text, sizeof text - 1, cursor, strlen(cursor));
    if (size < 0) {
        return -1;
    }
    text[size] = '\0';
    if (strlen(text) != (size_t)size) {
        return -1;
    }
    (void)text_format(prefix, sizeof prefix, "%s/%s/", page->tenant, page->status);
    if (!text_starts_with(text, prefix)) {
        return -1;
    }
    char *at = text + strlen(prefix);
    char *slash = strchr(at, '/');
    if (slash == NULL || !text_is_uuid(slash + 1)) {
        return -1;
    }
    *slash = '\0';
    if (text_parse_i64(at, INT64_MIN / 2, INT64_MAX / 2, &number) != 0) {
        return -1;
    }
    (void)text_copy(stamp, 24, at);
    return text_copy(id, UUID_TEXT_SIZE, slash + 1);
}

static int append_page(struct buffer *body, const struct page *page, const struct database_result *files) {
    char cursor[CURSOR_MAX];
    size_t count = result_rows(files);
    size_t shown = count < page->limit ? count : page->limit;
    int failed = buffer_append_text(body, "{\"files\":[");
    for (size_t i = 0; i < shown; i++) {
        failed |= buffer_append_text(body, i == 0 ? "" : ",");
        failed |= buffer_append_text(body, result_text(files, i, "file"));
    }
    if (count > shown && shown > 0) {
        make_cursor(cursor, sizeof cursor, page, result_number(files, shown - 1, "stamp"),
                    result_text(files, shown - 1, "id"));
        failed |= buffer_append_format(body, "],\"next_cursor\":\"%s\"}", cursor);
    } else {
        failed |= buffer_append_text(body, "],\"next_cursor\":null}");
    }
    return failed;
}

static void listed(struct call *call, const struct database_answer *answer) {
    if (!caller_belongs(call, answer->results[0])) {
        return;
    }
    struct buffer body;
    buffer_init(&body, PAGE_MAX_BYTES);
    if (append_page(&body, call->state, answer->results[1]) == 0) {
        call_respond(call, 200, body.data);
    } else {
        call_problem(call, PROBLEM_INTERNAL, NULL);
    }
    buffer_clear(&body);
}

void handle_files(struct call *call) {
    const char *status = call_query_value(call, "status");
    const char *limit = call_query_value(call, "limit");
    const char *cursor = call_query_value(call, "cursor");
    char stamp[24];
    char id[UUID_TEXT_SIZE];
    struct page *page = call_state(call, sizeof *page, NULL);
    page->limit = PAGE_DEFAULT;
    (void)text_copy(page->tenant, sizeof page->tenant, call_query_value(call, "tenant_id"));
    (void)text_copy(page->status, sizeof page->status, status != NULL ? status : "");
    if (limit != NULL) {
        (void)text_parse_u64(limit, 1, PAGE_MAX, &page->limit); /* the route's fields have checked it */
    }
    if (cursor != NULL && read_cursor(cursor, page, stamp, id) != 0) {
        call_problem(call, PROBLEM_BAD_REQUEST, "This cursor is not of this list.");
        return;
    }
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_ROLE], .values = {page->tenant}},
        {.statement = &statements[STATEMENT_FILE_LIST],
         .values = {page->tenant, status, cursor != NULL ? stamp : NULL, cursor != NULL ? id : NULL}},
    };
    call_read(call, queries, 2, listed);
}

/* {file…} becomes {file…,"derivatives":[…],"jobs":[…]}. */
static void detailed(struct call *call, const struct database_answer *answer) {
    const struct database_result *found = answer->results[0];
    if (result_rows(found) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    const char *file = result_text(found, 0, "file");
    call_respond_take(call, 200,
                      memory_format("%.*s,\"derivatives\":%s,\"jobs\":%s}", (int)strlen(file) - 1, file,
                                    result_text(answer->results[1], 0, "derivatives"),
                                    result_text(found, 0, "jobs")));
}

static void detail(struct call *call, struct file_view *file) {
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_FILE_DETAIL], .values = {file->id}},
        {.statement = &statements[STATEMENT_FILE_DERIVATIVES], .values = {file->id}},
    };
    call_read(call, queries, 2, detailed);
}

void handle_file(struct call *call) {
    file_look(call, call->parameters[0], FILE_ACCESS_READ, detail);
}

static void download(struct call *call, struct file_view *file) {
    if (strcmp(file->status, "uploading") == 0) {
        call_problem(call, PROBLEM_NOT_FINALIZED, NULL);
        return;
    }
    file_answer_link(call, file,
                     &(struct file_link){.key = file->key,
                                         .filename = file->filename,
                                         .sealed = file->sealed,
                                         .of = CONTENT_FILE,
                                         .kind = "original"},
                     NULL);
}

void handle_file_download(struct call *call) {
    file_look(call, call->parameters[0], FILE_ACCESS_LINK, download);
}

/* "report.pdf" and "pdf_text.txt" become "report.pdf_text.txt". */
void file_name_derivative(char *target, size_t size, const char *filename, const char *kind, const char *key) {
    const char *dot = strrchr(filename, '.');
    size_t end = strlen(key) - (text_ends_with(key, ".enc") ? strlen(".enc") : 0), begin = end;
    size_t stem = dot != NULL && dot != filename ? (size_t)(dot - filename) : strlen(filename);
    while (begin > 0 && key[begin - 1] != '.' && key[begin - 1] != '/') {
        begin--;
    }
    begin -= begin > 0 && key[begin - 1] == '.' ? 1 : 0;
    if (stem == 0 || text_format(target, size, "%.*s.%s%.*s", (int)stem, filename, kind,
                                 key[begin] == '.' ? (int)(end - begin) : 0, key + begin) != 0) {
        target[0] = '\0';
    }
}

static void found_derivative(struct call *call, const struct database_answer *answer) {
    const struct file_view *file = call->state;
    const struct database_result *result = answer->results[0];
    char filename[FILE_NAME_MAX];
    if (result_rows(result) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    const char *kind = result_text(result, 0, "kind");
    const char *key = result_text(result, 0, "key");
    file_name_derivative(filename, sizeof filename, file->filename, kind, key);
    file_answer_link(call, file,
                     &(struct file_link){.key = key,
                                         .filename = filename,
                                         .sealed = result_bool(result, 0, "sealed"),
                                         .of = CONTENT_DERIVATIVE,
                                         .kind = kind},
                     json_pack("{s:s,s:s,s:I}", "kind", kind, "mime", result_text(result, 0, "mime"),
                               "size_bytes", (json_int_t)result_number(result, 0, "size_bytes")));
}

static void look_for_derivative(struct call *call, struct file_view *file) {
    const struct query query = {.statement = &statements[STATEMENT_DERIVATIVE],
                                .values = {file->id, call->parameters[1]}};
    call_read(call, &query, 1, found_derivative);
}

void handle_derivative_download(struct call *call) {
    file_look(call, call->parameters[0], FILE_ACCESS_LINK, look_for_derivative);
}
