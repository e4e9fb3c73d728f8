/* SPDX-License-Identifier: MIT
 * What the store can be asked: one row per operation of S3, the first that fits is taken. */
#ifndef STORAGE_STORE_ROUTES_H
#define STORAGE_STORE_ROUTES_H

#include "storage/store/call.h"

enum route_level { ON_SERVICE, ON_BUCKET, ON_OBJECT };
enum route_body { BODY_NONE, BODY_XML, BODY_OBJECT };

struct route {
    const char *operation;
    const char *method;
    enum route_level level;
    const char *query;  /* a parameter that must be there; NULL: any */
    const char *header; /* a header that must be there; NULL: any */
    enum route_body body;
    /* Before the body: 0, or -1 after answering. May be NULL. */
    int (*begin)(struct call *call);
    /* The body is whole and as announced. */
    void (*run)(struct call *call);
};

extern const struct http_handlers store_handlers;
/* Error body for what the HTTP guard refuses. */
void store_error_body(int status, const char *code, char *target, size_t size, const char **content_type);

/* buckets.c */
void list_buckets(struct call *call);
void head_bucket(struct call *call);
void create_bucket(struct call *call);
void remove_bucket(struct call *call);
void get_location(struct call *call);
void get_subresource(struct call *call);
bool is_subresource(const char *name);
/* list.c */
void list_objects(struct call *call);
/* objects.c */
void get_object(struct call *call);
int put_object_begin(struct call *call);
void put_object(struct call *call);
/* copy.c */
void copy_object(struct call *call);
void copy_part(struct call *call);
/* remove.c */
void remove_object(struct call *call);
void remove_objects(struct call *call);
/* multipart.c */
int create_upload_begin(struct call *call);
void create_upload(struct call *call);
int put_part_begin(struct call *call);
void put_part(struct call *call);
void abort_upload(struct call *call);
void complete_upload(struct call *call);
/* uploads.c */
void list_parts(struct call *call);
void list_uploads(struct call *call);

#endif
