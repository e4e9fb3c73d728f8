/* SPDX-License-Identifier: MIT
 * The statements; see outbox_statements.h. A write to a leased delivery names its epoch. */
#include "scheduler/outbox_statements.h"

/* clang-format off: it breaks SQL in the middle of words */

const struct statement outbox_statements[OUTBOX_STATEMENT_COUNT] = {
    /* Is there anybody to tell? Plan: Index Only Scan on webhook_endpoints_enabled_idx, one row. */
    [OUTBOX_LOOK] = {"outbox_look", "select exists (select from webhook_endpoints where enabled) as enabled", 0},

    /* $1: owner, $2: lease in ms, $3: how many at most. Endpoints with something pending are found by jumping
     * from one to the next in webhook_deliveries_due_idx, however much waits for each; each gives what its
     * concurrency leaves, in order of time, one after the other until $3 are found. One that keeps failing gets
     * one attempt at a time. The trace is that of the job that is told of, or of the file's last. Plan: Index Only
     * Scans on due_idx below Recursive Union and Nested Loops. */
    [OUTBOX_CLAIM] = {"outbox_claim",
        "with recursive h(endpoint) as ("
        "   (select endpoint_id from webhook_deliveries where state = 'pending' order by endpoint_id limit 1)"
        "    union all"
        "   select (select d.endpoint_id from webhook_deliveries d where d.state = 'pending'"
        "      and d.endpoint_id > h.endpoint order by d.endpoint_id limit 1) from h where h.endpoint is not null)"
        ", e as materialized (select w.id, w.url, w.secret,"
        "      case when w.previous_secret_until > now() then w.previous_secret end as previous,"
        "      case when w.failures >= 5 then 1 else w.concurrency end - (select count(*) from webhook_deliveries d"
        "         where d.state = 'sending' and d.endpoint_id = w.id and d.lease_until > now()) as room"
        "    from h join webhook_endpoints w on w.id = h.endpoint"
        "   where w.enabled and (w.resume_at is null or w.resume_at <= now())"
        "     for no key update of w skip locked)"
        ", c as materialized (select d.id, e.url, e.secret, e.previous, row_number() over (order by d.turn) as place"
        "    from e cross join lateral (select q.id, row_number() over () as turn from"
        "      (select id from webhook_deliveries where state = 'pending' and endpoint_id = e.id"
        "          and next_at <= now() order by next_at, sequence limit 32) q) d"
        "   where d.turn <= e.room)"
        ", u as (update webhook_deliveries w set state = 'sending', epoch = w.epoch + 1, locked_by = $1,"
        "          lease_until = now() + $2::bigint * interval '1 ms' from c"
        "    where w.id = c.id and w.state = 'pending' and c.place <= $3::bigint"
        "    returning w.id, w.epoch, w.attempts, w.sequence, w.payload, c.url, c.secret, c.previous)"
        ", t as (select u.*, payload::jsonb->'data' as data from u)"
        " select t.id, t.epoch, t.attempts, t.payload, t.url, t.secret, t.previous,"
        "    extract(epoch from now())::bigint as stamp,"
        "    coalesce((select j.trace from jobs j where j.id ="
        "                 case when t.data->>'job_id' ~ '^[0-9a-f-]{36}$' then (t.data->>'job_id')::uuid end),"
        "             (select j.trace from jobs j where j.trace is not null and j.file_id ="
        "                 case when t.data->>'file_id' ~ '^[0-9a-f-]{36}$' then (t.data->>'file_id')::uuid end"
        "               order by j.created_at desc limit 1)) as trace"
        "  from t order by t.sequence", 3},

    /* $1: array of verdicts, $2: days of failing after which an endpoint is disabled. Plan: Nested Loops over
     * primary keys. A success is noted at its endpoint once a minute at most. */
    [OUTBOX_SETTLE] = {"outbox_settle",
        "with d as materialized (select * from jsonb_to_recordset($1::jsonb) as d(id uuid, epoch bigint, counted int,"
        "    ok int, gone int, delay bigint, rest bigint, status int, error text, latency bigint, excerpt text)"
        "    order by id)"
        ", u as (update webhook_deliveries w set"
        "    state = case when d.ok = 1 then 'delivered' when d.delay is null then 'failed' else 'pending' end,"
        "    attempts = w.attempts + d.counted, next_at = now() + coalesce(d.delay, 0) * interval '1 ms',"
        "    status = case when d.counted = 1 then d.status else w.status end,"
        "    error = case when d.counted = 1 then d.error else w.error end,"
        "    latency_ms = case when d.counted = 1 then d.latency else w.latency_ms end,"
        "    excerpt = case when d.counted = 1 then d.excerpt else w.excerpt end,"
        "    history = case when d.counted = 0 then w.history else"
        "       case when jsonb_array_length(w.history) >= 20 then w.history - 0 else w.history end"
        "       || jsonb_build_array(jsonb_build_object('at', filemill_time(now()), 'status', d.status,"
        "                                               'error', d.error, 'latency_ms', d.latency)) end,"
        "    lease_until = null, locked_by = null,"
        "    finished_at = case when d.ok = 1 or d.delay is null then now() end"
        "   from d where w.id = d.id and w.epoch = d.epoch and w.state = 'sending'"
        "  returning w.endpoint_id, d.ok, d.gone, d.rest, d.counted)"
        ", s as (select endpoint_id, max(ok) as ok, max(gone) as gone, max(rest) as rest,"
        "          count(*) filter (where ok = 0) as failed from u where counted = 1 group by endpoint_id)"
        ", e as (update webhook_endpoints w set updated_at = now(),"
        "    failures = case when s.ok = 1 then 0 else w.failures + s.failed end,"
        "    failing_since = case when s.ok = 1 then null else coalesce(w.failing_since, now()) end,"
        "    resume_at = case when s.rest > 0 then now() + s.rest * interval '1 ms' else w.resume_at end,"
        "    last_success_at = case when s.ok = 1 then now() else w.last_success_at end,"
        "    last_failure_at = case when s.failed > 0 then now() else w.last_failure_at end,"
        "    enabled = w.enabled and s.gone = 0 and (s.ok = 1 or w.failing_since is null"
        "                                            or w.failing_since > now() - $2::bigint * interval '1 day'),"
        "    disabled_reason = case when not w.enabled then w.disabled_reason when s.gone = 1 then 'gone'"
        "       when s.ok = 0 and w.failing_since < now() - $2::bigint * interval '1 day' then 'failing' end"
        "   from s where w.id = s.endpoint_id and (s.failed > 0 or w.failures > 0 or w.last_success_at is null"
        "                                          or w.last_success_at < now() - interval '1 min')"
        "  returning w.id, w.enabled)"
        " select (select count(*) from u) as settled, (select count(*) from e where not enabled) as disabled", 2},

    /* Leases that ran out, and those of this node's earlier lives ($1 "node:", $2 owner; $1 empty: not those).
     * Plan: Index Scan on webhook_deliveries_sending_idx. */
    [OUTBOX_RESCUE] = {"outbox_rescue",
        "update webhook_deliveries w set state = 'pending', epoch = w.epoch + 1, next_at = now(), locked_by = null,"
        "    lease_until = null from (select id from webhook_deliveries where state = 'sending'"
        "       and (lease_until < now() or ($1 <> '' and locked_by <> $2 and left(locked_by, length($1)) = $1))"
        "       limit 200 for update skip locked) p where w.id = p.id", 2},

    /* ---- maintenance; $1 is an age that the first of them has no use for ---- */

    [OUTBOX_DISABLED] = {"outbox_disabled",
        "update webhook_deliveries w set state = 'failed', error = coalesce(w.error, 'endpoint_disabled'),"
        "    finished_at = now() from (select d.id from webhook_endpoints e join webhook_deliveries d"
        "       on d.endpoint_id = e.id and d.state = 'pending' where not e.enabled"
        "       and e.updated_at < now() - $1::bigint * interval '1 min' limit 1000) p"
        " where w.id = p.id and w.state = 'pending'", 1},
    [OUTBOX_OLD] = {"outbox_old",
        "delete from webhook_deliveries w using (select id from webhook_deliveries where state in"
        "    ('delivered', 'failed') and finished_at < now() - $1::bigint * interval '1 day' order by finished_at"
        "    limit 1000) p where w.id = p.id", 1},
};
