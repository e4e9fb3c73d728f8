/* SPDX-License-Identifier: MIT
 * Options from a table of rows. Later sources win: fallback, then the environment (the row's own variable
 * before its aliases), then what options_set is given. An empty value means the fallback, because compose
 * files pass unset variables on as empty ones. The value of a secret never appears in a message or a listing.
 */
#include "lib/options.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buffer.h"
#include "lib/memory.h"
#include "lib/text.h"

#define OWN_PREFIX "FILEMILL_"

/* Variables of ours that are no options: descriptors handed to a child, inputs of the test suites. */
static bool is_plumbing(const char *name) {
    return text_ends_with(name, "_FD") || strcmp(name, "FILEMILL_CORPUS") == 0 ||
           strcmp(name, "FILEMILL_VECTORS") == 0;
}

static void *value_place(const struct option_row *row, void *target) {
    return (char *)target + row->offset;
}

static const void *value_place_const(const struct option_row *row, const void *target) {
    return (const char *)target + row->offset;
}

/* The message for a bad value; a secret's value is left out. */
static int complain(const struct option_row *row, const char *label, const char *value, char *error,
                    size_t error_size) {
    struct buffer wanted;
    char shown[80];

    buffer_init(&wanted, 512);
    switch (row->type) {
    case OPTION_NUMBER:
        (void)buffer_append_format(&wanted, "a number from %lld to %lld%s%s", (long long)row->min,
                                   (long long)row->max, row->unit != NULL ? " " : "",
                                   row->unit != NULL ? row->unit : "");
        break;
    case OPTION_BOOL:
        (void)buffer_append_text(&wanted, "on or off");
        break;
    case OPTION_CHOICE:
        (void)buffer_append_format(&wanted, "one of %s", row->unit != NULL ? row->unit : "");
        break;
    case OPTION_TEXT:
        (void)buffer_append_text(&wanted, "a text");
        break;
    }
    (void)text_copy(shown, sizeof(shown), value);
    for (char *c = shown; *c != '\0'; c++) {
        if (iscntrl((unsigned char)*c))
            *c = '?';
    }
    if (row->secret)
        (void)text_format(error, error_size, "%s: value is not %s", label, wanted.data);
    else
        (void)text_format(error, error_size, "%s: \"%s\" is not %s", label, shown, wanted.data);
    buffer_clear(&wanted);
    return -1;
}

/* Decimal; rows in bytes also take one suffix k, M or G (powers of 1024). */
static int parse_number(const struct option_row *row, const char *value, int64_t *number) {
    static const struct {
        char suffix;
        unsigned shift;
    } suffixes[] = {{'k', 10}, {'K', 10}, {'m', 20}, {'M', 20}, {'g', 30}, {'G', 30}};
    char digits[24];
    unsigned shift = 0;

    if (text_copy(digits, sizeof(digits), value) != 0 || digits[0] == '\0')
        return -1;
    char *last = &digits[strlen(digits) - 1];
    bool takes_suffix = row->unit != NULL && strcmp(row->unit, "bytes") == 0;
    for (size_t i = 0; takes_suffix && i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        if (*last == suffixes[i].suffix) {
            shift = suffixes[i].shift;
            *last = '\0';
            break;
        }
    }
    int64_t limit = INT64_MAX >> shift;
    if (text_parse_i64(digits, shift > 0 ? 0 : INT64_MIN, limit, number) != 0)
        return -1;
    *number *= INT64_C(1) << shift;
    return *number < row->min || *number > row->max ? -1 : 0;
}

static void store_text(const struct option_row *row, void *target, const char *value) {
    char **place = value_place(row, target);

    free(*place);
    *place = value != NULL ? memory_copy_text(value) : NULL;
}

static void store_nothing(const struct option_row *row, void *target) {
    switch (row->type) {
    case OPTION_NUMBER:
        *(int64_t *)value_place(row, target) = 0;
        break;
    case OPTION_BOOL:
        *(bool *)value_place(row, target) = false;
        break;
    case OPTION_TEXT:
    case OPTION_CHOICE:
        store_text(row, target, NULL);
        break;
    }
}

/* Parses and stores; `label` names the option in the error as its user wrote it. */
static int store(const struct option_row *row, void *target, const char *label, const char *value,
                 char *error, size_t error_size) {
    if (*value == '\0')
        value = row->fallback;
    if (value == NULL) {
        store_nothing(row, target);
        return 0;
    }
    switch (row->type) {
    case OPTION_NUMBER: {
        int64_t number;
        if (parse_number(row, value, &number) != 0)
            return complain(row, label, value, error, error_size);
        *(int64_t *)value_place(row, target) = number;
        return 0;
    }
    case OPTION_BOOL:
        if (text_parse_bool(value, value_place(row, target)) != 0)
            return complain(row, label, value, error, error_size);
        return 0;
    case OPTION_CHOICE:
        if (!text_is_choice(row->unit, value, strlen(value)))
            return complain(row, label, value, error, error_size);
        break;
    case OPTION_TEXT:
        break;
    }
    store_text(row, target, value);
    return 0;
}

