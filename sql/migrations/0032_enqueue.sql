-- One way to queue jobs for everyone who may insert them: routes, plans, schedules, other software.

-- Who asked. The gateway's transactions know their caller; others may say, or leave it open.
alter table jobs add column if not exists user_id uuid default filemill_user();
-- At most one unfinished job of a tenant, type and key.
alter table jobs add column if not exists unique_key text check (length(unique_key) between 1 and 200);
create unique index if not exists jobs_unique_key on jobs (tenant_id, type, unique_key)
  where unique_key is not null and status in ('queued', 'retry', 'running', 'waiting');

-- Queues an array of {file_id, type} with, if wanted: id, payload (object), priority (0 first … 3 last), run_after,
-- unique_key, max_attempts, user_id, parent (a job that waits for this one; queue it in the same transaction, with status
-- "waiting"), trace. Tenant and generation are the file's. Where an unfinished job has the same key, that one is
-- returned, and created is false. Locks the files in order of id, writes the events, refreshes the files. A file that is
-- unknown to the caller, or deleted, is refused (FM003).
create or replace function jobs_enqueue(wanted jsonb) returns table (job uuid, created boolean) language plpgsql
set search_path = pg_catalog, public as $$
#variable_conflict use_column
declare
  files_of uuid[];
begin
  select coalesce(array_agg(distinct w.file_id), '{}') into files_of
    from jsonb_to_recordset(wanted) as w(file_id uuid);
  perform 1 from files f where f.id = any (files_of) order by f.id for no key update;
  if (select count(*) from files f where f.id = any (files_of) and f.status::text <> 'deleted') < cardinality(files_of)
     or exists (select from jsonb_to_recordset(wanted) as w(file_id uuid) where w.file_id is null) then
    raise exception 'a file is unknown or deleted' using errcode = 'FM003';
  end if;
  return query
  with asked as materialized (
    select row_number() over () as place, coalesce(w.id, gen_random_uuid()) as id, w.file_id, f.tenant_id, f.generation,
           w.type, coalesce(w.payload, '{}') as payload, coalesce(w.priority, 1) as priority,
           coalesce(w.run_after, now()) as run_after, w.unique_key, w.max_attempts,
           coalesce(w.user_id, filemill_user()) as user_id, w.parent,
           (case when w.status = 'waiting' then 'waiting' else 'queued' end)::job_status_t as status, w.trace
      from jsonb_to_recordset(wanted) as w(id uuid, file_id uuid, type text, payload jsonb, priority smallint,
           run_after timestamptz, unique_key text, max_attempts int, user_id uuid, parent uuid, status text, trace text)
      join files f on f.id = w.file_id
  ), added as (
    insert into jobs (id, tenant_id, file_id, type, status, payload, priority, run_after, unique_key, max_attempts,
                      user_id, parent, generation, trace)
    select id, tenant_id, file_id, type, status, payload, priority, run_after, unique_key, max_attempts, user_id,
           parent, generation, trace from asked order by place
    on conflict (tenant_id, type, unique_key)
      where unique_key is not null and status in ('queued', 'retry', 'running', 'waiting') do nothing
    returning id, tenant_id, file_id, type, status
  ), told as (
    insert into file_events (tenant_id, file_id, job_id, kind, data)
    select tenant_id, file_id, id, 'job.status', jsonb_build_object('job', id, 'type', type, 'status', status) from added
  )
  select coalesce(n.id, o.id, s.id), n.id is not null
    from asked a
    left join added n on n.id = a.id
    -- the same key twice in one call: the first one's
    left join lateral (select x.id from asked x join added y on y.id = x.id
                        where n.id is null and x.tenant_id = a.tenant_id and x.type = a.type
                          and x.unique_key = a.unique_key) s on true
    left join lateral (select x.id from jobs x where n.id is null and x.tenant_id = a.tenant_id and x.type = a.type
                          and x.unique_key = a.unique_key and x.status in ('queued', 'retry', 'running', 'waiting')) o
           on true
   order by a.place;
  perform from files_refresh(files_of);
end $$;

-- One job; all but file and type may be left out.
create or replace function job_enqueue(file uuid, job_type text, payload jsonb default '{}', priority int default 1,
                                       run_after timestamptz default now(), unique_key text default null,
                                       max_attempts int default null, user_id uuid default null)
returns uuid language sql set search_path = pg_catalog, public as $$
  select e.job from jobs_enqueue(jsonb_build_array(jsonb_build_object('file_id', $1, 'type', $2, 'payload', $3,
    'priority', $4, 'run_after', $5, 'unique_key', $6, 'max_attempts', $7, 'user_id', $8))) e
$$;

-- How many jobs would be claimed up to and with this one, were all of them due and no other rule in force: 1 is next.
-- Null when it does not wait. Exact; reads the index of the queue up to its place (a few ms at 100 000). Tells a number
-- and nothing else of other tenants' jobs, and that only to who knows the job's id.
create or replace function job_queue_position(job uuid) returns bigint language plpgsql stable security definer
set search_path = pg_catalog, public as $$
declare
  me record;
begin
  select j.priority, j.run_after, j.id into me from jobs j where j.id = job and j.status in ('queued', 'retry');
  if not found then return null; end if;
  return (select count(*) + 1 from jobs j where j.status in ('queued', 'retry')
             and (j.priority, j.run_after, j.id) < (me.priority, me.run_after, me.id));
end $$;
drop policy if exists definer_jobs on jobs;
create policy definer_jobs on jobs for select to filemill_definer using (true);
grant select on jobs to filemill_definer;
grant create on schema public to filemill_definer;
alter function job_queue_position(uuid) owner to filemill_definer;
revoke create on schema public from filemill_definer;
revoke all on function job_queue_position(uuid) from public;
grant execute on function job_queue_position(uuid) to filemill_gateway, filemill_scheduler;
