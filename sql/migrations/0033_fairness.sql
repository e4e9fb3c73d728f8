-- Rules between those who share the queue: limits on what runs at once or starts in a minute, tenants on pause, and what
-- tenants have used. A *lane* is what all rules treat alike: the waiting jobs of one tenant, type, priority and user
-- (jobs without a user count as those of one). A claim goes through lanes only while a rule or a second tenant asks for
-- it; else it takes jobs_pick_idx from its head, and passes over all that a limit is about.

create index if not exists jobs_lane_idx on jobs (tenant_id, type, priority,
  coalesce(user_id, '00000000-0000-0000-0000-000000000000'::uuid), run_after, id) where status in ('queued', 'retry');

-- A limit is about the jobs that have its type, tenant and user, where it names them. It counts them all together, or
-- each type, tenant or user by itself.
create table if not exists job_limits (
  name           text primary key check (length(name) between 1 and 100),
  type           text check (length(type) between 1 and 100),
  tenant_id      uuid,
  user_id        uuid,
  per_type       boolean not null default false,
  per_tenant     boolean not null default false,
  per_user       boolean not null default false,
  max_running    int check (max_running >= 0),
  max_per_minute int check (max_per_minute >= 0),
  updated_at     timestamptz not null default now(),
  check (max_running is not null or max_per_minute is not null)
);

-- What was started under a limit per minute, in the transaction of the start; rows live two minutes.
create table if not exists job_starts (
  limit_name text not null references job_limits (name) on delete cascade,
  type       text not null,
  tenant_id  uuid not null,
  user_id    uuid not null,
  jobs       int not null,
  at         timestamptz not null default clock_timestamp()
);
create index if not exists job_starts_idx on job_starts (limit_name, at);

create table if not exists paused_tenants (
  tenant_id uuid primary key references tenants (id) on delete cascade,
  paused_at timestamptz not null default now()
);

-- CPU time of late, halved every minute; each node adds its part once a second while tenants compete.
create table if not exists tenant_usage (
  tenant_id  uuid primary key references tenants (id) on delete cascade,
  cpu_ms     double precision not null,
  updated_at timestamptz not null default clock_timestamp()
);

