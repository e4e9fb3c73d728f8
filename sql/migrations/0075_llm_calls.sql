-- One row of llm_metrics for each time that a model was asked, also when nothing came of it: written with the end of the
-- job's attempt, by whoever writes that, and once (an attempt's calls are numbered). Prices have a time from which they
-- are good, so that what was asked before costs what it cost then.

alter table llm_prices add column if not exists valid_from timestamptz not null default '-infinity';
alter table llm_prices drop constraint if exists llm_prices_pkey;
alter table llm_prices add primary key (model, valid_from);

alter table llm_metrics add column if not exists error_code text check (length(error_code) <= 64);
alter table llm_metrics add column if not exists epoch bigint;
alter table llm_metrics add column if not exists call int;
create unique index if not exists llm_metrics_call_idx on llm_metrics (job_id, epoch, call);

drop trigger if exists trg_llm_metrics_note on jobs;
drop function if exists llm_metrics_note();
revoke insert on llm_metrics from filemill_definer;
revoke select on llm_prices from filemill_definer;
grant select, insert on llm_metrics to filemill_scheduler;
grant select on llm_prices to filemill_scheduler;

create or replace view wordlist_llm_costs with (security_invoker = true) as
select agent_type, count(*) as calls, sum(total_tokens) as total_tokens, round(avg(latency_ms), 1) as avg_latency_ms,
       round(avg(confidence), 3) as avg_confidence, sum(cost) as cost, count(error_code) as failed_calls
  from llm_metrics where created_at > now() - interval '24 hours' group by agent_type;
