-- The same rule as in 0003, but it stops at the first job that decides instead of counting all of them: a file with
-- thousands of jobs (a long document in page ranges) is refreshed after every batch of results.
create or replace function files_refresh(ids uuid[]) returns table (file uuid, tenant uuid, event bigint)
language sql set search_path = pg_catalog, public as $$
  with wanted as (
    select f.id, f.status as old,
           (case when exists (select from jobs j where j.file_id = f.id and j.generation = f.generation
                                and j.status in ('queued', 'retry', 'running', 'waiting')) then 'processing'
                 when exists (select from jobs j where j.file_id = f.id and j.generation = f.generation
                                and j.status = 'failed') then 'failed'
                 else 'ready' end)::file_status_t as new
      from files f
     where f.id = any (ids) and f.status in ('ready', 'processing', 'failed')
  ), changed as (
    update files f set status = w.new from wanted w where f.id = w.id and w.new <> w.old
    returning f.id, f.tenant_id, f.status
  )
  insert into file_events (tenant_id, file_id, kind, data)
  select tenant_id, id, 'file.status', jsonb_build_object('status', status) from changed
  returning file_id, tenant_id, id
$$;
