-- Classification: which of its tenant's labels a document has. A request is a row here; its work is jobs like any other:
-- a `classify` job of each file waits for the jobs that make its text. inbox_jobs shows requests as the job table that
-- Filemill replaces did.

create table if not exists tenant_labels (
  tenant_id uuid primary key references tenants(id) on delete cascade,
  labels jsonb not null check (jsonb_typeof(labels) = 'array' and jsonb_array_length(labels) between 2 and 32),
  updated_at timestamptz not null default now()
);

-- Files whose label somebody told: words of their text as proto/classify.h writes them.
create table if not exists label_examples (
  tenant_id uuid not null references tenants(id) on delete cascade,
  file_id uuid not null references files(id) on delete cascade,
  label text not null check (length(label) between 1 and 64),
  words text not null check (length(words) <= 2000 and words ~ '^[A-Za-z0-9_-]*$'),
  user_id uuid not null default filemill_user(),
  created_at timestamptz not null default now(),
  primary key (tenant_id, file_id)
);
create index if not exists label_examples_newest_idx on label_examples (tenant_id, created_at desc);
create index if not exists label_examples_file_idx on label_examples (file_id);

-- What was learnt from them. Handed to each `classify` task of the tenant.
create table if not exists classifiers (
  tenant_id uuid primary key references tenants(id) on delete cascade,
  model jsonb not null check (length(model::text) < 40000), -- {labels, weights}
  examples int not null,
  correct int not null, -- of them, when each was left out in turn
  trained_at timestamptz not null default now()
);

create table if not exists classify_requests (
  id uuid primary key,
  tenant_id uuid not null references tenants(id) on delete cascade,
  user_id uuid not null default filemill_user(),
  labels jsonb not null,
  backend text not null,
  created_at timestamptz not null default now()
);
create index if not exists classify_requests_tenant_idx on classify_requests (tenant_id, created_at desc);

create table if not exists classify_files (
  request_id uuid not null references classify_requests(id) on delete cascade,
  place int not null,
  filename text not null,
  file_id uuid,  -- null: refused, and never kept
  job_id uuid,
  error text,
  primary key (request_id, place)
);
create index if not exists classify_files_job_idx on classify_files (job_id);

