-- Retention classes: files of a class are of these types, at most so large, and gone after so long. What keeps a class
-- is a function below, called by a schedule; operators may change a class's numbers, or add classes.

create table if not exists retention_classes (
  name text primary key check (name ~ '^[a-z][a-z0-9]*-[a-z0-9-]*$' and length(name) <= 63),
  max_bytes bigint not null check (max_bytes > 0),
  media_types text[] not null check (cardinality(media_types) > 0),
  keep interval not null check (keep > interval '0'), -- after it an object is gone
  prefix text not null generated always as (name) stored -- of its keys: <prefix>/<user>/<id>.<extension>
);
insert into retention_classes (name, max_bytes, media_types, keep) values
  ('document-uploads', 52428800, array['application/pdf', 'text/plain',
     'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
     'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet'],
   '24 hours'),
  ('wordlist-exports', 10485760, array['text/csv',
     'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet'],
   '1 hour')
on conflict (name) do nothing;

alter table files add column if not exists retention_class text references retention_classes(name);
create index if not exists files_retention_idx on files (retention_class, created_at)
  where retention_class is not null and status <> 'deleted';

-- Why an upload does not fit its class: 'class', 'size' (with the limit) or 'type'; null when it fits. A class
-- without uploads of its own (exports are made here) takes none.
create or replace function retention_refusal(class text, mime text, size_bytes bigint) returns jsonb language sql stable
set search_path = pg_catalog, public as $$
  select case when c.name is null or c.name = 'wordlist-exports' then jsonb_build_object('reason', 'class')
              when $3 > c.max_bytes then jsonb_build_object('reason', 'size', 'max_bytes', c.max_bytes)
              when lower(split_part($2, ';', 1)) <> all (c.media_types)
                then jsonb_build_object('reason', 'type') end
    from (select 1) one left join retention_classes c on c.name = $1
$$;

-- Whoever inserts a file of a class is held to it, whichever way it comes.
create or replace function files_retention_guard() returns trigger language plpgsql
set search_path = pg_catalog, public as $$
declare
  refusal jsonb;
  left_seconds bigint;
begin
  -- the row under which a list's exports are made
  if new.retention_class = 'wordlist-exports' and new.mime = 'application/vnd.filemill.wordlist' and new.size_bytes = 0 then
    return new;
  end if;
  select ceil(extract(epoch from u.cooldown_until - now()))::bigint into left_seconds from upload_cooldowns u
   where u.user_id = new.owner_user_id and u.cooldown_until > now() and new.retention_class = 'document-uploads';
  if found then
    raise exception '%', jsonb_build_object('retry_after', left_seconds) using errcode = 'FM011';
  end if;
  refusal := retention_refusal(new.retention_class, new.mime, new.size_bytes);
  if refusal is not null then
    raise exception '%', refusal using errcode = 'FM010';
  end if;
  return new;
end $$;
drop trigger if exists trg_files_retention_guard on files;
create trigger trg_files_retention_guard before insert on files for each row
  when (new.retention_class is not null) execute function files_retention_guard();

-- ---- word lists ----

-- A list is kept when its document is gone: "wordlist only". Its id is a file's too (a row without bytes), under which
-- its exports are made and found.
create or replace function wordlist_pairs_fit(pairs jsonb) returns boolean language sql immutable
set search_path = pg_catalog, public as $$
  select case when jsonb_typeof(pairs) <> 'array' then false
              else jsonb_array_length(pairs) <= 40 and octet_length(pairs::text) <= 14000 and not exists (
    select from jsonb_array_elements(pairs) p
     where jsonb_typeof(p) is distinct from 'object' or jsonb_typeof(p->'source') is distinct from 'string'
        or jsonb_typeof(p->'target') is distinct from 'string' or length(p->>'source') not between 1 and 100
        or length(p->>'target') > 200 or p - array['source', 'target', 'count', 'confidence'] <> '{}') end
$$;
create table if not exists wordlists (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null,
  tenant_id uuid not null references tenants(id) on delete cascade,
  job_id uuid,                     -- where it comes from: outlives the job's row
  file_id uuid not null unique references files(id) on delete cascade,
  name text not null check (length(name) between 1 and 200),
  source_language text not null check (source_language ~ '^[a-z]{2,3}$'),
  target_language text not null check (target_language ~ '^[a-z]{2,3}$'),
  word_pairs jsonb not null default '[]' check (wordlist_pairs_fit(word_pairs)),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check (id = file_id)
);
create index if not exists idx_wordlists_user on wordlists (user_id, created_at desc, id desc);
drop trigger if exists trg_wordlists_updated_at on wordlists;
create trigger trg_wordlists_updated_at before update on wordlists for each row execute function set_updated_at();

