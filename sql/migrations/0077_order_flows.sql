-- Lists of orders in which jobs wait for others: of one tenant, which orders_files tells too.
create or replace function orders_files(ids uuid[], everybody boolean) returns jsonb language sql stable
set search_path = pg_catalog, public as $$
  select coalesce(jsonb_object_agg(f.id, jsonb_build_object('media', coalesce(nullif(f.detected_mime, ''), f.mime),
           'tenant', f.tenant_id, 'finalized', f.status <> 'uploading' and not (f.finalized_at is null and f.status = 'failed'),
           'may', everybody or f.owner_user_id = filemill_user() or filemill_elevated(c.role))), '{}')
    from files f, lateral (select filemill_role(f.tenant_id) as role offset 0) c
   where f.id = any (ids) and f.status <> 'deleted' and (everybody or c.role is not null)
$$;
