/* SPDX-License-Identifier: MIT
 * The table. Rules: a write to a job names its epoch; batches come as one JSON array or two SQL arrays;
 * rows are locked in order of id; a status is compared as text where the partial index on running jobs,
 * full of dead entries, would otherwise be chosen over the primary key. */
#include "scheduler/statements.h"

#include "lib/buffer.h"
#include "lib/log.h"
#include "lib/text.h"

/* clang-format off: it breaks SQL in the middle of words */

const struct database_local statement_locals[] = {
    {"enable_seqscan", "off"},  {"enable_bitmapscan", "off"}, {"enable_sort", "off"},
    {"enable_hashjoin", "off"}, {"enable_mergejoin", "off"},  {"jit", "off"},
    {NULL, NULL}};

/* What a lease in memory is made of; u is a set of updated jobs. What is only of flows is behind a CASE: other
 * jobs look nothing up. */
#define IS_JOIN "u.payload ? 'on_child_failure'"
/* payload.inputs: the input is a derivative (job_derived, migration 0044). */
#define LEASE_ROWS                                                                                           \
    " select u.id as job, u.lease_epoch as epoch, u.file_id as file, u.tenant_id as tenant, u.type,"         \
    " u.attempts, u.user_id as usr,"                                                                         \
    " u.max_attempts, u.crashes, u.generation, u.trace, u.priority,"                                         \
    " (case when " IS_JOIN " then u.payload - 'on_child_failure' - 'inputs' else u.payload end"              \
    " || coalesce(t.more, '{}'))::text as payload,"                                                          \
    " u.parent, u.payload ? 'range' as is_range, t.key is not null as derived, "     \
    IS_JOIN " and t.key is null as joins, case when u.parent is not null then (select p.file_id from jobs"   \
    " p where p.id = u.parent) end as parent_file, case when " IS_JOIN " then (select string_agg(x.key ||"   \
    " ' ' || x.size_bytes || ' ' || x.sha256 || ' ' || coalesce(s.seal, '-'), E'\n' order by x.key)"         \
    " from job_parts x left join object_keys s on s.key = x.key where x.parent = u.id)"                       \
    " end as parts, case when f.sealed or t.key is not null then coalesce((select s.seal from object_keys s"  \
    " where s.key = coalesce(t.key, f.r2_key_original)), case when t.key is null then '' end) end as seal,"   \
    " coalesce(t.key, f.r2_key_original) as key, coalesce(t.mime, f.detected_mime, f.mime) as mime,"         \
    " coalesce(t.size_bytes, case when u.payload ? 'unmeasured' then -1 else f.size_bytes end) as size_bytes,"\
    " case when t.key is null then f.etag end as etag,"                                                      \
    " case when t.key is null then f.sha256 else t.sha256 end as sha256,"                                    \
    " f.owner_user_id as owner, (extract(epoch from u.created_at) * 1000)::bigint as created_ms,"            \
    " f.status as file_status, coalesce(q.crashes, 0) as bytes_crashes,"                                     \
    " coalesce(u.created_at <= f.finalized_at, true) as planned,"                                            \
    " u.run_after as band_time, u.run_after > now() - interval '1 s' as live,"                               \
    " u.run_after - interval '250 ms' as live_time,"                                                         \
    " greatest((extract(epoch from now() - u.run_after) * 1000000)::bigint, 0) as waited_us"                 \
    " from u cross join lateral (select * from files where id = u.file_id offset 0) f"                       \
    " left join quarantine q on q.tenant_id = u.tenant_id and q.sha256 = f.sha256 and q.type = u.type"       \
    " left join lateral job_derived(u.tenant_id, u.file_id, u.payload) t on u.payload ? 'inputs'"            \
    " order by u.priority, u.run_after, u.id"

/* What is claimed by the queue's head. */
static const char claim_filter[] =
    " and type <> all ((select types from paused)::text[])"
    " and tenant_id <> all ((select tenants from paused)::uuid[]) and not (select everything from paused)"
    " and ($14::bigint > 0 or type <> all ($13::text[]))";

/* One band: an index scan of jobs_pick_idx from its watermark on. Left alone, the planner takes the paused
 * types' array for a filter that leaves one row, and so fetches and sorts the whole band: 100 ms instead
 * of 0.1 ms at 100 000 rows; hence enable_sort and enable_bitmapscan above. Bands after a full one are not
 * looked at. */
#define CLAIM_BAND(band, time, id, before)                                                                   \
    "b" #band " as materialized (select id, type from jobs where status in ('queued', 'retry') and"         \
    " priority = " #band                                                                                     \
    "  and (run_after, id) > (" time "::timestamptz, " id "::uuid) and run_after <= now()"                   \
    "~ and " before                                                                                          \
    "  order by run_after, id limit @ for update skip locked)"

/* Paused, or left to lanes (claims of lanes look at limits, this one passes over all that one may be about). */
#define CLAIM_PAUSED                                                                                         \
    "paused as materialized (select (select coalesce(array_agg(t.type), '{}') from"                          \
    " (select type from paused_types union all select type from job_limits where type is not null) t)"       \
    " as types, (select coalesce(array_agg(t.tenant_id), '{}') from (select tenant_id from paused_tenants"   \
    " union all select tenant_id from job_limits where type is null and tenant_id is not null) t) as tenants," \
    " exists (select from job_limits where type is null and tenant_id is null) as everything)"

