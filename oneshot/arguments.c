/* SPDX-License-Identifier: MIT
 * Flags, one row each. `--name value` and `--name=value` are the same. The limit flags are the settings'
 * limit rows by shorter names, with their units and ranges. */
#include "oneshot/arguments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/text.h"

#define PARAMETER_DEPTH 4
#define NAME_SIZE 64

struct reading {
    struct order *order;
    struct settings *settings;
    char *error;
    size_t error_size;
    const char *outputs[MESSAGE_MAX_OUTPUTS * 2]; /* KIND or KIND=FILE, until the type is known */
    size_t output_count;
    bool list, contract, help;
};

struct flag {
    const char *name;
    const char *value; /* for people; NULL: takes none */
    const char *help;
    int (*read)(struct reading *reading, const struct flag *flag, const char *value);
    const char *setting; /* of read_limit */
};

static int refuse(struct reading *reading, const char *what, const char *word) {
    (void)text_format(reading->error, reading->error_size, "%s: %s", word, what);
    return -1;
}

/* --- parameters ------------------------------------------------------------------------------------------
 */

/* true, 2, {"left": 0} and "text" are JSON; all else is a text. */
static json_t *parameter_value(const char *text) {
    json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);

    return value != NULL ? value : json_string(text);
}

/* "schema.min_kb=10" goes into the object "schema". */
static int read_parameter(struct reading *reading, const struct flag *flag, const char *value) {
    const char *equals = strchr(value, '='), *name = value;
    json_t *object = reading->order->parameters;
    char part[NAME_SIZE];

    if (equals == NULL || equals == value)
        return refuse(reading, "a parameter is NAME=VALUE", value);
    for (int depth = 0; depth < PARAMETER_DEPTH; depth++) {
        size_t size = strcspn(name, ".=");
        if (size == 0 || text_format(part, sizeof part, "%.*s", (int)size, name) != 0)
            break;
        if (name[size] == '=') {
            json_t *given = parameter_value(equals + 1);
            if (given == NULL)
                return refuse(reading, "the value is not UTF-8", part);
            return json_object_set_new(object, part, given) == 0
                       ? 0
                       : refuse(reading, "the name is not UTF-8", part);
        }
        if (json_object_get(object, part) == NULL)
            json_object_set_new(object, part, json_object());
        object = json_object_get(object, part);
        if (!json_is_object(object))
            return refuse(reading, "is not an object", part);
        name += size + 1;
    }
    return refuse(reading, "a parameter is NAME=VALUE", value);
}

static int read_parameters(struct reading *reading, const struct flag *flag, const char *value) {
    json_error_t error;
    json_t *object = json_loads(value, JSON_REJECT_DUPLICATES, &error);
    int status = json_is_object(object) ? json_object_update(reading->order->parameters, object) : -1;

    json_decref(object);
    return status == 0 ? 0 : refuse(reading, "a JSON object is expected", flag->name);
}

/* --- other flags -----------------------------------------------------------------------------------------
 */

static int read_output(struct reading *reading, const struct flag *flag, const char *value) {
    if (reading->output_count == sizeof reading->outputs / sizeof reading->outputs[0])
        return refuse(reading, "more often than there are outputs", flag->name);
    reading->outputs[reading->output_count++] = value;
    return 0;
}

static int read_limit(struct reading *reading, const struct flag *flag, const char *value) {
    return options_set(&settings_table, reading->settings, flag->setting, value, reading->error,
                       reading->error_size);
}

static int read_outputs(struct reading *reading, const struct flag *flag, const char *value) {
    reading->order->folder = value;
    return 0;
}

static int read_input(struct reading *reading, const struct flag *flag, const char *value) {
    reading->order->input = value;
    return 0;
}

static int read_mime(struct reading *reading, const struct flag *flag, const char *value) {
    reading->order->mime = value;
    return 0;
}

static int read_refusal(struct reading *reading, const struct flag *flag, const char *value) {
    reading->order->refusal = value;
    return 0;
}

static int read_json(struct reading *reading, const struct flag *flag, const char *value) {
    reading->order->json = true;
    return 0;
}

static int read_quiet(struct reading *reading, const struct flag *flag, const char *value) {
    reading->order->quiet = true;
    return 0;
}

static int read_list(struct reading *reading, const struct flag *flag, const char *value) {
    reading->list = true;
    return 0;
}