-- One row per call of a model. Prices are per million tokens; a model without a row costs nothing that is known.
create table if not exists llm_prices (
  model text primary key,
  prompt_per_million numeric not null check (prompt_per_million >= 0),
  completion_per_million numeric not null check (completion_per_million >= 0)
);
create table if not exists llm_metrics (
  id uuid primary key default gen_random_uuid(),
  job_id uuid references jobs(id) on delete cascade,
  user_id uuid,
  agent_type text not null check (length(agent_type) between 1 and 63),
  model text,
  prompt_tokens int not null check (prompt_tokens >= 0),
  completion_tokens int not null check (completion_tokens >= 0),
  total_tokens int not null check (total_tokens >= 0),
  latency_ms int not null check (latency_ms >= 0),
  confidence numeric check (confidence between 0 and 1),
  cost numeric check (cost >= 0),
  created_at timestamptz not null default now()
);
create index if not exists idx_llm_metrics_job on llm_metrics (job_id);
create index if not exists idx_llm_metrics_created on llm_metrics (created_at);

create table if not exists upload_cooldowns (
  user_id uuid primary key,
  last_upload_at timestamptz not null default now(),
  cooldown_until timestamptz not null
);
create index if not exists idx_upload_cooldowns_until on upload_cooldowns (cooldown_until);

-- What a done job says of the calls that it made becomes a row; a job that nobody asked a model for says nothing.
create or replace function llm_metrics_note() returns trigger language plpgsql security definer
set search_path = pg_catalog, public as $$
begin
  insert into llm_metrics (job_id, user_id, agent_type, model, prompt_tokens, completion_tokens, total_tokens, latency_ms,
                           confidence, cost)
  select new.id, new.user_id, new.type, p.model, s.prompt, s.completion, s.total, s.latency, s.confidence,
         round((s.prompt * p.prompt_per_million + s.completion * p.completion_per_million) / 1000000, 8)
    from (select coalesce((m->>'llm_prompt_tokens')::int, 0) as prompt,
                 coalesce((m->>'llm_completion_tokens')::int, 0) as completion,
                 coalesce((m->>'llm_total_tokens')::int, 0) as total,
                 coalesce((new.result->>'parse_ms')::int, 0) as latency,
                 least((m->>'llm_confidence_percent')::numeric / 100, 1) as confidence
            from (select new.result->'metrics' as m) r) s
    left join lateral (select * from llm_prices q order by q.model limit 1) p on true;
  return null;
end $$;
drop trigger if exists trg_llm_metrics_note on jobs;
create trigger trg_llm_metrics_note after update on jobs for each row
  when (old.status = 'running' and new.status = 'done' and new.result->'metrics' ? 'llm_calls')
  execute function llm_metrics_note();

-- ---- the document's queue: a view of the one there is ----

-- A job that waits for the text is being cleaned; its place is that of the job that it waits for.
create or replace function wordlist_stage(status job_status_t, done bigint) returns text language sql immutable
return case when status in ('done', 'failed', 'cancelled') then null when status <> 'running' or done < 20 then 'cleaning'
            when done < 60 then 'extracting' else 'translating' end;
create or replace view wordlist_jobs with (security_invoker = true) as
select j.id, j.user_id, j.tenant_id, j.file_id,
       case when j.status in ('queued', 'retry') then 'queued'
            when j.status = 'waiting' then case when exists (select from jobs c where c.parent = j.id and
                                                             c.status = 'running') then 'processing' else 'queued' end
            when j.status = 'running' then 'processing' when j.status = 'done' then 'completed'
            when j.status = 'cancelled' then 'cancelled' else 'failed' end as status,
       case when j.status = 'done' then 100 when j.status = 'running' then least(j.progress_done, 99) else 0 end as progress,
       case when j.status in ('queued', 'retry') then job_queue_position(j.id)
            when j.status = 'waiting' then (select min(job_queue_position(c.id)) from jobs c
                                             where c.parent = j.id and c.status in ('queued', 'retry')) end as queue_position,
       j.attempts as retry_count, wordlist_stage(j.status, j.progress_done) as stage,
       j.payload->>'source_language' as source_language, j.payload->>'target_language' as target_language,
       case when j.status = 'failed' then j.error_code end as error_code,
       case when j.status = 'failed' then j.error_detail end as error_message,
       j.created_at, j.started_at, j.finished_at as completed_at, j.updated_at
  from jobs j where j.type = 'wordlist' and (current_user <> 'filemill_gateway' or j.user_id = filemill_user());