/* $1…$8: watermarks; $9: owner; $10: lease in ms; $11: how many may be of other types than $12, which cost a
 * worker next to nothing or have room of their own: what comes behind one too many stays in the queue. $14: how
 * many of the types in $13; where it is none they are passed over, so that a service that is slow holds up
 * nobody else. Plan: four Index Scans on jobs_pick_idx under LockRows and Limit, a WindowAgg without a Sort,
 * then Nested Loops over primary keys. */
static const char claim_format[] =
    "with " CLAIM_PAUSED
    ", " CLAIM_BAND(0, "$1", "$2", "true")
    ", " CLAIM_BAND(1, "$3", "$4", "(select count(*) from b0) < @")
    ", " CLAIM_BAND(2, "$5", "$6", "(select count(*) from b0) + (select count(*) from b1) < @")
    ", " CLAIM_BAND(3, "$7", "$8",
                    "(select count(*) from b0) + (select count(*) from b1) + (select count(*) from b2) < @")
    ", p as materialized (select id from (select id, count(*) filter (where type <> all ($12::text[]))"
    " over (rows unbounded preceding) as heavy, count(*) filter (where type = any ($13::text[]))"
    " over (rows unbounded preceding) as network from (select id, type from b0 union all"
    " select id, type from b1 union all select id, type from b2 union all select id, type from b3) b) c"
    " where heavy <= $11::bigint and network <= $14::bigint limit @)"
    ", u as (update jobs j set status = 'running', lease_epoch = j.lease_epoch + 1, locked_by = $9,"
    " locked_at = now(), updated_at = now(),"
    " lease_until = now() + $10::bigint * interval '1 ms', started_at = coalesce(j.started_at,"
    " now()),"
    " progress_done = case when j.payload ? 'on_child_failure' then j.progress_done else 0 end,"
    " progress_total = case when j.payload ? 'on_child_failure' then j.progress_total else 0 end"
    " where j.id = any (array(select id from p)) returning j.*)";
static const char lease_rows[] = LEASE_ROWS; /* apart: compilers need not take longer texts */

/* The template with its number put in for every '@', and what jobs must be for every '~'. */
static char *claim_text(unsigned jobs) {
    struct buffer text;

    buffer_init(&text, 64 * 1024);
    for (const char *at = claim_format; *at != '\0'; at++) {
        int status = *at == '@'   ? buffer_append_format(&text, "%u", jobs)
                     : *at == '~' ? buffer_append_text(&text, claim_filter)
                                  : buffer_append(&text, at, 1);
        if (status != 0)
            fatal("event=claim_text_too_long");
    }
    if (buffer_append(&text, lease_rows, sizeof lease_rows - 1) != 0)
        fatal("event=claim_text_too_long");
    return buffer_take(&text, NULL);
}

const struct statement *statement_claim(unsigned size) {
    static struct statement rows[CLAIM_SIZES];
    static char names[CLAIM_SIZES][24];
    struct statement *row;

    if (size >= CLAIM_SIZES)
        fatal("event=no_such_claim size=%u", size);
    row = &rows[size];
    if (row->text == NULL) {
        text_format(names[size], sizeof names[size], "claim_%u", 1u << size);
        *row = (struct statement){.name = names[size], .text = claim_text(1u << size), .parameters = 14};
    }
    return row;
}

/* Takes over running jobs whose owner is gone: with a new epoch, so that the old one's writes miss. $1:
 * owner, $2: lease in ms; the condition picks them. */
#define RESCUE(condition)                                                                                    \
    "with p as materialized (select id from jobs where status = 'running' and " condition                    \
    "   limit 200 for update skip locked)"                                                                   \
    ", u as (update jobs j set lease_epoch = j.lease_epoch + 1, locked_by = $1, locked_at = now(),"          \
    "  lease_until = now() + $2::bigint * interval '1 ms' where j.id = any (array(select id from p)) returning" \
    " j.*)" LEASE_ROWS

/* An array of jobs and one of their epochs. */
#define EPOCHS(first, second)                                                                                \
    " (select * from unnest(" first "::uuid[], " second "::bigint[]) as e(id, epoch) order by 1) d"

/* What a result follows from: type, its maker (version and libraries), parameters, bytes. */
#define RECIPE(type, maker, payload, input)                                                                  \
    "encode(sha256(convert_to(concat_ws(chr(10), " type ", " maker ", " payload "::text, " input             \
    "), 'UTF8')), 'hex')"

/* What jobs_lane_idx is made of. */
#define LANE_USER "coalesce(user_id, '00000000-0000-0000-0000-000000000000'::uuid)"
#define LANE_KEY "(tenant_id, type, priority, " LANE_USER ")"
#define LANE_ORDER "tenant_id, type, priority, " LANE_USER ", run_after, id"

