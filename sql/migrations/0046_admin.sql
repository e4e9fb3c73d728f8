-- Those who run the service: what they see and change of everybody's jobs, and work that comes round by itself.

-- Who they are: the option admins, written by migrations.
create table if not exists service_admins (user_id uuid primary key);
-- Work that comes round: a function of this schema, or a job to queue. Once for all nodes, in a transaction of its own.
create table if not exists schedules (
  name text primary key check (name ~ '^[a-z][a-z0-9_-]{0,62}$'),
  every interval not null check (every >= interval '1 second'),
  function text,                      -- called without arguments, as filemill_scheduler
  job jsonb,                          -- what jobs_enqueue takes
  enabled boolean not null default true,
  next_run timestamptz not null default now(),
  last_run timestamptz,
  last_ms int,
  last_result text,
  failures int not null default 0,    -- in a row
  check ((function is null) <> (job is null))
);

do $$
declare t text;
begin
  foreach t in array array['service_admins', 'schedules'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('drop policy if exists operator on %I', t);
    execute format('create policy operator on %I to %I using (true) with check (true)', t, current_user);
    execute format('drop policy if exists definer on %I', t);
    execute format('create policy definer on %I to filemill_definer using (true) with check (true)', t);
  end loop;
end $$;
drop policy if exists scheduler on schedules;
create policy scheduler on schedules to filemill_scheduler using (true) with check (true);
grant select, update on schedules to filemill_scheduler;
grant select on service_admins to filemill_definer;
grant select, insert, update, delete on schedules to filemill_definer;
drop policy if exists definer_jobs on jobs;
create policy definer_jobs on jobs to filemill_definer using (true) with check (true);
grant select, update on jobs to filemill_definer;
drop policy if exists definer_files on files;
create policy definer_files on files to filemill_definer using (true) with check (true);
grant select, update on files to filemill_definer;
drop policy if exists definer_events on file_events;
create policy definer_events on file_events to filemill_definer using (true) with check (true);
grant select, insert on file_events to filemill_definer;
grant update (crashes) on jobs to filemill_gateway;
drop policy if exists definer_quarantine on quarantine;
create policy definer_quarantine on quarantine to filemill_definer using (true) with check (true);
grant select, delete on quarantine to filemill_definer;
drop policy if exists definer_pauses on paused_types;
create policy definer_pauses on paused_types to filemill_definer using (true) with check (true);
grant select, insert, delete on paused_types to filemill_definer;

create or replace function service_admins_set(admins uuid[]) returns void language sql
set search_path = pg_catalog, public as $$
  delete from service_admins where user_id <> all (admins);
  insert into service_admins select distinct unnest(admins) on conflict do nothing;
$$;

-- May the caller run the service?
create or replace function filemill_admin() returns boolean language sql stable security definer
set search_path = pg_catalog, public as $$
  select exists (select from service_admins where user_id = filemill_user())
$$;
create or replace function filemill_admin_check() returns void language plpgsql stable
set search_path = pg_catalog, public as $$
begin
  if not filemill_admin() then raise exception 'not an admin' using errcode = '42501'; end if;
end $$;

-- Jobs that match, newest first, as the caller may see them; null matches all. `before` is the id of the last row of the
-- page before (ids of jobs rise with time only where they are version 7, so the order is by creation).
create or replace function jobs_search(in_tenant uuid, of_type text, of_status text, with_error text, since timestamptz,
                                       before uuid, most int)
returns table (job jsonb) language sql stable set search_path = pg_catalog, public as $$
  select jsonb_build_object('id', j.id, 'type', j.type, 'status', j.status, 'attempts', j.attempts, 'priority', j.priority,
           'error_code', j.error_code, 'error_detail', j.error_detail, 'tenant_id', j.tenant_id, 'tenant', t.name,
           'file_id', j.file_id, 'filename', f.filename, 'locked_by', j.locked_by, 'progress_done', j.progress_done,
           'progress_total', j.progress_total, 'run_after', filemill_time(j.run_after),
           'created_at', filemill_time(j.created_at), 'started_at', filemill_time(j.started_at),
           'finished_at', filemill_time(j.finished_at))
    from jobs j join files f on f.id = j.file_id join tenants t on t.id = j.tenant_id
   where (in_tenant is null or j.tenant_id = in_tenant) and (of_type is null or j.type = of_type)
     and (of_status is null or j.status::text = of_status) and (with_error is null or j.error_code = with_error)
     and (since is null or j.created_at >= since)
     and (before is null or (j.created_at, j.id) < (select b.created_at, b.id from jobs b where b.id = before))
   order by j.created_at desc, j.id desc limit least(greatest(most, 1), 500)
$$;

-- Failed jobs of the newest run of files that are still there go back into the queue, with all their attempts before
-- them; null matches all. At most 1000 at a time; returns how many. Of jobs with one key the newest goes, and none while
-- an unfinished one holds it. What an admin sends back is no longer in quarantine.
create or replace function jobs_retry(in_tenant uuid, only_job uuid, of_type text, with_error text, since timestamptz)
returns int language plpgsql set search_path = pg_catalog, public as $$
declare
  ids uuid[];
  files_of uuid[];
  queued int;
begin
  select array_agg(p.id), array_agg(distinct p.file_id) into ids, files_of
    from (select distinct on (coalesce(j.unique_key, j.id::text), j.tenant_id, j.type) j.id, j.file_id
            from jobs j join files f on f.id = j.file_id
           where j.status = 'failed' and j.generation = f.generation and f.status <> 'deleted'
             and (in_tenant is null or j.tenant_id = in_tenant) and (only_job is null or j.id = only_job)
             and (of_type is null or j.type = of_type) and (with_error is null or j.error_code = with_error)
             and (since is null or j.finished_at >= since)
             and (j.unique_key is null or not exists
                   (select from jobs o where o.tenant_id = j.tenant_id and o.type = j.type
                                         and o.unique_key = j.unique_key
                                         and o.status in ('queued', 'retry', 'running', 'waiting')))
           order by coalesce(j.unique_key, j.id::text), j.tenant_id, j.type, j.finished_at desc limit 1000) p;
  if ids is null then return 0; end if;
  perform 1 from files f where f.id = any (files_of) order by f.id for no key update;
  if current_user = 'filemill_definer' then
    delete from quarantine q using jobs j join files f on f.id = j.file_id
     where j.id = any (ids) and q.tenant_id = j.tenant_id and q.type = j.type and q.sha256 = f.sha256;
  end if;
  with again as (
    update jobs j set status = 'queued', attempts = 0, crashes = 0, run_after = now(), error_code = null,
           error_detail = null, finished_at = null
     where j.id = any (ids) and j.status = 'failed'
    returning j.id, j.tenant_id, j.file_id, j.type, j.status
  )
  insert into file_events (tenant_id, file_id, job_id, kind, data)
  select tenant_id, file_id, id, 'job.status', jsonb_build_object('job', id, 'type', type, 'status', status) from again;
  get diagnostics queued = row_count;
  perform from files_refresh(files_of);
  return queued;
end $$;

-- Jobs and those that they wait for are cancelled, with an event each; what runs is told by the caller. Locks as flows do.
create or replace function jobs_cancel(ids uuid[]) returns table (job uuid, file uuid) language plpgsql
set search_path = pg_catalog, public as $$
#variable_conflict use_column
declare
  tree uuid[];
  files_of uuid[];
begin
  with recursive t as (select j.id, j.file_id from jobs j where j.id = any (ids)
                       union select c.id, c.file_id from t join jobs c on c.parent = t.id)
  select array_agg(id), array_agg(distinct file_id) into tree, files_of from t;
  if tree is null then return; end if;
  perform 1 from files f where f.id = any (files_of) order by f.id for update;
  return query
  with due as (select j.id from jobs j where j.id = any (tree)
                  and j.status in ('queued', 'retry', 'running', 'waiting') order by j.id for update),
  gone as (update jobs j set status = 'cancelled', lease_epoch = j.lease_epoch + 1, finished_at = now(), locked_at = null,
                  locked_by = null, lease_until = null from due where j.id = due.id
           returning j.id, j.tenant_id, j.file_id, j.type),
  told as (insert into file_events (tenant_id, file_id, job_id, kind, data)
           select tenant_id, file_id, id, 'job.status', jsonb_build_object('type', type, 'status', 'cancelled') from gone
            order by id)
  select g.id, g.file_id from gone g;
  perform from files_refresh(files_of);
end $$;

-- For admins, of all tenants.
create or replace function admin_jobs(in_tenant uuid, of_type text, of_status text, with_error text, since timestamptz,
                                      before uuid, most int)
returns setof jsonb language plpgsql stable security definer set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  return query select s.job from jobs_search(in_tenant, of_type, of_status, with_error, since, before, most) s;
end $$;
create or replace function admin_retry(in_tenant uuid, only_job uuid, of_type text, with_error text, since timestamptz)
returns int language plpgsql security definer set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  return jobs_retry(in_tenant, only_job, of_type, with_error, since);
end $$;
create or replace function admin_cancel(ids uuid[]) returns table (job uuid, file uuid) language plpgsql security definer
set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  return query select c.job, c.file from jobs_cancel(ids) c;
end $$;
-- The queue by type and state, with the age of the oldest that could run; failures of the last day by type and reason;
-- who holds leases; what is paused.
create or replace function admin_queue() returns jsonb language plpgsql stable security definer
set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  return jsonb_build_object(
    'queue', (select coalesce(jsonb_agg(q order by q.type, q.status), '[]') from
      (select type, status, count(*) as jobs, greatest(extract(epoch from now() - min(run_after) filter
              (where status in ('queued', 'retry') and run_after <= now())), 0)::bigint as oldest_seconds
         from jobs where status in ('queued', 'retry', 'running', 'waiting') group by type, status) q),
    'failures', (select coalesce(jsonb_agg(q order by q.jobs desc), '[]') from
      (select type, error_code, count(*) as jobs, filemill_time(max(finished_at)) as last from jobs
        where status in ('done', 'failed', 'cancelled') and status = 'failed' and finished_at > now() - interval '1 day'
        group by type, error_code order by 3 desc limit 100) q),
    'workers', (select coalesce(jsonb_agg(q order by q.locked_by), '[]') from
      (select locked_by, count(*) as running, filemill_time(min(locked_at)) as since from jobs where status = 'running'
        group by locked_by) q),
    'paused', (select coalesce(jsonb_agg(type order by type), '[]') from paused_types));
end $$;
create or replace function admin_pause(of_type text, pause boolean) returns void language plpgsql security definer
set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  if pause then insert into paused_types (type) values (of_type) on conflict do nothing;
  else delete from paused_types where type = of_type;
  end if;
end $$;
create or replace function admin_schedules() returns jsonb language plpgsql stable security definer
set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  return (select coalesce(jsonb_agg(jsonb_build_object('name', name, 'every_seconds', extract(epoch from every)::bigint,
    'function', function, 'job', job, 'enabled', enabled, 'next_run', filemill_time(next_run), 'last_run',
    filemill_time(last_run), 'last_ms', last_ms, 'last_result', last_result, 'failures', failures) order by name), '[]')
    from schedules);
end $$;
-- Due at once, or switched; false where there is no such schedule.
create or replace function admin_schedule(wanted text, run_now boolean, switch boolean) returns boolean language plpgsql
security definer set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  update schedules set next_run = case when run_now then now() else next_run end, enabled = coalesce(switch, enabled)
   where name = wanted;
  return found;
end $$;

-- Runs what is due, each once whoever asks: the row is locked, and moved on whether it went well or not. What a function
-- returns, or why it failed, is kept. Misses are not made up for.
create or replace function schedules_run(most int) returns int language plpgsql set search_path = pg_catalog, public as $$
declare
  s schedules;
  begun timestamptz;
  said text;
  bad boolean;
  ran int := 0;
begin
  for s in select * from schedules where enabled and next_run <= now() order by next_run limit most
           for update skip locked loop
    begun := clock_timestamp();
    bad := false;
    begin
      if s.function is not null then
        execute format('select (%I())::text', s.function) into said;
      else
        select string_agg(e.job::text, ' ') into said from jobs_enqueue(
          case jsonb_typeof(s.job) when 'array' then s.job else jsonb_build_array(s.job) end) e;
      end if;
    exception when others then
      bad := true;
      said := sqlerrm;
    end;
    update schedules set last_run = begun, next_run = greatest(s.next_run + s.every, begun + s.every * 0.5),
           last_ms = extract(epoch from clock_timestamp() - begun) * 1000, last_result = left(said, 500),
           failures = case when bad then s.failures + 1 else 0 end
     where name = s.name;
    ran := ran + 1;
  end loop;
  return ran;
end $$;

insert into schedules (name, every, function) values ('idempotency-expire', '1 hour', 'idempotency_expire')
on conflict do nothing;
grant execute on function idempotency_expire() to filemill_scheduler;

grant create on schema public to filemill_definer;
do $$
declare f text;
begin
  foreach f in array array['filemill_admin()', 'admin_jobs(uuid, text, text, text, timestamptz, uuid, int)',
      'admin_retry(uuid, uuid, text, text, timestamptz)', 'admin_cancel(uuid[])', 'admin_queue()',
      'admin_pause(text, boolean)', 'admin_schedules()', 'admin_schedule(text, boolean, boolean)'] loop
    execute format('alter function %s owner to filemill_definer', f);
    execute format('revoke all on function %s from public', f);
    execute format('grant execute on function %s to filemill_gateway', f);
  end loop;
end $$;
grant execute on function filemill_admin() to filemill_definer;
revoke create on schema public from filemill_definer;
revoke all on function service_admins_set(uuid[]), schedules_run(int) from public;
grant execute on function schedules_run(int) to filemill_scheduler;
