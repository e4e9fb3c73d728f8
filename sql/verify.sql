-- Does this database have the schema that Filemill needs, and only the rights it should? One row per check: name,
-- passed, detail (what is missing or too much). Run by `filemill migrate --verify`, or by psql as it is.
with
wanted_columns(tab, columns) as (values
  ('tenants', '{id,name,created_at}'::text[]),
  ('tenant_members', '{tenant_id,user_id,role,created_at}'),
  ('files', '{id,tenant_id,owner_user_id,visibility,r2_key_original,mime,size_bytes,sha256,status,created_at,
              updated_at,filename,detected_mime,etag,generation,upload_expires_at,finalized_at,deleted_at,purged_at,
              followers,extension,sealed,retention_class,store_upload}'),
  ('file_derivatives', '{id,file_id,kind,r2_key,mime,size_bytes,created_at,job_id,sha256,metadata,updated_at}'),
  ('jobs', '{id,tenant_id,file_id,type,status,attempts,run_after,locked_at,locked_by,payload,result,created_at,
             updated_at,generation,priority,max_attempts,lease_epoch,lease_until,crashes,error_code,error_detail,
             stage,progress_done,progress_total,trace,started_at,finished_at,parent,recipe,user_id,unique_key,ordered}'),
  ('job_parts', '{key,parent,job,size_bytes,sha256,created_at}'),
  ('file_events', '{id,tenant_id,file_id,job_id,kind,data,created_at}'),
  ('object_deletions', '{key,run_after,attempts,created_at}'),
  ('quarantine', '{tenant_id,sha256,type,crashes,reason,updated_at}'),
  ('paused_types', '{type,paused_at}'),
  ('paused_tenants', '{tenant_id,paused_at}'),
  ('job_limits', '{name,type,tenant_id,user_id,per_type,per_tenant,per_user,max_running,max_per_minute,updated_at}'),
  ('priority_bounds', '{tenant_id,first_priority}'),
  ('job_starts', '{limit_name,type,tenant_id,user_id,jobs,at}'),
  ('tenant_usage', '{tenant_id,cpu_ms,updated_at}'),
  ('idempotency_keys', '{user_id,key,request_hash,status,body,created_at}'),
  ('tenant_plans', '{tenant_id,media_type,jobs,updated_at}'),
  ('webhook_endpoints', '{id,tenant_id,url,description,event_types,concurrency,enabled,disabled_reason,secret,
                          previous_secret,previous_secret_until,failures,failing_since,resume_at,last_success_at,
                          last_failure_at,created_at,updated_at}'),
  ('webhook_deliveries', '{id,tenant_id,endpoint_id,type,sequence,payload,state,attempts,epoch,next_at,lease_until,
                           locked_by,status,error,latency_ms,excerpt,history,created_at,finished_at}'),
  ('portal_schemas', '{id,tenant_id,name,version,schema_definition,created_by,created_at,active}'),
  ('portal_jobs', '{job_id,user_id,tenant_id,file_id,schema_id,schema_name,schema_version,schema_definition,filename,
                    raw_path,error_details,created_at,backend,external_id,report,order_id}'),
  ('compute_orders', '{id,job_id,backend,external_id,body,created_at}'),
  ('compute_backends', '{name,type,enabled,secret_sha256,deadline_ms,created_at,url,share,poll_ms,poll_max_ms,updated_at}'),
  ('document_artifacts', '{job_id,kind,file_id,r2_key,mime,size_bytes,sha256,metadata,created_at}'),
  ('documents', '{id,job_id,user_id,tenant_id,file_id,schema_id,schema_name,schema_version,schema_definition,
                  master_path,created_at}'),
  ('portal_error_codes', '{code,stage,retryable,description}'),
  ('portal_error_causes', '{cause,code}'),
  ('user_credits', '{user_id,balance,reserved,used,granted,updated_at}'),
  ('credit_ledger', '{id,user_id,job_id,kind,balance_change,reserved_change,used_change,note,created_at}'),
  ('retention_periods', '{name,keep}'),
  ('credit_reservations', '{job_id,user_id,amount,created_at}'),
  ('job_prices', '{type,base,per_cpu_second,reserve}'),
  ('credit_admins', '{user_id}'),
  ('cpu_usage', '{job_id,epoch,stage,tenant_id,user_id,type,outcome,cpu_ms,wall_ms,created_at}'),
  ('metrics', '{id,created_at,tenant_id,job_id,type,status,attempts,waited_ms,ran_ms,cpu_ms,peak_rss_bytes,input_bytes,
                pages,error_code}'),
  ('service_admins', '{user_id}'),
  ('object_keys', '{key,file_id,seal,stored_bytes,stored_sha256,by_client,created_at,wrapped_at}'),
  ('schedules', '{name,every,function,job,enabled,next_run,last_run,last_ms,last_result,failures,
                 cron,time_zone}'),
  ('tenant_labels', '{tenant_id,labels,updated_at}'),
  ('label_examples', '{tenant_id,file_id,label,words,user_id,created_at}'),
  ('classifiers', '{tenant_id,model,examples,correct,trained_at}'),
  ('classify_requests', '{id,tenant_id,user_id,labels,backend,created_at}'),
  ('classify_files', '{request_id,place,filename,file_id,job_id,error}'),
  ('retention_classes', '{name,max_bytes,media_types,keep,prefix}'),
  ('wordlists', '{id,user_id,tenant_id,job_id,file_id,name,source_language,target_language,word_pairs,created_at,
                  updated_at}'),
  ('llm_metrics', '{id,job_id,user_id,agent_type,model,prompt_tokens,completion_tokens,total_tokens,latency_ms,
                    confidence,cost,created_at,error_code,epoch,call}'),
  ('llm_prices', '{model,prompt_per_million,completion_per_million,valid_from}'),
  ('upload_cooldowns', '{user_id,last_upload_at,cooldown_until}'),
  ('publish_assets', '{file_id,asset_group_id,variant,created_at}'),
  ('schema_migrations', '{version,name,checksum,applied_at}')),
