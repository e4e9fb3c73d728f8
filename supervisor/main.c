/* SPDX-License-Identifier: MIT
 * filemill: the supervisor of a node and the command line that speaks with it. */
#include "supervisor/cli.h"

int main(int argument_count, char **arguments) {
    return cli_run(argument_count, arguments);
}
