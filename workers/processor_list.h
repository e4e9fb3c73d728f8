/* SPDX-License-Identifier: MIT
 * Prints the processors that take a document: outputs, parameters, limits. */
#ifndef WORKERS_PROCESSOR_LIST_H
#define WORKERS_PROCESSOR_LIST_H

#include <stdbool.h>
#include <stdio.h>

/* As a table for people or as a JSON array. 0, or -1 when the stream took no more. */
int processor_list_print(bool json, FILE *stream);

#endif
