/* SPDX-License-Identifier: MIT
 * The processors that can be run: outputs, parameters, limits. */
#ifndef ONESHOT_LIST_H
#define ONESHOT_LIST_H

#include <stdbool.h>
#include <stdio.h>

/* As a table for people or as a JSON array. 0, or -1 when the stream took no more. */
int list_print(bool json, FILE *stream);

#endif