wanted_enums(name, labels) as (values
  ('visibility_t', '{public,private,internal}'::text[]),
  ('file_status_t', '{uploading,ready,processing,failed,deleted}'),
  ('member_role_t', '{owner,admin,member,internal}'),
  ('job_status_t', '{queued,running,done,failed,retry,waiting,cancelled}')),
wanted_indexes(name, definition) as (values
  ('jobs_pick_idx', '%(priority, run_after, id)%queued%retry%'),
  ('jobs_lane_idx', '%(tenant_id, type, priority, COALESCE(user_id%run_after, id)%queued%retry%'),
  ('priority_bounds_tenant_key', 'CREATE UNIQUE%COALESCE(tenant_id%'),
  ('job_starts_idx', '%(limit_name, at)%'),
  ('jobs_running_idx', '%(lease_until)%running%'),
  ('jobs_finished_idx', '%(finished_at)%done%failed%cancelled%'),
  ('jobs_file_idx', '%(file_id)%'),
  ('jobs_recipe_idx', '%(tenant_id, recipe)%'),
  ('jobs_unique_key', '%(tenant_id, type, unique_key)%unique_key IS NOT NULL%'),
  ('jobs_parent_idx', '%(parent)%parent IS NOT NULL%'),
  ('jobs_waiting_idx', '%(id)%waiting%'),
  ('object_keys_file_idx', '%(file_id)%'),
  ('credit_ledger_created_idx', '%(created_at)%opening%'),
  ('job_parts_parent_idx', '%(parent)%'),
  ('compute_orders_job_idx', '%(job_id)%'),
  ('files_uploading_idx', '%(upload_expires_at)%uploading%'),
  ('files_purged_idx', '%(purged_at)%'),
  ('files_deleted_idx', '%(deleted_at)%purged_at IS NULL%'),
  ('files_list_idx', '%(tenant_id, created_at DESC, id DESC)%'),
  ('file_derivatives_kind_key', 'CREATE UNIQUE%(file_id, kind)%'),
  ('file_events_file_idx', '%(file_id, id)%'),
  ('webhook_endpoints_enabled_idx', '%(tenant_id)%enabled%'),
  ('webhook_deliveries_due_idx', '%(endpoint_id, next_at, sequence)%pending%'),
  ('webhook_deliveries_sending_idx', '%(endpoint_id)%sending%'),
  ('object_deletions_due_idx', '%(run_after)%'),
  ('portal_schemas_version_key', 'CREATE UNIQUE%portal_slug(name), version)%'),
  ('portal_jobs_user_idx', '%(user_id, created_at DESC, job_id DESC)%'),
  ('files_retention_idx', '%(retention_class, created_at)%'),
  ('idx_wordlists_user', '%(user_id, created_at DESC, id DESC)%'),
  ('idx_llm_metrics_job', '%(job_id)%'),
  ('llm_metrics_call_idx', 'CREATE UNIQUE%(job_id, epoch, call)%'),
  ('idx_upload_cooldowns_until', '%(cooldown_until)%'),
  ('jobs_wordlist_idx', '%(user_id, created_at DESC)%wordlist%'),
  ('documents_user_idx', '%(user_id, created_at DESC, id DESC)%')),
