-- The checks of every row, made cheap; what they say is as before. Bodies after RETURN are bound to their functions and
-- types here and now, as a fixed search_path would, but can be put into the query's own plan: one init-upload spent
-- more time on parsing and planning these bodies than on its row.
create or replace function filemill_user() returns uuid language sql stable
return nullif(pg_catalog.current_setting('filemill.user_id', true), '')::uuid;

create or replace function filemill_elevated(role member_role_t) returns boolean language sql immutable
return coalesce(role in ('owner', 'admin', 'internal'), false);

create or replace function file_readable(visibility visibility_t, owner_user_id uuid, role member_role_t)
returns boolean language sql stable
return case visibility
  when 'public' then true
  when 'private' then owner_user_id = filemill_user() or filemill_elevated(role)
  else filemill_elevated(role)
end;

create or replace function filemill_time(stamp timestamptz) returns text language sql stable
return to_char(stamp at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

-- Runs with rights that its caller lacks and so stays a call; plpgsql keeps the plan from one call to the next.
create or replace function filemill_role(tenant uuid) returns member_role_t language plpgsql stable security definer
set search_path = pg_catalog, public as $$
begin
  return (select m.role from tenant_members m where m.tenant_id = tenant and m.user_id = filemill_user());
end $$;

-- Cancelling a job refreshes its file as the gateway, and files_refresh sets this column since 0012.
grant update (updated_at) on files to filemill_gateway;
