-- Limits and pauses of tenants, for admins.
do $$
declare t text;
begin
  foreach t in array array['job_limits', 'paused_tenants'] loop
    execute format('drop policy if exists definer on %I', t);
    execute format('create policy definer on %I to filemill_definer using (true) with check (true)', t);
  end loop;
end $$;
grant select, insert, update, delete on job_limits, paused_tenants to filemill_definer;
grant execute on function limits_set(text, int, int, text, uuid, uuid, boolean, boolean, boolean), limits_drop(text),
  tenant_pause(uuid), tenant_resume(uuid) to filemill_definer;

create or replace function admin_limits() returns jsonb language plpgsql stable security definer
set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  return (select coalesce(jsonb_agg(jsonb_build_object('name', name, 'max_running', max_running, 'max_per_minute',
    max_per_minute, 'type', type, 'tenant_id', tenant_id, 'user_id', user_id, 'per_type', per_type, 'per_tenant',
    per_tenant, 'per_user', per_user) order by name), '[]') from job_limits);
end $$;
create or replace function admin_limit_set(limit_name text, wanted jsonb) returns void language plpgsql security definer
set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  perform limits_set(limit_name, (wanted->>'max_running')::int, (wanted->>'max_per_minute')::int, wanted->>'type',
    (wanted->>'tenant_id')::uuid, (wanted->>'user_id')::uuid, coalesce((wanted->>'per_type')::boolean, false),
    coalesce((wanted->>'per_tenant')::boolean, false), coalesce((wanted->>'per_user')::boolean, false));
end $$;
create or replace function admin_limit_drop(limit_name text) returns boolean language plpgsql security definer
set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  return limits_drop(limit_name);
end $$;
create or replace function admin_pause_tenant(tenant uuid, pause boolean) returns void language plpgsql security definer
set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  if pause then perform tenant_pause(tenant); else perform tenant_resume(tenant); end if;
end $$;

grant create on schema public to filemill_definer;
do $$
declare f text;
begin
  foreach f in array array['admin_limits()', 'admin_limit_set(text, jsonb)', 'admin_limit_drop(text)',
                           'admin_pause_tenant(uuid, boolean)'] loop
    execute format('alter function %s owner to filemill_definer', f);
    execute format('revoke all on function %s from public', f);
    execute format('grant execute on function %s to filemill_gateway', f);
  end loop;
end $$;
revoke create on schema public from filemill_definer;