wanted_functions(name, definer) as (values
  ('jobs_enqueue', false), ('job_enqueue', false), ('job_queue_position', true), ('jobs_search', false),
  ('jobs_retry', false), ('jobs_cancel', false), ('filemill_admin', true), ('filemill_admin_check', false),
  ('admin_jobs', true), ('admin_retry', true), ('admin_cancel', true), ('admin_queue', true), ('admin_pause', true),
  ('admin_schedules', true), ('wordlist_limit_ensure', true), ('admin_limits', true), ('admin_limit_set', true), ('admin_limit_drop', true),
  ('admin_prices', true), ('admin_price_set', true), ('admin_price_drop', true),
  ('admin_pause_tenant', true), ('admin_schedule', true), ('schedules_run', false), ('service_admins_set', false),
  ('cron_field', false), ('cron_fields', false), ('cron_instant', false), ('cron_next', false), ('schedules_guard', false),
  ('admin_schedule_time', true), ('admin_schedule_put', true), ('admin_schedule_drop', true),
  ('priority_first', true), ('jobs_priority_bound', false), ('priority_bound_set', false), ('admin_priority_set', true),
  ('admin_priorities', true), ('jobs_stop', false), ('jobs_lock_files', false), ('orders_files', false),
  ('jobs_order', false), ('jobs_ordered', false), ('admin_orders_files', true), ('admin_order', true),
  ('jobs_running', false), ('job_room', false), ('jobs_admit', false), ('limits_set', false), ('limits_drop', false),
  ('tenant_pause', false), ('tenant_resume', false),
  ('retention_refusal', false), ('files_retention_guard', false), ('wordlist_pairs_fit', false),
  ('wordlist_stage', false), ('get_active_job_count', false), ('retention_sweep', false),
  ('cleanup_old_uploads', false), ('cleanup_old_exports', false), ('cleanup_expired_cooldowns', false),
  ('admin_wordlist_metrics', true), ('wordlist_submit', false), ('wordlist_order', false), ('upload_rest_begin', false), ('wordlist_add', false), ('wordlist_export', false),
  ('files_refresh', false), ('parents_wake', false), ('parents_wake_left', false), ('filemill_user', false), ('filemill_role', true), ('filemill_elevated', false),
  ('file_readable', false), ('tenant_bootstrap', true), ('idempotency_expire', true),
  ('job_queue_position', true), ('credits_reserve', true), ('credits_settle', true), ('credits_on_insert', true), ('credits_on_update', true),
  ('credits_on_delete', true), ('credit_grant', true), ('credit_account', true), ('credit_ledger_fold', true), ('cpu_usage_expire', true), ('credits_switch', false), ('credits_is_open', false),
  ('webhook_emit', true), ('webhooks_note', true), ('webhook_endpoints_gone', true), ('webhook_endpoints_rotate', false),
  ('events_newest', true), ('tenant_members_guard', false), ('filemill_time', false),
  ('compute_route', true), ('compute_report', true), ('compute_settle', true),
  ('compute_rest', true), ('compute_retried', true), ('compute_went_on', true), ('compute_answer', true), ('compute_target', false),
  ('compute_poll_delay', false),
  ('compute_choose', false), ('compute_send', false), ('compute_sent_again', true), ('compute_uploads', true), ('admin_compute_backends', true), ('admin_compute_backend_set', true),
  ('portal_slug', false), ('portal_schemas_guard', false), ('document_of_master', false), ('portal_error', false),
  ('portal_schema_json', false), ('admin_portal_schemas', true), ('admin_portal_schema_add', true),
  ('admin_portal_schema_offer', true),
  ('portal_state', false), ('classify_submit', false), ('job_derived', false), ('publish_file', false), ('publish_source', false), ('publish_jobs_insert', true),
  ('publish_jobs_update', true), ('publish_jobs_delete', true), ('auction_files_insert', true),
  ('auction_files_update', true)),
programs(name) as (values ('filemill_gateway'), ('filemill_scheduler'), ('filemill_definer')),
tables as (
  select w.tab, w.columns, c.oid, c.relrowsecurity, c.relforcerowsecurity, c.relowner
    from wanted_columns w
    left join pg_class c on c.relname = w.tab and c.relkind = 'r' and c.relnamespace = current_schema()::regnamespace),
