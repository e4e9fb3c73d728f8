/* SPDX-License-Identifier: MIT
 * `filemill doctor`: what its parts share. A check has a group, a name, a verdict, what was seen, and for all
 * but "ok" what to do. Nothing that is said may hold a secret: URLs are never printed. */
#ifndef DOCTOR_DOCTOR_H
#define DOCTOR_DOCTOR_H

#include "config/settings.h"
#include "lib/loop.h"
#include <stddef.h>
#include <stdint.h>

struct json_t;

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };

#define SEEN_SIZE 512

struct doctor {
    struct settings settings;
    struct loop *loop;
    struct json_t *checks; /* an array */
    bool json;             /* nothing is printed before the end */
    unsigned counts[VERDICT_FAIL + 1];
};

/* Notes a check; `remedy` is a sentence, and only told where the verdict is not ok. */
void doctor_note(struct doctor *doctor, const char *check, enum verdict verdict, const char *remedy,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));

void doctor_machine(struct doctor *doctor);
void doctor_sandbox(struct doctor *doctor);
void doctor_engines(struct doctor *doctor);
void doctor_database(struct doctor *doctor);
/* What is between us and Postgres, which answers at `url`. */
void doctor_pooler(struct doctor *doctor, const char *url);
void doctor_bucket(struct doctor *doctor);

/* Runs a program of ours with `input` on standard input (-1: nothing), at most 30 s; what it prints goes into
 * `text`, cut at its size. Returns its exit status; -1 if it could not be run, was killed, or took too long. */
int doctor_program(const char *name, const char *const *arguments, int input, char *text, size_t size);

#endif
