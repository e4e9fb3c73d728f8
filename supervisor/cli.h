/* SPDX-License-Identifier: MIT
 * The verbs of the command line, one row each. */
#ifndef SUPERVISOR_CLI_H
#define SUPERVISOR_CLI_H

/* Runs `filemill VERB …`; the exit status: 0 done, 1 it failed, 2 it was not understood. */
int cli_run(int argument_count, char **arguments);

#endif
