-- What is changed of a publishing job is changed in the state that it has once its file is locked, not in the one that
-- the view showed before: a job that ended while the lock was waited for has ended.
create or replace function publish_jobs_update() returns trigger language plpgsql security definer
set search_path = pg_catalog, public as $$
declare
  was publish_jobs;
  again boolean;
  stop boolean;
begin
  perform 1 from files f where f.id = old.file_id for no key update;
  select p.* into was from publish_jobs p where p.id = old.id;
  if not found then
    return null;
  end if;
  if new.status = old.status then
    new.status := was.status;
  end if;
  again := was.status in ('failed', 'cancelled') and new.status = 'pending'
           or was.status = 'failed' and new.status = 'failed' and new.max_retries > was.retry_count;
  stop := was.status in ('pending', 'processing') and new.status = 'cancelled';
  if new.status <> was.status and not again and not stop then
    raise exception 'a job that is % does not become %', was.status, new.status using errcode = '22023';
  end if;
  if (new.id, new.file_id, new.tenant_id) is distinct from (old.id, old.file_id, old.tenant_id)
     or (new.source_key, new.source_url) is distinct from (old.source_key, old.source_url)
     or new.max_retries not between 1 and 1000 then
    raise exception 'only max_retries (1 to 1000), priority, status, asset_group_id and variant change'
      using errcode = '22023';
  end if;
  if again and exists (select from files f where f.id = old.file_id and f.status = 'deleted') then
    again := false; -- it would fail at once
  end if;
  update publish_assets set asset_group_id = new.asset_group_id, variant = new.variant where file_id = old.file_id;
  update jobs j set max_attempts = case when new.max_retries <> old.max_retries then new.max_retries
                                        else j.max_attempts end,
         priority = least(greatest(new.priority, 0), 3),
         attempts = case when again and new.status = 'pending' then 0 else j.attempts end,
         status = (case when again then 'retry' when stop then 'cancelled' else j.status::text end)::job_status_t,
         run_after = case when again then now() else j.run_after end,
         lease_epoch = j.lease_epoch + case when stop then 1 else 0 end,
         locked_at = case when stop then null else j.locked_at end, locked_by = case when stop then null else j.locked_by end,
         lease_until = case when stop then null else j.lease_until end,
         finished_at = case when again then null when stop then now() else j.finished_at end
   where j.id = old.id and j.type = 'publish_image';
  if again or stop then
    insert into file_events (tenant_id, file_id, job_id, kind, data)
    select j.tenant_id, j.file_id, j.id, 'job.status', jsonb_build_object('job', j.id, 'type', j.type, 'status', j.status)
      from jobs j where j.id = old.id;
    perform from files_refresh(array[old.file_id]);
    perform pg_notify('filemill_jobs', 'publish');
  end if;
  return new;
end $$;
