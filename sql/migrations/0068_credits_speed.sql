-- Credits, as in 0039 and 0041, at less expense: per user and statement instead of per job, and an account's row is made
-- where there is none instead of tried each time.

-- The account, locked; its balance.
create or replace function credit_account(who uuid) returns bigint language plpgsql security definer
set search_path = pg_catalog, public as $$
declare
  have bigint;
begin
  select c.balance into have from user_credits c where c.user_id = who for update;
  if not found then
    insert into user_credits (user_id) values (who) on conflict do nothing;
    select c.balance into have from user_credits c where c.user_id = who for update;
  end if;
  return have;
end $$;

create or replace function credit_grant(receiver uuid, amount bigint, reason text) returns void
language plpgsql security definer set search_path = pg_catalog, public as $$
begin
  if (filemill_user() is not null or 'filemill_gateway' in (coalesce(current_setting('role', true), ''), session_user))
     and not exists (select from credit_admins a where a.user_id = filemill_user())
     and not exists (select from service_admins a where a.user_id = filemill_user()) then
    raise exception 'not a credit admin' using errcode = '42501';
  end if;
  perform credit_account(receiver);
  update user_credits c set balance = c.balance + amount, granted = c.granted + amount, updated_at = now()
   where c.user_id = receiver;
  insert into credit_ledger (user_id, kind, balance_change, note) values (receiver, 'grant', amount, left(reason, 200));
end $$;

-- What there is goes to the jobs in order of id, until it is used up.
create or replace function credits_reserve(ids uuid[]) returns void language plpgsql security definer
set search_path = pg_catalog, public as $$
declare
  soft boolean := 'filemill_scheduler' in (coalesce(current_setting('role', true), ''), session_user);
  r record;
  have bigint;
begin
  for r in
    select coalesce((select l.user_id from credit_ledger l where l.job_id = j.id and l.kind = 'reserve'
                      order by l.id desc limit 1), filemill_user(), j.user_id, f.owner_user_id) as payer,
           array_agg(j.id order by j.id) as jobs,
           array_agg(coalesce(p.reserve, d.reserve) order by j.id) as amounts,
           sum(coalesce(p.reserve, d.reserve))::bigint as needed
      from unnest(ids) i(id)
     cross join lateral (select q.* from jobs q where q.id = i.id offset 0) j
      join files f on f.id = j.file_id
      left join job_prices p on p.type = j.type
      left join job_prices d on d.type = '*'
     where credits_is_open(j.status)
       and (j.parent is null or not exists (select from jobs q where q.id = j.parent and q.file_id = j.file_id))
       and not exists (select from credit_reservations c where c.job_id = j.id)
     group by 1 order by 1
  loop
    have := credit_account(r.payer);
    if have < r.needed and not soft then
      raise exception '{"balance":%,"needed":%}', have, r.needed using errcode = 'FM402';
    end if;
    with a as (select w.job, greatest(least(coalesce(w.amount, 0), have - (sum(coalesce(w.amount, 0)) over (order by w.place)
                                              - coalesce(w.amount, 0))), 0)::bigint as part
                 from unnest(r.jobs, r.amounts) with ordinality as w(job, amount, place)),
    held as (insert into credit_reservations (job_id, user_id, amount) select a.job, r.payer, a.part from a)
    insert into credit_ledger (user_id, job_id, kind, balance_change, reserved_change)
    select r.payer, a.job, 'reserve', -a.part, a.part from a;
    r.needed := least(coalesce(r.needed, 0), have);
    update user_credits c set balance = c.balance - r.needed, reserved = c.reserved + r.needed, updated_at = now()
     where c.user_id = r.payer;
  end loop;
end $$;

-- Of each user at once where the balance covers what the jobs cost beyond their reservations, as it nearly always does;
-- else one after the other, each up to what there is.
create or replace function credits_settle(ids uuid[]) returns void language plpgsql security definer
set search_path = pg_catalog, public as $$
declare
  r record;
  have bigint;
  held bigint;
  cost bigint;
  costs bigint[];
begin
  for r in
    select s.user_id, array_agg(s.job_id order by s.job_id) as jobs, array_agg(s.amount order by s.job_id) as amounts,
           array_agg(s.cost order by s.job_id) as costs, sum(s.amount)::bigint as amount,
           sum(greatest(s.cost - s.amount, 0))::bigint as beyond
      from (select c.user_id, c.job_id, c.amount, coalesce(
                     case when j.status = 'done' then coalesce(p.base, d.base)
                       + ceil(coalesce(p.per_cpu_second, d.per_cpu_second) * (coalesce((j.result->>'cpu_ms')::bigint, 0)
                         + coalesce((select sum((k.result->>'cpu_ms')::bigint) from jobs k where k.parent = j.id
                                       and k.file_id = j.file_id and k.status = 'done'), 0)) / 1000.0)::bigint
                     else 0 end, 0) as cost
              from unnest(ids) i(id)
              cross join lateral (select x.* from credit_reservations x where x.job_id = i.id offset 0) c
              left join jobs j on j.id = c.job_id
              left join job_prices p on p.type = j.type
              left join job_prices d on d.type = '*') s
     group by s.user_id order by s.user_id
  loop
    have := credit_account(r.user_id);
    costs := r.costs;
    if have < r.beyond then
      held := have;
      for i in 1 .. cardinality(costs) loop
        costs[i] := least(costs[i], r.amounts[i] + held);
        held := held + r.amounts[i] - costs[i];
      end loop;
    end if;
    select sum(v) into cost from unnest(costs) v;
    delete from credit_reservations c where c.job_id = any (r.jobs);
    update user_credits c set balance = c.balance + r.amount - cost, reserved = c.reserved - r.amount,
                              used = c.used + cost, updated_at = now() where c.user_id = r.user_id;
    insert into credit_ledger (user_id, job_id, kind, balance_change, reserved_change, used_change)
    select r.user_id, w.job, case when w.cost > 0 then 'charge' else 'refund' end, w.amount - w.cost, -w.amount, w.cost
      from unnest(r.jobs, r.amounts, costs) with ordinality as w(job, amount, cost, place) order by w.place;
  end loop;
end $$;

grant create on schema public to filemill_definer;
alter function credit_account(uuid) owner to filemill_definer;
revoke create on schema public from filemill_definer;
revoke all on function credit_account(uuid) from public;

-- The scheduler's transactions do without sorts and joins by hash, so that their plans do not depend on statistics. Here
-- they are needed: rows before and after a change have no index to be joined by, and an index that gives the order of
-- users would be walked over all open reservations, however many there are.
alter function credits_on_update() set enable_hashjoin = on;
alter function credits_on_update() set enable_sort = on;
