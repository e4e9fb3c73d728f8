/* SPDX-License-Identifier: MIT
 * What `filemill run` was asked: its words, checked against the table of processors. */
#ifndef ONESHOT_ARGUMENTS_H
#define ONESHOT_ARGUMENTS_H

#include "config/settings.h"
#include "proto/processors.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum order_mode { ORDER_RUN, ORDER_LIST, ORDER_CONTRACT, ORDER_HELP };

struct order {
    enum order_mode mode;
    const struct processor_row *row;
    json_t *parameters;                     /* an object, ours */
    uint64_t wanted;                        /* bit set of the row's outputs */
    const char *files[MESSAGE_MAX_OUTPUTS]; /* of a wanted output: a path, or "-" for standard output */
    const char *folder;                     /* --outputs: for all that are made; NULL: none */
    const char *input;                      /* NULL: standard input */
    const char *mime;                       /* NULL: as the bytes show */
    bool json, quiet;
    const char *refusal; /* what was wrong with the configuration already, or NULL */
};

/* Limit flags go into `settings`. 0, or -1 with one line in `error`. Clear the order in either case. */
int arguments_read(struct order *order, int count, char **words, struct settings *settings, char *error,
                   size_t error_size);
void arguments_clear(struct order *order);

void arguments_print_help(void);

#endif
