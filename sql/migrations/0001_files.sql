-- Tenants, members, files, derivatives and jobs: the tables and enums of the file API that Filemill replaces, with
-- its names and columns. Safe on a database that already has them.

do $$ begin
  create type visibility_t as enum ('public', 'private', 'internal');
exception when duplicate_object then null; end $$;
do $$ begin
  create type file_status_t as enum ('uploading', 'ready', 'processing', 'failed', 'deleted');
exception when duplicate_object then null; end $$;
do $$ begin
  create type member_role_t as enum ('owner', 'admin', 'member', 'internal');
exception when duplicate_object then null; end $$;
do $$ begin
  create type job_status_t as enum ('queued', 'running', 'done', 'failed', 'retry');
exception when duplicate_object then null; end $$;

create table if not exists tenants (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  created_at timestamptz not null default now()
);

create table if not exists tenant_members (
  tenant_id uuid not null references tenants(id) on delete cascade,
  user_id uuid not null,
  role member_role_t not null default 'member',
  created_at timestamptz not null default now(),
  primary key (tenant_id, user_id)
);
create index if not exists tenant_members_user_idx on tenant_members(user_id);

create table if not exists files (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references tenants(id) on delete cascade,
  owner_user_id uuid not null,
  visibility visibility_t not null default 'private',
  r2_key_original text not null unique,
  mime text not null,
  size_bytes bigint not null default 0,
  sha256 text null,
  status file_status_t not null default 'uploading',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index if not exists files_tenant_created_idx on files (tenant_id, created_at desc);
create index if not exists files_owner_idx on files (owner_user_id);

create table if not exists file_derivatives (
  id uuid primary key default gen_random_uuid(),
  file_id uuid not null references files(id) on delete cascade,
  kind text not null,
  r2_key text not null unique,
  mime text not null,
  size_bytes bigint not null default 0,
  created_at timestamptz not null default now()
);
create index if not exists file_derivatives_file_idx on file_derivatives(file_id);

create table if not exists jobs (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references tenants(id) on delete cascade,
  file_id uuid not null references files(id) on delete cascade,
  type text not null,
  status job_status_t not null default 'queued',
  attempts int not null default 0,
  run_after timestamptz not null default now(),
  locked_at timestamptz null,
  locked_by text null,
  payload jsonb not null default '{}'::jsonb,
  result jsonb not null default '{}'::jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index if not exists jobs_pick_idx on jobs (status, run_after, locked_at) where status in ('queued', 'retry');
create index if not exists jobs_file_idx on jobs (file_id);

create or replace function set_updated_at() returns trigger language plpgsql as $$
begin
  new.updated_at = now();
  return new;
end $$;

drop trigger if exists trg_files_updated_at on files;
create trigger trg_files_updated_at before update on files for each row execute function set_updated_at();
drop trigger if exists trg_jobs_updated_at on jobs;
create trigger trg_jobs_updated_at before update on jobs for each row execute function set_updated_at();
