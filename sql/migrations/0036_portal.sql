-- Portal documents: what portals ask for (versioned), jobs as portals' clients know them (a view over the queue), the
-- documents that came out, and the codes by which a failure is told.

-- A name for comparing: letters and digits, in lower case.
create or replace function portal_slug(name text) returns text language sql immutable
return regexp_replace(lower(name), '[^a-z0-9]', '', 'g');

-- Versions are added, never changed. Without a tenant: for everybody.
create table if not exists portal_schemas (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid references tenants(id) on delete cascade,
  name text not null check (length(name) between 1 and 63 and portal_slug(name) <> ''),
  version int not null default 1 check (version >= 1),
  schema_definition jsonb not null check (jsonb_typeof(schema_definition) = 'object'),
  created_by uuid,
  created_at timestamptz not null default now()
);
create unique index if not exists portal_schemas_version_key
  on portal_schemas (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'), portal_slug(name), version);

create or replace function portal_schemas_guard() returns trigger language plpgsql
set search_path = pg_catalog, public as $$
begin
  raise exception 'a version of a portal schema never changes: add one' using errcode = '55000';
end $$;
drop trigger if exists trg_portal_schemas_guard on portal_schemas;
create trigger trg_portal_schemas_guard before update on portal_schemas for each row
  execute function portal_schemas_guard();

-- The same numbers as the presets of portal_photo (a test compares them).
insert into portal_schemas (id, name, version, schema_definition)
select id::uuid, name, 1, jsonb_build_object('target_width', w, 'target_height', h, 'target_dpi', dpi, 'min_kb', least_kb,
                           'max_kb', most_kb, 'filename_pattern', '{job_id}', 'output_format', 'jpeg', 'quality', q)
  from (values
    ('0b6ad1f0-6f0c-4c36-9f3e-2f6d9b0a0001', 'NEET 2026', 200, 230, 200, 10, 100, 85),
    ('0b6ad1f0-6f0c-4c36-9f3e-2f6d9b0a0002', 'JEE Main 2026', 413, 531, 300, 10, 200, 95),
    ('0b6ad1f0-6f0c-4c36-9f3e-2f6d9b0a0003', 'Aadhaar Update', 276, 354, 200, 20, 50, 95),
    ('0b6ad1f0-6f0c-4c36-9f3e-2f6d9b0a0004', 'Passport India', 630, 810, 457, 40, 250, 95),
    ('0b6ad1f0-6f0c-4c36-9f3e-2f6d9b0a0005', 'College Generic', 413, 531, 300, 20, 200, 95))
    as seed(id, name, w, h, dpi, least_kb, most_kb, q)
on conflict do nothing;

-- What a job of the queue is to its portal client.
create table if not exists portal_jobs (
  job_id uuid primary key references jobs(id) on delete cascade,
  user_id uuid not null,
  tenant_id uuid not null references tenants(id) on delete cascade,
  file_id uuid not null references files(id) on delete cascade,
  schema_id uuid,                       -- null: the definition came with the job
  schema_name text not null,
  schema_version int,
  schema_definition jsonb not null,
  filename text not null,               -- of the photo, as the schema's pattern makes it
  raw_path text not null,
  error_details jsonb,                  -- as an outside service told them
  created_at timestamptz not null default now()
);
create index if not exists portal_jobs_user_idx on portal_jobs (user_id, created_at desc, job_id desc);
create index if not exists portal_jobs_file_idx on portal_jobs (file_id);

-- Objects that belong to a job, not to a file: two jobs of one file have two sets.
create table if not exists document_artifacts (
  job_id uuid not null,
  kind text not null,
  file_id uuid not null references files(id) on delete cascade,
  r2_key text not null unique,
  mime text not null,
  size_bytes bigint not null default 0,
  sha256 text,
  metadata jsonb not null default '{}'::jsonb,
  created_at timestamptz not null default now(),
  primary key (job_id, kind)
);
create index if not exists document_artifacts_file_idx on document_artifacts (file_id);

-- A processed document: the canonical output is the object at master_path; its artifacts are what was made of it.
create table if not exists documents (
  id uuid primary key,
  job_id uuid not null unique,
  user_id uuid not null,
  tenant_id uuid not null references tenants(id) on delete cascade,
  file_id uuid not null references files(id) on delete cascade,
  schema_id uuid,
  schema_name text not null,
  schema_version int,
  schema_definition jsonb not null,
  master_path text not null unique,
  created_at timestamptz not null default now()
);
create index if not exists documents_user_idx on documents (user_id, created_at desc, id desc);
create index if not exists documents_file_idx on documents (file_id);

-- An artifact that is a master makes the document. Called with rights to do so by the scheduler's own statement.
create or replace function document_of_master() returns trigger language plpgsql
set search_path = pg_catalog, public as $$
begin
  insert into documents (id, job_id, user_id, tenant_id, file_id, schema_id, schema_name, schema_version,
                         schema_definition, master_path)
  select split_part(new.r2_key, '/', 3)::uuid, p.job_id, p.user_id, p.tenant_id, p.file_id, p.schema_id, p.schema_name,
         p.schema_version, p.schema_definition, new.r2_key
    from portal_jobs p where p.job_id = new.job_id
  on conflict (job_id) do nothing;
  return null;
end $$;
drop trigger if exists trg_document_of_master on document_artifacts;
create trigger trg_document_of_master after insert on document_artifacts for each row
  when (new.r2_key like 'master/%') execute function document_of_master();

-- The codes of failures, as portals' clients know them.
create table if not exists portal_error_codes (
  code text primary key,
  stage text not null,
  retryable boolean not null,
  description text not null
);
insert into portal_error_codes (code, stage, retryable, description) values
  ('PAYLOAD_MISSING', 'init', false, 'Nothing was sent'),
  ('PAYLOAD_INVALID', 'init', false, 'What was sent is not as described'),
  ('FETCH_FAILED', 'fetch', false, 'The upload could not be fetched'),
  ('FETCH_TIMEOUT', 'fetch', true, 'Fetching the upload took too long'),
  ('DECODE_FAILED', 'decode', false, 'The upload is no picture that can be read'),
  ('OCR_FAILED', 'ocr', false, 'Text could not be read'),
  ('OCR_TIMEOUT', 'ocr', true, 'Processing took too long'),
  ('SCHEMA_FAILED', 'schema', false, 'The picture could not be made as the schema asks'),
  ('SIZE_EXCEEDED', 'schema', false, 'The picture can''t be made as small as max_kb'),
  ('UPLOAD_FAILED', 'upload', true, 'The result could not be stored'),
  -- two that the queue adds
  ('WORKER_FAILED', 'worker', true, 'The worker failed on this document more often than it may'),
  ('CANCELLED', 'worker', false, 'The job was cancelled')
on conflict (code) do update set stage = excluded.stage, retryable = excluded.retryable,
                                 description = excluded.description;

-- The same for the reasons that the queue knows; what is not here is WORKER_FAILED.
create table if not exists portal_error_causes (cause text primary key, code text not null references portal_error_codes);
insert into portal_error_causes (cause, code) values
  ('bad_parameters', 'PAYLOAD_INVALID'), ('payload_too_large', 'PAYLOAD_INVALID'),
  ('input_missing', 'FETCH_FAILED'), ('input_changed', 'FETCH_FAILED'), ('checksum_mismatch', 'FETCH_FAILED'),
  ('file_deleted', 'FETCH_FAILED'), ('storage_refused', 'FETCH_FAILED'), ('storage_unavailable', 'FETCH_TIMEOUT'),
  ('bad_input', 'DECODE_FAILED'), ('unsupported_input', 'DECODE_FAILED'), ('password_required', 'DECODE_FAILED'),
  ('too_many_pixels', 'DECODE_FAILED'), ('too_many_pages', 'DECODE_FAILED'), ('archive_bomb', 'DECODE_FAILED'),
  ('timeout', 'OCR_TIMEOUT'), ('no_progress', 'OCR_TIMEOUT'), ('cpu_limit', 'OCR_TIMEOUT'),
  ('engine_failed', 'SCHEMA_FAILED'), ('output_limit', 'SIZE_EXCEEDED')
on conflict (cause) do update set code = excluded.code;

create or replace function portal_error(cause text, at_stage text, detail text) returns jsonb language sql stable
set search_path = pg_catalog, public as $$
  select jsonb_build_object('code', e.code, 'stage', e.stage, 'message', coalesce(nullif(detail, ''), e.description),
                            'retryable', e.retryable)
    from portal_error_codes e
   where e.code = case
     when at_stage = 'store' and cause in ('storage_unavailable', 'storage_refused') then 'UPLOAD_FAILED'
     when exists (select from portal_error_codes o where o.code = cause) then cause
     else coalesce((select c.code from portal_error_causes c where c.cause = portal_error.cause), 'WORKER_FAILED') end
$$;

-- pending → processing → completed | failed: never backwards, whatever is tried again.
create or replace function portal_state(status job_status_t, started timestamptz) returns text language sql immutable
return case status when 'done' then 'completed' when 'failed' then 'failed' when 'cancelled' then 'failed'
            when 'running' then 'processing'
            else case when started is null then 'pending' else 'processing' end end;

-- One row per job, as GET /jobs/{id} tells it. Row security of the tables holds: the view reads as its reader.
create or replace view portal_job_states with (security_invoker = true) as
select p.job_id, p.user_id, p.tenant_id, p.file_id, portal_state(j.status, j.started_at) as status, p.raw_path,
       p.schema_id, p.schema_name, p.schema_version, p.schema_definition, p.filename,
       j.created_at, j.started_at, j.finished_at as completed_at, j.attempts,
       case when j.status = 'done' then round((j.result->'metrics'->>'quality_score_percent')::numeric / 100, 2) end
         as quality_score,
       case when j.status = 'done' then coalesce(j.result->'metrics'->'warnings', '[]'::jsonb) end as warnings,
       case when j.status = 'done' then
         coalesce(j.result->'metrics', '{}'::jsonb) - 'warnings' - 'quality_score_percent' - 'ocr_confidence_percent' ||
         jsonb_build_object('ocr_confidence', round((j.result->'metrics'->>'ocr_confidence_percent')::numeric / 100, 2),
                            'processing_ms',
           coalesce((j.result->>'fetch_ms')::bigint, 0) + coalesce((j.result->>'parse_ms')::bigint, 0) +
           coalesce((j.result->>'store_ms')::bigint, 0)) end as metrics,
       case when j.status = 'failed' then coalesce(p.error_details, portal_error(j.error_code, j.stage, j.error_detail))
            when j.status = 'cancelled' then portal_error('CANCELLED', null, null) end as error
  from portal_jobs p join jobs j on j.id = p.job_id;

-- ---- who may what ----

do $$
declare t text;
begin
  foreach t in array array['portal_schemas', 'portal_jobs', 'document_artifacts', 'documents', 'portal_error_codes',
                           'portal_error_causes'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('drop policy if exists operator on %I', t);
    execute format('create policy operator on %I to %I using (true) with check (true)', t, current_user);
    execute format('drop policy if exists scheduler on %I', t);
    execute format('create policy scheduler on %I to filemill_scheduler using (true) with check (true)', t);
  end loop;
end $$;

drop policy if exists user_reads on portal_schemas;
create policy user_reads on portal_schemas for select to filemill_gateway
  using (filemill_user() is not null and (tenant_id is null or filemill_role(tenant_id) is not null));
drop policy if exists admin_adds on portal_schemas;
create policy admin_adds on portal_schemas for insert to filemill_gateway
  with check (created_by = filemill_user() and tenant_id is not null and
              filemill_role(tenant_id) in ('owner', 'admin'));
drop policy if exists user_own on portal_jobs;
create policy user_own on portal_jobs for select to filemill_gateway using (user_id = filemill_user());
drop policy if exists user_adds on portal_jobs;
create policy user_adds on portal_jobs for insert to filemill_gateway
  with check (user_id = filemill_user() and
              exists (select 1 from files f where f.id = file_id and f.tenant_id = portal_jobs.tenant_id and
                        f.owner_user_id = filemill_user()));
drop policy if exists user_own on document_artifacts;
create policy user_own on document_artifacts for select to filemill_gateway
  using (exists (select 1 from files f where f.id = file_id and f.owner_user_id = filemill_user()));
drop policy if exists user_own on documents;
create policy user_own on documents for select to filemill_gateway using (user_id = filemill_user());
drop policy if exists user_reads on portal_error_codes;
create policy user_reads on portal_error_codes for select to filemill_gateway using (true);
drop policy if exists user_reads on portal_error_causes;
create policy user_reads on portal_error_causes for select to filemill_gateway using (true);

grant select, insert on portal_schemas, portal_jobs to filemill_gateway;
grant select on document_artifacts, documents, portal_error_codes, portal_error_causes, portal_job_states
  to filemill_gateway;
grant select, insert, update, delete on document_artifacts, documents to filemill_scheduler;
grant select, update on portal_jobs to filemill_scheduler;
grant select on portal_schemas, portal_error_codes, portal_error_causes, portal_job_states to filemill_scheduler;
