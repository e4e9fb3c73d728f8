/* SPDX-License-Identifier: MIT
 * The gateway's SQL; see statements.h. JSON that is answered as it is, is built here. */
#include "gateway/statements.h"

#define ROW(id, count, sql) [id] = {.name = "gateway_" #id, .text = sql, .parameters = count}

/* A job as the API shows it. */
#define JOB_JSON                                                                                             \
    "json_build_object('id', j.id, 'type', j.type, 'parameters', j.payload, 'priority', j.priority, "        \
    "'provenance', j.result->'provenance', "                                                                 \
    "'status', j.status, 'attempts', j.attempts, "                                                           \
    "'error_code', "                                                                                         \
    "j.error_code, 'error_detail', j.error_detail, 'stage', j.stage, 'progress_done', j.progress_done, "     \
    "'progress_total', j.progress_total, 'parent', j.parent, 'generation', j.generation, 'ordered', "        \
    "coalesce(j.ordered, false), 'run_after', "                                                              \
    "filemill_time(j.run_after), "                                                                           \
    "'created_at', filemill_time(j.created_at), 'started_at', filemill_time(j.started_at), 'finished_at', "  \
    "filemill_time(j.finished_at))"

/* A file as the API shows it. */
#define FILE_JSON                                                                                            \
    "json_build_object('file_id', f.id, 'tenant_id', f.tenant_id, 'owner_user_id', f.owner_user_id, "        \
    "'filename', "                                                                                           \
    "f.filename, 'visibility', f.visibility, 'mime', f.mime, 'detected_mime', f.detected_mime, "             \
    "'extension', f.extension, "                                                                             \
    "'size_bytes', "                                                                                         \
    "f.size_bytes, 'sha256', f.sha256, 'status', f.status, 'generation', f.generation, 'r2_key', "           \
    "f.r2_key_original, 'created_at', filemill_time(f.created_at), 'updated_at', "                           \
    "filemill_time(f.updated_at), "                                                                          \
    "'finalized_at', filemill_time(f.finalized_at))"

/* The jobs of a plan: $2 is a file_plan's jobs, $4 the request's trace; of the file in the CTE `f`. */
#define PLANNED_JOBS                                                                                         \
    "j as (insert into jobs (id, tenant_id, file_id, type, payload, generation, priority, trace, parent, "   \
    "status) select n.id, f.tenant_id, f.id, n.type, n.parameters, f.generation, n.priority, $4, n.parent, " \
    "coalesce(n.status, 'queued')::job_status_t from f, jsonb_to_recordset($2::jsonb) "                      \
    "n(id uuid, type text, parameters jsonb, priority smallint, parent uuid, status text) "                  \
    "returning id, tenant_id, file_id, type, status), "

#define ACTIVE "('queued', 'retry', 'running', 'waiting')"

/* Jobs and, below them, those that they wait for: `tree`, from jobs that meet a condition. */
#define FLOW(condition)                                                                                      \
    "with recursive tree as (select j.id, j.file_id from jobs j where " condition                            \
    " union select c.id, c.file_id from tree t join jobs c on c.parent = t.id)"
#define LOCK_FLOW_FILES                                                                                      \
    " select f.id from files f where f.id = $1::uuid or f.id in (select t.file_id from tree t) "             \
    "order by f.id for update"
#define DUE_OF_FLOW                                                                                          \
    ", due as (select j.id from jobs j where j.id in (select t.id from tree t) and j.status in " ACTIVE      \
    " order by j.id for update), "
#define ACTIVE_OF_FILE                                                                                       \
    "j.file_id = $1::uuid and j.status in " ACTIVE                                                           \
    " and exists (select from files f where f.id = j.file_id and f.status <> 'deleted')"

/* Cancels jobs given by the CTE `due` and writes their events: no lease taken before counts any more. */
#define CANCEL_DUE                                                                                           \
    "gone as (update jobs j set status = 'cancelled', lease_epoch = j.lease_epoch + 1, finished_at = "       \
    "now(), "                                                                                                \
    "locked_at = null, locked_by = null, lease_until = null from due where j.id = due.id "                   \
    "returning j.id, j.tenant_id, j.file_id, j.type), "                                                      \
    "told as (insert into file_events (tenant_id, file_id, job_id, kind, data) select tenant_id, file_id, "  \
    "id, "                                                                                                   \
    "'job.status', jsonb_build_object('type', type, 'status', 'cancelled') from gone order by id) "          \
    "select id::text from gone"

