/* SPDX-License-Identifier: MIT
 * One file's way through the mill: init-upload, presigned PUT, finalize, follow its jobs, fetch what came
 * out. */
#ifndef DEMO_UPLOAD_H
#define DEMO_UPLOAD_H

#include "demo/api.h"
#include "demo/view.h"
#include "lib/loop.h"

struct upload;

/* Borrowed pointers outlive the upload. `finished` is called once. */
struct upload_plan {
    struct loop *loop;
    struct api *api;
    struct view *view;
    struct view_row *row;
    const char *path;
    const char *tenant;
    const char *output_directory; /* derivatives are saved there */
    void (*finished)(void *context, struct upload *upload);
    void *context;
};

/* NULL with a log line if the file can't be read or is of no known type. */
struct upload *upload_start(const struct upload_plan *plan);
/* After `finished`: prints what came out and where. Returns -1 if the file or a part of it failed. */
int upload_report(const struct upload *upload);
void upload_free(struct upload *upload);

#endif
