-- What a file is, its plan decides: the jobs that finalize or a reprocess queued. A job that is ordered later runs beside
-- them and has a status of its own: it makes no ready file processing, and none failed.

alter table jobs add column if not exists ordered boolean; -- true: beside the plan of its file

-- A job that another one of its file makes is what that one is, unless who inserts it says. A job that goes over to
-- another file (0061) is that one's plan.
create or replace function jobs_ordered() returns trigger language plpgsql set search_path = pg_catalog, public as $$
begin
  new.ordered := case when tg_op = 'INSERT' then
                   (select p.ordered from jobs p where p.id = new.parent and p.file_id = new.file_id) end;
  return new;
end $$;
drop trigger if exists trg_jobs_ordered on jobs;
create trigger trg_jobs_ordered before insert on jobs for each row
  when (new.parent is not null and new.ordered is null) execute function jobs_ordered();
drop trigger if exists trg_jobs_moved on jobs;
create trigger trg_jobs_moved before update of file_id on jobs for each row
  when (new.file_id <> old.file_id) execute function jobs_ordered();

-- As in 0030, of the jobs of the plan.
create or replace function files_refresh(ids uuid[]) returns table (file uuid, tenant uuid, event bigint)
language sql set search_path = pg_catalog, public as $$
  with wanted as (
    select f.id, f.status as old,
           (case when exists (select from jobs j where j.file_id = f.id and j.generation = f.generation
                                and j.ordered is not true
                                and j.status::text in ('queued', 'retry', 'running', 'waiting')) then 'processing'
                 when exists (select from jobs j where j.file_id = f.id and j.generation = f.generation
                                and j.ordered is not true and j.status::text = 'failed'
                                and (j.parent is null or not exists
                                     (select from jobs p where p.id = j.parent and p.file_id = j.file_id
                                                           and p.ordered is not true))) then 'failed'
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

-- As in 0069; `ordered` may be said, too. Else what is queued by the transaction that finalizes the file is its plan, and
-- whatever comes later is ordered.
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
           (case when w.status = 'waiting' then 'waiting' else 'queued' end)::job_status_t as status, w.trace,
           coalesce(w.ordered, f.finalized_at is distinct from now()) as ordered
      from rows from (jsonb_to_recordset(wanted) as (id uuid, file_id uuid, type text, payload jsonb, priority smallint,
           run_after timestamptz, unique_key text, max_attempts int, user_id uuid, parent uuid, status text, trace text,
           ordered boolean))
           with ordinality as w(id, file_id, type, payload, priority, run_after, unique_key, max_attempts, user_id, parent,
                                status, trace, ordered, place)
      join files f on f.id = w.file_id
  ), added as (
    insert into jobs (id, tenant_id, file_id, type, status, payload, priority, run_after, unique_key, max_attempts,
                      user_id, parent, generation, trace, ordered)
    select id, tenant_id, file_id, type, status, payload, priority, run_after, unique_key, max_attempts, user_id,
           parent, generation, trace, ordered from asked order by place
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

-- As in 0069, but an order that takes the place of an unfinished job of the plan takes its place in the plan: the file is
-- not ready before it.
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
  with planned as materialized (
    select distinct j.file_id, j.type from jobs j where j.id = any (active) and j.ordered is not true
  )
  select jsonb_agg(w.item || jsonb_build_object('ordered', p.file_id is null) order by w.place) into wanted
    from jsonb_array_elements(wanted) with ordinality as w(item, place)
    left join planned p on p.file_id = (w.item->>'file_id')::uuid and p.type = w.item->>'type';
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
