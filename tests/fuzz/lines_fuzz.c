/* SPDX-License-Identifier: MIT
 * What people write: .env files, and lines for the stats socket. */
#include "supervisor/command.h"
#include "supervisor/variables.h"
#include "tests/fuzz/fuzz.h"

static void require_printable(const char *error) {
    require(*error != '\0');
    for (const char *at = error; *at != '\0'; at++)
        require((unsigned char)*at >= ' ');
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct variables variables = {0};
    struct command command;
    char error[128] = "";
    char *text = exact_text(bytes, size), *copy = exact_copy(bytes, size);

    if (variables_parse(&variables, text, error, sizeof error) == 0) {
        for (size_t i = 0; i < variables.count; i++)
            require(strchr(variables.list[i], '=') != NULL && variables.list[i][0] != '=');
    } else {
        require_printable(error);
    }
    require(variables.count == 0 || variables.list[variables.count] == NULL);
    variables_clear(&variables);
    error[0] = '\0';
    if (command_parse(&command, copy, size, error, sizeof error) == 0)
        require(command.verb < COMMAND_COUNT && strlen(command.word) < COMMAND_TEXT_MAX);
    else
        require_printable(error);
    free(copy);
    free(text);
    return 0;
}
