-- Media publishing: other software queues pictures by inserting into publish_jobs, and reads auction_files. Both are
-- views over files and jobs: one queue, and every rule of it holds. What is of their own is one row per file.

create table if not exists publish_assets (
  file_id uuid primary key references files(id) on delete cascade,
  asset_group_id text,
  variant text,
  created_at timestamptz not null default now()
);
create index if not exists publish_assets_group_idx on publish_assets (asset_group_id);
create index if not exists jobs_publish_idx on jobs (file_id, created_at desc) where type = 'publish_image';

-- The file whose original lies at a source outside: its key says so (storage/keys.h), and there is no object of ours.
create or replace function publish_source(key text) returns text language sql immutable
set search_path = pg_catalog, public as $$
  select case when starts_with(key, 'source:') then substr(key, 45) end
$$;

-- The file that is meant: by its id, by the key of one of ours, or by its source, which gets a file when it has none.
create or replace function publish_file(wanted uuid, in_tenant uuid, key text, url text) returns uuid language plpgsql
set search_path = pg_catalog, public as $$
declare
  source text := coalesce(url, key);
  tenant uuid := coalesce(in_tenant, 'f11e0000-0000-4000-8000-000000000001');
  found_id uuid;
begin
  if url is not null and url !~ '^https?://[^/]' or key ~ '://' or length(source) not between 1 and 1000
     or source ~ '[[:cntrl:][:space:]]' and url is not null or source ~ '[[:cntrl:]]' or key is not null and url is not null then
    raise exception 'source_key is a key of 1 to 1000 characters, source_url an http(s) URL; one of them'
      using errcode = '22023';
  end if;
  if wanted is not null and exists (select from files f where f.id = wanted) then
    if not exists (select from files f where f.id = wanted and f.status <> 'deleted'
                     and (in_tenant is null or f.tenant_id = in_tenant)) then
      raise exception 'the file is deleted, or of another tenant' using errcode = 'FM003';
    end if;
    return wanted;
  end if;
  if source is null then
    raise exception 'file_id, source_key or source_url: one must name a file' using errcode = '22023';
  end if;
  if in_tenant is null then
    insert into tenants (id, name) values (tenant, 'Media publishing') on conflict do nothing;
  end if;
  if wanted is null then
    -- Two inserts of the same source at the same time make one file.
    perform pg_advisory_xact_lock(hashtextextended(tenant || source, 50));
    select f.id into found_id from files f
     where f.tenant_id = tenant and f.status <> 'deleted'
       and (f.r2_key_original = key or f.sha256 is null and exists (select from publish_assets a where a.file_id = f.id)
            and publish_source(f.r2_key_original) = source) order by f.created_at limit 1;
    if found_id is null and key is not null and in_tenant is null then
      select f.id into found_id from files f where f.r2_key_original = key and f.status <> 'deleted';
    end if;
    if found_id is not null then return found_id; end if;
  end if;
  found_id := coalesce(wanted, gen_random_uuid());
  insert into files (id, tenant_id, owner_user_id, r2_key_original, mime, status, filename, finalized_at)
  values (found_id, tenant, coalesce(filemill_user(), '00000000-0000-0000-0000-000000000000'),
          'source:' || found_id || '/' || source, 'application/octet-stream', 'ready',
          right(regexp_replace(split_part(source, '?', 1), '^.*/', ''), 255), now());
  return found_id;
end $$;

create or replace view publish_jobs as
select j.id, j.tenant_id, j.file_id, a.asset_group_id, a.variant,
       case when publish_source(f.r2_key_original) is null then f.r2_key_original
            when publish_source(f.r2_key_original) !~ '://' then publish_source(f.r2_key_original) end as source_key,
       case when publish_source(f.r2_key_original) ~ '://' then publish_source(f.r2_key_original) end as source_url,
       case j.status when 'running' then 'processing' when 'done' then 'completed' when 'failed' then 'failed'
                     when 'cancelled' then 'cancelled' else 'pending' end as status,
       j.priority::int as priority, j.attempts as retry_count,
       -- One that failed for good before its last attempt gets no other: it has had as many as it may.
       case when j.status = 'failed' then least(j.attempts, coalesce(j.max_attempts, j.attempts))
            else coalesce(j.max_attempts, 5) end as max_retries,
       case when j.error_code is not null then left(concat_ws(': ', j.error_code, j.error_detail), 800) end
         as error_message,
       j.result->'cdn_urls'->>'published_thumb' as thumb_url, j.result->'cdn_urls'->>'published_display' as display_url,
       j.run_after as next_attempt_at, j.created_at, j.started_at, j.finished_at as completed_at, j.updated_at
  from jobs j join files f on f.id = j.file_id left join publish_assets a on a.file_id = j.file_id
 where j.type = 'publish_image';