create index if not exists jobs_wordlist_idx on jobs (user_id, created_at desc) where type = 'wordlist';

-- How many word lists are being made now.
create or replace function get_active_job_count() returns int language sql stable
set search_path = pg_catalog, public as $$
  select count(*)::int from jobs where status = 'running' and type = 'wordlist'
$$;

-- ---- what comes round ----

-- Uploads over their time are deleted, with everything that was made of them; those that a job works on as well: the
-- promise is to the user. Objects go to deletion at once.
create or replace function retention_sweep(class text) returns int language plpgsql
set search_path = pg_catalog, public as $$
declare
  ids uuid[];
begin
  select array_agg(p.id) into ids from (
    select f.id from files f join retention_classes c on c.name = f.retention_class
     where f.retention_class = class and f.status <> 'deleted' and f.created_at < now() - c.keep
     order by f.created_at, f.id limit 1000 for update of f skip locked) p;
  if ids is null then return 0; end if;
  update jobs j set status = 'cancelled', lease_epoch = j.lease_epoch + 1, finished_at = now(), locked_at = null,
         locked_by = null, lease_until = null, error_code = 'file_deleted'
    where j.file_id = any (ids) and j.status::text in ('queued', 'retry', 'running', 'waiting');
  insert into object_deletions (key, run_after)
  -- an upload's link may still be good: what it puts after this goes as well
  select f.r2_key_original, greatest(now(), coalesce(f.upload_expires_at, now())) from files f where f.id = any (ids)
  union all select d.r2_key, now() from file_derivatives d where d.file_id = any (ids)
  union all select a.r2_key, now() from document_artifacts a where a.file_id = any (ids)
  on conflict (key) do nothing;
  update files f set status = 'deleted', deleted_at = now(), purged_at = now() where f.id = any (ids);
  insert into file_events (tenant_id, file_id, kind, data)
  select tenant_id, id, 'file.status', '{"status": "deleted"}' from files where id = any (ids) order by id;
  return cardinality(ids);
end $$;

-- All classes but the exports', which are no files of their own.
create or replace function cleanup_old_uploads() returns void language sql
set search_path = pg_catalog, public as $$
  select count(retention_sweep(name)) from retention_classes where name <> 'wordlist-exports'
$$;
-- Exports are artifacts of lists that stay.
create or replace function cleanup_old_exports() returns void language sql
set search_path = pg_catalog, public as $$
  with gone as (
    delete from document_artifacts a using (
      select x.job_id, x.kind from document_artifacts x join files f on f.id = x.file_id and f.retention_class = 'wordlist-exports'
       where x.created_at < now() - (select c.keep from retention_classes c where c.name = 'wordlist-exports')
       order by x.created_at limit 1000) o
     where a.job_id = o.job_id and a.kind = o.kind returning a.r2_key)
  insert into object_deletions (key) select r2_key from gone on conflict (key) do nothing
$$;
create or replace function cleanup_expired_cooldowns() returns void language sql
set search_path = pg_catalog, public as $$
  delete from upload_cooldowns where cooldown_until < now()
$$;
insert into schedules (name, every, function) values
  ('cleanup-uploads', '1 hour', 'cleanup_old_uploads'), ('cleanup-exports', '15 minutes', 'cleanup_old_exports'),
  ('cleanup-cooldowns', '1 hour', 'cleanup_expired_cooldowns')
on conflict do nothing;

-- ---- monitoring: the document's four queries ----

create or replace view wordlist_queue_health with (security_invoker = true) as
select count(*) filter (where status = 'queued') as queued, count(*) filter (where status = 'processing') as processing,
       count(*) filter (where status = 'failed') as failed
  from (select case when j.status in ('queued', 'retry', 'waiting') then 'queued' when j.status = 'running' then 'processing'
                    else j.status::text end as status, j.created_at from jobs j where j.type = 'wordlist') s
 where created_at > now() - interval '1 hour';
create or replace view wordlist_storage_usage with (security_invoker = true) as
select c.name as bucket_id, count(o.bytes) as file_count, (coalesce(sum(o.bytes), 0) / 1024 / 1024)::bigint as total_mb,
       coalesce(sum(o.bytes), 0)::bigint as total_bytes
  from retention_classes c left join lateral (
    select f.size_bytes as bytes from files f
     where f.retention_class = c.name and f.status in ('ready', 'processing', 'failed') and f.size_bytes > 0
    union all
    select a.size_bytes from document_artifacts a join files f on f.id = a.file_id where f.retention_class = c.name) o on true
 group by c.name;
