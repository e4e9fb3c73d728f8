-- Credits: what jobs cost their users. Off unless the option `credits` is on: the triggers on jobs that do all of it are
-- disabled then (credits_switch, called by filemill-migrate), so nobody pays for them. One rule for every program: an
-- open job has a reservation, in the transaction that inserts it; the one that ends it charges or refunds; the one that
-- deletes it refunds. Locks come in this order: files, jobs, user_credits by user.

create table if not exists user_credits (
  user_id uuid primary key,
  balance bigint not null default 0 check (balance >= 0),
  reserved bigint not null default 0 check (reserved >= 0),
  used bigint not null default 0 check (used >= 0),
  granted bigint not null default 0 check (granted >= 0),
  updated_at timestamptz not null default now(),
  constraint user_credits_sum check (balance + reserved + used = granted)
);

-- Every change of an account, for ever. Its sums are the account.
create table if not exists credit_ledger (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  job_id uuid,
  kind text not null check (kind in ('grant', 'reserve', 'charge', 'refund')),
  balance_change bigint not null,
  reserved_change bigint not null default 0,
  used_change bigint not null default 0,
  note text,
  created_at timestamptz not null default now()
);
create index if not exists credit_ledger_user_idx on credit_ledger (user_id, id);
create index if not exists credit_ledger_job_idx on credit_ledger (job_id, id) where job_id is not null;

create table if not exists credit_reservations (
  job_id uuid primary key,
  user_id uuid not null,
  amount bigint not null check (amount >= 0),
  created_at timestamptz not null default now()
);
create index if not exists credit_reservations_user_idx on credit_reservations (user_id);

-- What a job costs when it is done: base + per_cpu_second for its runner's processor time; `reserve` is set aside before.
-- The type '*' is for all that have no row.
create table if not exists job_prices (
  type text primary key,
  base bigint not null default 0 check (base >= 0),
  per_cpu_second bigint not null default 1000 check (per_cpu_second >= 0),
  reserve bigint not null default 2000 check (reserve >= 0)
);
insert into job_prices (type) values ('*') on conflict do nothing;

-- Who may grant; the option credit-admins.
create table if not exists credit_admins (
  user_id uuid primary key
);

-- Append-only: what each attempt of a job took, by stage; the middle one has the processor's name.
create table if not exists cpu_usage (
  job_id uuid not null,
  epoch bigint not null,
  stage text not null,                         -- fetch | <processor> | store
  tenant_id uuid not null,
  user_id uuid not null,                       -- the file's owner
  type text not null,
  outcome text not null,                       -- state that the attempt left the job in
  cpu_ms bigint not null,
  wall_ms bigint not null,
  created_at timestamptz not null default now(),
  primary key (job_id, epoch, stage)
);
create index if not exists cpu_usage_created_idx on cpu_usage (created_at);

-- One row per job that ended, kept for 90 days.
create table if not exists metrics (
  id bigint generated always as identity primary key,
  created_at timestamptz not null default now(),
  tenant_id uuid not null,
  job_id uuid not null,
  type text not null,
  status text not null,
  attempts int not null,
  waited_ms bigint,                            -- from made (or due) to its first start
  ran_ms bigint,                               -- from there to its end
  cpu_ms bigint,
  peak_rss_bytes bigint,
  input_bytes bigint,
  pages bigint,
  error_code text
);
create index if not exists metrics_created_idx on metrics (created_at);