static int read_contract(struct reading *reading, const struct flag *flag, const char *value) {
    reading->contract = true;
    return 0;
}

static int read_help(struct reading *reading, const struct flag *flag, const char *value) {
    reading->help = true;
    return 0;
}

#define LIMIT(flag_name, unit, setting_name, text)                                                           \
    { .name = flag_name, .value = unit, .help = text, .read = read_limit, .setting = setting_name }

static const struct flag flags[] = {
    {"--param", "NAME=VALUE", "a parameter; a dot goes into an object: schema.max_kb=50", read_parameter,
     NULL},
    {"--params", "JSON", "parameters as one JSON object", read_parameters, NULL},
    {"--output", "KIND[=FILE]", "an output that is wanted, and its file (- or none: standard output)",
     read_output, NULL},
    {"--outputs", "DIR", "all outputs (or those of --output) as files DIR/KIND.EXTENSION", read_outputs,
     NULL},
    {"--input", "FILE", "the document, instead of standard input", read_input, NULL},
    {"--mime", "TYPE", "the document's type, instead of what its bytes show", read_mime, NULL},
    {"--json", NULL, "the result as JSON on standard output (outputs go to files)", read_json, NULL},
    {"--quiet", NULL, "no result on standard error", read_quiet, NULL},
    LIMIT("--wall", "MS", "limit-wall", "longest run"),
    LIMIT("--no-progress", "MS", "limit-no-progress", "longest silence"),
    LIMIT("--cpu", "SECONDS", "limit-cpu", "processor time"),
    LIMIT("--memory", "BYTES", "limit-memory", "address space; 512M is understood"),
    LIMIT("--output-bytes", "BYTES", "limit-output", "all outputs together"),
    LIMIT("--pages", "N", "limit-pages", "most pages"),
    LIMIT("--pixels", "N", "limit-pixels", "most pixels of one picture"),
    LIMIT("--characters", "N", "limit-characters", "most characters of the text"),
    LIMIT("--audio", "SECONDS", "limit-audio", "longest sound"),
    LIMIT("--input-bytes", "BYTES", "run-max-input", "largest document"),
    {"--list", NULL, "the processors: outputs, parameters, limits", read_list, NULL},
    {"--contract", NULL, "one JSON payload in, one out: see docs/run.md", read_contract, NULL},
    {"--help", NULL, "this", read_help, NULL},
    {"-h", NULL, NULL, read_help, NULL},
    {"--configuration-refused", "LINE", NULL, read_refusal, NULL}, /* by `filemill run` */
};
#define FLAG_COUNT (sizeof flags / sizeof flags[0])

/* --- outputs ----------------------------------------------------------------------------------------------
 */

static size_t find_output(const struct processor_row *row, const char *kind, size_t size) {
    size_t index = 0;

    while (index < row->output_count &&
           (strlen(row->outputs[index].kind) != size || strncmp(row->outputs[index].kind, kind, size) != 0))
        index++;
    return index;
}

static int resolve_output(struct reading *reading, const char *word, size_t *standard) {
    struct order *order = reading->order;
    size_t size = strcspn(word, "=");
    size_t index = find_output(order->row, word, size);

    if (index == order->row->output_count)
        return refuse(reading, "the processor has no output of this kind (filemill run --list)", word);
    if ((order->wanted >> index & 1) != 0)
        return refuse(reading, "wanted twice", word);
    order->wanted |= UINT64_C(1) << index;
    order->files[index] = word[size] == '=' ? word + size + 1 : order->folder != NULL ? NULL : "-";
    if (order->files[index] != NULL && order->files[index][0] == '\0')
        return refuse(reading, "the file has no name", word);
    *standard += order->files[index] != NULL && strcmp(order->files[index], "-") == 0;
    return 0;
}

/* Nothing named: everything for a folder, else the first output for standard output. */
static int resolve_outputs(struct reading *reading) {
    struct order *order = reading->order;
    size_t standard = 0;

    for (size_t i = 0; i < reading->output_count; i++) {
        if (resolve_output(reading, reading->outputs[i], &standard) != 0)
            return -1;
    }
    if (reading->output_count == 0 && order->folder != NULL) {
        for (size_t i = 0; i < order->row->output_count; i++)
            order->wanted |= order->row->outputs[i].is_part ? 0 : UINT64_C(1) << i;
    } else if (reading->output_count == 0 && order->row->output_count > 0 && !order->json) {
        order->wanted = 1;
        order->files[0] = "-";
        standard = 1;
    }
    if (standard > 1)
        return refuse(reading, "only one output can go to standard output: name files, or --outputs DIR",
                      "--output");
    if (standard > 0 && order->json)
        return refuse(reading, "standard output is the result's: name files, or --outputs DIR", "--json");
    return 0;
}

