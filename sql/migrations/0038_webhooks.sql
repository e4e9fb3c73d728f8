-- Webhooks: endpoints of a tenant, and deliveries, which are outbox, queue and log in one. A delivery is written in the
-- transaction of the change it tells of, by a trigger on file_events: every change of a file's or a job's state writes
-- one there, whoever makes it. Tenants without an enabled endpoint cost one look into a small index per statement.

create table if not exists webhook_endpoints (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references tenants(id) on delete cascade,
  url text not null check (length(url) between 1 and 2048),
  description text not null default '',
  event_types text[] not null default '{}',   -- empty: all
  concurrency smallint not null default 4 check (concurrency between 1 and 32),
  enabled boolean not null default true,
  disabled_reason text,                        -- user | gone | failing
  secret text not null,
  previous_secret text,                        -- signs too, until
  previous_secret_until timestamptz,
  failures int not null default 0,             -- in a row
  failing_since timestamptz,
  resume_at timestamptz,                       -- it asked for a rest
  last_success_at timestamptz,
  last_failure_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index if not exists webhook_endpoints_tenant_idx on webhook_endpoints (tenant_id, created_at);
create index if not exists webhook_endpoints_enabled_idx on webhook_endpoints (tenant_id) where enabled;

-- No foreign key: each insert would lock its endpoint's row, and with it all transactions of the tenant.
create table if not exists webhook_deliveries (
  id uuid primary key default gen_random_uuid(), -- webhook-id is msg_<id>, the same at every attempt
  tenant_id uuid not null,
  endpoint_id uuid not null,
  type text not null,
  sequence bigint not null default 0,            -- rises with the commits that changed one file
  payload text not null,                         -- signed and sent as it is
  state text not null default 'pending' check (state in ('pending', 'sending', 'delivered', 'failed')),
  attempts int not null default 0,
  epoch bigint not null default 0,               -- +1 at each lease and replay; a result names it
  next_at timestamptz not null default now(),
  lease_until timestamptz,
  locked_by text,
  status int,                                    -- of the last attempt, as the rest
  error text,
  latency_ms bigint,
  excerpt text,
  history jsonb not null default '[]'::jsonb,    -- the last 20 attempts
  created_at timestamptz not null default now(),
  finished_at timestamptz
);
create index if not exists webhook_deliveries_due_idx on webhook_deliveries (endpoint_id, next_at, sequence)
  where state = 'pending';
create index if not exists webhook_deliveries_sending_idx on webhook_deliveries (endpoint_id) where state = 'sending';
create index if not exists webhook_deliveries_list_idx on webhook_deliveries (endpoint_id, created_at desc, id desc);
create index if not exists webhook_deliveries_finished_idx on webhook_deliveries (finished_at)
  where state in ('delivered', 'failed');
alter table webhook_deliveries set (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

do $$
declare t text;
begin
  foreach t in array array['webhook_endpoints', 'webhook_deliveries'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('drop policy if exists operator on %I', t);
    execute format('create policy operator on %I to %I using (true) with check (true)', t, current_user);
    execute format('drop policy if exists scheduler on %I', t);
    execute format('create policy scheduler on %I to filemill_scheduler using (true) with check (true)', t);
    execute format('drop policy if exists definer on %I', t);
    execute format('create policy definer on %I to filemill_definer using (true) with check (true)', t);
    execute format('drop policy if exists managers on %I', t);
    execute format('create policy managers on %I to filemill_gateway using (filemill_elevated(filemill_role(tenant_id)))'
                   ' with check (filemill_elevated(filemill_role(tenant_id)))', t);
  end loop;
end $$;
drop policy if exists definer_reads on files;
create policy definer_reads on files for select to filemill_definer using (true);
drop policy if exists definer_reads on jobs;
create policy definer_reads on jobs for select to filemill_definer using (true);

-- The gateway writes secrets and never reads them back.
grant select (id, tenant_id, url, description, event_types, concurrency, enabled, disabled_reason,
              previous_secret_until, failures, failing_since, resume_at, last_success_at, last_failure_at, created_at,
              updated_at), insert, delete on webhook_endpoints to filemill_gateway;
grant update (url, description, event_types, concurrency, enabled, disabled_reason, secret, failures, failing_since,
              resume_at, updated_at) on webhook_endpoints to filemill_gateway;
grant select, insert on webhook_deliveries to filemill_gateway;
grant update (state, attempts, epoch, next_at, lease_until, locked_by, finished_at, error) on webhook_deliveries
  to filemill_gateway;
grant select, update on webhook_endpoints to filemill_scheduler;
grant select, insert, update, delete on webhook_deliveries to filemill_scheduler;
grant select on webhook_endpoints, files, jobs to filemill_definer;
grant select, insert, delete on webhook_deliveries to filemill_definer;

-- A new secret keeps the old one valid for a day.
create or replace function webhook_endpoints_rotate() returns trigger language plpgsql
set search_path = pg_catalog, public as $$
begin
  new.previous_secret = old.secret;
  new.previous_secret_until = now() + interval '24 hours';
  return new;
end $$;
drop trigger if exists trg_webhook_endpoints_rotate on webhook_endpoints;
create trigger trg_webhook_endpoints_rotate before update of secret on webhook_endpoints for each row
  when (new.secret is distinct from old.secret) execute function webhook_endpoints_rotate();

-- Deliveries go with their endpoint, also when its tenant goes.
create or replace function webhook_endpoints_gone() returns trigger language plpgsql security definer
set search_path = pg_catalog, public as $$
begin
  delete from webhook_deliveries d where d.endpoint_id = old.id;
  return null;
end $$;
drop trigger if exists trg_webhook_endpoints_gone on webhook_endpoints;
create trigger trg_webhook_endpoints_gone after delete on webhook_endpoints for each row
  execute function webhook_endpoints_gone();

-- An event for whoever of the tenant's endpoints wants it, in the caller's transaction. `data` becomes the payload's
-- data, with tenant_id and sequence added. Payloads over 8192 bytes are never sent: keep data small.
create or replace function webhook_emit(tenant uuid, event_type text, event_sequence bigint, data jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, public as $$
begin
  insert into webhook_deliveries (tenant_id, endpoint_id, type, sequence, payload)
  select e.tenant_id, e.id, event_type, event_sequence,
         jsonb_build_object('type', event_type, 'timestamp', filemill_time(now()), 'data',
                            data || jsonb_build_object('tenant_id', tenant, 'sequence', event_sequence))::text
    from webhook_endpoints e
   where e.tenant_id = tenant and e.enabled and (e.event_types = '{}' or event_type = any (e.event_types));
end $$;

-- The outbox of files and jobs. A page range of a long document is no job that anybody ordered.
create or replace function webhooks_note() returns trigger language plpgsql security definer
set search_path = pg_catalog, public as $$
begin
  if not exists (select from webhook_endpoints where enabled) then
    return null;
  end if;
  insert into webhook_deliveries (tenant_id, endpoint_id, type, sequence, payload)
  select w.tenant_id, e.id, w.type, w.id,
         jsonb_build_object('type', w.type, 'timestamp', filemill_time(w.created_at), 'data',
           case when w.job_id is null then
             jsonb_build_object('file_id', w.file_id, 'tenant_id', w.tenant_id, 'sequence', w.id, 'status',
                                w.data->>'status', 'filename', left(f.filename, 255), 'mime',
                                coalesce(f.detected_mime, f.mime), 'size_bytes', f.size_bytes, 'sha256', f.sha256,
                                'owner_user_id', f.owner_user_id, 'generation', f.generation)
           else
             jsonb_build_object('job_id', w.job_id, 'file_id', w.file_id, 'tenant_id', w.tenant_id, 'sequence', w.id,
                                'type', j.type, 'status', w.data->>'status', 'attempts', j.attempts, 'error',
                                case when w.type = 'job.failed' then j.error_code end, 'error_detail',
                                case when w.type = 'job.failed' then left(j.error_detail, 400) end)
           end)::text
    from (select a.*, case when a.kind = 'file.status' and a.data->>'status' in ('ready', 'failed', 'deleted')
                             then 'file.' || (a.data->>'status')
                           when a.kind = 'job.status' and a.data->>'status' in ('done', 'failed', 'cancelled')
                             then 'job.' || (a.data->>'status') end as type
            from added a) w
    join webhook_endpoints e on e.tenant_id = w.tenant_id and e.enabled
     and (e.event_types = '{}' or w.type = any (e.event_types))
    left join files f on f.id = w.file_id
    left join jobs j on j.id = w.job_id
   where w.type is not null
     and (j.parent is null or not exists (select from jobs p where p.id = j.parent and p.file_id = j.file_id));
  return null;
end $$;
drop trigger if exists trg_file_events_webhooks on file_events;
create trigger trg_file_events_webhooks after insert on file_events referencing new table as added
  for each statement execute function webhooks_note();

grant create on schema public to filemill_definer;
alter function webhook_emit(uuid, text, bigint, jsonb) owner to filemill_definer;
alter function webhooks_note() owner to filemill_definer;
alter function webhook_endpoints_gone() owner to filemill_definer;
revoke create on schema public from filemill_definer;
revoke all on function webhook_emit(uuid, text, bigint, jsonb), webhooks_note(), webhook_endpoints_gone() from public;
grant execute on function webhook_emit(uuid, text, bigint, jsonb) to filemill_scheduler, filemill_definer;
