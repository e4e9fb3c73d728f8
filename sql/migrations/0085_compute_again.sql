-- A portal's job that failed outside and is tried again goes outside again, as a new order with an id of its own: the
-- service takes it for new work, writes where no older order may write, and what it still says of an older one is heard
-- and counts no more. The job's id is that of its first order.

create table if not exists compute_orders (
  id uuid primary key,               -- what the service knows the job by
  job_id uuid not null references portal_jobs(job_id) on delete cascade,
  backend text not null,
  external_id text,                  -- what the service called it; of the one that counts it is in portal_jobs
  body jsonb,                        -- as it was sent
  created_at timestamptz not null default now()
);
create index if not exists compute_orders_job_idx on compute_orders (job_id);
alter table portal_jobs add column if not exists order_id uuid; -- the order that counts; null: done here

insert into compute_orders (id, job_id, backend, external_id, body, created_at)
select p.job_id, p.job_id, p.backend, p.external_id,
       (select coalesce(c.payload->'order', c.payload) from jobs c
         where c.parent = p.job_id and c.type = 'compute_submit' order by c.created_at desc limit 1), p.created_at
  from portal_jobs p where p.backend is not null
on conflict do nothing;
update portal_jobs set order_id = job_id where backend is not null and order_id is null;

-- Of the services for such jobs one, each as often as its share says; nulls: there is none.
create or replace function compute_choose(of_type text) returns compute_backends language sql volatile
set search_path = pg_catalog, public as $$
  select c.* from compute_backends c where c.type = of_type and c.enabled order by -ln(1 - random()) / c.share limit 1
$$;

-- Sends a waiting job's order, in the caller's transaction.
create or replace function compute_send(job jobs, b compute_backends, order_of jsonb) returns void language plpgsql
set search_path = pg_catalog, public as $$
begin
  insert into jobs (parent, tenant_id, file_id, type, generation, priority, trace, payload, attempts, max_attempts,
                    run_after)
  select job.id, job.tenant_id, job.file_id, n.type, job.generation, job.priority, job.trace, n.payload, n.attempts,
         n.max_attempts, now() + n.delay * interval '1 ms'
    from (values
      ('compute_submit', jsonb_build_object('backend', compute_target(b), 'order', order_of), 0, 3, 0),
      ('compute_deadline', '{}'::jsonb, 1, 1, b.deadline_ms)) as n(type, payload, attempts, max_attempts, delay);
  insert into compute_orders (id, job_id, backend, body) values ((order_of->>'job_id')::uuid, job.id, b.name, order_of);
  update portal_jobs set backend = b.name, order_id = (order_of->>'job_id')::uuid, external_id = null, report = null,
         error_details = null where job_id = job.id;
end $$;

-- As in 0061.
create or replace function compute_route(new_job uuid, order_of jsonb) returns text language plpgsql security definer
set search_path = pg_catalog, public as $$
declare
  b compute_backends;
  j jobs;
begin
  select q.* into j from jobs q join portal_jobs p on p.job_id = q.id and p.user_id = filemill_user() where q.id = new_job;
  b := compute_choose(j.type);
  if b.name is null then return null; end if;
  update jobs set status = 'waiting', payload = payload || '{"on_child_failure": "fail"}' where id = new_job;
  perform compute_send(j, b, order_of);
  return b.name;
end $$;

-- As in 0061, by the order's id: what is said of an order that counts no more is a replay. The order is looked at again
-- under the lock on the file, which whoever tries again has, too.
create or replace function compute_report(backend_name text, digest text, trusted boolean, of_job uuid, probe boolean,
                                          external text, outcome text, detail jsonb)
returns text language plpgsql security definer set search_path = pg_catalog, public as $$
declare
  b compute_backends;
  o compute_orders;
  p portal_jobs;
begin
  select c.* into b from compute_backends c where c.name = backend_name;
  if b.name is null or not (case when b.secret_sha256 is null then trusted else b.secret_sha256 = digest end) then
    return 'unauthorized';
  end if;
  select q.* into o from compute_orders q where q.id = of_job and q.backend = backend_name;
  if o.id is null then return 'not_found'; end if;
  if not probe then
    perform 1 from files f join portal_jobs q on q.file_id = f.id where q.job_id = o.job_id for no key update of f;
  end if;
  select q.* into p from portal_jobs q where q.job_id = o.job_id;
  if p.order_id is distinct from o.id or
     not exists (select from jobs q where q.id = p.job_id and q.status::text = 'waiting') then
    return 'replayed';
  end if;
  if not probe then return compute_settle(p.job_id, external, outcome, detail); end if;
  return case when outcome = 'success' and (detail->>'master_user' <> p.user_id::text or
                coalesce(detail->>'preview_user', p.user_id::text) <> p.user_id::text) then 'foreign'
              else 'completed' end;
end $$;

