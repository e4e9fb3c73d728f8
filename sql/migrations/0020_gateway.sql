-- What the gateway needs beyond the tables: idempotency keys, events for listeners of many users at once, and the
-- rules of membership and visibility where no forgotten check of a program can undo them.

-- Times as the API shows them.
create or replace function filemill_time(stamp timestamptz) returns text language sql stable
set search_path = pg_catalog, public as $$
  select to_char(stamp at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;

-- Answers to requests that carried an Idempotency-Key. The row is inserted in the transaction of the effect: of two
-- requests with one key the second fails on the primary key, and with it its effect.
create table if not exists idempotency_keys (
  user_id uuid not null,
  key text not null,
  request_hash text not null,
  status int,                -- null: the effect is committed, its answer not yet known
  body text,
  created_at timestamptz not null default now(),
  primary key (user_id, key)
);
create index if not exists idempotency_keys_created_idx on idempotency_keys (created_at);
alter table idempotency_keys enable row level security;
alter table idempotency_keys force row level security;
do $$ begin
  execute 'drop policy if exists operator on idempotency_keys';
  execute format('create policy operator on idempotency_keys to %I using (true) with check (true)', current_user);
end $$;
drop policy if exists caller_own on idempotency_keys;
create policy caller_own on idempotency_keys to filemill_gateway
  using (user_id = filemill_user()) with check (user_id = filemill_user());
drop policy if exists definer_keys on idempotency_keys;
create policy definer_keys on idempotency_keys to filemill_definer using (true) with check (true);
grant select, insert, update, delete on idempotency_keys to filemill_gateway;
grant select, delete on idempotency_keys to filemill_definer;

-- Drops keys older than a day, a bounded number at a time.
create or replace function idempotency_expire() returns bigint language sql security definer
set search_path = pg_catalog, public as $$
  with gone as (
    delete from idempotency_keys where (user_id, key) in (
      select user_id, key from idempotency_keys where created_at < now() - interval '24 hours' limit 1000)
    returning 1)
  select count(*) from gone
$$;

-- The newest event of each file that somebody listens to. Tells no more than a number for a file whose id is known;
-- the events themselves are read as the listener.
create or replace function events_newest(files uuid[]) returns table (file uuid, newest bigint)
language sql stable security definer set search_path = pg_catalog, public as $$
  select f.id, (select max(e.id) from file_events e where e.file_id = f.id) from unnest(files) f(id)
$$;
drop policy if exists definer_events on file_events;
create policy definer_events on file_events for select to filemill_definer using (true);
grant select on file_events to filemill_definer;

-- A new tenant of a given id with the caller as its owner: the answer can be known before the commit.
create or replace function tenant_bootstrap(new_id uuid, tenant_name text) returns void language plpgsql
security definer set search_path = pg_catalog, public as $$
begin
  if filemill_user() is null then raise exception 'no caller' using errcode = '42501'; end if;
  insert into tenants (id, name) values (new_id, tenant_name);
  insert into tenant_members (tenant_id, user_id, role) values (new_id, filemill_user(), 'owner');
end $$;

grant create on schema public to filemill_definer;
alter function idempotency_expire() owner to filemill_definer;
alter function events_newest(uuid[]) owner to filemill_definer;
alter function tenant_bootstrap(uuid, text) owner to filemill_definer;
revoke create on schema public from filemill_definer;
revoke all on function idempotency_expire(), events_newest(uuid[]), tenant_bootstrap(uuid, text) from public;
grant execute on function idempotency_expire(), events_newest(uuid[]), tenant_bootstrap(uuid, text)
  to filemill_gateway;

-- Owners are made and unmade by owners, a tenant keeps at least one, and a membership never moves. FM001 and FM002 are
-- the gateway's to translate. Operators with psql are not bound.
create or replace function tenant_members_guard() returns trigger language plpgsql
set search_path = pg_catalog, public as $$
declare
  was_owner boolean := tg_op <> 'INSERT' and old.role = 'owner';
  is_owner boolean := tg_op <> 'DELETE' and new.role = 'owner';
  tenant uuid := case when tg_op = 'INSERT' then new.tenant_id else old.tenant_id end;
begin
  if current_user = 'filemill_gateway' then
    if (was_owner or is_owner) and filemill_role(tenant) is distinct from 'owner' then
      raise exception 'insufficient_role' using errcode = 'FM001';
    end if;
    if tg_op = 'UPDATE' and (new.tenant_id, new.user_id) is distinct from (old.tenant_id, old.user_id) then
      raise exception 'a membership never moves' using errcode = 'FM001';
    end if;
    if was_owner and not is_owner then
      perform 1 from tenant_members m where m.tenant_id = tenant and m.role = 'owner' order by m.user_id for update;
      if not exists (select 1 from tenant_members m
                      where m.tenant_id = tenant and m.role = 'owner' and m.user_id <> old.user_id) then
        raise exception 'last_owner' using errcode = 'FM002';
      end if;
    end if;
  end if;
  if tg_op = 'DELETE' then return old; end if;
  return new;
end $$;
drop trigger if exists trg_tenant_members_guard on tenant_members;
create trigger trg_tenant_members_guard before insert or update or delete on tenant_members
for each row execute function tenant_members_guard();

-- Internal files are made by those who may see them.
drop policy if exists member_inserts on files;
create policy member_inserts on files for insert to filemill_gateway
  with check (owner_user_id = filemill_user() and filemill_role(tenant_id) is not null and
              (visibility <> 'internal' or filemill_elevated(filemill_role(tenant_id))));
-- An event belongs to a file that its writer may change.
drop policy if exists member_inserts on file_events;
create policy member_inserts on file_events for insert to filemill_gateway
  with check (exists (select 1 from files f where f.id = file_id and f.tenant_id = file_events.tenant_id
                        and filemill_role(f.tenant_id) is not null
                        and (f.owner_user_id = filemill_user() or filemill_elevated(filemill_role(f.tenant_id)))));