create or replace view auction_files as
select f.id, f.tenant_id, a.asset_group_id, a.variant,
       case when publish_source(f.r2_key_original) is null then f.r2_key_original
            when publish_source(f.r2_key_original) !~ '://' then publish_source(f.r2_key_original) end as source_key,
       case when publish_source(f.r2_key_original) ~ '://' then publish_source(f.r2_key_original) end as source_url,
       f.filename as original_name,
       case when j.status in ('queued', 'retry', 'waiting') then 'pending' when j.status = 'running' then 'processing'
            when j.status = 'failed' then 'failed' when j.status = 'done' or d.id is not null then 'published'
            when j.status is null then 'pending' else 'failed' end as publish_status,
       case when j.error_code is not null then left(concat_ws(': ', j.error_code, j.error_detail), 800) end
         as publish_error,
       t.metadata->>'cdn_url' as thumb_url, d.metadata->>'cdn_url' as display_url, d.updated_at as published_at,
       f.created_at, f.updated_at, f.deleted_at
  from publish_assets a join files f on f.id = a.file_id
  left join lateral (select p.status, p.error_code, p.error_detail from jobs p
                      where p.file_id = f.id and p.type = 'publish_image' order by p.created_at desc, p.id desc
                      limit 1) j on true
  left join file_derivatives t on t.file_id = f.id and t.kind = 'published_thumb'
  left join file_derivatives d on d.file_id = f.id and d.kind = 'published_display';

create or replace function publish_jobs_insert() returns trigger language plpgsql security definer
set search_path = pg_catalog, public as $$
begin
  if coalesce(new.status, 'pending') <> 'pending' then
    raise exception 'a new job is pending' using errcode = '22023';
  end if;
  if new.max_retries not between 1 and 1000 then
    raise exception 'max_retries is 1 to 1000' using errcode = '22023';
  end if;
  new.file_id := publish_file(new.file_id, new.tenant_id, new.source_key, new.source_url);
  insert into publish_assets as a (file_id, asset_group_id, variant)
  values (new.file_id, new.asset_group_id, new.variant)
  on conflict (file_id) do update set asset_group_id = coalesce(excluded.asset_group_id, a.asset_group_id),
                                      variant = coalesce(excluded.variant, a.variant);
  new.id := coalesce(new.id, gen_random_uuid());
  perform from jobs_enqueue(jsonb_build_array(jsonb_build_object('id', new.id, 'file_id', new.file_id,
    'type', 'publish_image', 'priority', least(greatest(coalesce(new.priority, 1), 0), 3),
    'max_attempts', new.max_retries)));
  -- Rare, and who inserts has nobody else to wake the scheduler.
  perform pg_notify('filemill_jobs', 'publish');
  select p.tenant_id, p.status, p.priority, p.retry_count, p.max_retries, p.created_at, p.updated_at, p.source_key,
         p.source_url, p.next_attempt_at
    into new.tenant_id, new.status, new.priority, new.retry_count, new.max_retries, new.created_at, new.updated_at,
         new.source_key, new.source_url, new.next_attempt_at
    from publish_jobs p where p.id = new.id;
  return new;
end $$;

-- What may be changed: how often and how soon it is tried, and whether. One that failed and may be tried more often than
-- it has been is tried again.
create or replace function publish_jobs_update() returns trigger language plpgsql security definer
set search_path = pg_catalog, public as $$
declare
  again boolean := old.status in ('failed', 'cancelled') and new.status = 'pending'
                   or old.status = 'failed' and new.status = 'failed' and new.max_retries > old.retry_count;
  stop boolean := old.status in ('pending', 'processing') and new.status = 'cancelled';
begin
  if new.status <> old.status and not again and not stop then
    raise exception 'a job that is % does not become %', old.status, new.status using errcode = '22023';
  end if;
  if (new.id, new.file_id, new.tenant_id) is distinct from (old.id, old.file_id, old.tenant_id)
     or (new.source_key, new.source_url) is distinct from (old.source_key, old.source_url)
     or new.max_retries not between 1 and 1000 then
    raise exception 'only max_retries (1 to 1000), priority, status, asset_group_id and variant change'
      using errcode = '22023';
  end if;
  perform 1 from files f where f.id = old.file_id for no key update;
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

create or replace function publish_jobs_delete() returns trigger language plpgsql security definer
set search_path = pg_catalog, public as $$
begin
  perform 1 from files f where f.id = old.file_id for no key update;
  delete from jobs j where j.id = old.id and j.type = 'publish_image';
  perform from files_refresh(array[old.file_id]);
  return old;
end $$;

