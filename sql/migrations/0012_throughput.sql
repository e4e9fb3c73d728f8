-- What thousands of jobs a second ask for; nothing that can be seen changes.

-- updated_at is kept by a trigger for whoever forgets it. The scheduler sets it itself and so does not pay for it.
drop trigger if exists trg_files_updated_at on files;
create trigger trg_files_updated_at before update on files for each row
  when (new.updated_at is not distinct from old.updated_at) execute function set_updated_at();
drop trigger if exists trg_jobs_updated_at on jobs;
create trigger trg_jobs_updated_at before update on jobs for each row
  when (new.updated_at is not distinct from old.updated_at) execute function set_updated_at();

-- An event's tenant is its file's, and goes with it. A key of its own made all transactions of a tenant lock that one
-- row. Old events are found by their id, which rises with time.
alter table file_events drop constraint if exists file_events_tenant_id_fkey;
drop index if exists file_events_created_idx;

-- As in 0011; but states are compared as text, so that the partial index on finished jobs, which looks small and fast
-- while its statistics are old, is not taken for the one by file.
create or replace function files_refresh(ids uuid[]) returns table (file uuid, tenant uuid, event bigint)
language sql set search_path = pg_catalog, public as $$
  with wanted as (
    select f.id, f.status as old,
           (case when exists (select from jobs j where j.file_id = f.id and j.generation = f.generation
                                and j.status::text in ('queued', 'retry', 'running', 'waiting')) then 'processing'
                 when exists (select from jobs j where j.file_id = f.id and j.generation = f.generation
                                and j.status::text = 'failed') then 'failed'
                 else 'ready' end)::file_status_t as new
      from files f
     where f.id = any (ids) and f.status::text in ('ready', 'processing', 'failed')
  ), changed as (
    update files f set status = w.new, updated_at = now() from wanted w where f.id = w.id and w.new <> w.old
    returning f.id, f.tenant_id, f.status
  )
  insert into file_events (tenant_id, file_id, kind, data)
  select tenant_id, id, 'file.status', jsonb_build_object('status', status) from changed
  returning file_id, tenant_id, id
$$;
