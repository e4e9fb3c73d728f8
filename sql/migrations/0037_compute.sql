-- Jobs that a service outside does: sent by a network task, ended by the service's call (or by its deadline), packed
-- here. While it is out a job waits for two others: the one that sends it, and the one that runs out at its deadline.

create table if not exists compute_backends (
  name text primary key check (name ~ '^[a-z0-9_-]{1,64}$'),
  type text not null,                   -- of the jobs that are sent to it
  enabled boolean not null default false,
  secret_sha256 text check (secret_sha256 ~ '^[0-9a-f]{64}$'), -- of its own webhook secret; null: the setting's
  deadline_ms bigint not null default 900000 check (deadline_ms between 1 and 604800000),
  created_at timestamptz not null default now()
);
create unique index if not exists compute_backends_type_key on compute_backends (type) where enabled;
insert into compute_backends (name, type) values ('camber', 'portal_document') on conflict do nothing;

alter table portal_jobs
  add column if not exists backend text,      -- null: done here
  add column if not exists external_id text,
  add column if not exists report jsonb;      -- quality_score, warnings and metrics as the service told them

-- Sends a new job to the service that its type has, in the transaction that made it; null: there is none.
create or replace function compute_route(new_job uuid, order_of jsonb) returns text language plpgsql security definer
set search_path = pg_catalog, public as $$
declare
  b compute_backends;
begin
  select c.* into b from compute_backends c join jobs j on j.id = new_job and j.type = c.type
    join portal_jobs p on p.job_id = j.id and p.user_id = filemill_user() where c.enabled;
  if b.name is null then return null; end if;
  update jobs set status = 'waiting', payload = payload || '{"on_child_failure": "fail"}' where id = new_job;
  insert into jobs (parent, tenant_id, file_id, type, generation, priority, trace, payload, attempts, max_attempts,
                    run_after)
  select j.id, j.tenant_id, j.file_id, n.type, j.generation, j.priority, j.trace, n.payload, n.attempts, n.max_attempts,
         now() + n.delay * interval '1 ms'
    from jobs j, (values ('compute_submit', order_of, 0, 3, 0), ('compute_deadline', '{}'::jsonb, 1, 1, b.deadline_ms))
      as n(type, payload, attempts, max_attempts, delay)
   where j.id = new_job;
  update portal_jobs set backend = b.name where job_id = new_job;
  return b.name;
end $$;

-- A job that could not be sent does not wait for its deadline.
create or replace function compute_submit_failed() returns trigger language plpgsql security definer
set search_path = pg_catalog, public as $$
begin
  update jobs set run_after = now() where parent = new.parent and type = 'compute_deadline' and status::text = 'queued';
  return null;
end $$;
drop trigger if exists trg_compute_submit_failed on jobs;
create trigger trg_compute_submit_failed after update of status on jobs for each row
  when (new.type = 'compute_submit' and new.status in ('failed', 'cancelled')) execute function compute_submit_failed();

-- What a service says of a job: only once, only while the job is out. `trusted`: the setting's secret was sent;
-- `digest`: SHA-256 of what was sent. Returns what became of it: unauthorized, not_found, replayed, foreign, completed
-- (now being packed) or failed. With `probe` it changes nothing and says completed where it would go on.
create or replace function compute_report(backend_name text, digest text, trusted boolean, of_job uuid, probe boolean,
                                          external text, outcome text, detail jsonb)
returns text language plpgsql security definer set search_path = pg_catalog, public as $$
declare
  b compute_backends;
  p portal_jobs;
  j jobs;
  packed uuid := gen_random_uuid();
begin
  select c.* into b from compute_backends c where c.name = backend_name;
  if b.name is null or not (case when b.secret_sha256 is null then trusted else b.secret_sha256 = digest end) then
    return 'unauthorized';
  end if;
  select q.* into p from portal_jobs q where q.job_id = of_job and q.backend = backend_name;
  if p.job_id is null then return 'not_found'; end if;
  if not probe then perform 1 from files f where f.id = p.file_id for no key update; end if;
  select q.* into j from jobs q where q.id = of_job;
  if j.status::text <> 'waiting' then return 'replayed'; end if;
  if outcome = 'success' and (detail->>'master_user' <> p.user_id::text or
                              coalesce(detail->>'preview_user', p.user_id::text) <> p.user_id::text) then
    return 'foreign';
  end if;
  if probe then return 'completed'; end if;
  update jobs set status = 'cancelled', lease_epoch = lease_epoch + 1, finished_at = now(), locked_at = null,
         locked_by = null, lease_until = null
   where parent = of_job and status::text in ('queued', 'retry', 'running', 'waiting');
  update portal_jobs set external_id = external, report = detail->'report', error_details = detail->'error'
   where job_id = of_job;
  if outcome = 'success' then
    insert into files (id, tenant_id, owner_user_id, r2_key_original, mime, detected_mime, size_bytes, status, filename,
                       finalized_at)
    values (packed, p.tenant_id, p.user_id, detail->>'master_path', detail->>'mime', detail->>'mime',
            (detail->>'size_bytes')::bigint, 'processing', p.filename, now());
    insert into document_artifacts (job_id, kind, file_id, r2_key, mime, size_bytes)
    values (of_job, 'master', p.file_id, detail->>'master_path', detail->>'mime', (detail->>'size_bytes')::bigint);
    if detail->>'preview_path' is not null then
      insert into document_artifacts (job_id, kind, file_id, r2_key, mime)
      values (of_job, 'preview', p.file_id, detail->>'preview_path', 'image/jpeg');
    end if;
    update jobs set status = 'queued', type = 'portal_package', file_id = packed, generation = 0, run_after = now(),
           started_at = coalesce(started_at, now()), payload = jsonb_build_object('filename', p.filename)
     where id = of_job;
  else
    update jobs set status = 'failed', finished_at = now(), error_code = detail->'error'->>'code',
           error_detail = detail->'error'->>'message', stage = detail->'error'->>'stage' where id = of_job;
  end if;
  insert into file_events (tenant_id, file_id, job_id, kind, data)
  select q.tenant_id, p.file_id, q.id, 'job.status', jsonb_build_object('job', q.id, 'type', q.type, 'status', q.status)
    from jobs q where q.id = of_job;
  perform files_refresh(array[p.file_id]);
  return case outcome when 'success' then 'completed' else 'failed' end;
