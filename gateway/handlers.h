/* SPDX-License-Identifier: MIT
 * One handler per route: called once, with the token checked, the parameters matched and the body as the
 * route's fields say; it answers the call now or later. */
#ifndef GATEWAY_HANDLERS_H
#define GATEWAY_HANDLERS_H

struct call;

/* health.c */
void handle_health(struct call *call);
void handle_ready(struct call *call);
/* openapi.c */
void handle_openapi(struct call *call);
/* tenants.c */
void handle_tenant_bootstrap(struct call *call);
void handle_tenants(struct call *call);
void handle_members(struct call *call);
void handle_member_add(struct call *call);
void handle_member_change(struct call *call);
void handle_member_remove(struct call *call);
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
/* jobs.c */
void handle_job(struct call *call);
void handle_job_cancel(struct call *call);
/* events.c */
void handle_events(struct call *call);

#endif
