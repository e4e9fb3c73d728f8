/* SPDX-License-Identifier: MIT
 * The table of processors as every process sees it: names, outputs, limits. What they do is in workers/. */
#ifndef PROTO_PROCESSORS_H
#define PROTO_PROCESSORS_H

#include "proto/message.h"
#include <stddef.h>
#include <stdint.h>

/* What the sandbox lets an engine do beyond computing on its descriptors (workers/sandbox.h). */
enum processor_profile {
    PROFILE_COMPUTE,     /* nothing: no open, no threads */
    PROFILE_ENGINE_DATA, /* reads fonts, CMaps, tessdata below fixed folders */
    PROFILE_COUNT,
    PROFILE_NONE = PROFILE_COUNT, /* touches no document: the worker answers by itself, without a runner */
    PROFILE_NETWORK               /* the worker asks a service that the operator named (workers/remote.h) */
};

/* Which program has the processor's engines loaded: a runner is cheaper the less its nursery has mapped. */
enum processor_nursery {
    NURSERY_PDF,   /* and what needs no engine */
    NURSERY_TEXT,  /* office documents, plain text, word lists */
    NURSERY_MEDIA, /* pictures, OCR, sound, portals */
    NURSERY_COUNT,
    NURSERY_FIRST = NURSERY_PDF /* starts the others when something is sent to them */
};

/* Whose room a task takes: a worker offers each class its own (CREDIT). */
enum processor_class { CLASS_RUNNER, CLASS_LIGHT, CLASS_NETWORK, CLASS_COUNT };

/* Where an output's object lies: with its file (storage/keys.h), or as document portals have it
 * (storage/portal_paths.h), where it belongs to its job alone; or in the retention class of exports; or in the
 * bucket that media is published to, under a key of its own shape. */
enum processor_place {
    PLACE_DERIVED,
    PLACE_MASTER,
    PLACE_OUTPUT,
    PLACE_STAMPED_OUTPUT,
    PLACE_EXPORT,
    PLACE_PUBLISHED
};

struct processor_output {
    const char *kind;
    const char *extension; /* without the dot */
    const char *mime;
    bool is_part; /* no derivative: for the job that waits for this one */
    enum processor_place place;
};

struct processor_row {
    const char *name;
    enum processor_nursery nursery;
    enum processor_profile profile;
    uint64_t wall_ms, no_progress_ms, cpu_seconds, memory_bytes, output_bytes;
    uint64_t max_attempts; /* 0: the max_attempts setting */
    struct processor_output outputs[MESSAGE_MAX_OUTPUTS];
    size_t output_count;
};

extern const struct processor_row processor_rows[];
extern const size_t processor_row_count;

const struct processor_row *processor_find(const char *name); /* NULL if unknown */

/* By the row's profile; processors that run in a runner or ask a service, as a setting says, by that setting.
 * CLASS_RUNNER for NULL. */
struct settings;
enum processor_class processor_class(const struct processor_row *row, const struct settings *settings);

#endif
