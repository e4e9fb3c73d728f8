-- Orders of jobs: one, or many at once, by whoever may change the files; and the first band that they may be in.

-- The first band of the queue that clients' jobs may be in: of a tenant, or (without one: the option client-priority) of
-- all that have no row. A priority is a wish: what is before the bound becomes the bound.
create table if not exists priority_bounds (
  tenant_id uuid references tenants (id) on delete cascade,
  first_priority smallint not null check (first_priority between 0 and 3)
);
create unique index if not exists priority_bounds_tenant_key on priority_bounds
  (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid));
alter table priority_bounds enable row level security;
alter table priority_bounds force row level security;
do $$ begin
  execute 'drop policy if exists operator on priority_bounds';
  execute format('create policy operator on priority_bounds to %I using (true) with check (true)', current_user);
end $$;
drop policy if exists definer on priority_bounds;
create policy definer on priority_bounds to filemill_definer using (true) with check (true);
revoke all on priority_bounds from public;
grant select, insert, update, delete on priority_bounds to filemill_definer;

create or replace function priority_first(tenant uuid) returns smallint language sql stable security definer
set search_path = pg_catalog, public as $$
  select coalesce((select b.first_priority from priority_bounds b where b.tenant_id = tenant),
                  (select b.first_priority from priority_bounds b where b.tenant_id is null), 1::smallint)
$$;

-- Whatever way a caller of the gateway makes a job. Those who run the service are not bound.
create or replace function jobs_priority_bound() returns trigger language plpgsql
set search_path = pg_catalog, public as $$
begin
  if not filemill_admin() then
    new.priority := greatest(new.priority, priority_first(new.tenant_id));
  end if;
  return new;
end $$;
drop trigger if exists trg_jobs_priority_bound on jobs;
create trigger trg_jobs_priority_bound before insert on jobs for each row
  when (new.priority < 3 and nullif(current_setting('filemill.user_id', true), '') is not null)
  execute function jobs_priority_bound();

-- Null: the tenant (without one: everybody) has no bound of its own any more.
create or replace function priority_bound_set(tenant uuid, wanted int) returns void language sql
set search_path = pg_catalog, public as $$
  delete from priority_bounds where tenant_id is not distinct from tenant and (wanted is null or first_priority <> wanted);
  insert into priority_bounds (tenant_id, first_priority) select tenant, wanted where wanted is not null
  on conflict do nothing
$$;
create or replace function admin_priority_set(tenant uuid, wanted int) returns void language plpgsql security definer
set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  if tenant is null then raise exception 'no tenant' using errcode = '23502'; end if;
  perform priority_bound_set(tenant, wanted);
end $$;
create or replace function admin_priorities() returns jsonb language plpgsql stable security definer
set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  return (select coalesce(jsonb_agg(jsonb_build_object('tenant_id', tenant_id, 'first_priority', first_priority)
    order by tenant_id nulls first), '[]') from priority_bounds);
end $$;

-- ---- orders ----

-- Jobs and those that they wait for are cancelled, with an event each. The caller has locked their files in order of id,
-- and refreshes them.
create or replace function jobs_stop(ids uuid[]) returns table (job uuid, file uuid) language sql
set search_path = pg_catalog, public as $$
  with recursive tree as (select j.id from jobs j where j.id = any (ids)
                          union select c.id from tree t join jobs c on c.parent = t.id),
  due as (select j.id from jobs j where j.id in (select t.id from tree t)
             and j.status in ('queued', 'retry', 'running', 'waiting') order by j.id for update),
  gone as (update jobs j set status = 'cancelled', lease_epoch = j.lease_epoch + 1, finished_at = now(), locked_at = null,
                  locked_by = null, lease_until = null from due where j.id = due.id
           returning j.id, j.tenant_id, j.file_id, j.type),
  told as (insert into file_events (tenant_id, file_id, job_id, kind, data)
           select tenant_id, file_id, id, 'job.status', jsonb_build_object('type', type, 'status', 'cancelled') from gone
            order by id)
  select g.id, g.file_id from gone g
