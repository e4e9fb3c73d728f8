/* SPDX-License-Identifier: MIT
 * What users may ask of each processor: which media types it takes, with which parameters, and what they are
 * for. Pure tables. The gateway checks orders and plans by them and shows them (GET /v1/processors); a runner
 * reads its parameters again by tables of its own, since it trusts nobody. A processor without a row is
 * internal. */
#ifndef PROTO_CATALOG_H
#define PROTO_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CATALOG_MAX_MEDIA 12

enum parameter_type {
    PARAMETER_INTEGER,   /* min … max */
    PARAMETER_SHARE,     /* a number, min … max */
    PARAMETER_FLAG,      /* true or false */
    PARAMETER_CHOICE,    /* one of choices */
    PARAMETER_CHOICES,   /* a list of some of choices, at least one */
    PARAMETER_INTEGERS,  /* a list of 1 … most numbers, each min … max */
    PARAMETER_TEXT,      /* min … max bytes */
    PARAMETER_COLOUR,    /* #rrggbb, white or black */
    PARAMETER_PAGES,     /* ranges such as 1-5,9, the highest of them at most max; or one of choices */
    PARAMETER_LANGUAGES, /* names such as eng+deu, at most max bytes */
    PARAMETER_OBJECT,    /* members */
    PARAMETER_TYPE_COUNT
};

/* Rows of one name that follow each other are alternatives: a value must fit one of them. */
struct parameter_row {
    const char *name;
    enum parameter_type type;
    int64_t min, max;
    size_t most;
    const char *choices;                 /* "a|b|c" */
    const struct parameter_row *members; /* end with a row without a name */
    const char *fallback;                /* as JSON: what holds where it is absent; NULL: nothing */
    const char *description;
};

struct catalog_row {
    const char *type;                       /* as in processors.def */
    const char *media[CATALOG_MAX_MEDIA];   /* one that ends in '*' is a prefix */
    const struct parameter_row *parameters; /* end with a row without a name; NULL: none */
    const char *summary;
    unsigned version; /* raised when the same input gives other results: forgets old ones */
};

extern const struct catalog_row catalog_rows[];
extern const size_t catalog_row_count;

const struct catalog_row *catalog_find(const char *type); /* NULL if unknown, or internal */
bool catalog_takes(const struct catalog_row *row, const char *media_type);
/* The first of the rows that has this name; NULL if none. */
const struct parameter_row *parameter_find(const struct parameter_row *rows, const char *name);

/* One that ends in '*' is a prefix. */
bool media_pattern_matches(const char *pattern, const char *media_type);

#endif