create or replace function auction_files_insert() returns trigger language plpgsql security definer
set search_path = pg_catalog, public as $$
begin
  new.id := publish_file(new.id, new.tenant_id, new.source_key, new.source_url);
  insert into publish_assets (file_id, asset_group_id, variant) values (new.id, new.asset_group_id, new.variant)
  on conflict (file_id) do update set asset_group_id = excluded.asset_group_id, variant = excluded.variant;
  select p.tenant_id, p.publish_status, p.original_name, p.created_at, p.updated_at
    into new.tenant_id, new.publish_status, new.original_name, new.created_at, new.updated_at
    from auction_files p where p.id = new.id;
  return new;
end $$;

-- Soft deletion, and its taking back while the objects are there.
create or replace function auction_files_update() returns trigger language plpgsql security definer
set search_path = pg_catalog, public as $$
declare
  said file_status_t;
begin
  if (new.id, new.tenant_id, new.source_key, new.source_url)
     is distinct from (old.id, old.tenant_id, old.source_key, old.source_url) then
    raise exception 'only deleted_at, asset_group_id and variant change' using errcode = '22023';
  end if;
  update publish_assets set asset_group_id = new.asset_group_id, variant = new.variant where file_id = old.id;
  if new.deleted_at is not distinct from old.deleted_at then return new; end if;
  perform 1 from files f where f.id = old.id for no key update;
  if new.deleted_at is null and exists (select from files f where f.id = old.id and f.purged_at is not null) then
    raise exception 'the file has been purged' using errcode = 'FM003';
  end if;
  update files f set deleted_at = new.deleted_at,
         status = (case when new.deleted_at is null then 'ready' else 'deleted' end)::file_status_t
   where f.id = old.id and (old.deleted_at is null or f.status = 'deleted') returning f.status into said;
  if said = 'deleted' then
    update jobs j set status = 'cancelled', lease_epoch = j.lease_epoch + 1, finished_at = now(), locked_at = null,
           locked_by = null, lease_until = null
     where j.file_id = old.id and j.status in ('queued', 'retry', 'running', 'waiting');
  end if;
  insert into file_events (tenant_id, file_id, kind, data)
  values (old.tenant_id, old.id, 'file.status', jsonb_build_object('status', said));
  perform from files_refresh(array[old.id]);
  return new;
end $$;

create or replace trigger publish_jobs_insert instead of insert on publish_jobs for each row
  execute function publish_jobs_insert();
create or replace trigger publish_jobs_update instead of update on publish_jobs for each row
  execute function publish_jobs_update();
create or replace trigger publish_jobs_delete instead of delete on publish_jobs for each row
  execute function publish_jobs_delete();
create or replace trigger auction_files_insert instead of insert on auction_files for each row
  execute function auction_files_insert();
create or replace trigger auction_files_update instead of update on auction_files for each row
  execute function auction_files_update();

-- ---- who may what ----

-- Software that publishes: a login that is a member of this role sees and changes these two views, and nothing else.
-- An owner that may make no roles gets it from who made the owner, or does without.
do $$ begin create role filemill_publisher nologin;
exception when duplicate_object or insufficient_privilege then null; end $$;
do $$ begin
  if exists (select from pg_roles where rolname = 'filemill_publisher') then
    grant usage on schema public to filemill_publisher;
    grant select, insert, update, delete on publish_jobs to filemill_publisher;
    grant select, insert, update on auction_files to filemill_publisher;
  end if;
end $$;

alter table publish_assets enable row level security;
alter table publish_assets force row level security;
do $$ begin
  execute 'drop policy if exists operator on publish_assets';
  execute format('create policy operator on publish_assets to %I using (true) with check (true)', current_user);
end $$;
drop policy if exists definer on publish_assets;
create policy definer on publish_assets to filemill_definer using (true) with check (true);
drop policy if exists publish on file_derivatives;
create policy publish on file_derivatives for select to filemill_definer using (true);
grant select, insert, update on publish_assets to filemill_definer;
grant select on publish_jobs, auction_files, file_derivatives to filemill_definer;
grant delete on jobs to filemill_definer;

grant create on schema public to filemill_definer;
do $$
declare f text;
begin
  foreach f in array array['publish_jobs_insert()', 'publish_jobs_update()', 'publish_jobs_delete()',
                           'auction_files_insert()', 'auction_files_update()'] loop
    execute format('alter function %s owner to filemill_definer', f);
    execute format('revoke all on function %s from public', f);
  end loop;
end $$;
revoke create on schema public from filemill_definer;
revoke all on function publish_file(uuid, uuid, text, text) from public;
grant execute on function publish_file(uuid, uuid, text, text) to filemill_definer;
