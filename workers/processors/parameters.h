/* SPDX-License-Identifier: MIT
 * Reading a job's parameters: one table of fields per JSON object. Unknown names and values out of range are
 * refused, never guessed. */
#ifndef WORKERS_PROCESSORS_PARAMETERS_H
#define WORKERS_PROCESSORS_PARAMETERS_H

#include <jansson.h>
#include <stddef.h>

#include "workers/processor.h"

struct parameter_field {
    const char *name;
    /* 0, or -1 after processor_fail; `target` is what parameters_read was given. */
    int (*read)(struct processor_context *context, const struct parameter_field *field, const json_t *value,
                void *target);
    size_t offset;            /* of the member in `target` */
    int least, most;          /* for numbers */
    const char *const *words; /* for words: NULL-terminated, the member becomes the index */
};

/* NULL after processor_fail; an empty object when there are no parameters. The caller decrefs. */
json_t *parameters_parse(struct processor_context *context);
/* Reads every member of an object by the table, which ends with a row without a name. 0, or -1 after
 * processor_fail. */
int parameters_read(struct processor_context *context, const struct parameter_field *fields,
                    const json_t *object, void *target);
/* The same of the job's own parameters. */
int parameters_read_all(struct processor_context *context, const struct parameter_field *fields, void *target);

/* Readers. */
int parameter_read_int(struct processor_context *context, const struct parameter_field *field,
                       const json_t *value, void *target); /* int */
int parameter_read_word(struct processor_context *context, const struct parameter_field *field,
                        const json_t *value, void *target); /* int */
int parameter_read_flag(struct processor_context *context, const struct parameter_field *field,
                        const json_t *value, void *target); /* bool */
int parameter_read_colour(struct processor_context *context, const struct parameter_field *field,
                          const json_t *value,
                          void *target); /* unsigned char[3]: "#rrggbb", "white", "black" */
int parameter_read_ignored(struct processor_context *context, const struct parameter_field *field,
                           const json_t *value, void *target);

/* Index of the word, or -1 after processor_fail. */
int parameter_word(struct processor_context *context, const char *name, const char *const *words,
                   const json_t *value);

#endif