/* The value of a variable, or NULL when it is absent or empty. */
static const char *find_variable(char *const *environment, const char *name, size_t name_size) {
    for (size_t i = 0; environment[i] != NULL; i++) {
        if (strncmp(environment[i], name, name_size) == 0 && environment[i][name_size] == '=')
            return environment[i][name_size + 1] != '\0' ? environment[i] + name_size + 1 : NULL;
    }
    return NULL;
}

/* Steps through "A, B,C*1000"; returns the next name and its size without the factor, or NULL at the end. */
static const char *next_alias(const char **list, size_t *size) {
    if (*list == NULL)
        return NULL;
    const char *name = *list + strspn(*list, ", ");
    if (*name == '\0')
        return NULL;
    *size = strcspn(name, ", *");
    *list = name + strcspn(name, ", ");
    return name;
}

/* The value of an alias in the row's unit: "1.5" read from "WORKER_POLL_SECONDS*1000" is "1500". What is no
 * decimal number, or does not come out whole, is left as it is, so that storing it complains. */
static const char *scale_value(const char *value, const char *factor_text, char *scratch,
                               size_t scratch_size) {
    uint64_t whole;
    uint64_t part = 0;
    uint64_t scale = 1;
    char digits[16];
    char *end;

    if (*factor_text != '*')
        return value;
    uint64_t factor = strtoull(factor_text + 1, &end, 10);
    if (text_copy(digits, sizeof(digits), value) != 0)
        return value;
    char *point = strchr(digits, '.');
    if (point != NULL) {
        *point = '\0';
        if (text_parse_u64(point + 1, 0, UINT32_MAX, &part) != 0)
            return value;
        for (const char *c = point + 1; *c != '\0'; c++)
            scale *= 10;
    }
    if (text_parse_u64(digits, 0, UINT32_MAX, &whole) != 0 || part * factor % scale != 0)
        return value;
    (void)text_format(scratch, scratch_size, "%llu",
                      (unsigned long long)(whole * factor + part * factor / scale));
    return scratch;
}

static int load_row(const struct option_row *row, void *target, char *const *environment, char *error,
                    size_t error_size) {
    const char *name = row->variable;
    size_t name_size = strlen(name);
    const char *aliases = row->aliases;
    const char *value;
    char label[128];
    char scratch[32];

    do
        value = find_variable(environment, name, name_size);
    while (value == NULL && (name = next_alias(&aliases, &name_size)) != NULL);
    if (value == NULL)
        return store(row, target, row->variable, "", error, error_size);
    (void)text_format(label, sizeof(label), "%.*s", (int)name_size, name);
    value = scale_value(value, name + name_size, scratch, sizeof(scratch));
    return store(row, target, label, value, error, error_size);
}

static bool row_owns(const struct option_row *row, const char *name) {
    const char *aliases = row->aliases;
    const char *alias;
    size_t size;

    if (strcmp(row->variable, name) == 0)
        return true;
    while ((alias = next_alias(&aliases, &size)) != NULL) {
        if (strlen(name) == size && strncmp(alias, name, size) == 0)
            return true;
    }
    return false;
}

/* A variable under our own prefix that no row knows is most likely a misspelt option. */
static int refuse_unknown(const struct option_table *table, char *const *environment, char *error,
                          size_t error_size) {
    for (size_t i = 0; environment[i] != NULL; i++) {
        char name[128];
        size_t size = strcspn(environment[i], "=");
        bool known = false;

        if (!text_starts_with(environment[i], OWN_PREFIX))
            continue;
        (void)text_format(name, sizeof(name), "%.*s", size > 127 ? 127 : (int)size, environment[i]);
        for (size_t row = 0; row < table->count && !known; row++)
            known = row_owns(&table->rows[row], name);
        if (!known && !is_plumbing(name)) {
            (void)text_format(error, error_size, "%s: no such option", name);
            return -1;
        }
    }
    return 0;
}

int options_load(const struct option_table *table, void *target, char *const *environment, char *error,
                 size_t error_size) {
    for (size_t i = 0; i < table->count; i++) {
        if (load_row(&table->rows[i], target, environment, error, error_size) != 0)
            return -1;
    }
    return refuse_unknown(table, environment, error, error_size);
}

int options_set(const struct option_table *table, void *target, const char *name, const char *value,
                char *error, size_t error_size) {
    char label[128];

    (void)text_format(label, sizeof(label), "--%s", name);
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->rows[i].name, name) == 0)
            return store(&table->rows[i], target, label, value, error, error_size);
    }
    (void)text_format(error, error_size, "%s: no such option", label);
    return -1;
}