do $$
declare t text;
begin
  foreach t in array array['user_credits', 'credit_ledger', 'credit_reservations', 'job_prices', 'credit_admins',
                           'cpu_usage', 'metrics'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('drop policy if exists operator on %I', t);
    execute format('create policy operator on %I to %I using (true) with check (true)', t, current_user);
    execute format('drop policy if exists definer on %I', t);
    execute format('create policy definer on %I to filemill_definer using (true) with check (true)', t);
  end loop;
end $$;
drop policy if exists own on user_credits;
create policy own on user_credits for select to filemill_gateway using (user_id = filemill_user());
drop policy if exists own on credit_ledger;
create policy own on credit_ledger for select to filemill_gateway using (user_id = filemill_user());
drop policy if exists everybody on job_prices;
create policy everybody on job_prices for select to filemill_gateway using (true);
drop policy if exists scheduler on cpu_usage;
create policy scheduler on cpu_usage to filemill_scheduler using (true) with check (true);
drop policy if exists scheduler on metrics;
create policy scheduler on metrics to filemill_scheduler using (true) with check (true);

grant select on user_credits, credit_ledger, job_prices to filemill_gateway;
grant select, insert on cpu_usage to filemill_scheduler;
grant select, delete on metrics to filemill_scheduler;
grant select on job_prices, credit_admins to filemill_definer;
grant select, insert, update on user_credits to filemill_definer;
grant select, insert on credit_ledger to filemill_definer;
grant select, insert, delete on credit_reservations to filemill_definer;
grant insert on metrics to filemill_definer;

create or replace function credits_is_open(status job_status_t) returns boolean language sql immutable
return status in ('queued', 'retry', 'running', 'waiting');

-- Sets aside what these jobs may cost. Their user is who asked for them, else (the scheduler, software with SQL) the owner
-- of the file; of one that is opened again, who paid before. Page ranges of a document are their parent's expense. Too
-- little credit refuses all of them with FM402, unless the scheduler asks: what it adds to an order that was accepted
-- gets what there is.
create or replace function credits_reserve(ids uuid[]) returns void language plpgsql security definer
set search_path = pg_catalog, public as $$
declare
  soft boolean := 'filemill_scheduler' in (coalesce(current_setting('role', true), ''), session_user);
  r record;
  have bigint;
  part bigint;
begin
  for r in
    select coalesce((select l.user_id from credit_ledger l where l.job_id = j.id and l.kind = 'reserve'
                      order by l.id desc limit 1), filemill_user(), j.user_id, f.owner_user_id) as payer,
           array_agg(j.id order by j.id) as jobs,
           array_agg(coalesce(p.reserve, d.reserve) order by j.id) as amounts,
           sum(coalesce(p.reserve, d.reserve))::bigint as needed
      from jobs j
      join files f on f.id = j.file_id
      left join job_prices p on p.type = j.type
      left join job_prices d on d.type = '*'
     where j.id = any (ids) and credits_is_open(j.status)
       and (j.parent is null or not exists (select from jobs q where q.id = j.parent and q.file_id = j.file_id))
       and not exists (select from credit_reservations c where c.job_id = j.id)
     group by 1 order by 1
  loop
    insert into user_credits (user_id) values (r.payer) on conflict do nothing;
    select c.balance into have from user_credits c where c.user_id = r.payer for update;
    if have < r.needed and not soft then
      raise exception '{"balance":%,"needed":%}', have, r.needed using errcode = 'FM402';
    end if;
    for i in 1 .. array_length(r.jobs, 1) loop
      part := least(coalesce(r.amounts[i], 0), have);
      have := have - part;
      insert into credit_reservations (job_id, user_id, amount) values (r.jobs[i], r.payer, part);
      insert into credit_ledger (user_id, job_id, kind, balance_change, reserved_change)
      values (r.payer, r.jobs[i], 'reserve', -part, part);
      update user_credits c set balance = c.balance - part, reserved = c.reserved + part, updated_at = now()
       where c.user_id = r.payer;
    end loop;
  end loop;
end $$;

-- Ends the reservations of these jobs: a done one is charged, in full as far as reservation and balance go; any other
-- gets all back. Jobs without a reservation are left alone.
create or replace function credits_settle(ids uuid[]) returns void language plpgsql security definer
set search_path = pg_catalog, public as $$
declare
  r record;
  have bigint;
  cost bigint;
begin
  for r in
    select c.user_id, c.job_id, c.amount,
           case when j.status = 'done' then coalesce(p.base, d.base) + ceil(coalesce(p.per_cpu_second, d.per_cpu_second)
             * (coalesce((j.result->>'cpu_ms')::bigint, 0)
                + coalesce((select sum((k.result->>'cpu_ms')::bigint) from jobs k where k.parent = j.id
                              and k.file_id = j.file_id and k.status = 'done'), 0)) / 1000.0)::bigint
           else 0 end as cost
      from credit_reservations c
      left join jobs j on j.id = c.job_id
      left join job_prices p on p.type = j.type
      left join job_prices d on d.type = '*'
     where c.job_id = any (ids)
     order by c.user_id, c.job_id
  loop
    select c.balance into have from user_credits c where c.user_id = r.user_id for update;
    cost := least(coalesce(r.cost, 0), r.amount + have);
    delete from credit_reservations c where c.job_id = r.job_id;
    update user_credits c set balance = c.balance + r.amount - cost, reserved = c.reserved - r.amount,
                              used = c.used + cost, updated_at = now() where c.user_id = r.user_id;
    insert into credit_ledger (user_id, job_id, kind, balance_change, reserved_change, used_change)
    values (r.user_id, r.job_id, case when cost > 0 then 'charge' else 'refund' end, r.amount - cost, -r.amount, cost);
  end loop;
end $$;

create or replace function credits_on_insert() returns trigger language plpgsql security definer
set search_path = pg_catalog, public as $$
begin
  perform credits_reserve((select array_agg(a.id) from added a where credits_is_open(a.status)));
  return null;
end $$;

create or replace function credits_on_update() returns trigger language plpgsql security definer
set search_path = pg_catalog, public as $$
declare
  closed uuid[];
  opened uuid[];
begin
  select array_agg(n.id) filter (where credits_is_open(o.status)),
         array_agg(n.id) filter (where credits_is_open(n.status))
    into closed, opened
    from after_update n join before_update o on o.id = n.id
   where credits_is_open(o.status) <> credits_is_open(n.status);
  if closed is not null then
    perform credits_settle(closed);
    insert into metrics (tenant_id, job_id, type, status, attempts, waited_ms, ran_ms, cpu_ms, peak_rss_bytes, input_bytes,
                         pages, error_code)
    select n.tenant_id, n.id, n.type, n.status, n.attempts,
           extract(epoch from n.started_at - n.created_at) * 1000,
           extract(epoch from coalesce(n.finished_at, now()) - n.started_at) * 1000,
           (n.result->>'cpu_ms')::bigint, (n.result->>'peak_rss_bytes')::bigint, (n.result->>'input_bytes')::bigint,
           (n.result->>'pages')::bigint, n.error_code
      from after_update n where n.id = any (closed);
  end if;
  if opened is not null then
    perform credits_reserve(opened);
  end if;
  return null;
end $$;

create or replace function credits_on_delete() returns trigger language plpgsql security definer
set search_path = pg_catalog, public as $$
begin
  perform credits_settle((select array_agg(d.id) from dropped d where credits_is_open(d.status)));
  return null;
end $$;

drop trigger if exists trg_jobs_credits_insert on jobs;
create trigger trg_jobs_credits_insert after insert on jobs referencing new table as added
  for each statement execute function credits_on_insert();
drop trigger if exists trg_jobs_credits_update on jobs;
create trigger trg_jobs_credits_update after update on jobs
  referencing old table as before_update new table as after_update
  for each statement execute function credits_on_update();
drop trigger if exists trg_jobs_credits_delete on jobs;
create trigger trg_jobs_credits_delete after delete on jobs referencing old table as dropped
  for each statement execute function credits_on_delete();
alter table jobs disable trigger trg_jobs_credits_insert;
alter table jobs disable trigger trg_jobs_credits_update;
alter table jobs disable trigger trg_jobs_credits_delete;

-- Gives credits, or takes back (a negative amount) as far as the balance goes. Users must be among credit_admins;
-- whoever has no user (an operator with psql) may.
create or replace function credit_grant(receiver uuid, amount bigint, reason text) returns void
language plpgsql security definer set search_path = pg_catalog, public as $$
begin
  if (filemill_user() is not null or 'filemill_gateway' in (coalesce(current_setting('role', true), ''), session_user))
     and not exists (select from credit_admins a where a.user_id = filemill_user()) then
    raise exception 'not a credit admin' using errcode = '42501';
  end if;
  insert into user_credits (user_id) values (receiver) on conflict do nothing;
  update user_credits c set balance = c.balance + amount, granted = c.granted + amount, updated_at = now()
   where c.user_id = receiver;
  insert into credit_ledger (user_id, kind, balance_change, note) values (receiver, 'grant', amount, left(reason, 200));
end $$;

-- Turns credits on or off, with the owner's rights. Jobs that are open when they are turned on cost nothing; when they
-- are turned off, all reservations are given back.
create or replace function credits_switch(wanted boolean, admins uuid[]) returns void language plpgsql
set search_path = pg_catalog, public as $$
declare t text;
begin
  perform pg_advisory_xact_lock(hashtextextended('filemill credits', 0));
  delete from credit_admins where user_id <> all (admins);
  insert into credit_admins select distinct unnest(admins) on conflict do nothing;
  if exists (select from pg_trigger where tgname like 'trg\_jobs\_credits\_%' and tgrelid = 'jobs'::regclass
                                      and (tgenabled <> 'D') <> wanted) then
    foreach t in array array['insert', 'update', 'delete'] loop
      execute format('alter table jobs %s trigger trg_jobs_credits_%s', case when wanted then 'enable' else 'disable' end,
                     t);
    end loop;
  end if;
  if not wanted then
    with gone as (delete from credit_reservations returning user_id, job_id, amount),
    told as (insert into credit_ledger (user_id, job_id, kind, balance_change, reserved_change, note)
             select user_id, job_id, 'refund', amount, -amount, 'credits turned off' from gone)
    update user_credits c set balance = c.balance + g.amount, reserved = c.reserved - g.amount, updated_at = now()
      from (select user_id, sum(amount)::bigint as amount from gone group by user_id) g where c.user_id = g.user_id;
  end if;
end $$;

-- For operators: accounts whose parts do not fit together (there must be none), and what was used.
create or replace view credit_faults with (security_invoker = true) as
  select c.user_id, c.balance, c.reserved, c.used, c.granted, l.balance as ledger_balance, l.reserved as ledger_reserved,
         l.used as ledger_used, coalesce(r.amount, 0) as reservations
    from user_credits c
    left join (select user_id, sum(balance_change) as balance, sum(reserved_change) as reserved, sum(used_change) as used
                 from credit_ledger group by user_id) l on l.user_id = c.user_id
    left join (select user_id, sum(amount) as amount from credit_reservations group by user_id) r
      on r.user_id = c.user_id
   where c.balance <> coalesce(l.balance, 0) or c.reserved <> coalesce(l.reserved, 0) or c.used <> coalesce(l.used, 0)
      or c.reserved <> coalesce(r.amount, 0) or c.balance + c.reserved + c.used <> c.granted;
create or replace view usage_daily with (security_invoker = true) as
  select date_trunc('day', created_at) as day, tenant_id, type, stage, count(*) as attempts, sum(cpu_ms) as cpu_ms,
         sum(wall_ms) as wall_ms from cpu_usage group by 1, 2, 3, 4;
create or replace view metrics_hourly with (security_invoker = true) as
  select date_trunc('hour', created_at) as hour, type, status, count(*) as jobs,
         percentile_cont(0.5) within group (order by waited_ms) as waited_ms_p50,
         percentile_cont(0.95) within group (order by waited_ms) as waited_ms_p95,
         percentile_cont(0.5) within group (order by ran_ms) as ran_ms_p50,
         percentile_cont(0.95) within group (order by ran_ms) as ran_ms_p95, sum(cpu_ms) as cpu_ms,
         count(*) filter (where attempts > 1) as retried from metrics group by 1, 2, 3;

grant create on schema public to filemill_definer;
alter function credits_reserve(uuid[]) owner to filemill_definer;
alter function credits_settle(uuid[]) owner to filemill_definer;
alter function credits_on_insert() owner to filemill_definer;
alter function credits_on_update() owner to filemill_definer;
alter function credits_on_delete() owner to filemill_definer;
alter function credit_grant(uuid, bigint, text) owner to filemill_definer;
revoke create on schema public from filemill_definer;
revoke all on function credits_reserve(uuid[]), credits_settle(uuid[]), credits_on_insert(), credits_on_update(),
  credits_on_delete(), credit_grant(uuid, bigint, text), credits_switch(boolean, uuid[]) from public;
grant execute on function credit_grant(uuid, bigint, text) to filemill_gateway;