const struct statement statements[STATEMENT_COUNT] = {
    ROW(STATEMENT_ROLE, 1, "select filemill_role($1::uuid)::text as role"),

    /* tenants and members */
    ROW(STATEMENT_TENANT_BOOTSTRAP, 2, "select tenant_bootstrap($1::uuid, $2::text)"),
    ROW(STATEMENT_TENANTS, 0,
        "select json_build_object('tenants', coalesce(json_agg(json_build_object('id', t.id, 'name', t.name, 'role', "
        "m.role, 'created_at', filemill_time(t.created_at)) order by t.created_at, t.id), '[]'))::text as answer "
        "from (select tenant_id, role from tenant_members where user_id = filemill_user() limit 1000) m "
        "join tenants t on t.id = m.tenant_id"),
    ROW(STATEMENT_MEMBERS, 1,
        "select json_build_object('members', coalesce(json_agg(json_build_object('user_id', m.user_id, 'role', m.role, "
        "'created_at', filemill_time(m.created_at)) order by m.created_at, m.user_id), '[]'))::text as answer "
        "from (select * from tenant_members where tenant_id = $1::uuid order by created_at, user_id limit "
        "1000) m"),
    ROW(STATEMENT_MEMBER_ADD, 3,
        "insert into tenant_members (tenant_id, user_id, role) select $1::uuid, $2::uuid, $3::member_role_t "
        "where filemill_role($1::uuid) in ('owner', 'admin') on conflict do nothing"),
    ROW(STATEMENT_OWNERS_LOCK, 1,
        "select user_id from tenant_members where tenant_id = $1::uuid and role = 'owner' order by user_id "
        "for update"),
    ROW(STATEMENT_MEMBER_CHANGE, 3,
        "update tenant_members set role = $3::member_role_t where tenant_id = $1::uuid and user_id = "
        "$2::uuid"),
    ROW(STATEMENT_MEMBER_REMOVE, 2,
        "delete from tenant_members where tenant_id = $1::uuid and user_id = $2::uuid returning user_id"),

    /* Hot: one row in, no row read but the caller's membership (tenant_members' primary key). */
    ROW(STATEMENT_FILE_INSERT, 10,
        "insert into files (id, tenant_id, owner_user_id, visibility, r2_key_original, mime, size_bytes, "
        "sha256, filename, upload_expires_at, retention_class) select $1::uuid, $2::uuid, filemill_user(), "
        "$3::visibility_t, $4, $5, $6::bigint, $7, $8, now() + $9::bigint * interval '1 minute', $10 from "
        "(select filemill_role($2::uuid) as role) c where c.role is not null and ($3::visibility_t <> "
        "'internal' or filemill_elevated(c.role))"),
    ROW(STATEMENT_FILE_LOOK, 1,
        "select f.id::text, f.tenant_id::text as tenant, f.visibility::text, f.r2_key_original as key, "
        "f.mime, f.detected_mime, f.size_bytes, f.status::text, f.filename, f.sealed, f.finalized_at is not "
        "null as finalized, c.role::text as role, f.owner_user_id = filemill_user() as own, "
        "filemill_elevated(c.role) as elevated, file_readable(f.visibility, f.owner_user_id, c.role) as "
        "readable from files f, lateral (select filemill_role(f.tenant_id) as role offset 0) c where f.id = "
        "$1::uuid and f.status <> 'deleted'"),
    ROW(STATEMENT_FILE_LOCK, 1, "select id from files where id = $1::uuid for update"),
    /* With those of the jobs that its jobs wait for: files are locked in order of id, before any job. */
    ROW(STATEMENT_FILE_LOCK_FLOW, 1, FLOW(ACTIVE_OF_FILE) LOCK_FLOW_FILES),
    /* After FILE_LOCK: the first finalize inserts the jobs, any later one finds the file no longer uploading.
     */
    ROW(STATEMENT_FILE_FINALIZE, 6,
        "with f as (select id, tenant_id, generation from files where id = $1::uuid and status = "
        "'uploading'), " PLANNED_JOBS
        "u as (update files set status = (case when jsonb_array_length($2::jsonb) > 0 then 'processing' else "
        "'ready' end)::file_status_t, finalized_at = now(), detected_mime = $5, etag = $6, followers = "
        "$3::jsonb from f where files.id = f.id returning files.id, files.tenant_id, files.status), e as "
        "(insert into file_events (tenant_id, file_id, job_id, kind, data) select tenant_id, id, null::uuid, "
        "'file.status', jsonb_build_object('status', status) from u union all select tenant_id, file_id, id, "
        "'job.status', jsonb_build_object('type', type, 'status', status) from j) select id from u"),
    ROW(STATEMENT_FILE_JOBS, 1,
        "select coalesce(json_agg(json_build_object('id', id, 'type', type, 'status', status) order by id), "
        "'[]')::text as jobs, count(*) as count from (select j.id, j.type, j.status from jobs j join files f "
        "on f.id = j.file_id where j.file_id = $1::uuid and j.generation = 0 and (f.finalized_at is null or "
        "j.created_at <= f.finalized_at) order by j.id limit 64) j"),

    /* reading */
    ROW(STATEMENT_FILE_DETAIL, 1,
        "select " FILE_JSON "::text as file, (select coalesce(json_agg(" JOB_JSON
        " order by j.id), '[]') from (select * from jobs where file_id = f.id and generation = f.generation "
        "order by id limit 1000) j)::text as jobs from files f where f.id = $1::uuid and f.status <> "
        "'deleted'"),
    ROW(STATEMENT_FILE_DERIVATIVES, 1,
        "select coalesce(json_agg(json_build_object('kind', d.kind, 'mime', d.mime, 'size_bytes', "
        "d.size_bytes, 'r2_key', d.r2_key, 'sha256', d.sha256, 'metadata', d.metadata, 'created_at', "
        "filemill_time(d.created_at), 'updated_at', filemill_time(d.updated_at)) order by d.kind), "
        "'[]')::text as derivatives from (select * from file_derivatives where file_id = $1::uuid order by "
        "kind limit 1000) d"),
    /* One more than the largest page; walks files_list_idx. */
    ROW(STATEMENT_FILE_LIST, 4,
        "select f.id::text, (extract(epoch from f.created_at) * 1000000)::bigint as stamp, " FILE_JSON
        "::text as file from files f where f.tenant_id = $1::uuid and f.status <> 'deleted' and "
        "f.retention_class is distinct from 'wordlist-exports' and ($2::text is null or f.status = "
        "$2::file_status_t) and ($3::bigint is null or (f.created_at, f.id) < (timestamptz 'epoch' + "
        "$3::bigint * interval '1 microsecond', $4::uuid)) and file_readable(f.visibility, f.owner_user_id, "
        "(select filemill_role($1::uuid))) order by f.created_at desc, f.id desc limit 101"),
    ROW(STATEMENT_DERIVATIVE, 2,
        "select kind, r2_key as key, mime, size_bytes, exists (select from object_keys k where k.key = "
        "r2_key) as sealed from file_derivatives where file_id = $1::uuid and kind = $2"),

    /* changing; the file is locked before */
    ROW(STATEMENT_JOBS_CANCEL, 1, FLOW(ACTIVE_OF_FILE) DUE_OF_FLOW CANCEL_DUE),
    /* After JOBS_CANCEL: the other files of what it has cancelled. */
    ROW(STATEMENT_FLOW_REFRESH, 1,
        FLOW("j.file_id = $1::uuid and j.finished_at = now()")
        " select count(*) from files_refresh(array(select t.file_id from tree t where t.file_id <> $1::uuid))"),
    ROW(STATEMENT_FILE_REPROCESS, 4,
        "with f as (update files set generation = generation + 1, followers = $3::jsonb, status = (case when "
        "jsonb_array_length($2::jsonb) > 0 then 'processing' else 'ready' end)::file_status_t where id = "
        "$1::uuid and status in ('ready', 'processing', 'failed') returning id, tenant_id, generation, "
        "status), " PLANNED_JOBS "e as (insert into file_events (tenant_id, file_id, job_id, kind, data) "
        "select tenant_id, id, null::uuid, 'file.status', jsonb_build_object('status', status, 'generation', "
        "generation) from f union all select tenant_id, file_id, id, 'job.status', "
        "jsonb_build_object('type', type, 'status', status) from j) select f.generation, (select "
        "coalesce(json_agg(json_build_object('id', j.id, 'type', j.type, 'status', j.status) order by j.id), "
        "'[]') from j)::text as jobs from f"),
    /* The job that was ordered: the new one, or the one that has its key. */
    ROW(STATEMENT_JOB_ORDERED, 4,
        "select (" JOB_JSON "::jsonb || jsonb_build_object('file_id', j.file_id, 'tenant_id', "
        "j.tenant_id))::text as job from jobs j where j.id = $2::uuid or ($4::text is not null and "
        "j.unique_key = $4::text and j.type = $3::text and j.status in " ACTIVE " and j.tenant_id = (select tenant_id "
        "from files where id = $1::uuid)) order by j.id = $2::uuid desc limit 1"),

    /* plans */
    ROW(STATEMENT_PLAN, 1,
        "select coalesce(json_agg(json_build_object('media_type', media_type, 'jobs', jobs) order by "
        "media_type), '[]')::text as plan from tenant_plans where tenant_id = $1::uuid"),
    ROW(STATEMENT_PLAN_OF_FILE, 1,
        "select coalesce(json_agg(json_build_object('media_type', p.media_type, 'jobs', p.jobs)), "
        "'[]')::text "
        "as plan from files f join tenant_plans p on p.tenant_id = f.tenant_id where f.id = $1::uuid"),
    ROW(STATEMENT_PLAN_LOCK, 1, "select pg_advisory_xact_lock(hashtextextended('plan ' || $1::uuid, 0))"),
    ROW(STATEMENT_PLAN_DROP, 1, "delete from tenant_plans where tenant_id = $1::uuid"),
    ROW(STATEMENT_PLAN_INSERT, 2,
        "insert into tenant_plans (tenant_id, media_type, jobs) select $1::uuid, n.media_type, n.jobs from "
        "jsonb_to_recordset($2::jsonb) n(media_type text, jobs jsonb) where filemill_role($1::uuid) in "
        "('owner', 'admin')"),
    ROW(STATEMENT_FILE_DELETE, 1,
        "with f as (update files set status = 'deleted', deleted_at = now() where id = $1::uuid and "
        "status <> 'deleted' returning id, tenant_id), "
        "e as (insert into file_events (tenant_id, file_id, kind, data) select tenant_id, id, 'file.status', "
        "jsonb_build_object('status', 'deleted') from f) select id from f"),
    ROW(STATEMENT_JOB, 1,
        "select " JOB_JSON
        "::jsonb || jsonb_build_object('file_id', j.file_id, 'tenant_id', j.tenant_id) as job, "
        "j.file_id::text as file, j.status::text, c.role::text as role, f.owner_user_id = filemill_user() as "
        "own, filemill_elevated(c.role) as elevated, file_readable(f.visibility, f.owner_user_id, c.role) as "
        "readable from jobs j join files f on f.id = j.file_id, lateral (select filemill_role(f.tenant_id) "
        "as role offset 0) c where j.id = $1::uuid and f.status <> 'deleted'"),
    ROW(STATEMENT_JOB_LOCK_FLOW, 1, FLOW("j.id = $1::uuid") LOCK_FLOW_FILES),
    ROW(STATEMENT_JOB_CANCEL, 1, FLOW("j.id = $1::uuid") DUE_OF_FLOW CANCEL_DUE),
    ROW(STATEMENT_FILES_REFRESH, 1,
        FLOW("j.id = $1::uuid") " select count(*) from files_refresh(array(select t.file_id from tree t))"),

    /* events */
    ROW(STATEMENT_EVENTS_AFTER, 2,
        "select id, kind, (data || jsonb_build_object('file_id', file_id, 'job_id', job_id, 'created_at', "
        "filemill_time(created_at)))::text as data, kind = 'file.status' and data->>'status' = 'deleted' as "
        "last from file_events where file_id = $1::uuid and id > $2::bigint order by id limit 200"),
    ROW(STATEMENT_EVENTS_NEWEST, 1, "select file::text, newest from events_newest($1::uuid[])"),

    /* idempotency: rows of the caller only, by row security */
    ROW(STATEMENT_IDEMPOTENCY_CLEAR, 2,
        "delete from idempotency_keys where key = $1 and (created_at < now() - interval '24 hours' or "
        "(status is null and not $2::boolean and created_at < now() - interval '30 seconds'))"),
    ROW(STATEMENT_IDEMPOTENCY_FIND, 1,
        "select request_hash, status, body, status is null and created_at < now() - interval '30 seconds' as lost "
        "from idempotency_keys where key = $1"),
    ROW(STATEMENT_IDEMPOTENCY_RECORD, 5,
        "insert into idempotency_keys (user_id, key, request_hash, status, body) select filemill_user(), $1, "
        "$2, case when p.proven then $3::int end, case when p.proven then $4 end from (select $5::uuid is "
        "null or exists (select 1 from files where id = $5::uuid) as proven) p"),
    ROW(STATEMENT_IDEMPOTENCY_STORE, 3,
        "update idempotency_keys set status = $2::int, body = $3 where key = $1 and status is null"),
    ROW(STATEMENT_IDEMPOTENCY_EXPIRE, 0, "select idempotency_expire()"),

    /* alone in its transaction, on a connection of its own: a commit with a notice in it waits for all others
     */
    ROW(STATEMENT_WAKE, 0, "select pg_notify('filemill_jobs', 'gateway')"),
};