void options_clear(const struct option_table *table, void *target) {
    for (size_t i = 0; i < table->count; i++)
        store_nothing(&table->rows[i], target);
}

/* The current value as text, or NULL when it is unset; numbers are written into `scratch`. */
static const char *value_text(const struct option_row *row, const void *target, char *scratch,
                              size_t scratch_size) {
    const void *place = value_place_const(row, target);

    switch (row->type) {
    case OPTION_NUMBER: {
        int64_t number = *(const int64_t *)place;
        if (number == 0 && row->fallback == NULL)
            return NULL;
        (void)text_format(scratch, scratch_size, "%lld", (long long)number);
        return scratch;
    }
    case OPTION_BOOL: {
        bool on = *(const bool *)place;
        if (!on && row->fallback == NULL)
            return NULL;
        return on ? "on" : "off";
    }
    case OPTION_TEXT:
    case OPTION_CHOICE:
        break;
    }
    return *(char *const *)place;
}

char **options_environment(const struct option_table *table, const void *target, unsigned audience) {
    char **environment = memory_new_array(table->count + 1, sizeof(*environment));
    size_t used = 0;

    for (size_t i = 0; i < table->count; i++) {
        char scratch[32];
        const char *value = value_text(&table->rows[i], target, scratch, sizeof(scratch));
        if ((table->rows[i].audience & audience) != 0 && value != NULL)
            environment[used++] = memory_format("%s=%s", table->rows[i].variable, value);
    }
    return environment;
}

void options_free_environment(char **environment) {
    if (environment == NULL)
        return;
    for (size_t i = 0; environment[i] != NULL; i++)
        free(environment[i]);
    free(environment);
}

/* "1 to 65535 ms", "a, b, c", "on, off" or nothing. */
static void print_range(const struct option_row *row, FILE *stream) {
    if (row->type == OPTION_NUMBER) {
        fprintf(stream, "%lld to %lld%s%s", (long long)row->min, (long long)row->max,
                row->unit != NULL ? " " : "", row->unit != NULL ? row->unit : "");
    } else if (row->type == OPTION_BOOL) {
        fputs("on, off", stream);
    } else if (row->type == OPTION_CHOICE && row->unit != NULL) {
        for (const char *c = row->unit; *c != '\0'; c++)
            fputs(*c == '|' ? ", " : (char[]){*c, '\0'}, stream);
    }
}

/* Text into a cell: "<name>" would be taken for HTML. */
static void print_cell(const char *text, FILE *stream) {
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '<')
            fputs("&lt;", stream);
        else if (*c == '|')
            fputs("\\|", stream);
        else
            putc(*c, stream);
    }
}

static void print_markdown(const struct option_row *row, FILE *stream) {
    const char *aliases = row->aliases;
    const char *alias;
    size_t size;

    fprintf(stream, "| `%s` | `--%s` | %s%s%s | ", row->variable, row->name, row->fallback != NULL ? "`" : "",
            row->fallback != NULL ? row->fallback : "", row->fallback != NULL ? "`" : "");
    print_range(row, stream);
    fputs(" | ", stream);
    print_cell(row->description, stream);
    for (const char *before = " Also read from"; (alias = next_alias(&aliases, &size)) != NULL; before = ",")
        fprintf(stream, "%s `%.*s`", before, (int)size, alias);
    fputs(row->aliases != NULL ? ". |\n" : " |\n", stream);
}

static void print_plain(const struct option_row *row, const void *target, FILE *stream) {
    char scratch[32];
    const char *value = target != NULL ? value_text(row, target, scratch, sizeof(scratch)) : row->fallback;

    fprintf(stream, "# %s", row->description);
    if (row->type != OPTION_TEXT) {
        fputs(" (", stream);
        print_range(row, stream);
        fputs(")", stream);
    }
    if (row->secret && value != NULL)
        value = "(set, not shown)";
    fprintf(stream, "\n%s=%s\n", row->variable, value != NULL ? value : "");
}

void options_print(const struct option_table *table, const void *target, bool markdown, FILE *stream) {
    for (size_t i = 0; i < table->count; i++) {
        const char *heading = table->rows[i].heading;
        if (markdown && heading != NULL)
            fprintf(stream, "%s## %s\n\n", i > 0 ? "\n" : "", heading);
        if (markdown && (i == 0 || heading != NULL))
            fputs("| Variable | Flag | Default | Values | Meaning |\n|---|---|---|---|---|\n", stream);
        if (markdown)
            print_markdown(&table->rows[i], stream);
        else
            print_plain(&table->rows[i], target, stream);
    }
}
