-- Plans of tenants: which jobs a file gets by what its bytes are. A tenant's row goes over the program's own plan for
-- the types that it matches; the longest pattern wins.

create table if not exists tenant_plans (
  tenant_id uuid not null references tenants(id) on delete cascade,
  media_type text not null check (length(media_type) between 1 and 200), -- one that ends in '*' is a prefix
  jobs jsonb not null default '[]'::jsonb check (jsonb_typeof(jobs) = 'array'), -- [{type, parameters, priority}]
  updated_at timestamptz not null default now(),
  primary key (tenant_id, media_type)
);
alter table tenant_plans enable row level security;
alter table tenant_plans force row level security;
do $$ begin
  execute 'drop policy if exists operator on tenant_plans';
  execute format('create policy operator on tenant_plans to %I using (true) with check (true)', current_user);
end $$;
drop policy if exists scheduler on tenant_plans;
create policy scheduler on tenant_plans to filemill_scheduler using (true) with check (true);
drop policy if exists member_reads on tenant_plans;
create policy member_reads on tenant_plans for select to filemill_gateway using (filemill_role(tenant_id) is not null);
drop policy if exists manager_inserts on tenant_plans;
create policy manager_inserts on tenant_plans for insert to filemill_gateway
  with check (filemill_role(tenant_id) in ('owner', 'admin'));
drop policy if exists manager_deletes on tenant_plans;
create policy manager_deletes on tenant_plans for delete to filemill_gateway
  using (filemill_role(tenant_id) in ('owner', 'admin'));
grant select, insert, delete on tenant_plans to filemill_gateway;
grant select on tenant_plans to filemill_scheduler;

-- What the file's plan says of jobs that follow others, by type: {"ocr": {"parameters": {…}, "priority": 2}}. Null:
-- planned before this was kept. Set at finalize and reprocess.
alter table files add column if not exists followers jsonb;
grant update (followers) on files to filemill_gateway;
