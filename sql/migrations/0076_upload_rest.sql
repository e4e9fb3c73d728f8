-- The rest between two documents begins when the first is uploaded, not only when a list of it is ordered: whoever uploads
-- another before it is over is refused (FM011, by the guard of 0048). The document that began the rest may have its list
-- at once; that begins it anew.

create or replace function upload_rest_begin(file uuid, seconds bigint) returns void language plpgsql
set search_path = pg_catalog, public as $$
declare
  left_seconds bigint;
begin
  insert into upload_cooldowns as u (user_id, last_upload_at, cooldown_until)
  select f.owner_user_id, f.created_at, f.created_at + seconds * interval '1 s' from files f
   where f.id = file and f.owner_user_id = filemill_user()
  on conflict (user_id) do update set last_upload_at = excluded.last_upload_at, cooldown_until = excluded.cooldown_until
   where u.cooldown_until <= now();
  if found or not exists (select from files f where f.id = file) then return; end if;
  -- somebody was faster with another of the same user's
  select greatest(ceil(extract(epoch from u.cooldown_until - now())), 1)::bigint into left_seconds
    from upload_cooldowns u where u.user_id = filemill_user();
  raise exception '%', jsonb_build_object('retry_after', left_seconds) using errcode = 'FM011';
end $$;
revoke all on function upload_rest_begin(uuid, bigint) from public;
grant execute on function upload_rest_begin(uuid, bigint) to filemill_gateway;

-- As in 0048, but for the document that began the rest.
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
  select x.id, x.status::text as status, x.finalized_at, coalesce(x.detected_mime, x.mime) as mime, x.owner_user_id,
         x.created_at
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
     where u.cooldown_until <= now() or u.last_upload_at = f.created_at;
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
