-- As in 0033, by a plan that statistics can't change: one range of jobs_lane_idx, and no join. Where the table was analyzed
-- when it was all but empty, and has filled since, the planner takes a join for one with a single row, and the lane for one
-- that any index of a band finds as well: each claim then walked over all jobs, or over the whole queue.
--
-- Claims at most so many jobs of each of these lanes, the first lane first, as far as the limits allow; the ids are in
-- the transaction's setting filemill.admitted. Limits hold exactly and between nodes: whoever claims while there are any
-- holds a lock to the end of its transaction, counts what runs by the rows themselves, and only then takes more.
create or replace function jobs_admit(owner text, lease_ms bigint, tenants uuid[], types text[], bands smallint[],
                                      users uuid[], froms timestamptz[], counts int[]) returns void language plpgsql
set search_path = pg_catalog, public as $$
declare
  is_limited boolean := exists (select from job_limits);
  running job_group[] := '{}';
  admitted uuid[] := '{}';
  taken uuid[];
  lane record;
  allowed bigint;
begin
  if is_limited then
    perform pg_advisory_xact_lock(hashtext('filemill.job_limits'));
    running := jobs_running();
  end if;
  for lane in select * from unnest(tenants, types, bands, users, froms, counts)
                              as w(tenant, type, band, usr, since, wanted) loop
    continue when exists (select from paused_tenants t where t.tenant_id = lane.tenant)
               or exists (select from paused_types t where t.type = lane.type);
    allowed := lane.wanted;
    if is_limited then
      allowed := least(allowed, job_room(lane.type, lane.tenant, lane.usr, running));
    end if;
    continue when allowed <= 0;
    with p as materialized (
      select j.id from jobs j
       where j.status in ('queued', 'retry')
         and (j.tenant_id, j.type, j.priority, coalesce(j.user_id, '00000000-0000-0000-0000-000000000000'::uuid), j.run_after)
             >= (lane.tenant, lane.type, lane.band, lane.usr, lane.since)
         and (j.tenant_id, j.type, j.priority, coalesce(j.user_id, '00000000-0000-0000-0000-000000000000'::uuid), j.run_after)
             <= (lane.tenant, lane.type, lane.band, lane.usr, now())
       order by j.tenant_id, j.type, j.priority, coalesce(j.user_id, '00000000-0000-0000-0000-000000000000'::uuid),
                j.run_after, j.id limit allowed for update skip locked
    ), u as (
      update jobs j set status = 'running', lease_epoch = j.lease_epoch + 1, locked_by = owner, locked_at = now(),
             updated_at = now(), lease_until = now() + lease_ms * interval '1 ms',
             started_at = coalesce(j.started_at, now()),
             progress_done = case when j.payload ? 'on_child_failure' then j.progress_done else 0 end,
             progress_total = case when j.payload ? 'on_child_failure' then j.progress_total else 0 end
       where j.id = any (array(select p.id from p)))
    select coalesce(array_agg(p.id), '{}') into taken from p;
    continue when cardinality(taken) = 0;
    admitted := admitted || taken;
    if is_limited then
      running := running || row(lane.type, lane.tenant, lane.usr, cardinality(taken))::job_group;
      delete from job_starts s using job_limits l
       where s.limit_name = l.name and s.at < clock_timestamp() - interval '2 min';
      insert into job_starts (limit_name, type, tenant_id, user_id, jobs)
      select l.name, lane.type, lane.tenant, lane.usr, cardinality(taken) from job_limits l
       where l.max_per_minute is not null and (l.type is null or l.type = lane.type)
         and (l.tenant_id is null or l.tenant_id = lane.tenant) and (l.user_id is null or l.user_id = lane.usr);
    end if;
  end loop;
  perform set_config('filemill.admitted', array_to_string(admitted, ','), true);
end $$;
