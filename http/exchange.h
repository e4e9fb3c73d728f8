/* SPDX-License-Identifier: MIT
 * What libmicrohttpd calls for requests; the contexts are the server. Internal to http/. */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include <microhttpd.h>

/* A request's head is complete, a part of its body came, all is there, or a suspended one goes on. */
enum MHD_Result exchange_access(void *context, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *bytes, size_t *size,
                                void **place);
void exchange_completed(void *context, struct MHD_Connection *mhd, void **place,
                        enum MHD_RequestTerminationCode code);
/* The target as it was on the wire; libmicrohttpd's own unescaping is switched off. */
void *exchange_target(void *context, const char *target, struct MHD_Connection *mhd);
size_t exchange_keep_escapes(void *context, struct MHD_Connection *mhd, char *text);

#endif
