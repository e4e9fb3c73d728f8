-- Schedules that queue jobs, made and dropped by those who run the service: functions are for operators with SQL. And
-- lists of jobs that are answered in their order.

-- `change` has cron or every_seconds, and maybe time_zone and enabled. Jobs without a key get one, so that none is queued
-- again while it is still under way. Returns when it runs next.
create or replace function admin_schedule_put(wanted text, jobs jsonb, change jsonb) returns text language plpgsql
security definer set search_path = pg_catalog, public as $$
declare
  said text;
begin
  perform filemill_admin_check();
  if (change ? 'cron') = (change ? 'every_seconds') then
    raise exception 'either cron or every_seconds' using errcode = 'FM066';
  end if;
  insert into schedules as s (name, cron, every, time_zone, job, enabled)
  select wanted, change->>'cron', make_interval(secs => (change->>'every_seconds')::int),
         coalesce(change->>'time_zone', 'UTC'),
         (select jsonb_agg(jsonb_build_object('unique_key', left(format('schedule %s %s', wanted, j->>'file_id'), 200))
                           || (j - 'trace')) from jsonb_array_elements(jobs) j),
         coalesce((change->>'enabled')::boolean, true)
  on conflict (name) do update
    set cron = excluded.cron, every = excluded.every, time_zone = excluded.time_zone, job = excluded.job,
        enabled = excluded.enabled, next_run = excluded.next_run
  where s.function is null
  returning filemill_time(s.next_run) into said;
  if said is null then
    raise exception '"%" runs a function; only its time can be changed', wanted using errcode = 'FM066';
  end if;
  return said;
end $$;

-- False: there is none of this name.
create or replace function admin_schedule_drop(wanted text) returns boolean language plpgsql
security definer set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  delete from schedules s where s.name = wanted and s.function is null;
  if not found and exists (select from schedules s where s.name = wanted) then
    raise exception '"%" runs a function; it can be switched off', wanted using errcode = 'FM066';
  end if;
  return found;
end $$;

grant create on schema public to filemill_definer;
do $$
declare f text;
begin
  foreach f in array array['admin_schedule_put(text, jsonb, jsonb)', 'admin_schedule_drop(text)'] loop
    execute format('alter function %s owner to filemill_definer', f);
    execute format('revoke all on function %s from public', f);
    execute format('grant execute on function %s to filemill_gateway', f);
  end loop;
end $$;
revoke create on schema public from filemill_definer;

-- As in 0032, but the answer is in the order of the array whatever the plan of the join is.
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
    select w.place, coalesce(w.id, gen_random_uuid()) as id, w.file_id, f.tenant_id, f.generation,
           w.type, coalesce(w.payload, '{}') as payload, coalesce(w.priority, 1) as priority,
           coalesce(w.run_after, now()) as run_after, w.unique_key, w.max_attempts,
           coalesce(w.user_id, filemill_user()) as user_id, w.parent,
           (case when w.status = 'waiting' then 'waiting' else 'queued' end)::job_status_t as status, w.trace
      from rows from (jsonb_to_recordset(wanted) as (id uuid, file_id uuid, type text, payload jsonb, priority smallint,
           run_after timestamptz, unique_key text, max_attempts int, user_id uuid, parent uuid, status text, trace text))
           with ordinality as w(id, file_id, type, payload, priority, run_after, unique_key, max_attempts, user_id, parent,
                                status, trace, place)
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

-- As in 0065, but a job that somebody else has queued at the same time, under the same key for another file, is found.
create or replace function jobs_order(wanted jsonb) returns jsonb language plpgsql
set search_path = pg_catalog, public as $$
declare
  files_of uuid[];
  active uuid[];
  stopped uuid[];
  queued jsonb;
  ids uuid[];
  made boolean[];
begin
  select array_agg(distinct w.file_id) into files_of from jsonb_to_recordset(wanted) as w(file_id uuid);
  select array_agg(j.id) into active from jobs j
   where j.file_id = any (files_of) and j.status in ('queued', 'retry', 'running', 'waiting');
  files_of := jobs_lock_files(files_of, active);
  select array_agg(distinct j.id) into active
    from jsonb_to_recordset(wanted) as w(file_id uuid, type text, unique_key text)
    join jobs j on j.file_id = w.file_id and j.type = w.type
    join files f on f.id = j.file_id and f.generation = j.generation and f.status <> 'deleted'
   where j.status in ('queued', 'retry', 'running', 'waiting')
     -- no join, which on a young table would be by the tenant alone
     and (select o.id from jobs o where o.tenant_id = j.tenant_id and o.type = w.type and o.unique_key = w.unique_key
             and o.status in ('queued', 'retry', 'running', 'waiting') limit 1) is null;
  select array_agg(s.job) into stopped from jobs_stop(active) s;
  select array_agg(e.job order by e.place), array_agg(e.created order by e.place) into ids, made
    from jobs_enqueue(wanted) with ordinality as e(job, created, place);
  -- one that another transaction has just queued was not to be seen by the statement that found its key taken
  select jsonb_agg(jsonb_build_object('id', coalesce(ids[w.place], (
             select j.id from jobs j where j.tenant_id = (select f.tenant_id from files f where f.id = w.file_id)
                and j.type = w.type and j.unique_key = w.unique_key
                and j.status in ('queued', 'retry', 'running', 'waiting') limit 1)),
           'created', made[w.place]) order by w.place) into queued
    from rows from (jsonb_to_recordset(wanted) as (file_id uuid, type text, unique_key text))
         with ordinality as w(file_id, type, unique_key, place);
  if jsonb_path_exists(queued, '$[*].id ? (@ == null)') then
    raise exception 'a job of the same key has just ended' using errcode = '40001';
  end if;
  perform from files_refresh(files_of);
  return jsonb_build_object('jobs', coalesce(queued, '[]'), 'stopped', coalesce(to_jsonb(stopped), '[]'));
end $$;
