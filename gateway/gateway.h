/* SPDX-License-Identifier: MIT
 * What the gateway's modules share: the process' own parts, made and freed by main.c. */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "config/settings.h"
#include "http/client.h"
#include "http/server.h"
#include "lib/loop.h"
#include "sql/database.h"
#include "storage/storage.h"
#include <stdbool.h>

struct auth;
struct call;
struct events;
struct health;
struct outbound;
struct identify;
struct rate;
struct scheduler_link;

struct gateway {
    struct settings settings;
    struct loop *loop;
    struct http_server *server;
    struct http_client *client;
    struct database *database;
    struct storage *storage;
    struct keyring *keyring; /* storage/keyring.h */
    unsigned content_streams; /* downloads through this process */
    struct auth *auth;
    struct measures *measures;
    struct rate *rate;
    struct events *events;
    struct health *health;
    struct outbound *outbound; /* where webhooks may go */
    struct identify *identify;
    struct scheduler_link *scheduler;
    char *openapi;      /* the document, made once */
    unsigned forms;     /* being read */
    struct call *calls; /* in flight */
    unsigned call_count;
    bool draining;
};

#endif