$$;

-- Locks these files, and those of these jobs and of all that they wait for, in order of id; returns their ids.
create or replace function jobs_lock_files(files_of uuid[], ids uuid[]) returns uuid[] language plpgsql
set search_path = pg_catalog, public as $$
declare
  locked uuid[];
begin
  with recursive tree as (select j.id, j.file_id from jobs j where j.id = any (ids)
                          union select c.id, c.file_id from tree t join jobs c on c.parent = t.id)
  select array_agg(f) into locked from (select unnest(files_of) union select t.file_id from tree t) a(f);
  perform 1 from files f where f.id = any (locked) order by f.id for update;
  return locked;
end $$;

create or replace function jobs_cancel(ids uuid[]) returns table (job uuid, file uuid) language plpgsql
set search_path = pg_catalog, public as $$
declare
  files_of uuid[] := jobs_lock_files('{}', ids);
begin
  return query select s.job, s.file from jobs_stop(ids) s;
  perform from files_refresh(files_of);
end $$;

-- What a program must know of the files that jobs are ordered for; those that the caller may not know of are left out.
create or replace function orders_files(ids uuid[], everybody boolean) returns jsonb language sql stable
set search_path = pg_catalog, public as $$
  select coalesce(jsonb_object_agg(f.id, jsonb_build_object('media', coalesce(nullif(f.detected_mime, ''), f.mime),
           'finalized', f.status <> 'uploading' and not (f.finalized_at is null and f.status = 'failed'),
           'may', everybody or f.owner_user_id = filemill_user() or filemill_elevated(c.role))), '{}')
    from files f, lateral (select filemill_role(f.tenant_id) as role offset 0) c
   where f.id = any (ids) and f.status <> 'deleted' and (everybody or c.role is not null)
$$;

-- Queues what jobs_enqueue takes. A kind of derivative exists once per file, so the newest order of a type counts: one of
-- that type that is still under way is cancelled, unless an unfinished job has the order's key. All or nothing. Returns
-- {"jobs": [{"id", "created"}, …] in order, "stopped": ids}.
create or replace function jobs_order(wanted jsonb) returns jsonb language plpgsql
set search_path = pg_catalog, public as $$
declare
  files_of uuid[];
  active uuid[];
  stopped uuid[];
  queued jsonb;
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
     and not exists (select from jobs o where o.tenant_id = j.tenant_id and o.type = w.type
                        and o.unique_key = w.unique_key and o.status in ('queued', 'retry', 'running', 'waiting'));
  select array_agg(s.job) into stopped from jobs_stop(active) s;
  select jsonb_agg(jsonb_build_object('id', e.job, 'created', e.created) order by e.place) into queued
    from jobs_enqueue(wanted) with ordinality as e(job, created, place);
  perform from files_refresh(files_of);
  return jsonb_build_object('jobs', coalesce(queued, '[]'), 'stopped', coalesce(to_jsonb(stopped), '[]'));
end $$;

create or replace function admin_orders_files(ids uuid[]) returns jsonb language plpgsql stable security definer
set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  return orders_files(ids, true);
end $$;
create or replace function admin_order(wanted jsonb) returns jsonb language plpgsql security definer
set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  return jobs_order(wanted);
end $$;

grant insert on jobs to filemill_definer;
grant create on schema public to filemill_definer;
do $$
declare f text;
begin
  foreach f in array array['admin_priority_set(uuid, int)', 'admin_orders_files(uuid[])', 'admin_order(jsonb)',
                           'priority_first(uuid)', 'admin_priorities()'] loop
    execute format('alter function %s owner to filemill_definer', f);
    execute format('revoke all on function %s from public', f);
    execute format('grant execute on function %s to filemill_gateway', f);
  end loop;
end $$;
revoke create on schema public from filemill_definer;
revoke all on function priority_bound_set(uuid, int) from public;
grant execute on function priority_bound_set(uuid, int) to filemill_definer;
grant execute on function priority_first(uuid) to filemill_scheduler;
