-- Leases, priorities, reasons, events, garbage and quarantine: what the queue needs beyond the first five tables.

alter table files
  add column if not exists filename text,
  add column if not exists detected_mime text,
  add column if not exists etag text,                         -- of the object that finalize saw
  add column if not exists generation int not null default 0, -- raised by each reprocess; status follows the newest
  add column if not exists upload_expires_at timestamptz,
  add column if not exists finalized_at timestamptz,
  add column if not exists deleted_at timestamptz,
  add column if not exists purged_at timestamptz;             -- its objects are gone

alter table jobs
  add column if not exists generation int not null default 0,
  add column if not exists priority smallint not null default 1, -- band: 0 first … 3 last
  add column if not exists max_attempts int,                     -- null: the setting
  add column if not exists lease_epoch bigint not null default 0, -- +1 at each claim; every later write names it
  add column if not exists lease_until timestamptz,
  add column if not exists crashes int not null default 0,       -- crash-class deaths so far
  add column if not exists error_code text,
  add column if not exists error_detail text,
  add column if not exists stage text,
  add column if not exists progress_done bigint not null default 0,
  add column if not exists progress_total bigint not null default 0,
  add column if not exists trace text,
  add column if not exists started_at timestamptz,
  add column if not exists finished_at timestamptz;

alter table file_derivatives
  add column if not exists job_id uuid,
  add column if not exists sha256 text,
  add column if not exists metadata jsonb not null default '{}'::jsonb,
  add column if not exists updated_at timestamptz not null default now();

-- One derivative per file and kind. Older software could write several: the newest stays.
delete from file_derivatives d using file_derivatives n
 where n.file_id = d.file_id and n.kind = d.kind and (n.created_at, n.id) > (d.created_at, d.id);
create unique index if not exists file_derivatives_kind_key on file_derivatives (file_id, kind);

-- Same name, better columns: matches the claim's order exactly, so a claim reads only what it takes.
drop index if exists jobs_pick_idx;
create index jobs_pick_idx on jobs (priority, run_after, id) where status in ('queued', 'retry');
create index if not exists jobs_running_idx on jobs (lease_until) where status = 'running';
create index if not exists jobs_finished_idx on jobs (finished_at) where status in ('done', 'failed', 'cancelled');
create index if not exists files_uploading_idx on files (upload_expires_at) where status = 'uploading';
create index if not exists files_deleted_idx on files (deleted_at) where status = 'deleted' and purged_at is null;
create index if not exists files_list_idx on files (tenant_id, created_at desc, id desc) where status <> 'deleted';

alter table jobs set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
                      autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.05);

-- What listeners replay. Every insert happens while its file's row is locked, so ids of one file are in commit order.
create table if not exists file_events (
  id bigint generated always as identity primary key,
  tenant_id uuid not null references tenants(id) on delete cascade,
  file_id uuid not null references files(id) on delete cascade,
  job_id uuid,
  kind text not null,       -- file.status | job.status | job.progress
  data jsonb not null default '{}'::jsonb,
  created_at timestamptz not null default now()
);
create index if not exists file_events_file_idx on file_events (file_id, id);
create index if not exists file_events_created_idx on file_events (created_at);

-- Objects to delete: written in the transaction that drops the last reference, carried out by workers.
create table if not exists object_deletions (
  key text primary key,
  run_after timestamptz not null default now(),
  attempts int not null default 0,
  created_at timestamptz not null default now()
);
create index if not exists object_deletions_due_idx on object_deletions (run_after);

-- Bytes that killed their runner, per tenant (so that no tenant learns of another's files) and processor.
create table if not exists quarantine (
  tenant_id uuid not null references tenants(id) on delete cascade,
  sha256 text not null,
  type text not null,
  crashes int not null default 0,
  reason text not null,
  updated_at timestamptz not null default now(),
  primary key (tenant_id, sha256, type)
);

-- Types that an operator paused.
create table if not exists paused_types (
  type text primary key,
  paused_at timestamptz not null default now()
);

-- files.status is a function of the jobs of its newest generation. The caller has locked the files' rows. Writes a
-- file.status event where it changed something; returns the files that changed.
create or replace function files_refresh(ids uuid[]) returns table (file uuid, tenant uuid, event bigint)
language sql set search_path = pg_catalog, public as $$
  with state as (
    select f.id, f.tenant_id, f.status,
           count(j.id) filter (where j.status in ('queued', 'retry', 'running', 'waiting')) as active,
           count(j.id) filter (where j.status = 'failed') as failed
      from files f left join jobs j on j.file_id = f.id and j.generation = f.generation
     where f.id = any (ids) and f.status in ('ready', 'processing', 'failed')
     group by f.id
  ), wanted as (
    select id, tenant_id, status as old,
           (case when active > 0 then 'processing' when failed > 0 then 'failed' else 'ready' end)::file_status_t as new
      from state
  ), changed as (
    update files f set status = w.new from wanted w where f.id = w.id and w.new <> w.old
    returning f.id, f.tenant_id, f.status
  )
  insert into file_events (tenant_id, file_id, kind, data)
  select tenant_id, id, 'file.status', jsonb_build_object('status', status) from changed
  returning file_id, tenant_id, id
$$;
