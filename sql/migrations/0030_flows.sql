-- Flows: a job that waits for others, in the same table. A waiting job runs (once more) when the last job that it waits
-- for has ended; a long document is a job that waits for page ranges of itself. Jobs without a parent pay nothing: both
-- indexes are partial.
--
-- Order of locks, for whoever changes such jobs: first the rows of all files concerned (of the children and of their
-- parents) in order of id, then jobs. A parent's state changes only while its own file's row is locked.

alter table jobs add column if not exists parent uuid; -- the job that waits for this one
create index if not exists jobs_parent_idx on jobs (parent) where parent is not null;
create index if not exists jobs_waiting_idx on jobs (id) where status = 'waiting';

-- Objects that a job made for the one that waits for it: no derivatives, and garbage once that one has ended. Without
-- foreign keys, so that a key outlives the rows that go with a deleted file, until its object is handed to deletion.
create table if not exists job_parts (
  key text primary key,
  parent uuid not null,
  job uuid not null,
  size_bytes bigint not null,
  sha256 text not null,
  created_at timestamptz not null default now()
);
create index if not exists job_parts_parent_idx on job_parts (parent);
alter table job_parts enable row level security;
alter table job_parts force row level security;
do $$ begin
  execute 'drop policy if exists operator on job_parts';
  execute format('create policy operator on job_parts to %I using (true) with check (true)', current_user);
end $$;
drop policy if exists scheduler on job_parts;
create policy scheduler on job_parts to filemill_scheduler using (true) with check (true);
grant select, insert, update, delete on job_parts to filemill_scheduler;

-- Of these jobs, wakes those that wait for nothing any more. The caller has locked their files. Each statement of a
-- volatile function sees what is committed when it begins: of two transactions that end the last two children at the
-- same time, the later to get the parent's row sees both. payload.on_child_failure says what to do when an awaited job
-- did not end well: "fail" (also when it says nothing) or "go_on".
create or replace function parents_wake(ids uuid[]) returns table (job uuid, file uuid, tenant uuid, event bigint)
language plpgsql set search_path = pg_catalog, public as $$
begin
  perform 1 from jobs p where p.id = any (ids) and p.status::text = 'waiting' order by p.id for no key update;
  return query
  with due as materialized (
    select p.id, coalesce(p.payload->>'on_child_failure', 'fail') <> 'go_on' as strict,
           (select min(c.id::text)::uuid from jobs c
             where c.parent = p.id and c.status::text in ('failed', 'cancelled')) as bad
      from jobs p
     where p.id = any (ids) and p.status::text = 'waiting'
       and not exists (select from jobs c where c.parent = p.id
                                            and c.status::text in ('queued', 'retry', 'running', 'waiting'))
  ), woken as (
    update jobs p set status = (case when d.strict and d.bad is not null then 'failed' else 'queued' end)::job_status_t,
           updated_at = now(), run_after = now(),
           finished_at = case when d.strict and d.bad is not null then now() end,
           error_code = case when d.strict and d.bad is not null then 'child_failed' end,
           error_detail = case when d.strict and d.bad is not null then
                            (select left(concat_ws(' ', c.type, c.status, c.id, c.error_code, c.error_detail), 800)
                               from jobs c where c.id = d.bad) end
      from due d where p.id = d.id
    returning p.id, p.file_id, p.tenant_id, p.type, p.status, p.attempts, p.error_code, p.parent
  )
  insert into file_events as e (tenant_id, file_id, job_id, kind, data)
  select w.tenant_id, w.file_id, w.id, 'job.status',
         jsonb_strip_nulls(jsonb_build_object('job', w.id, 'type', w.type, 'status', w.status, 'attempts', w.attempts,
                                              'error', w.error_code, 'parent', w.parent))
    from woken w
  returning e.job_id, e.file_id, e.tenant_id, e.id;
end $$;

-- The same for whichever parents were left waiting: a child that was cancelled, or whose row is gone, wakes nobody by
-- itself. In a transaction of its own; returns the newest event of each file that has one.
create or replace function parents_wake_left(most int) returns table (file uuid, tenant uuid, event bigint)
language plpgsql set search_path = pg_catalog, public as $$
declare
  ids uuid[];
  files_of uuid[];
begin
  select array_agg(s.id), array_agg(s.file_id) into ids, files_of
    from (select p.id, p.file_id from jobs p
           where p.status = 'waiting'
             and not exists (select from jobs c where c.parent = p.id
                                                  and c.status::text in ('queued', 'retry', 'running', 'waiting'))
           order by p.id limit most) s;
  if ids is null then return; end if;
  perform 1 from files f where f.id = any (files_of) order by f.id for no key update;
  return query
  with woken as materialized (select w.file, w.tenant, w.event from parents_wake(ids) w)
  select w.file, w.tenant, w.event from woken w;
  return query select r.file, r.tenant, r.event from files_refresh(files_of) r;
end $$;

-- As in 0012, but a job of the same file that waits for another decides for both: a page range that failed leaves a
-- partial result, or fails the whole.
create or replace function files_refresh(ids uuid[]) returns table (file uuid, tenant uuid, event bigint)
language sql set search_path = pg_catalog, public as $$
  with wanted as (
    select f.id, f.status as old,
           (case when exists (select from jobs j where j.file_id = f.id and j.generation = f.generation
                                and j.status::text in ('queued', 'retry', 'running', 'waiting')) then 'processing'
                 when exists (select from jobs j where j.file_id = f.id and j.generation = f.generation
                                and j.status::text = 'failed'
                                and (j.parent is null or not exists
                                     (select from jobs p where p.id = j.parent and p.file_id = j.file_id))) then 'failed'
                 else 'ready' end)::file_status_t as new
      from files f
     where f.id = any (ids) and f.status::text in ('ready', 'processing', 'failed')
  ), changed as (
    update files f set status = w.new, updated_at = now() from wanted w where f.id = w.id and w.new <> w.old
    returning f.id, f.tenant_id, f.status
  )
  insert into file_events (tenant_id, file_id, kind, data)
  select tenant_id, id, 'file.status', jsonb_build_object('status', status) from changed
  returning file_id, tenant_id, id
$$;
