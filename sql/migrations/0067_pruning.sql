-- How long records of use are kept. What a user has is never forgotten: of old entries in the ledger their sums stay.

create table if not exists retention_periods (
  name text primary key check (name ~ '^[a-z][a-z0-9-]{0,62}$'),
  keep interval not null check (keep >= interval '1 day')
);
insert into retention_periods (name, keep) values ('credit-ledger', '400 days'), ('cpu-usage', '400 days')
on conflict do nothing;
alter table retention_periods enable row level security;
alter table retention_periods force row level security;
do $$ begin
  execute 'drop policy if exists operator on retention_periods';
  execute format('create policy operator on retention_periods to %I using (true) with check (true)', current_user);
end $$;
drop policy if exists definer on retention_periods;
create policy definer on retention_periods to filemill_definer using (true) with check (true);
revoke all on retention_periods from public;
grant select on retention_periods to filemill_definer;

alter table credit_ledger drop constraint if exists credit_ledger_kind_check;
alter table credit_ledger add constraint credit_ledger_kind_check
  check (kind in ('grant', 'reserve', 'charge', 'refund', 'opening'));
create index if not exists credit_ledger_created_idx on credit_ledger (created_at) where kind <> 'opening';

-- Old entries of each user, with the opening before them, become one opening with their sums. Those of a job that is
-- still there stay: they say who pays when it is opened again. In one statement, so that whoever sums up the ledger
-- meanwhile gets the same. Returns how many entries are gone.
create or replace function credit_ledger_fold() returns bigint language sql security definer
set search_path = pg_catalog, public as $$
  with old as materialized (
    select l.id, l.user_id from credit_ledger l
     where l.kind <> 'opening' and l.created_at < now() - (select keep from retention_periods where name = 'credit-ledger')
       and not exists (select from jobs j where j.id = l.job_id)
       and not exists (select from credit_reservations r where r.job_id = l.job_id)
     order by l.created_at limit 50000
  ), gone as (
    delete from credit_ledger l
     where l.id in (select o.id from old o)
        or (l.kind = 'opening' and l.user_id in (select o.user_id from old o))
    returning l.*
  ), opened as (
    insert into credit_ledger (id, user_id, kind, balance_change, reserved_change, used_change, note, created_at)
    overriding system value
    select max(g.id), g.user_id, 'opening', sum(g.balance_change)::bigint, sum(g.reserved_change)::bigint,
           sum(g.used_change)::bigint, 'sum of older entries', max(g.created_at) from gone g group by g.user_id
    returning 1
  )
  select (select count(*) from gone) - (select count(*) from opened)
$$;

create or replace function cpu_usage_expire() returns bigint language sql security definer
set search_path = pg_catalog, public as $$
  with gone as (
    delete from cpu_usage where (job_id, epoch, stage) in (
      select u.job_id, u.epoch, u.stage from cpu_usage u
       where u.created_at < now() - (select keep from retention_periods where name = 'cpu-usage')
       order by u.created_at limit 100000)
    returning 1)
  select count(*) from gone
$$;

insert into schedules (name, every, function) values
  ('credit-ledger', '1 hour', 'credit_ledger_fold'), ('cpu-usage', '10 minutes', 'cpu_usage_expire')
on conflict do nothing;

-- Nobody who writes them may take back what was written; these two functions do.
grant delete on credit_ledger to filemill_definer;
grant select, delete on cpu_usage to filemill_definer;
grant create on schema public to filemill_definer;
alter function credit_ledger_fold() owner to filemill_definer;
alter function cpu_usage_expire() owner to filemill_definer;
revoke create on schema public from filemill_definer;
revoke all on function credit_ledger_fold(), cpu_usage_expire() from public;
grant execute on function credit_ledger_fold(), cpu_usage_expire() to filemill_scheduler;