const struct statement statements[STATEMENT_COUNT] = {
    /* When something becomes due, and how long the oldest has been. Plan: one Index Scan on jobs_pick_idx per
     * band and side, one row each; the counts stop at 1000. */
    [STATEMENT_LOOK] = {"look",
        "select (extract(epoch from min(b.later) - now()) * 1000)::bigint as next_ms,"
        "       greatest(extract(epoch from now() - min(b.ready)), 0)::bigint as oldest_s,"
        "       exists (select from job_limits) or exists (select from paused_tenants) as rules,"
        "       sum(b.waiting) as ready, sum(b.resting) as delayed,"
        "       exists (select from jobs p where p.status = 'waiting' and not exists (select from jobs c where"
        " c.parent = p.id and c.status::text in ('queued', 'retry', 'running', 'waiting'))) as left_waiting"
        "  from (select (select run_after from jobs where status in ('queued', 'retry') and priority = band"
        "                   and run_after > now() order by run_after limit 1) as later,"
        "               (select run_after from jobs where status in ('queued', 'retry') and priority = band"
        "                   and run_after <= now() order by run_after limit 1) as ready,"
        "               (select count(*) from (select from jobs where status in ('queued', 'retry') and"
        " priority = band"
        "                   and run_after <= now() limit 1000) r) as waiting,"
        "               (select count(*) from (select from jobs where status in ('queued', 'retry') and"
        " priority = band"
        "                   and run_after > now() limit 1000) r) as resting"
        "          from (values (0), (1), (2), (3)) v(band)) b", 0},

    /* A worker holds these; the scheduler that leased them is gone. $1: owner, $2: lease ms, $3, $4: job,
     * epoch */
    [STATEMENT_ADOPT] = {"adopt",
        "with u as (update jobs j set updated_at = now(), locked_by = $1,"
        " lease_until = now() + $2::bigint * interval '1 ms' from"
        EPOCHS("$3", "$4")
        " where j.id = d.id and j.lease_epoch = d.epoch and j.status::text = 'running' returning"
        " j.*)" LEASE_ROWS, 4},

    /* $3: minutes after which a lock of older software, which knew no leases, is stale. Plan:
     * jobs_running_idx. */
    [STATEMENT_RESCUE_EXPIRED] = {"rescue_expired",
        RESCUE("(lease_until < now() or (lease_until is null and locked_at < now() - $3::bigint * interval"
        " '1 min'))"),
        3},
    /* $3: "node:", as every owner of this node begins */
    [STATEMENT_RESCUE_NODE] = {"rescue_node",
        RESCUE("locked_by <> $1 and left(locked_by, length($3::text)) = $3"), 3},
    /* $3: jobs that are known; what else carries our own name was leased in a transaction whose answer was
     * lost */
    [STATEMENT_RESCUE_OWN] = {"rescue_own", RESCUE("locked_by = $1 and id <> all ($3::uuid[])"), 3},

    /* $1, $2: job, epoch; $3: lease ms. Plan: Nested Loop over jobs_pkey. */
    [STATEMENT_EXTEND] = {"extend",
        "update jobs j set updated_at = now(), lease_until = now() + $3::bigint * interval '1 ms'"
        " from" EPOCHS("$1", "$2")
        " where j.id = d.id and j.lease_epoch = d.epoch and j.status::text = 'running' returning j.id as"
        " job", 3},

    [STATEMENT_LOCK_FILES] = {"lock_files",
        "select id from files where id = any ($1::uuid[]) order by id for no key update", 1},

    /* The one place where a running job leaves that state. $1: array of ends. Plan: Nested Loop over
     * jobs_pkey. */
    [STATEMENT_FINISH_JOBS] = {"finish_jobs",
        "with d as materialized (select * from jsonb_to_recordset($1::jsonb) as d(job uuid, epoch bigint,"
        " status text,"
        "    failed int, crashed int, delay bigint, code text, detail text, stage text, result jsonb,"
        " metrics text, maker text, input text)"
        "    order by job)"
        ", u as (update jobs j set status = d.status::job_status_t, updated_at = now(),"
        "    attempts = j.attempts + d.failed,"
        "    crashes = j.crashes + d.crashed,"
        "    run_after = case when d.delay is null then j.run_after else now() + d.delay * interval '1 ms'"
        " end,"
        "    result = case when d.status = 'done' then"
        " jsonb_set(d.result, '{provenance,parameters}', j.payload) || case when d.metrics is null then"
        " '{}'::jsonb"
        "                       else jsonb_build_object('metrics', d.metrics::jsonb) end"
        "                  when d.code is null then j.result"
        "                  else j.result || jsonb_build_object('last_error',"
        "                         left(concat_ws(': ', d.code, d.detail), 800)) end,"
        "    error_code = case when d.status = 'done' then null else coalesce(d.code, j.error_code) end,"
        "    error_detail = case when d.status = 'done' then null else coalesce(d.detail, j.error_detail)"
        " end,"
        "    stage = case when d.status = 'done' then null else coalesce(d.stage, j.stage) end,"
        "    recipe = case when d.status = 'done' and d.maker is not null and"
        "                       coalesce((d.metrics::jsonb->>'pages_failed')::numeric, 0) = 0"
        "                  then "
        RECIPE("j.type", "d.maker", "(j.payload - 'on_child_failure' - 'inputs')", "d.input") " end,"
        "    locked_at = null, locked_by = null, lease_until = null,"
        "    finished_at = case when d.status in ('done', 'failed') then now() end"
        "   from d where j.id = d.job and j.lease_epoch = d.epoch and j.status::text = 'running'"
        "  returning j.id, j.file_id, j.tenant_id, j.type, j.status, j.attempts, j.error_code, j.run_after, j.parent)"
        " insert into file_events (tenant_id, file_id, job_id, kind, data)"
        " select tenant_id, file_id, id, 'job.status', jsonb_strip_nulls(jsonb_build_object('job', id,"
        " 'type', type,"
        "        'status', status, 'attempts', attempts, 'error', case when status <> 'done' then error_code"
        " end,"
        "        'run_after', case when status = 'retry' then run_after end, 'parent', parent)) from u"
        " returning job_id as job, file_id as file, id as event", 1},

    /* $1: array of jobs that wait since this transaction, each with its ranges. Their payloads go to the
     * children, whose ids are given: a batch sent again inserts nothing twice. */
    [STATEMENT_SPLIT] = {"split",
        "with d as materialized (select * from jsonb_to_recordset($1::jsonb) as d(job uuid, epoch bigint,"
        " pages bigint, children jsonb) order by job)"
        ", p as (update jobs j set payload = j.payload || '{\"on_child_failure\": \"go_on\"}', updated_at = now(),"
        "      progress_done = 0, progress_total = d.pages, error_code = null, error_detail = null, stage = null"
        "   from d where j.id = d.job and j.lease_epoch = d.epoch and j.status::text = 'waiting'"
        "  returning j.id, j.tenant_id, j.file_id, j.type, j.generation, j.priority, j.trace, j.max_attempts,"
        "      j.payload - 'on_child_failure' as payload, d.children)"
        " insert into jobs (id, parent, tenant_id, file_id, type, generation, priority, trace, max_attempts, payload)"
        " select (c->>'id')::uuid, p.id, p.tenant_id, p.file_id, p.type, p.generation, p.priority, p.trace,"
        "        p.max_attempts, p.payload || jsonb_build_object('range', c->>'range')"
        "   from p, jsonb_array_elements(p.children) c on conflict (id) do nothing", 1},

    /* $1: the array of FINISH_JOBS, after it, where credits are on: what each attempt took, by stage. */
    [STATEMENT_USAGE] = {"usage",
        "insert into cpu_usage (job_id, epoch, stage, tenant_id, user_id, type, outcome, cpu_ms, wall_ms)"
        " select j.id, d.epoch, s.stage, j.tenant_id, f.owner_user_id, j.type, d.status, s.cpu, s.wall"
        "   from jsonb_to_recordset($1::jsonb) as d(job uuid, epoch bigint, status text, usage jsonb)"
        "   join jobs j on j.id = d.job and j.lease_epoch = d.epoch and j.status::text = d.status"
        "   join files f on f.id = j.file_id"
        "   cross join lateral (values ('fetch', 0::bigint, (d.usage->>'fetch')::bigint),"
        "     (j.type, (d.usage->>'cpu')::bigint, (d.usage->>'parse')::bigint),"
        "     ('store', 0::bigint, (d.usage->>'store')::bigint)) s(stage, cpu, wall)"
        "  where d.usage is not null and (s.cpu > 0 or s.wall > 0) on conflict (job_id, epoch, stage) do nothing", 1},

    /* $1: array of outputs of jobs that ended in this transaction. Those of a generation that a reprocess
     * has overtaken, or of a deleted file, go to the garbage at once, as does the object that a row
     * pointed to before. An output of its job's own (`own`) stays beside those of the file's other jobs. */
    [STATEMENT_DERIVATIVES] = {"derivatives",
        "with d as materialized (select d.*, j.file_id, coalesce(jsonb_build_object('provenance',"
        "           j.result->'provenance' || jsonb_build_object('output_sha256', d.sha256)), '{}')"
        "           || jsonb_strip_nulls(jsonb_build_object('cdn_url', d.url)) as provenance,"
        "        (f.generation = j.generation or own is not null) and f.status <> 'deleted' as wanted"
        "   from jsonb_to_recordset($1::jsonb) as d(job uuid, epoch bigint, kind text, key text, mime text,"
        "        size bigint, sha256 text, metadata text, own int, seal text, stored_size bigint, stored_sha256 text,"
        "        url text)"
        "   join jobs j on j.id = d.job and j.lease_epoch = d.epoch and j.status::text = 'done'"
        "   join files f on f.id = j.file_id)"
        ", gone as (insert into object_deletions (key)"
        "   select x.r2_key from file_derivatives x join d on x.file_id = d.file_id and x.kind = d.kind"
        "      and x.r2_key <> d.key and d.wanted and d.own is null"
        "    union select d.key from d where not d.wanted on conflict (key) do nothing)"
        ", a as (insert into document_artifacts (job_id, kind, file_id, r2_key, mime, size_bytes, sha256, metadata)"
        "   select job, kind, file_id, key, mime, size, sha256, coalesce(metadata::jsonb, '{}') || provenance from d"
        "    where wanted and own is not null order by job, kind)"
        ", k as (insert into object_keys (key, file_id, seal, stored_bytes, stored_sha256)"
        "   select key, file_id, seal, stored_size, stored_sha256 from d where wanted and seal is not null order by key"
        "   on conflict (key) do nothing)"
        " insert into file_derivatives (file_id, kind, r2_key, mime, size_bytes, job_id, sha256, metadata)"
        " select distinct on (file_id, kind) file_id, kind, key, mime, size, job, sha256,"
        "        coalesce(metadata::jsonb, '{}') || provenance from d where wanted and own is null"
        "   order by file_id, kind, key"
        " on conflict (file_id, kind) do update set r2_key = excluded.r2_key, mime = excluded.mime,"
        "    size_bytes = excluded.size_bytes, job_id = excluded.job_id, sha256 = excluded.sha256,"
        "    metadata = excluded.metadata, updated_at = now()", 1},

    /* $1: array of what done jobs made for those that wait for them. */
    [STATEMENT_PARTS] = {"parts",
        "with d as materialized (select d.*, j.parent, j.file_id"
        "   from jsonb_to_recordset($1::jsonb) as d(job uuid, epoch bigint, key text, size bigint, sha256 text,"
        "        seal text, stored_size bigint, stored_sha256 text)"
        "   join jobs j on j.id = d.job and j.lease_epoch = d.epoch and j.status::text = 'done'"
        "  where j.parent is not null)"
        ", k as (insert into object_keys (key, file_id, seal, stored_bytes, stored_sha256)"
        "   select key, file_id, seal, stored_size, stored_sha256 from d where seal is not null order by key"
        "   on conflict (key) do nothing)"
        " insert into job_parts (key, parent, job, size_bytes, sha256)"
        " select key, parent, job, size, sha256 from d on conflict (key) do nothing", 1},

    /* $1: array of jobs that ended here, each with what models were asked for it. The price is that of the model
     * when it was asked; where nobody has said it, or how many tokens it were, there is none. */
    [STATEMENT_CALLS] = {"calls",
        "insert into llm_metrics (job_id, user_id, agent_type, epoch, call, model, prompt_tokens, completion_tokens,"
        "        total_tokens, latency_ms, confidence, error_code, cost)"
        " select j.id, j.user_id, j.type, d.epoch, c.n, c.e->>'model', t.prompt, t.completion, t.total, t.latency,"
        "        (c.e->>'confidence')::numeric / 100, c.e->>'error', case when t.total > 0 then"
        "        round((t.prompt * p.prompt_per_million + t.completion * p.completion_per_million) / 1000000, 8) end"
        "   from jsonb_to_recordset($1::jsonb) as d(job uuid, epoch bigint, status text, calls text)"
        "   join jobs j on j.id = d.job and j.lease_epoch = d.epoch and j.status::text = d.status"
        "  cross join lateral jsonb_array_elements(d.calls::jsonb) with ordinality as c(e, n)"
        "  cross join lateral (select least((c.e->>'prompt')::numeric, 2147483647)::int as prompt,"
        "        least((c.e->>'completion')::numeric, 2147483647)::int as completion,"
        "        least(greatest((c.e->>'total')::numeric, (c.e->>'prompt')::numeric + (c.e->>'completion')::numeric),"
        "        2147483647)::int as total, least((c.e->>'latency')::numeric, 2147483647)::int as latency) t"
        "   left join lateral (select q.prompt_per_million, q.completion_per_million from llm_prices q"
        "         where q.model = c.e->>'model' and q.valid_from <= now() order by q.valid_from desc limit 1) p on true"
        " on conflict (job_id, epoch, call) do nothing", 1},

    /* $1: array of jobs that may follow those that are done, if a number among their metrics says so, the
     * file's plan has nothing against it, and nobody has asked for one already. */
    [STATEMENT_FOLLOW] = {"follow",
        "with n as (insert into jobs (id, parent, tenant_id, file_id, type, generation, ordered, priority, trace,"
        "           payload) select d.id, j.parent, j.tenant_id, j.file_id, d.type, j.generation, j.ordered,"
        "        greatest(coalesce((f.followers->d.type->>'priority')::smallint, d.priority),"
        "                 priority_first(j.tenant_id)), j.trace,"
        "        coalesce(f.followers->d.type->'parameters', d.payload::jsonb)"
        "   from jsonb_to_recordset($1::jsonb) as d(job uuid, epoch bigint, id uuid, fact text, type text,"
        "        payload text, priority smallint)"
        "   join jobs j on j.id = d.job and j.lease_epoch = d.epoch and j.status::text = 'done'"
        "   join files f on f.id = j.file_id and f.generation = j.generation and f.status <> 'deleted'"
        "  where coalesce((j.result->'metrics'->>d.fact)::numeric, 0) > 0"
        "    and (f.followers is null or f.followers ? d.type)"
        "    and not exists (select from jobs o where o.file_id = j.file_id and o.generation = j.generation"
        "                       and o.type = d.type)"
        "  order by d.id on conflict (id) do nothing returning id, tenant_id, file_id, type, status)"
        " insert into file_events (tenant_id, file_id, job_id, kind, data)"
        " select tenant_id, file_id, id, 'job.status', jsonb_build_object('job', id, 'type', type, 'status',"
        " status) from n", 1},

    /* What was made before, of the same bytes: as the hash says, which may be the client's word, and as the store says
     * (ETag and size), which is not. One row per output. $1: tenant, $2: type, $3: maker, $4: payload, $5: sha256, $6:
     * etag, $7: size. Plan: jobs_recipe_idx. */
    [STATEMENT_REMEMBERED] = {"remembered",
        "with e as materialized (select e.id, e.file_id, e.result from jobs e join files f on f.id = e.file_id"
        "  where e.tenant_id = $1::uuid and e.recipe = " RECIPE("$2::text", "$3::text", "$4::jsonb", "$5::text")
        "    and e.status::text = 'done' and f.status::text <> 'deleted' and f.sha256 = $5 and f.etag = $6"
        "    and f.size_bytes = $7::bigint and coalesce((e.result->'metrics'->>'partial')::numeric, 0) = 0"
        "  order by e.finished_at desc limit 1)"
        " select e.id as source, (e.result->'metrics')::text as metrics,"
        "        (e.result->'provenance'->>'outputs')::int as outputs, d.kind, d.r2_key as key, d.size_bytes,"
        "        d.sha256, (d.metadata - 'provenance')::text as metadata,"
        "        (select s.seal from object_keys s where s.key = d.r2_key) as seal"
        "   from e join file_derivatives d on d.job_id = e.id and d.file_id = e.file_id order by d.kind limit 8", 7},
    /* The same of a derivative: its hash is our own word. $1: tenant, $2: type, $3: maker, $4: payload, $5: sha256. */
    [STATEMENT_REMEMBERED_DERIVED] = {"remembered_derived",
        "with e as materialized (select e.id, e.file_id, e.result from jobs e join files f on f.id = e.file_id"
        "  where e.tenant_id = $1::uuid and e.recipe = " RECIPE("$2::text", "$3::text", "$4::jsonb", "$5::text")
        "    and e.status::text = 'done' and f.status::text <> 'deleted' order by e.finished_at desc limit 1)"
        " select e.id as source, (e.result->'metrics')::text as metrics,"
        "        (e.result->'provenance'->>'outputs')::int as outputs, d.kind, d.r2_key as key, d.size_bytes,"
        "        d.sha256, (d.metadata - 'provenance')::text as metadata,"
        "        (select s.seal from object_keys s where s.key = d.r2_key) as seal"
        "   from e join file_derivatives d on d.job_id = e.id and d.file_id = e.file_id order by d.kind limit 8", 5},
    [STATEMENT_FORGET] = {"forget", "update jobs set recipe = null where id = $1::uuid", 1},

    [STATEMENT_HASHES] = {"hashes",
        "update files f set sha256 = d.sha256 from jsonb_to_recordset($1::jsonb) as d(file uuid, sha256 text)"
        " where f.id = d.file and f.sha256 is null", 1},

    [STATEMENT_CRASHES] = {"crashes",
        "insert into quarantine as q (tenant_id, sha256, type, crashes, reason)"
        " select tenant, sha256, type, count(*), min(reason)"
        "   from jsonb_to_recordset($1::jsonb) as d(tenant uuid, sha256 text, type text, reason text)"
        "  group by tenant, sha256, type order by tenant, sha256, type"
        " on conflict (tenant_id, sha256, type) do update set crashes = q.crashes + excluded.crashes,"
        "    reason = excluded.reason, updated_at = now()", 1},

    [STATEMENT_GARBAGE] = {"garbage",
        "insert into object_deletions (key, run_after) select distinct on (key) key, now() + delay *"
        " interval '1 ms'"
        "  from jsonb_to_recordset($1::jsonb) as d(key text, delay bigint) order by key"
        " on conflict (key) do nothing", 1},

    /* $1: jobs that have joined what others made, or failed to: theirs is garbage when they have ended. */
    [STATEMENT_DROP_PARTS] = {"drop_parts",
        "with gone as (delete from job_parts x using jobs p where x.parent = any ($1::uuid[]) and p.id = x.parent"
        "    and p.status::text in ('done', 'failed') returning x.key)"
        " insert into object_deletions (key) select key from gone order by key on conflict (key) do nothing", 1},

    /* $1: jobs that wait for ranges: how many pages these have done. Never less than it was. */
    [STATEMENT_PARENT_PROGRESS] = {"parent_progress",
        "with s as materialized (select p.id, least(p.progress_total, (select sum(case c.status::text"
        "      when 'done' then coalesce((c.result->>'pages')::bigint, 0) when 'running' then c.progress_done"
        "      else 0 end) from jobs c where c.parent = p.id)) as done"
        "   from jobs p where p.id = any ($1::uuid[]) and p.status::text = 'waiting' and p.progress_total > 0"
        "  order by p.id)"
        ", u as (update jobs p set updated_at = now(), progress_done = s.done from s"
        "   where p.id = s.id and s.done > p.progress_done"
        "  returning p.id, p.file_id, p.tenant_id, p.progress_done, p.progress_total)"
        " insert into file_events (tenant_id, file_id, job_id, kind, data)"
        " select tenant_id, file_id, id, 'job.progress', jsonb_build_object('job', id, 'done', progress_done,"
        "        'total', progress_total) from u returning file_id as file, tenant_id as tenant, id as event", 1},

    [STATEMENT_WAKE_PARENTS] = {"wake_parents", "select file, tenant, event from parents_wake($1::uuid[])", 1},
    [STATEMENT_WAKE_LEFT] = {"wake_left", "select file, tenant, event from parents_wake_left($1::int)", 1},

    [STATEMENT_REFRESH_FILES] = {"refresh_files", "select file, tenant, event from"
    " files_refresh($1::uuid[])", 1},

    [STATEMENT_PROGRESS] = {"progress",
        "with u as (update jobs j set updated_at = now(), progress_done = d.done, progress_total = d.total"
        "   from (select * from jsonb_to_recordset($1::jsonb) as d(job uuid, epoch bigint, done bigint,"
        " total bigint)"
        "          order by job) d"
        "  where j.id = d.job and j.lease_epoch = d.epoch and j.status::text = 'running'"
        "  returning j.id, j.file_id, j.tenant_id, j.progress_done, j.progress_total)"
        " insert into file_events (tenant_id, file_id, job_id, kind, data)"
        " select tenant_id, file_id, id, 'job.progress', jsonb_build_object('job', id, 'done', progress_done,"
        "        'total', progress_total) from u returning file_id as file, tenant_id as tenant, id as"
        " event", 1},

    [STATEMENT_SURVEY_RULES] = {"survey_rules",
        "select exists (select from job_limits) or exists (select from paused_tenants) as rules", 0},

    /* The lanes whose first job is due, from the one behind $1…$4 on. Plan: a loose index scan, one Index Only Scan
     * or Index Scan on jobs_lane_idx for each lane; what runs is counted only where there are limits. */
    [STATEMENT_SURVEY] = {"survey",
        "with recursive lane as ("
        " (select tenant_id, type, priority, " LANE_USER " as usr, run_after from jobs"
        "   where status in ('queued', 'retry') and " LANE_KEY " > ($1::uuid, $2::text, $3::smallint, $4::uuid)"
        "   order by " LANE_ORDER " limit 1)"
        " union all select n.* from lane l cross join lateral"
        " (select tenant_id, type, priority, " LANE_USER " as usr, run_after from jobs"
        "   where status in ('queued', 'retry') and " LANE_KEY " > (l.tenant_id, l.type, l.priority, l.usr)"
        "   order by " LANE_ORDER " limit 1) n)"
        ", r as materialized (select case when exists (select from job_limits) then jobs_running() end as running)"
        " select s.tenant_id as tenant, s.type, s.priority as band, s.usr, s.run_after as since,"
        "        s.run_after <= now() as due,"
        "        greatest((extract(epoch from now() - s.run_after) * 1000)::bigint, 0) as age_ms,"
        "        case when r.running is not null and s.run_after <= now() then"
        "        job_room(s.type, s.tenant_id, s.usr, r.running) end as room,"
        "        exists (select from paused_tenants t where t.tenant_id = s.tenant_id)"
        "        or exists (select from paused_types t where t.type = s.type) as paused"
        "   from (select * from lane limit 400) s cross join r", 4},

    [STATEMENT_ADMIT] = {"admit",
        "select jobs_admit($1, $2::bigint, $3::uuid[], $4::text[], $5::smallint[], $6::uuid[], $7::timestamptz[],"
        " $8::int[])", 8},

    /* In the transaction of ADMIT, after it: a snapshot of its own, so that it sees all that was admitted. */
    [STATEMENT_ADMITTED] = {"admitted",
        "with u as materialized (select j.* from jobs j where j.id = any (string_to_array(nullif("
        "current_setting('filemill.admitted', true), ''), ',')::uuid[]))"
        LEASE_ROWS, 0},

    /* $1: tenants, $2: CPU milliseconds that they have used here since the last time. Both are halved every minute. */
    [STATEMENT_SHARE_USAGE] = {"share_usage",
        "insert into tenant_usage as t (tenant_id, cpu_ms, updated_at)"
        " select d.tenant, d.cpu, clock_timestamp() from unnest($1::uuid[], $2::float8[]) as d(tenant, cpu)"
        "   join tenants x on x.id = d.tenant order by d.tenant"
        " on conflict (tenant_id) do update set updated_at = excluded.updated_at, cpu_ms = excluded.cpu_ms"
        "    + t.cpu_ms * power(0.5, greatest(extract(epoch from excluded.updated_at - t.updated_at), 0) / 60)"
        " returning tenant_id as tenant, cpu_ms", 2},

    [STATEMENT_NOTIFY] = {"notify", "select pg_notify('filemill_jobs', $1)", 1},
    [STATEMENT_PAUSE] = {"pause", "insert into paused_types (type) values ($1) on conflict do nothing", 1},
    [STATEMENT_RESUME] = {"resume", "delete from paused_types where type = $1", 1},
    [STATEMENT_COUNT_JOBS] = {"count_jobs",
        "select status::text as status, count(*) as n from jobs group by status order by status", 0},

    /* Asked for by whoever scrapes, at most every few seconds: work that is not finished, by type and state, and the
     * age of what could run now. */
    [STATEMENT_MEASURE_QUEUE] = {"measure_queue",
        "select regexp_replace(left(type, 64), '[^a-zA-Z0-9_.-]', '?', 'g') as type, status::text as status,"
        " count(*) as n, greatest(extract(epoch from now() - min(run_after)"
        " filter (where status in ('queued', 'retry') and run_after <= now())), 0)::bigint as age"
        " from jobs where status in ('queued', 'retry', 'running', 'waiting') group by 1, 2"
        " order by 1, 2 limit 400", 0},
    [STATEMENT_MEASURE_DATABASE] = {"measure_database",
        "select relname as name, n_live_tup as live, n_dead_tup as dead,"
        " coalesce((select max(age(backend_xmin)) from pg_stat_activity), 0) as xmin_age,"
        " (select coalesce(max(extract(epoch from now() - xact_start)), 0)::bigint from pg_stat_activity"
        "   where state <> 'idle' and backend_type = 'client backend') as oldest_transaction"
        " from pg_stat_user_tables where relname in ('jobs', 'files', 'file_derivatives', 'file_events')"
        " order by relname", 0},

    /* ---- maintenance ---- */

    /* $1: minutes for rows of older software, which set no deadline. A PUT may still be under way: its
     * object is deleted later. */
    [STATEMENT_EXPIRED_UPLOADS] = {"expired_uploads",
        "with p as materialized (select id from files where status = 'uploading' and"
        "    (upload_expires_at < now() or (upload_expires_at is null and created_at < now() - $1::bigint *"
        "     interval '1 min')) limit 200 for update skip locked)"
        ", u as (update files f set status = 'deleted', deleted_at = now(), purged_at = now() from p"
        "    where f.id = p.id returning f.id, f.tenant_id, f.r2_key_original, f.store_upload)"
        ", g as (insert into object_deletions (key, run_after) select r2_key_original, now() + interval '1"
        " hour' from u union all select 'upload:' || r2_key_original || '?' || store_upload, now() from u"
        "    where store_upload is not null"
        "    on conflict (key) do nothing)"
        " insert into file_events (tenant_id, file_id, kind, data)"
        " select tenant_id, id, 'file.status', '{\"status\": \"deleted\"}' from u"
        " returning file_id as file, tenant_id as tenant, id as event", 1},

    /* $1: days. Hands a deleted file's objects to deletion; purged_at says so. */
    [STATEMENT_RETIRE_FILES] = {"retire_files",
        "with p as materialized (select id from files where status = 'deleted' and purged_at is null"
        "    and deleted_at < now() - $1::bigint * interval '1 day' limit 200 for update skip locked)"
        ", u as (update files f set purged_at = now() from p where f.id = p.id returning f.id,"
        " f.r2_key_original)"
        " insert into object_deletions (key)"
        " select r2_key_original from u where not starts_with(r2_key_original, 'source:')"
        " union select d.r2_key from file_derivatives d join u on u.id ="
        " d.file_id union select a.r2_key from document_artifacts a join u on u.id = a.file_id"
        " on conflict (key) do nothing", 1},

    /* Rows go when their objects are gone; $1: days that an aborted upload's row is kept. */
    [STATEMENT_PURGE_FILES] = {"purge_files",
        "delete from files f using (select id from files where status = 'deleted' and purged_at is not null"
        "    and purged_at < now() - interval '1 min' and deleted_at < now() - $1::bigint * interval '1 day'"
        "    order by purged_at limit 200) p"
        " where f.id = p.id"
        "   and not exists (select from object_deletions o where o.key = f.r2_key_original)"
        "   and not exists (select from file_derivatives d join object_deletions o on o.key = d.r2_key"
        "                    where d.file_id = f.id)"
        "   and not exists (select from document_artifacts a join object_deletions o on o.key = a.r2_key"
        "                    where a.file_id = f.id)", 1},

    /* A failed job of the newest generation stays: its file's status may follow from it. */
    [STATEMENT_OLD_JOBS] = {"old_jobs",
        "delete from jobs j using (select j.id from jobs j join files f on f.id = j.file_id"
        "    where j.status in ('done', 'failed', 'cancelled') and j.finished_at < now() - $1::bigint *"
        "    interval '1 day' and (j.status <> 'failed' or j.generation < f.generation) order by"
        " j.finished_at"
        "    limit 1000) p where j.id = p.id", 1},

    /* $1: most at once. Whoever comes first has the rows. */
    [STATEMENT_SCHEDULES] = {"schedules", "select schedules_run($1::int) as ran", 1},

    [STATEMENT_OLD_METRICS] = {"old_metrics",
        "delete from metrics m using (select id from metrics order by id limit 5000) old"
        " where m.id = old.id and m.created_at < now() - $1::bigint * interval '1 day'", 1},

    [STATEMENT_OLD_EVENTS] = {"old_events",
        "delete from file_events e using (select id from file_events order by id limit 5000) old"
        " where e.id = old.id and e.created_at < now() - $1::bigint * interval '1 day'", 1},

    /* Of jobs that were cancelled or deleted while they waited. $1 is not used. */
    [STATEMENT_OLD_PARTS] = {"old_parts",
        "with gone as (delete from job_parts x using (select y.key from job_parts y where $1::bigint is not null and"
        "    not exists (select from jobs p where p.id = y.parent and p.status::text in ('queued', 'retry',"
        "    'running', 'waiting')) limit 1000) o where x.key = o.key returning x.key)"
        " insert into object_deletions (key) select key from gone order by key on conflict (key) do nothing", 1},

    /* A key that some row points to is no garbage, whoever said so: it is struck off in the same statement
     * that takes the others. Until the answer comes nobody else takes those; each try waits longer. */
    [STATEMENT_LEASE_GARBAGE] = {"lease_garbage",
        "with p as materialized (select key from object_deletions where run_after <= now() order by run_after"
        "    limit 64 for update skip locked)"
        ", r as materialized (select p.key,"
        "      exists (select from file_derivatives d join files f on f.id = d.file_id"
        "               where d.r2_key = p.key and f.purged_at is null)"
        "      or exists (select from job_parts x where x.key = p.key)"
        "      or exists (select from document_artifacts a join files f on f.id = a.file_id"
        "               where a.r2_key = p.key and f.purged_at is null)"
        "      or exists (select from files f where f.r2_key_original = p.key and f.purged_at is null) as"
        " referenced"
        "    from p)"
        ", struck as (delete from object_deletions o using r where o.key = r.key and r.referenced)"
        " update object_deletions o set attempts = o.attempts + 1,"
        "        run_after = now() + least(power(2, least(o.attempts, 6)), 60) * interval '1 min'"
        "   from r where o.key = r.key and not r.referenced returning o.key", 0},

    [STATEMENT_DELETED_GARBAGE] = {"deleted_garbage",
        "with k as (delete from object_keys k using jsonb_to_recordset($1::jsonb) as d(key text) where k.key = d.key)"
        " delete from object_deletions o using (select key from jsonb_to_recordset($1::jsonb) as d(key text)"
        " order by 1) d"
        " where o.key = d.key", 1},
};