do $$
declare t text;
begin
  foreach t in array array['tenant_labels', 'label_examples', 'classifiers', 'classify_requests', 'classify_files'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('drop policy if exists operator on %I', t);
    execute format('create policy operator on %I to %I using (true) with check (true)', t, current_user);
  end loop;
  -- The tenant's files decide what is learnt, and who may say so.
  foreach t in array array['tenant_labels', 'label_examples', 'classifiers'] loop
    execute format('drop policy if exists member_reads on %I', t);
    execute format('create policy member_reads on %I for select to filemill_gateway'
                   ' using (filemill_role(tenant_id) is not null)', t);
  end loop;
end $$;

drop policy if exists manager_writes on tenant_labels;
create policy manager_writes on tenant_labels to filemill_gateway
  using (filemill_role(tenant_id) in ('owner', 'admin')) with check (filemill_role(tenant_id) in ('owner', 'admin'));
drop policy if exists member_writes on label_examples;
create policy member_writes on label_examples to filemill_gateway
  using (filemill_role(tenant_id) is not null)
  with check (exists (select from files f where f.id = file_id and f.tenant_id = label_examples.tenant_id
                        and filemill_role(f.tenant_id) is not null
                        and (f.owner_user_id = filemill_user() or filemill_elevated(filemill_role(f.tenant_id)))));
-- A sum over what members told; whoever may tell may have it summed.
drop policy if exists member_writes on classifiers;
create policy member_writes on classifiers to filemill_gateway
  using (filemill_role(tenant_id) is not null) with check (filemill_role(tenant_id) is not null);
drop policy if exists scheduler on classifiers;
create policy scheduler on classifiers for select to filemill_scheduler using (true);
drop policy if exists own_reads on classify_requests;
create policy own_reads on classify_requests for select to filemill_gateway
  using (filemill_role(tenant_id) is not null
         and (user_id = filemill_user() or filemill_elevated(filemill_role(tenant_id))));
drop policy if exists own_inserts on classify_requests;
create policy own_inserts on classify_requests for insert to filemill_gateway
  with check (filemill_role(tenant_id) is not null and user_id = filemill_user());
drop policy if exists own_reads on classify_files;
create policy own_reads on classify_files for select to filemill_gateway
  using (exists (select from classify_requests r where r.id = request_id));
drop policy if exists own_inserts on classify_files;
create policy own_inserts on classify_files for insert to filemill_gateway
  with check (exists (select from classify_requests r where r.id = request_id and r.user_id = filemill_user()));

grant select, insert, update, delete on tenant_labels, label_examples, classifiers to filemill_gateway;
grant select, insert on classify_requests, classify_files to filemill_gateway;
grant select on classifiers to filemill_scheduler;
-- A form that breaks off gives its uploads up at once.
grant update (upload_expires_at) on files to filemill_gateway;

-- A request with its files, in one transaction: `wanted` is [{filename, error} | {filename, file_id, media_type, etag, size,
-- jobs, followers}]. `jobs` are what jobs_enqueue takes, the first the `classify` job that waits for others of them.
-- A file that has been finalized already keeps what it has.
create or replace function classify_submit(request uuid, tenant uuid, labels jsonb, backend text, wanted jsonb, trace text)
returns bigint language plpgsql set search_path = pg_catalog, public as $$
declare
  all_jobs jsonb;
begin
  insert into classify_requests (id, tenant_id, labels, backend) values (request, tenant, labels, backend);
  insert into classify_files (request_id, place, filename, file_id, job_id, error)
  select request, n.place, n.item->>'filename', (n.item->>'file_id')::uuid, (n.item#>>'{jobs,0,id}')::uuid,
         n.item->>'error'
    from jsonb_array_elements(wanted) with ordinality as n(item, place);
  perform 1 from files f join jsonb_array_elements(wanted) i on f.id = (i->>'file_id')::uuid
    order by f.id for no key update of f;
  with u as (
    update files f set status = 'processing', finalized_at = now(), detected_mime = i->>'media_type',
           etag = i->>'etag', size_bytes = coalesce((i->>'size')::bigint, f.size_bytes), followers = i->'followers'
      from jsonb_array_elements(wanted) i where f.id = (i->>'file_id')::uuid and f.status = 'uploading'
    returning f.id, f.tenant_id, f.status
  )
  insert into file_events (tenant_id, file_id, job_id, kind, data)
  select u.tenant_id, u.id, null, 'file.status', jsonb_build_object('status', u.status) from u;
  select coalesce(jsonb_agg(j || jsonb_build_object('file_id', i->>'file_id', 'trace', trace)), '[]') into all_jobs
    from jsonb_array_elements(wanted) i, jsonb_array_elements(i->'jobs') j;
  perform from jobs_enqueue(all_jobs);
  return jsonb_array_length(all_jobs);
end $$;
revoke all on function classify_submit(uuid, uuid, jsonb, text, jsonb, text) from public;
grant execute on function classify_submit(uuid, uuid, jsonb, text, jsonb, text) to filemill_gateway;

-- One row per file of a request: what is known of it now. `done` is the share of its jobs that have ended.
create or replace view classify_results with (security_invoker = true) as
select c.request_id, c.place, c.filename, c.file_id, j.id as job_id,
       case when c.error is not null then 'failed'
            when j.id is null or j.status::text in ('failed', 'cancelled') then 'failed'
            when j.status::text = 'done' then 'completed'
            when j.status::text = 'running' or k.begun then 'processing' else 'pending' end as status,
       case when c.error is not null or j.id is null or j.status::text in ('done', 'failed', 'cancelled') then 1.0
            else coalesce(k.ended, 0)::numeric / (coalesce(k.count, 0) + 1) end as done,
       case when j.status::text = 'done' then coalesce(
              j.payload->'labels'->((j.result->'metrics'->>'label')::int)->>'name', 'unclassified') end as label,
       case when j.status::text = 'done' then (j.result->'metrics'->>'confidence')::numeric / 10000 end as confidence,
       case when j.status::text = 'done' then
         (select jsonb_object_agg(l.label->>'name', (j.result->'metrics'->>('score_' || (l.place - 1)))::numeric / 10000)
            from jsonb_array_elements(j.payload->'labels') with ordinality as l(label, place)
           where j.result->'metrics' ? ('score_' || (l.place - 1))) end as scores,
       coalesce(c.error, case when j.id is null then 'forgotten' when j.status::text = 'cancelled' then 'cancelled'
                              -- the text could not be made: its own reason says more than child_failed
                              when j.status::text = 'failed' then coalesce(k.bad, j.error_code, 'failed') end) as error,
       greatest(j.updated_at, k.updated_at) as updated_at, j.finished_at
  from classify_files c
  left join jobs j on j.id = c.job_id
  left join lateral (select count(*) as count, count(*) filter (where x.status::text in ('done', 'failed', 'cancelled'))
                       as ended, bool_or(x.status::text in ('running', 'done', 'failed', 'retry', 'waiting')) as begun,
                       max(x.updated_at) as updated_at,
                       min(x.error_code) filter (where x.status::text = 'failed') as bad
                       from jobs x where x.parent = c.job_id) k on true;

create or replace view inbox_jobs with (security_invoker = true) as
select r.id, r.tenant_id, r.user_id, 'classify'::text as endpoint_type,
       case when s.open = 0 then (case when s.completed > 0 then 'completed' else 'failed' end)
            when s.begun > 0 then 'processing' else 'pending' end as status,
       floor(100 * s.done)::int as progress, s.total_files, s.processed_files,
       jsonb_build_object('results', s.results) as result,
       case when s.open = 0 and s.completed = 0 then coalesce(s.error, 'failed') end as error,
       r.backend, r.created_at, greatest(r.created_at, s.updated_at) as updated_at,
       case when s.open = 0 then coalesce(s.finished_at, r.created_at) end as completed_at
  from classify_requests r
  join lateral (
    select count(*)::int as total_files, count(*) filter (where c.status in ('completed', 'failed'))::int as processed_files,
           count(*) filter (where c.status in ('pending', 'processing')) as open,
           count(*) filter (where c.status <> 'pending') as begun,
           count(*) filter (where c.status = 'completed') as completed, coalesce(avg(c.done), 1) as done,
           min(c.error) as error, max(c.updated_at) as updated_at, max(c.finished_at) as finished_at,
           coalesce(jsonb_agg(jsonb_build_object('file_id', c.file_id, 'filename', c.filename, 'status', c.status,
             'label', c.label, 'confidence', c.confidence, 'scores', c.scores, 'backend', r.backend, 'error', c.error)
             order by c.place), '[]') as results
      from classify_results c where c.request_id = r.id) s on true;
grant select on classify_results, inbox_jobs to filemill_gateway;

-- What a job's input is instead of the file: payload.inputs names kinds of derivatives, and the largest of those that the
-- file has is taken; the key is empty where there is none. With payload.labels, the tenant's model joins the parameters.
create or replace function job_derived(tenant uuid, file uuid, payload jsonb)
returns table (key text, size_bytes bigint, mime text, sha256 text, more jsonb) language sql stable
set search_path = pg_catalog, public as $$
  select coalesce(d.r2_key, ''), coalesce(d.size_bytes, 0), coalesce(d.mime, 'text/plain'), d.sha256,
         case when payload ? 'labels' and payload->>'backend' = 'embedded' then
           (select jsonb_build_object('model', c.model) from classifiers c where c.tenant_id = tenant) end
    from (values (1)) one
    left join (select x.r2_key, x.size_bytes, x.mime, x.sha256 from file_derivatives x
                where x.file_id = file and payload->'inputs' ? x.kind order by x.size_bytes desc, x.kind limit 1) d on true
$$;
revoke all on function job_derived(uuid, uuid, jsonb) from public;
grant execute on function job_derived(uuid, uuid, jsonb) to filemill_scheduler;