create or replace view wordlist_llm_costs with (security_invoker = true) as
select agent_type, count(*) as calls, sum(total_tokens) as total_tokens, round(avg(latency_ms), 1) as avg_latency_ms,
       round(avg(confidence), 3) as avg_confidence, sum(cost) as cost
  from llm_metrics where created_at > now() - interval '24 hours' group by agent_type;
create or replace view wordlist_user_activity with (security_invoker = true) as
select created_at::date as date, count(distinct user_id) as active_users, count(*) as total_uploads
  from jobs where type = 'wordlist' and created_at > now() - interval '7 days' group by created_at::date;

create or replace function admin_wordlist_metrics() returns jsonb language plpgsql stable security definer
set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  return jsonb_build_object('active_jobs', get_active_job_count(),
    'queue', (select to_jsonb(q) from wordlist_queue_health q),
    'storage', (select coalesce(jsonb_agg(s order by s.bucket_id), '[]') from wordlist_storage_usage s),
    'llm', (select coalesce(jsonb_agg(l order by l.agent_type), '[]') from wordlist_llm_costs l),
    'activity', (select coalesce(jsonb_agg(a order by a.date desc), '[]') from wordlist_user_activity a));
end $$;

-- ---- orders ----

-- A list of a document of the caller's own: {job, position} or {error, retry_after}. The text comes first: from what the
-- file has already, else by a job that this one waits for.
create or replace function wordlist_submit(file uuid, source_language text, target_language text, options jsonb,
                                           cooldown_seconds bigint, trace text) returns jsonb language plpgsql
set search_path = pg_catalog, public as $$
declare
  f record;
  left_seconds bigint;
  job uuid := gen_random_uuid();
  extractor text;
  has_text boolean;
  wanted jsonb;
begin
  select x.id, x.status::text as status, x.finalized_at, coalesce(x.detected_mime, x.mime) as mime, x.owner_user_id
    into f from files x where x.id = file for update;
  if f.id is null or f.status = 'deleted' or f.owner_user_id is distinct from filemill_user() then
    return jsonb_build_object('error', 'not_found');
  end if;
  if f.finalized_at is null then return jsonb_build_object('error', 'not_finalized'); end if;
  extractor := case when f.mime = 'application/pdf' then 'extract_pdf'
                    when f.mime in ('text/plain', 'text/markdown', 'text/csv', 'application/rtf') or
                         f.mime like 'application/vnd.openxmlformats-officedocument.%' or
                         f.mime like 'application/vnd.oasis.opendocument.%' then 'extract_office' end;
  if extractor is null then return jsonb_build_object('error', 'type'); end if;
  perform wordlist_limit_ensure(); -- 0049
  if cooldown_seconds > 0 then
    insert into upload_cooldowns as u (user_id, cooldown_until)
    values (filemill_user(), now() + cooldown_seconds * interval '1 s')
    on conflict (user_id) do update set last_upload_at = now(), cooldown_until = excluded.cooldown_until
     where u.cooldown_until <= now();
    if not found then
      select ceil(extract(epoch from u.cooldown_until - now()))::bigint into left_seconds
        from upload_cooldowns u where u.user_id = filemill_user();
      return jsonb_build_object('error', 'cooldown', 'retry_after', greatest(left_seconds, 1));
    end if;
  end if;
  has_text := exists (select from file_derivatives d where d.file_id = file and
                        d.kind in ('pdf_text', 'ocr_text', 'office_text'));
  wanted := jsonb_build_array(jsonb_build_object('id', job, 'file_id', file, 'type', 'wordlist', 'trace', trace,
    'status', case when has_text then 'queued' else 'waiting' end,
    'payload', options || jsonb_build_object('source_language', source_language, 'target_language', target_language,
                                             'inputs', jsonb_build_array('pdf_text', 'ocr_text', 'office_text'),
                                             'on_child_failure', 'fail')));
  if not has_text then
    wanted := wanted || jsonb_build_array(jsonb_build_object('file_id', file, 'type', extractor, 'parent', job,
                                                             'trace', trace));
  end if;
  perform from jobs_enqueue(wanted);
  return jsonb_build_object('job', job, 'position', (select w.queue_position from wordlist_jobs w where w.id = job));
end $$;

