-- Everybody's portal schemas by API: those who run the service add versions, and say which of them are offered. A version
-- itself never changes; one that is not active is still found by its id or number, so that a job can be done again.

alter table portal_schemas add column if not exists active boolean not null default true;

create or replace function portal_schemas_guard() returns trigger language plpgsql
set search_path = pg_catalog, public as $$
begin
  if to_jsonb(new) - 'active' = to_jsonb(old) - 'active' then return new; end if;
  raise exception 'a version of a portal schema never changes: add one' using errcode = '55000';
end $$;

create or replace function portal_schema_json(s portal_schemas) returns jsonb language sql stable
return jsonb_build_object('id', s.id, 'tenant_id', s.tenant_id, 'name', s.name, 'version', s.version, 'active', s.active,
                          'schema_definition', s.schema_definition, 'created_at', filemill_time(s.created_at));

create or replace function admin_portal_schemas(of_name text) returns jsonb language plpgsql stable security definer
set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  return (select coalesce(jsonb_agg(portal_schema_json(x.s) order by (x.s).name, (x.s).version), '[]') from
           (select s from portal_schemas s where tenant_id is null
               and (of_name is null or portal_slug(name) = portal_slug(of_name)) order by name, version limit 1000) x);
end $$;

create or replace function admin_portal_schema_add(of_name text, definition jsonb, offered boolean) returns jsonb
language plpgsql security definer set search_path = pg_catalog, public as $$
declare
  added portal_schemas;
begin
  perform filemill_admin_check();
  perform pg_advisory_xact_lock(hashtextextended('portal_schemas', 0)); -- one writer at a time
  insert into portal_schemas (name, version, schema_definition, created_by, active)
  values (of_name, coalesce((select max(version) from portal_schemas where tenant_id is null and
                               portal_slug(name) = portal_slug(of_name)), 0) + 1, definition, filemill_user(), offered)
  returning * into added;
  return portal_schema_json(added);
end $$;

-- Null: there is no such schema of everybody's.
create or replace function admin_portal_schema_offer(schema_id uuid, offered boolean) returns jsonb
language plpgsql security definer set search_path = pg_catalog, public as $$
declare
  changed portal_schemas;
begin
  perform filemill_admin_check();
  update portal_schemas set active = offered where id = schema_id and tenant_id is null returning * into changed;
  return case when changed.id is not null then portal_schema_json(changed) end;
end $$;

drop policy if exists definer on portal_schemas;
create policy definer on portal_schemas to filemill_definer using (true) with check (true);
grant select, insert, update on portal_schemas to filemill_definer;
grant create on schema public to filemill_definer;
do $$
declare f text;
begin
  foreach f in array array['admin_portal_schemas(text)', 'admin_portal_schema_add(text, jsonb, boolean)',
                           'admin_portal_schema_offer(uuid, boolean)'] loop
    execute format('alter function %s owner to filemill_definer', f);
    execute format('revoke all on function %s from public', f);
    execute format('grant execute on function %s to filemill_gateway', f);
  end loop;
end $$;
revoke create on schema public from filemill_definer;