-- As in 0061; the service is asked for its order.
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
      select new.parent, new.tenant_id, new.file_id, 'compute_poll', new.generation, new.priority, new.trace,
             jsonb_strip_nulls(jsonb_build_object('backend', compute_target(b), 'job_id', p.order_id, 'external_id',
                                                  said->>'external_id')), 5, now() + compute_poll_delay(b, 0)
        from portal_jobs p where p.job_id = new.parent;
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

-- Whether a job that failed outside goes there again: yes, while there is a service for it; else it is done here. The
-- jobs that sent it and asked for it are over with their order: they are not tried again for themselves.
create or replace function compute_retried() returns trigger language plpgsql security definer
set search_path = pg_catalog, public as $$
declare
  b compute_backends;
begin
  if new.type <> 'portal_document' then return null; end if;
  if not exists (select from portal_jobs p where p.job_id = new.id and p.order_id is not null) then return new; end if;
  update compute_orders o set external_id = p.external_id from portal_jobs p where p.job_id = new.id and o.id = p.order_id;
  if exists (select from compute_orders o where o.job_id = new.id and o.body is not null) then
    b := compute_choose(new.type);
  end if;
  update portal_jobs set backend = b.name, order_id = null, external_id = null, report = null, error_details = null
   where job_id = new.id;
  if b.name is not null then
    new.status = 'waiting';
  else
    new.payload = new.payload - 'on_child_failure';
  end if;
  return new;
end $$;

-- It goes. The setting filemill.compute_links, {job: URL}, has fresh links to the uploads; without one it is the old link.
create or replace function compute_sent_again() returns trigger language plpgsql security definer
set search_path = pg_catalog, public as $$
declare
  links jsonb := coalesce(nullif(current_setting('filemill.compute_links', true), '')::jsonb, '{}');
  b compute_backends;
  sent jsonb;
begin
  select c.* into b from compute_backends c join portal_jobs p on p.backend = c.name where p.job_id = new.id;
  select o.body || jsonb_build_object('job_id', gen_random_uuid()) into sent from compute_orders o
   where o.job_id = new.id and o.body is not null order by o.created_at desc, o.id limit 1;
  if links ? new.id::text then sent := jsonb_set(sent, '{input,artifact_url}', links->new.id::text); end if;
  delete from jobs where parent = new.id and type in ('compute_submit', 'compute_poll', 'compute_deadline');
  perform compute_send(new, b, sent);
  return null;
end $$;
drop trigger if exists trg_compute_sent_again on jobs;
create trigger trg_compute_sent_again after update of status on jobs for each row
  when (old.status = 'failed' and new.status = 'waiting' and new.type = 'portal_document')
  execute function compute_sent_again();

-- The uploads that links are needed to, should what matches be tried again (jobs_retry).
create or replace function compute_uploads(in_tenant uuid, only_job uuid, of_type text, with_error text, since timestamptz)
returns table (job uuid, file uuid, user_id uuid, key text, filename text, sealed boolean) language plpgsql stable
security definer set search_path = pg_catalog, public as $$
begin
  if not filemill_admin() and coalesce(filemill_role(in_tenant)::text, 'member') = 'member' then return; end if;
  return query
  select j.id, f.id, p.user_id, p.raw_path, p.filename, f.sealed
    from jobs j join portal_jobs p on p.job_id = j.id and p.order_id is not null join files f on f.id = j.file_id
   where j.status = 'failed' and j.type = 'portal_document' and j.generation = f.generation and f.status <> 'deleted'
     and (in_tenant is null or j.tenant_id = in_tenant) and (only_job is null or j.id = only_job)
     and (of_type is null or j.type = of_type) and (with_error is null or j.error_code = with_error)
     and (since is null or j.finished_at >= since)
   order by j.id::text limit 1000;
end $$;

-- ---- who may what ----

alter table compute_orders enable row level security;
alter table compute_orders force row level security;
do $$
declare f text;
begin
  execute 'drop policy if exists operator on compute_orders';
  execute format('create policy operator on compute_orders to %I using (true) with check (true)', current_user);
  execute 'drop policy if exists compute on compute_orders';
  execute 'create policy compute on compute_orders to filemill_definer using (true) with check (true)';
  grant select, insert, update on compute_orders to filemill_definer;
  grant create on schema public to filemill_definer;
  foreach f in array array['compute_sent_again()', 'compute_uploads(uuid, uuid, text, text, timestamptz)'] loop
    execute format('alter function %s owner to filemill_definer', f);
    execute format('revoke all on function %s from public', f);
  end loop;
  revoke create on schema public from filemill_definer;
end $$;
revoke all on function compute_choose(text), compute_send(jobs, compute_backends, jsonb) from public;
grant execute on function compute_choose(text), compute_send(jobs, compute_backends, jsonb) to filemill_definer;
grant execute on function compute_uploads(uuid, uuid, text, text, timestamptz) to filemill_gateway;
