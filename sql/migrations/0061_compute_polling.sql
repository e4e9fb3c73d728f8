-- Services outside, several of them: each has its own URL (its key stays in the settings, by the URL's origin), a share of
-- the jobs, and is asked what became of a job, so that a call that was lost costs a while and no job. While a job is out
-- it waits for the jobs that send it (compute_submit), ask for it (compute_poll, again and again) and run out
-- (compute_deadline). Whichever hears first, service's call or answer, ends it: compute_settle, once.

alter table compute_backends
  add column if not exists url text check (length(url) <= 1000 and url ~ '^https?://[^[:space:]]+$'), -- null: compute-url
  add column if not exists share int not null default 1 check (share between 1 and 1000),
  add column if not exists poll_ms bigint not null default 15000 check (poll_ms between 0 and 86400000), -- 0: not asked
  add column if not exists poll_max_ms bigint not null default 300000 check (poll_max_ms between 1 and 86400000),
  add column if not exists updated_at timestamptz not null default now();
drop index if exists compute_backends_type_key;

-- What a job that asks a service needs to know of it.
create or replace function compute_target(b compute_backends) returns jsonb language sql immutable
return jsonb_strip_nulls(jsonb_build_object('name', b.name, 'url', b.url));

-- How long before it is asked for the nth time: twice as long each time, to a limit.
create or replace function compute_poll_delay(b compute_backends, polls int) returns interval language sql volatile
return least(b.poll_ms * power(2, least(polls, 30)), greatest(b.poll_ms, b.poll_max_ms)) * (0.9 + 0.2 * random()) *
       interval '1 ms';

-- As in 0037; of several services each gets its share.
create or replace function compute_route(new_job uuid, order_of jsonb) returns text language plpgsql security definer
set search_path = pg_catalog, public as $$
declare
  b compute_backends;
begin
  select c.* into b from compute_backends c join jobs j on j.id = new_job and j.type = c.type
    join portal_jobs p on p.job_id = j.id and p.user_id = filemill_user() where c.enabled
   order by -ln(1 - random()) / c.share limit 1;
  if b.name is null then return null; end if;
  update jobs set status = 'waiting', payload = payload || '{"on_child_failure": "fail"}' where id = new_job;
  insert into jobs (parent, tenant_id, file_id, type, generation, priority, trace, payload, attempts, max_attempts,
                    run_after)
  select j.id, j.tenant_id, j.file_id, n.type, j.generation, j.priority, j.trace, n.payload, n.attempts, n.max_attempts,
         now() + n.delay * interval '1 ms'
    from jobs j, (values
      ('compute_submit', jsonb_build_object('backend', compute_target(b), 'order', order_of), 0, 3, 0),
      ('compute_deadline', '{}'::jsonb, 1, 1, b.deadline_ms)) as n(type, payload, attempts, max_attempts, delay)
   where j.id = new_job;
  update portal_jobs set backend = b.name where job_id = new_job;
  return b.name;
end $$;

-- Ends a job that is out: only once, only while it is out. Returns replayed, foreign, completed (now being packed) or
-- failed. The caller has locked the file of the job. Without detail.size_bytes nobody has seen the document yet: who
-- packs it sees.
create or replace function compute_settle(of_job uuid, external text, outcome text, detail jsonb)
returns text language plpgsql security definer set search_path = pg_catalog, public as $$
declare
  p portal_jobs;
  packed uuid := gen_random_uuid();
  size bigint := coalesce((detail->>'size_bytes')::bigint, 0);
begin
  if not exists (select from jobs j where j.id = of_job and j.status::text = 'waiting') then return 'replayed'; end if;
  select q.* into p from portal_jobs q where q.job_id = of_job;
  if p.backend is null then return 'replayed'; end if;
  if outcome = 'success' and (detail->>'master_user' <> p.user_id::text or
                              coalesce(detail->>'preview_user', p.user_id::text) <> p.user_id::text) then
    return 'foreign';
  end if;
  update jobs set status = 'cancelled', lease_epoch = lease_epoch + 1, finished_at = now(), locked_at = null,
         locked_by = null, lease_until = null
   where parent = of_job and status::text in ('queued', 'retry', 'running', 'waiting');
  update portal_jobs set external_id = coalesce(external, external_id), report = detail->'report',
         error_details = detail->'error' where job_id = of_job;
  if outcome = 'success' then
    insert into files (id, tenant_id, owner_user_id, r2_key_original, mime, detected_mime, size_bytes, status, filename,
                       finalized_at)
    values (packed, p.tenant_id, p.user_id, detail->>'master_path', detail->>'mime', detail->>'mime', size, 'processing',
            p.filename, now());
    insert into document_artifacts (job_id, kind, file_id, r2_key, mime, size_bytes)
    values (of_job, 'master', p.file_id, detail->>'master_path', detail->>'mime', size);
    if detail->>'preview_path' is not null then
      insert into document_artifacts (job_id, kind, file_id, r2_key, mime)
      values (of_job, 'preview', p.file_id, detail->>'preview_path', 'image/jpeg');
    end if;
    update jobs set status = 'queued', type = 'portal_package', file_id = packed, generation = 0, run_after = now(),
           started_at = coalesce(started_at, now()), payload = jsonb_build_object('filename', p.filename) ||
             case when size = 0 then '{"unmeasured": true}'::jsonb else '{}' end
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

-- As in 0037: what a service says by calling.
create or replace function compute_report(backend_name text, digest text, trusted boolean, of_job uuid, probe boolean,
                                          external text, outcome text, detail jsonb)
returns text language plpgsql security definer set search_path = pg_catalog, public as $$
declare
  b compute_backends;
  p portal_jobs;
begin
  select c.* into b from compute_backends c where c.name = backend_name;
  if b.name is null or not (case when b.secret_sha256 is null then trusted else b.secret_sha256 = digest end) then
    return 'unauthorized';
  end if;
  select q.* into p from portal_jobs q where q.job_id = of_job and q.backend = backend_name;
  if p.job_id is null then return 'not_found'; end if;
  if probe then
    return case when not exists (select from jobs q where q.id = of_job and q.status::text = 'waiting') then 'replayed'
                when outcome = 'success' and (detail->>'master_user' <> p.user_id::text or
                  coalesce(detail->>'preview_user', p.user_id::text) <> p.user_id::text) then 'foreign'
                else 'completed' end;
  end if;
  perform 1 from files f where f.id = p.file_id for no key update;
  return compute_settle(of_job, external, outcome, detail);
end $$;

-- An answer that is no end, or none at all, and the service is asked again, later: the job goes back instead of ending.
-- Also who sends waits for as long as the service says.
create or replace function compute_rest() returns trigger language plpgsql security definer
set search_path = pg_catalog, public as $$
declare
  b compute_backends;
  polls int := coalesce((new.payload->>'polls')::int, 0) + 1;
  asked interval := coalesce(substring(new.error_detail from 'try again in ([0-9]{1,6}) s')::int, 0) * interval '1 s';
begin
  if new.type = 'compute_submit' then
    if new.status = 'retry' then new.run_after = greatest(new.run_after, now() + asked); end if;
    return new;
  end if;
  if not (new.status in ('retry', 'failed') and coalesce(new.error_code, '') like 'backend\_%') and
     not (new.status = 'done' and coalesce(new.result->'metrics'->'report'->>'status', '') not in ('success', 'failed'))
  then
    return new;
  end if;
  select c.* into b from portal_jobs p join compute_backends c on c.name = p.backend where p.job_id = new.parent;
  if b.name is null or b.poll_ms = 0 then return new; end if;
  if new.status = 'done' then asked = interval '0'; end if;
  new.status = 'retry';
  new.attempts = 0;
  new.finished_at = null;
  new.run_after = now() + greatest(compute_poll_delay(b, polls), asked);
  new.payload = new.payload || jsonb_build_object('polls', polls, 'backend', compute_target(b));
  return new;
end $$;
drop trigger if exists trg_compute_rest on jobs;
create trigger trg_compute_rest before update of status on jobs for each row
  when (new.type in ('compute_submit', 'compute_poll') and old.status = 'running' and
        new.status in ('retry', 'failed', 'done')) execute function compute_rest();

-- An answer is refused as a call would be, and the service asked again: nothing that it says may hold up the
-- transaction that ends other jobs, too.
create or replace function compute_answer(poll jobs, report jsonb) returns text language plpgsql security definer
set search_path = pg_catalog, public as $$
begin
  return compute_settle(poll.parent, report->>'external_id', report->>'status', report->'detail');
exception when others then
  return 'foreign'; -- another document at one of these paths, or what no row can hold
end $$;

-- What follows when one of these jobs ends.
create or replace function compute_went_on() returns trigger language plpgsql security definer
set search_path = pg_catalog, public as $$
declare
  b compute_backends;
  said jsonb := new.result->'metrics'->'report';
begin
  if new.type = 'compute_submit' and new.status::text in ('failed', 'cancelled') then
    -- A job that could not be sent does not wait for its deadline.
    update jobs set run_after = now() where parent = new.parent and type = 'compute_deadline' and status::text = 'queued';
  elsif new.type = 'compute_submit' and new.status = 'done' then
    select c.* into b from portal_jobs p join jobs j on j.id = p.job_id and j.status::text = 'waiting'
      join compute_backends c on c.name = p.backend where p.job_id = new.parent;
    if b.poll_ms > 0 then
      update portal_jobs set external_id = coalesce(said->>'external_id', external_id) where job_id = new.parent;
      insert into jobs (parent, tenant_id, file_id, type, generation, priority, trace, payload, max_attempts, run_after)
      values (new.parent, new.tenant_id, new.file_id, 'compute_poll', new.generation, new.priority, new.trace,
              jsonb_strip_nulls(jsonb_build_object('backend', compute_target(b), 'job_id', new.parent, 'external_id',
                                                   said->>'external_id')), 5, now() + compute_poll_delay(b, 0));
    end if;
  elsif new.type = 'compute_poll' and new.status = 'done' and said->>'status' in ('success', 'failed') then
    if compute_answer(new, said) = 'foreign' then
      select c.* into b from portal_jobs p join compute_backends c on c.name = p.backend where p.job_id = new.parent;
      update jobs set status = 'retry', finished_at = null, error_code = 'backend_bad_answer', run_after = now() +
             compute_poll_delay(b, coalesce((payload->>'polls')::int, 0) + 1), payload = payload ||
             jsonb_build_object('polls', coalesce((payload->>'polls')::int, 0) + 1)
       where id = new.id and b.poll_ms > 0;
    end if;
  elsif new.type = 'compute_deadline' and new.status::text = 'failed' then
    update jobs set status = 'cancelled', lease_epoch = lease_epoch + 1, finished_at = now(), locked_at = null,
           locked_by = null, lease_until = null
     where parent = new.parent and type in ('compute_submit', 'compute_poll')
       and status::text in ('queued', 'retry', 'running');
  elsif new.type = 'portal_package' and new.status = 'done' and new.payload ? 'unmeasured' then
    update files set size_bytes = coalesce((new.result->>'input_bytes')::bigint, 0) where id = new.file_id;
    update document_artifacts set size_bytes = coalesce((new.result->>'input_bytes')::bigint, 0)
     where job_id = new.id and kind = 'master';
  end if;
  return null;
end $$;
drop trigger if exists trg_compute_submit_failed on jobs;
drop trigger if exists trg_compute_went_on on jobs;
create trigger trg_compute_went_on after update of status on jobs for each row
  when (new.type in ('compute_submit', 'compute_poll', 'compute_deadline', 'portal_package') and
        new.status in ('done', 'failed', 'cancelled')) execute function compute_went_on();
drop function if exists compute_submit_failed();

-- ---- for those who run the service ----

create or replace function admin_compute_backends() returns jsonb language plpgsql stable security definer
set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  return (select coalesce(jsonb_agg(jsonb_build_object('name', b.name, 'type', b.type, 'enabled', b.enabled, 'url', b.url,
            'share', b.share, 'own_secret', b.secret_sha256 is not null, 'deadline_ms', b.deadline_ms, 'poll_ms',
            b.poll_ms, 'poll_max_ms', b.poll_max_ms, 'jobs_out', (select count(*) from jobs j join portal_jobs p
              on p.job_id = j.id where j.status = 'waiting' and p.backend = b.name)) order by b.name), '[]')
            from compute_backends b);
end $$;

-- Members that are absent stay as they are; url and secret_sha256 may be null.
create or replace function admin_compute_backend_set(backend text, wanted jsonb) returns void language plpgsql
security definer set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  insert into compute_backends (name, type) values (backend, 'portal_document') on conflict do nothing;
  update compute_backends b set updated_at = now(),
         enabled = coalesce((wanted->>'enabled')::boolean, b.enabled),
         url = case when wanted ? 'url' then wanted->>'url' else b.url end,
         secret_sha256 = case when wanted ? 'secret_sha256' then wanted->>'secret_sha256' else b.secret_sha256 end,
         share = coalesce((wanted->>'share')::int, b.share),
         deadline_ms = coalesce((wanted->>'deadline_ms')::bigint, b.deadline_ms),
         poll_ms = coalesce((wanted->>'poll_ms')::bigint, b.poll_ms),
         poll_max_ms = coalesce((wanted->>'poll_max_ms')::bigint, b.poll_max_ms)
   where b.name = backend;
end $$;

-- ---- who may what ----

grant select, insert, update on compute_backends to filemill_definer;
grant update on document_artifacts to filemill_definer;
grant create on schema public to filemill_definer;
do $$
declare f text;
begin
  foreach f in array array['compute_route(uuid, jsonb)', 'compute_settle(uuid, text, text, jsonb)',
      'compute_report(text, text, boolean, uuid, boolean, text, text, jsonb)', 'compute_rest()', 'compute_went_on()',
      'compute_answer(jobs, jsonb)', 'admin_compute_backends()', 'admin_compute_backend_set(text, jsonb)'] loop
    execute format('alter function %s owner to filemill_definer', f);
    execute format('revoke all on function %s from public', f);
  end loop;
end $$;
revoke create on schema public from filemill_definer;
grant execute on function compute_route(uuid, jsonb), admin_compute_backends(), admin_compute_backend_set(text, jsonb),
  compute_report(text, text, boolean, uuid, boolean, text, text, jsonb) to filemill_gateway;