end $$;

-- As in 0036, with what services outside say. A job that is out has begun when it was sent.
create or replace view portal_job_states with (security_invoker = true) as
select p.job_id, p.user_id, p.tenant_id, p.file_id, portal_state(j.status, begun.at) as status, p.raw_path,
       p.schema_id, p.schema_name, p.schema_version, p.schema_definition, p.filename,
       j.created_at, begun.at as started_at, j.finished_at as completed_at, j.attempts,
       case when j.status <> 'done' then null when p.report is not null then (p.report->>'quality_score')::numeric
            else round((j.result->'metrics'->>'quality_score_percent')::numeric / 100, 2) end as quality_score,
       case when j.status <> 'done' then null
            else coalesce(p.report->'warnings', j.result->'metrics'->'warnings', '[]'::jsonb) end as warnings,
       case when j.status <> 'done' then null when p.report is not null then coalesce(p.report->'metrics', '{}'::jsonb)
            else coalesce(j.result->'metrics', '{}'::jsonb) - 'warnings' - 'quality_score_percent' -
                 'ocr_confidence_percent' || jsonb_build_object(
                   'ocr_confidence', round((j.result->'metrics'->>'ocr_confidence_percent')::numeric / 100, 2),
                   'processing_ms', coalesce((j.result->>'fetch_ms')::bigint, 0) +
                     coalesce((j.result->>'parse_ms')::bigint, 0) + coalesce((j.result->>'store_ms')::bigint, 0)) end
         as metrics,
       case when j.status = 'cancelled' then portal_error('CANCELLED', null, null)
            when j.status <> 'failed' then null
            when p.error_details is not null then p.error_details
            when j.error_code = 'child_failed' then
              coalesce((select portal_error('WORKER_FAILED', null, 'The service could not be asked: ' ||
                               concat_ws(' ', c.error_code, c.error_detail)) from jobs c
                         where c.parent = j.id and c.type = 'compute_submit' and c.status::text = 'failed' limit 1),
                       portal_error('OCR_TIMEOUT', null, 'The service did not answer in time'))
            else portal_error(j.error_code, j.stage, j.error_detail) end as error
  from portal_jobs p join jobs j on j.id = p.job_id,
       lateral (select coalesce(j.started_at, case when p.backend is not null then
                  (select min(c.started_at) from jobs c where c.parent = j.id) end) as at) begun;

-- ---- who may what ----

alter table compute_backends enable row level security;
alter table compute_backends force row level security;
do $$
declare t text;
begin
  execute 'drop policy if exists operator on compute_backends';
  execute format('create policy operator on compute_backends to %I using (true) with check (true)', current_user);
  foreach t in array array['compute_backends', 'portal_jobs', 'document_artifacts', 'documents', 'jobs', 'files',
                           'file_events'] loop
    execute format('drop policy if exists compute on %I', t);
    execute format('create policy compute on %I to filemill_definer using (true) with check (true)', t);
  end loop;
end $$;
grant select on compute_backends to filemill_definer;
grant select, update on portal_jobs to filemill_definer;
grant select, insert on document_artifacts, documents to filemill_definer;
grant select, insert, update on jobs, files to filemill_definer;
grant select, insert on file_events to filemill_definer;
grant create on schema public to filemill_definer;
alter function compute_route(uuid, jsonb) owner to filemill_definer;
alter function compute_submit_failed() owner to filemill_definer;
alter function compute_report(text, text, boolean, uuid, boolean, text, text, jsonb) owner to filemill_definer;
revoke create on schema public from filemill_definer;
revoke all on function compute_route(uuid, jsonb), compute_submit_failed(),
  compute_report(text, text, boolean, uuid, boolean, text, text, jsonb) from public;
grant execute on function compute_route(uuid, jsonb),
  compute_report(text, text, boolean, uuid, boolean, text, text, jsonb) to filemill_gateway;
grant execute on function portal_error(text, text, text) to filemill_definer;