problems(sort, name, detail) as (
  select 1, 'table ' || t.tab || ' has its columns',
         (select string_agg(wanted, ', ') from unnest(t.columns) wanted
           where not exists (select from pg_attribute a where a.attrelid = t.oid and a.attname = wanted
                                                          and not a.attisdropped))
    from tables t
  union all
  select 2, 'enum ' || w.name || ' has its labels',
         (select string_agg(wanted, ', ') from unnest(w.labels) wanted
           where not exists (select from pg_enum e join pg_type y on y.oid = e.enumtypid
                              where y.typname = w.name and e.enumlabel = wanted))
    from wanted_enums w
  union all
  select 3, 'index ' || w.name,
         case when exists (select from pg_indexes i where i.schemaname = current_schema() and i.indexname = w.name
                                                      and i.indexdef like w.definition) then null
              else coalesce((select i.indexdef from pg_indexes i where i.schemaname = current_schema()
                                                                   and i.indexname = w.name), 'missing') end
    from wanted_indexes w
  union all
  select 4, 'row security is forced on ' || t.tab,
         case when t.relrowsecurity and t.relforcerowsecurity then null else 'off' end
    from tables t
  union all
  select 5, 'policies of ' || t.tab || ' check both ways',
         case when not exists (select from pg_policy p where p.polrelid = t.oid) then 'no policy'
              else (select string_agg(p.polname, ', ') from pg_policy p
                     where p.polrelid = t.oid
                       and ((p.polcmd in ('r', 'w', 'd', '*') and p.polqual is null)
                         or (p.polcmd in ('a', 'w', '*') and p.polwithcheck is null))) end
    from tables t
  union all
  select 6, 'role ' || p.name || ' is without privilege',
         case when r.oid is null then 'missing'
              when r.rolsuper or r.rolbypassrls or r.rolcreaterole or r.rolcreatedb then 'superuser, bypassrls or creator'
              when exists (select from tables t where t.relowner = r.oid) then 'owns a table' end
    from programs p left join pg_roles r on r.rolname = p.name
  union all
  select 7, 'nobody but its roles may touch ' || t.tab,
         (select string_agg(g.grantee, ', ') from information_schema.role_table_grants g
           where g.table_schema = current_schema() and g.table_name = t.tab and g.grantee = 'PUBLIC')
    from tables t
  union all
  select 8, 'the gateway can''t delete or rewrite ' || x.tab,
         (select string_agg(g.privilege_type, ', ') from information_schema.role_table_grants g
           where g.table_schema = current_schema() and g.table_name = x.tab and g.grantee = 'filemill_gateway'
             and g.privilege_type in ('UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES'))
    from (values ('tenants'), ('files'), ('file_derivatives'), ('jobs'), ('file_events'), ('user_credits'), ('credit_ledger'), ('job_prices'), ('portal_schemas'),
                 ('portal_jobs'), ('document_artifacts'), ('documents'),
                 ('classify_requests'), ('classify_files')) x(tab)
  union all
  select 9, 'the gateway has no business with ' || x.tab,
         (select string_agg(g.privilege_type, ', ') from information_schema.role_table_grants g
           where g.table_schema = current_schema() and g.table_name = x.tab and g.grantee = 'filemill_gateway')
    from (values ('compute_orders'), ('llm_metrics'), ('llm_prices'), ('credit_reservations'), ('retention_periods'), ('credit_admins'), ('service_admins'), ('schedules'), ('cpu_usage'), ('metrics'), ('object_deletions'), ('quarantine'), ('paused_types'), ('paused_tenants'), ('job_limits'), ('priority_bounds'),
                 ('job_starts'), ('tenant_usage'), ('job_parts'), ('publish_assets'), ('schema_migrations')) x(tab)
  union all
  select 9, 'the scheduler can''t rewrite ' || x.tab,
         (select string_agg(g.privilege_type, ', ') from information_schema.role_table_grants g
           where g.table_schema = current_schema() and g.table_name = x.tab and g.grantee = 'filemill_scheduler'
             and g.privilege_type in ('UPDATE', 'DELETE', 'TRUNCATE'))
    from (values ('credit_ledger'), ('cpu_usage'), ('retention_periods')) x(tab)
  union all
  select 10, 'function ' || w.name || ' has a fixed search_path',
         case when p.oid is null then 'missing'
              when p.prosecdef <> w.definer then 'wrong security'
              when p.prosqlbody is not null and not p.prosecdef then null -- bound when it was made
              when not exists (select from unnest(p.proconfig) c where c like 'search_path=%') then 'search_path' end
    from wanted_functions w
    left join pg_proc p on p.proname = w.name and p.pronamespace = current_schema()::regnamespace
  union all
  select 11, 'definer functions are the known ones',
         (select string_agg(p.proname, ', ') from pg_proc p
           where p.pronamespace = current_schema()::regnamespace and p.prosecdef
             and p.proowner = (select oid from pg_roles where rolname = 'filemill_definer')
             and p.proname not in (select w.name from wanted_functions w where w.definer))
  union all
  select 12, 'durable commits',
         (select string_agg(s.name || ' is off', ', ') from pg_settings s
           where s.name in ('synchronous_commit', 'full_page_writes') and s.setting = 'off'))
select name, detail is null as passed, coalesce(detail, '') as detail from problems order by sort, name;
