/* SPDX-License-Identifier: MIT
 * Handlers of the files module, which is spread over several files. A handler is called once, with the token
 * checked, the parameters matched and the body as the route's fields say; it answers the call now or later.
 */
#ifndef GATEWAY_HANDLERS_H
#define GATEWAY_HANDLERS_H

struct call;

/* files_init.c */
void handle_file_init(struct call *call);
/* files_finalize.c */
void handle_file_finalize(struct call *call);
/* files_read.c */
void handle_files(struct call *call);
void handle_file(struct call *call);
void handle_file_download(struct call *call);
void handle_derivative_download(struct call *call);
/* files_write.c */
void handle_file_delete(struct call *call);
void handle_file_reprocess(struct call *call);
/* events.c */
void handle_events(struct call *call);

#endif
