-- Least privilege. Three roles without login; the programs' own logins are members of one, or the owner takes one on
-- with SET LOCAL ROLE in each transaction. Row-level security is forced on every table; the caller is the setting
-- filemill.user_id, LOCAL to a transaction, so that nothing leaks through a connection pool.

do $$ begin create role filemill_gateway nologin; exception when duplicate_object then null; end $$;
do $$ begin create role filemill_scheduler nologin; exception when duplicate_object then null; end $$;
do $$ begin create role filemill_definer nologin; exception when duplicate_object then null; end $$;
do $$ begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant filemill_gateway, filemill_scheduler, filemill_definer to %I', current_user);
  end if;
end $$;

grant usage on schema public to filemill_gateway, filemill_scheduler, filemill_definer;

-- The caller of this transaction; null when unset.
create or replace function filemill_user() returns uuid language sql stable
set search_path = pg_catalog, public as $$
  select nullif(current_setting('filemill.user_id', true), '')::uuid
$$;

-- The caller's role in a tenant; null for strangers. Runs as filemill_definer, which may read memberships (a policy
-- on tenant_members can't ask tenant_members).
create or replace function filemill_role(tenant uuid) returns member_role_t language sql stable security definer
set search_path = pg_catalog, public as $$
  select role from tenant_members where tenant_id = tenant and user_id = filemill_user()
$$;
grant create on schema public to filemill_definer;
alter function filemill_role(uuid) owner to filemill_definer;
grant select on tenant_members to filemill_definer;

-- owner, admin and internal may see and manage everything in their tenant.
create or replace function filemill_elevated(role member_role_t) returns boolean language sql immutable
set search_path = pg_catalog, public as $$
  select coalesce(role in ('owner', 'admin', 'internal'), false)
$$;

-- The visibility rules, once.
create or replace function file_readable(visibility visibility_t, owner_user_id uuid, role member_role_t)
returns boolean language sql stable set search_path = pg_catalog, public as $$
  select case visibility
    when 'public' then true
    when 'private' then owner_user_id = filemill_user() or filemill_elevated(role)
    else filemill_elevated(role)
  end
$$;

-- A new tenant with the caller as its owner.
create or replace function tenant_bootstrap(tenant_name text) returns uuid language plpgsql security definer
set search_path = pg_catalog, public as $$
declare new_id uuid;
begin
  if filemill_user() is null then raise exception 'no caller' using errcode = '42501'; end if;
  insert into tenants (name) values (tenant_name) returning id into new_id;
  insert into tenant_members (tenant_id, user_id, role) values (new_id, filemill_user(), 'owner');
  return new_id;
end $$;
grant select, insert on tenants, tenant_members to filemill_definer;
alter function tenant_bootstrap(text) owner to filemill_definer;
revoke create on schema public from filemill_definer;
revoke all on function tenant_bootstrap(text), filemill_role(uuid) from public;
grant execute on function filemill_role(uuid) to filemill_gateway, filemill_scheduler, filemill_definer;
grant execute on function tenant_bootstrap(text) to filemill_gateway;

do $$
declare t text;
begin
  foreach t in array array['tenants', 'tenant_members', 'files', 'file_derivatives', 'jobs', 'file_events',
                           'object_deletions', 'quarantine', 'paused_types'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    -- The owner is the operator with psql and the migrations; it is not what any program runs as.
    execute format('drop policy if exists operator on %I', t);
    execute format('create policy operator on %I to %I using (true) with check (true)', t, current_user);
    execute format('drop policy if exists scheduler on %I', t);
    execute format('create policy scheduler on %I to filemill_scheduler using (true) with check (true)', t);
  end loop;
end $$;

drop policy if exists definer_tenants on tenants;
create policy definer_tenants on tenants to filemill_definer using (true) with check (true);
drop policy if exists definer_members on tenant_members;
create policy definer_members on tenant_members to filemill_definer using (true) with check (true);

drop policy if exists member_tenants on tenants;
create policy member_tenants on tenants for select to filemill_gateway using (filemill_role(id) is not null);

drop policy if exists member_reads on tenant_members;
create policy member_reads on tenant_members for select to filemill_gateway
  using (user_id = filemill_user() or filemill_role(tenant_id) is not null);
drop policy if exists member_writes on tenant_members;
create policy member_writes on tenant_members for all to filemill_gateway
  using (filemill_role(tenant_id) in ('owner', 'admin')) with check (filemill_role(tenant_id) in ('owner', 'admin'));

-- Rows of the tenant; which of them a member may open is file_readable's to say (403, not 404, inside a tenant).
drop policy if exists member_reads on files;
create policy member_reads on files for select to filemill_gateway
  using (filemill_role(tenant_id) is not null or (visibility = 'public' and status <> 'deleted'));
drop policy if exists member_inserts on files;
create policy member_inserts on files for insert to filemill_gateway
  with check (owner_user_id = filemill_user() and filemill_role(tenant_id) is not null);
drop policy if exists member_updates on files;
create policy member_updates on files for update to filemill_gateway
  using (filemill_role(tenant_id) is not null and
         (owner_user_id = filemill_user() or filemill_elevated(filemill_role(tenant_id))))
  with check (filemill_role(tenant_id) is not null);

drop policy if exists member_reads on file_derivatives;
create policy member_reads on file_derivatives for select to filemill_gateway
  using (exists (select 1 from files f where f.id = file_id));

drop policy if exists member_reads on jobs;
create policy member_reads on jobs for select to filemill_gateway using (filemill_role(tenant_id) is not null);
drop policy if exists member_writes on jobs;
create policy member_writes on jobs for insert to filemill_gateway
  with check (exists (select 1 from files f where f.id = file_id and f.tenant_id = jobs.tenant_id
                        and filemill_role(f.tenant_id) is not null
                        and (f.owner_user_id = filemill_user() or filemill_elevated(filemill_role(f.tenant_id)))));
drop policy if exists member_updates on jobs;
create policy member_updates on jobs for update to filemill_gateway
  using (exists (select 1 from files f where f.id = file_id
                   and (f.owner_user_id = filemill_user() or filemill_elevated(filemill_role(f.tenant_id)))))
  with check (filemill_role(tenant_id) is not null);

drop policy if exists member_reads on file_events;
create policy member_reads on file_events for select to filemill_gateway
  using (exists (select 1 from files f where f.id = file_id));
drop policy if exists member_inserts on file_events;
create policy member_inserts on file_events for insert to filemill_gateway
  with check (filemill_role(tenant_id) is not null);

grant select on tenants, file_derivatives to filemill_gateway;
grant select, insert, update, delete on tenant_members to filemill_gateway;
grant select, insert on files, jobs, file_events to filemill_gateway;
grant update (status, detected_mime, etag, generation, finalized_at, deleted_at, size_bytes) on files to filemill_gateway;
grant update (status, finished_at, error_code, error_detail, run_after, attempts, lease_epoch, locked_at, locked_by,
              lease_until, result) on jobs to filemill_gateway;

grant select on tenants, tenant_members to filemill_scheduler;
grant select, update on files to filemill_scheduler;
grant select, insert, update, delete on jobs, file_derivatives, file_events, object_deletions, quarantine, paused_types
  to filemill_scheduler;
grant delete on files to filemill_scheduler;