/* --- words ------------------------------------------------------------------------------------------------
 */

static const struct flag *find_flag(const char *word, const char **value) {
    size_t size = strcspn(word, "=");

    *value = word[size] == '=' ? word + size + 1 : NULL;
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        if (strlen(flags[i].name) == size && strncmp(flags[i].name, word, size) == 0)
            return &flags[i];
    }
    return NULL;
}

static int read_word(struct reading *reading, const char *word) {
    if (reading->order->row != NULL)
        return refuse(reading, "only one processor is run; the document comes from standard input or --input",
                      word);
    reading->order->row = processor_find(word);
    if (reading->order->row == NULL)
        return refuse(reading, "there is no such processor (filemill run --list)", word);
    if (reading->order->row->profile == PROFILE_NONE)
        return refuse(reading, "touches no document: there is nothing to run", word);
    return 0;
}

static int read_words(struct reading *reading, int count, char **words) {
    for (int i = 0; i < count; i++) {
        const char *value;
        const struct flag *flag = find_flag(words[i], &value);
        if (flag == NULL && (words[i][0] != '-' || words[i][1] == '\0')) {
            if (read_word(reading, words[i]) != 0)
                return -1;
            continue;
        }
        if (flag == NULL)
            return refuse(reading, "is not understood (filemill run --help)", words[i]);
        if (flag->value == NULL && value != NULL)
            return refuse(reading, "takes no value", flag->name);
        if (flag->value != NULL && value == NULL) {
            if (++i == count)
                return refuse(reading, "a value is missing", flag->name);
            value = words[i];
        }
        if (flag->read(reading, flag, value) != 0)
            return -1;
    }
    return 0;
}

int arguments_read(struct order *order, int count, char **words, struct settings *settings, char *error,
                   size_t error_size) {
    struct reading reading = {.order = order, .settings = settings, .error = error, .error_size = error_size};
    int status;

    memset(order, 0, sizeof *order);
    order->parameters = json_object();
    status = read_words(&reading, count, words);
    /* Whatever else is wrong, who asked for the contract reads JSON. */
    order->mode = reading.contract ? ORDER_CONTRACT
                  : reading.help   ? ORDER_HELP
                  : reading.list   ? ORDER_LIST
                                   : ORDER_RUN;
    if (status != 0 || order->mode != ORDER_RUN)
        return status;
    if (order->row == NULL)
        return refuse(&reading, "which processor? (filemill run --list; filemill run --help)",
                      "filemill run");
    return resolve_outputs(&reading);
}

void arguments_clear(struct order *order) {
    json_decref(order->parameters);
    order->parameters = NULL;
}

void arguments_print_help(void) {
    puts("usage: filemill run TYPE [flags] < document > output\n"
         "       filemill run --list [--json]\n"
         "       filemill run --contract < payload.json > result.json\n\n"
         "Runs one processor on one document in the sandbox, without server or database.\n");
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        char head[64];
        if (flags[i].help == NULL)
            continue;
        (void)text_format(head, sizeof head, "%s %s", flags[i].name,
                          flags[i].value == NULL ? "" : flags[i].value);
        printf("  %-24s %s\n", head, flags[i].help);
    }
    puts("\nThe result (facts, sizes, costs) is one JSON line on standard error, a failure one readable line "
         "before it."
         "\nExit status: 0 done; 1 a file could not be read or written; 2 not understood; 3 the document was "
         "refused;"
         "\n4 a limit ended it; 5 the engine failed or died; 6 no sandbox could be started; 130 and 143 "
         "stopped by a"
         "\nsignal.\n\n"
         "  filemill run extract_pdf < report.pdf > report.txt\n"
         "  filemill run ocr --param languages=eng+deu --output ocr_pdf=found.pdf --output ocr_text < "
         "scan.png\n"
         "  filemill run portal_photo --param preset=\"NEET 2026\" --outputs done/ < photo.jpg");
}