do $$
declare t text;
begin
  foreach t in array array['job_limits', 'job_starts', 'paused_tenants', 'tenant_usage'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('drop policy if exists operator on %I', t);
    execute format('create policy operator on %I to %I using (true) with check (true)', t, current_user);
    execute format('drop policy if exists scheduler on %I', t);
    execute format('create policy scheduler on %I to filemill_scheduler using (true) with check (true)', t);
    execute format('revoke all on %I from public', t);
  end loop;
end $$;
grant select, insert, update, delete on paused_tenants, tenant_usage, job_starts to filemill_scheduler;
grant select on job_limits to filemill_scheduler;

do $$ begin
  create type job_group as (type text, tenant_id uuid, user_id uuid, jobs bigint);
exception when duplicate_object then null; end $$;

-- What runs, by lane but for the priority; reads the index of running jobs.
create or replace function jobs_running() returns job_group[] language sql stable
set search_path = pg_catalog, public as $$
  select coalesce(array_agg(row(g.type, g.tenant_id, g.user_id, g.jobs)::public.job_group), '{}') from (
    select j.type, j.tenant_id, coalesce(j.user_id, '00000000-0000-0000-0000-000000000000'::uuid) as user_id,
           count(*) as jobs from jobs j where j.status = 'running' group by 1, 2, 3) g
$$;

-- How many more jobs of a lane its limits allow; null: no limit is about it.
create or replace function job_room(job_type text, tenant uuid, job_user uuid, running job_group[]) returns bigint
language sql volatile set search_path = pg_catalog, public as $$
  select min(least(
      l.max_running - (select coalesce(sum(r.jobs), 0) from unnest(running) r
        where (l.type is null or r.type = l.type) and (l.tenant_id is null or r.tenant_id = l.tenant_id)
          and (l.user_id is null or r.user_id = l.user_id) and (not l.per_type or r.type = job_type)
          and (not l.per_tenant or r.tenant_id = tenant) and (not l.per_user or r.user_id = job_user)),
      l.max_per_minute - (select coalesce(sum(s.jobs), 0) from job_starts s
        where l.max_per_minute is not null and s.limit_name = l.name
          and s.at > clock_timestamp() - interval '1 min' and (not l.per_type or s.type = job_type)
          and (not l.per_tenant or s.tenant_id = tenant) and (not l.per_user or s.user_id = job_user))))::bigint
    from job_limits l
   where (l.type is null or l.type = job_type) and (l.tenant_id is null or l.tenant_id = tenant)
     and (l.user_id is null or l.user_id = job_user)
$$;

-- Claims at most so many jobs of each of these lanes, the first lane first, as far as the limits allow; the ids are in
-- the transaction's setting filemill.admitted. Limits hold exactly and between nodes: whoever claims while there are any
-- holds a lock to the end of its transaction, counts what runs by the rows themselves, and only then takes more.
create or replace function jobs_admit(owner text, lease_ms bigint, tenants uuid[], types text[], bands smallint[],
                                      users uuid[], froms timestamptz[], counts int[]) returns void language plpgsql
set search_path = pg_catalog, public as $$
declare
  is_limited boolean := exists (select from job_limits);
  running job_group[] := '{}';
  admitted uuid[] := '{}';
  taken uuid[];
  lane record;
  allowed bigint;
begin
  if is_limited then
    perform pg_advisory_xact_lock(hashtext('filemill.job_limits'));
    running := jobs_running();
  end if;
  for lane in select * from unnest(tenants, types, bands, users, froms, counts)
                              as w(tenant, type, band, usr, since, wanted) loop
    continue when exists (select from paused_tenants t where t.tenant_id = lane.tenant)
               or exists (select from paused_types t where t.type = lane.type);
    allowed := lane.wanted;
    if is_limited then
      allowed := least(allowed, job_room(lane.type, lane.tenant, lane.usr, running));
    end if;
    continue when allowed <= 0;
    with p as materialized (
      select j.id from jobs j
       where j.status in ('queued', 'retry') and j.tenant_id = lane.tenant and j.type = lane.type
         and j.priority = lane.band
         and coalesce(j.user_id, '00000000-0000-0000-0000-000000000000'::uuid) = lane.usr
         and j.run_after >= lane.since and j.run_after <= now()
       order by j.run_after, j.id limit allowed for update skip locked
    ), u as (
      update jobs j set status = 'running', lease_epoch = j.lease_epoch + 1, locked_by = owner, locked_at = now(),
             updated_at = now(), lease_until = now() + lease_ms * interval '1 ms',
             started_at = coalesce(j.started_at, now()),
             progress_done = case when j.payload ? 'on_child_failure' then j.progress_done else 0 end,
             progress_total = case when j.payload ? 'on_child_failure' then j.progress_total else 0 end
        from p where j.id = p.id returning j.id)
    select coalesce(array_agg(u.id), '{}') into taken from u;
    continue when cardinality(taken) = 0;
    admitted := admitted || taken;
    if is_limited then
      running := running || row(lane.type, lane.tenant, lane.usr, cardinality(taken))::job_group;
      delete from job_starts s using job_limits l
       where s.limit_name = l.name and s.at < clock_timestamp() - interval '2 min';
      insert into job_starts (limit_name, type, tenant_id, user_id, jobs)
      select l.name, lane.type, lane.tenant, lane.usr, cardinality(taken) from job_limits l
       where l.max_per_minute is not null and (l.type is null or l.type = lane.type)
         and (l.tenant_id is null or l.tenant_id = lane.tenant) and (l.user_id is null or l.user_id = lane.usr);
    end if;
  end loop;
  perform set_config('filemill.admitted', array_to_string(admitted, ','), true);
end $$;

-- ---- for operators; each is in force with its commit ----

create or replace function limits_set(limit_name text, max_running int default null, max_per_minute int default null,
                                      job_type text default null, tenant uuid default null, job_user uuid default null,
                                      per_type boolean default false, per_tenant boolean default false,
                                      per_user boolean default false) returns void language sql
set search_path = pg_catalog, public as $$
  insert into job_limits (name, max_running, max_per_minute, type, tenant_id, user_id, per_type, per_tenant, per_user)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
  on conflict (name) do update set max_running = excluded.max_running, max_per_minute = excluded.max_per_minute,
    type = excluded.type, tenant_id = excluded.tenant_id, user_id = excluded.user_id, per_type = excluded.per_type,
    per_tenant = excluded.per_tenant, per_user = excluded.per_user, updated_at = now();
  select pg_notify('filemill_jobs', 'rules');
$$;

-- False: there was none of this name.
create or replace function limits_drop(limit_name text) returns boolean language sql
set search_path = pg_catalog, public as $$
  select pg_notify('filemill_jobs', 'rules');
  with gone as (delete from job_limits where name = $1 returning name) select exists (select from gone);
$$;

-- Nothing more of the tenant starts; what runs goes on.
create or replace function tenant_pause(tenant uuid) returns void language sql
set search_path = pg_catalog, public as $$
  insert into paused_tenants (tenant_id) values ($1) on conflict do nothing;
  select pg_notify('filemill_jobs', 'rules');
$$;

create or replace function tenant_resume(tenant uuid) returns void language sql
set search_path = pg_catalog, public as $$
  delete from paused_tenants where tenant_id = $1;
  select pg_notify('filemill_jobs', 'rules');
$$;

revoke all on function jobs_running(), job_room(text, uuid, uuid, job_group[]),
  jobs_admit(text, bigint, uuid[], text[], smallint[], uuid[], timestamptz[], int[]),
  limits_set(text, int, int, text, uuid, uuid, boolean, boolean, boolean), limits_drop(text), tenant_pause(uuid),
  tenant_resume(uuid) from public;
grant execute on function jobs_running(), job_room(text, uuid, uuid, job_group[]),
  jobs_admit(text, bigint, uuid[], text[], smallint[], uuid[], timestamptz[], int[]) to filemill_scheduler;
grant execute on function tenant_pause(uuid), tenant_resume(uuid) to filemill_scheduler;