-- A list, and the file row that its exports go under. {id} or {error}.
create or replace function wordlist_add(tenant uuid, of_job uuid, list_name text, source text, target text, pairs jsonb)
returns uuid language plpgsql set search_path = pg_catalog, public as $$
declare
  id uuid := gen_random_uuid();
begin
  insert into files (id, tenant_id, owner_user_id, visibility, r2_key_original, mime, size_bytes, filename, status,
                     retention_class)
  values (id, tenant, filemill_user(), 'private', 'wordlist:' || id, 'application/vnd.filemill.wordlist', 0,
          left(list_name, 200), 'ready', 'wordlist-exports');
  insert into wordlists (id, user_id, tenant_id, job_id, file_id, name, source_language, target_language, word_pairs)
  values (id, filemill_user(), tenant, of_job, id, list_name, source, target, pairs);
  return id;
end $$;

-- A job that makes a file of a list of the caller's own; null where there is no such list. The first export of a list has
-- the plain key, later ones a key of their lease (storage/keys.h).
create or replace function wordlist_export(list uuid, export_format text, trace text) returns uuid language plpgsql
set search_path = pg_catalog, public as $$
declare
  job uuid := gen_random_uuid();
  w record;
begin
  select x.name, x.source_language, x.target_language, x.word_pairs into w from wordlists x where x.id = list;
  if not found then return null; end if;
  perform from jobs_enqueue(jsonb_build_array(jsonb_build_object('id', job, 'file_id', list, 'type', 'wordlist_export',
    'priority', 0, 'trace', trace, 'payload', jsonb_build_object('format', export_format, 'name', w.name,
    'source_language', w.source_language, 'target_language', w.target_language, 'word_pairs', w.word_pairs,
    'inputs', '[]'::jsonb, 'on_child_failure', 'fail'))));
  update files set finalized_at = now() where id = list and finalized_at is null;
  return job;
end $$;

-- ---- who may what ----

do $$
declare t text;
begin
  foreach t in array array['retention_classes', 'wordlists', 'llm_metrics', 'llm_prices', 'upload_cooldowns'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('drop policy if exists operator on %I', t);
    execute format('create policy operator on %I to %I using (true) with check (true)', t, current_user);
    execute format('drop policy if exists scheduler on %I', t);
    execute format('create policy scheduler on %I to filemill_scheduler using (true) with check (true)', t);
    execute format('drop policy if exists definer on %I', t);
    execute format('create policy definer on %I to filemill_definer using (true) with check (true)', t);
    execute format('revoke all on %I from public', t);
  end loop;
end $$;
drop policy if exists everyone_reads on retention_classes;
create policy everyone_reads on retention_classes for select to filemill_gateway using (true);
drop policy if exists user_own on wordlists;
create policy user_own on wordlists to filemill_gateway
  using (user_id = filemill_user()) with check (user_id = filemill_user() and filemill_role(tenant_id) is not null);
drop policy if exists user_own on upload_cooldowns;
create policy user_own on upload_cooldowns to filemill_gateway
  using (user_id = filemill_user()) with check (user_id = filemill_user());
drop policy if exists definer_artifacts on document_artifacts;
create policy definer_artifacts on document_artifacts for select to filemill_definer using (true);

grant select on retention_classes to filemill_gateway, filemill_scheduler, filemill_definer;
grant select, insert, update, delete on wordlists to filemill_gateway;
grant select, insert, update on upload_cooldowns to filemill_gateway;
grant select, delete on upload_cooldowns to filemill_scheduler;
grant select on wordlists to filemill_scheduler;
grant select, insert on llm_metrics to filemill_definer;
grant select on llm_prices, document_artifacts to filemill_definer;
grant select on wordlist_jobs to filemill_gateway;
grant select on wordlist_queue_health, wordlist_storage_usage, wordlist_llm_costs, wordlist_user_activity
  to filemill_definer;
grant create on schema public to filemill_definer;
alter function admin_wordlist_metrics() owner to filemill_definer;
alter function llm_metrics_note() owner to filemill_definer;
revoke create on schema public from filemill_definer;
revoke all on function admin_wordlist_metrics(), llm_metrics_note(), retention_sweep(text), cleanup_old_uploads(),
  cleanup_old_exports(), cleanup_expired_cooldowns() from public;
grant execute on function admin_wordlist_metrics() to filemill_gateway;
grant execute on function retention_sweep(text), cleanup_old_uploads(), cleanup_old_exports(),
  cleanup_expired_cooldowns() to filemill_scheduler;
grant select on files, jobs to filemill_definer;
