-- At most five word lists are made at a time, everybody's together: a limit like any other, which operators change. It is
-- made with the first list that somebody asks for: while there is no rule at all, claims need not look for one.
create or replace function wordlist_limit_ensure() returns void language plpgsql security definer
set search_path = pg_catalog, public as $$
begin
  if not exists (select from job_limits where name = 'wordlists') then
    insert into job_limits (name, max_running, type) values ('wordlists', 5, 'wordlist') on conflict do nothing;
    perform pg_notify('filemill_jobs', 'rules');
  end if;
end $$;
grant create on schema public to filemill_definer;
alter function wordlist_limit_ensure() owner to filemill_definer;
revoke create on schema public from filemill_definer;
revoke all on function wordlist_limit_ensure() from public;
grant execute on function wordlist_limit_ensure() to filemill_gateway, filemill_scheduler;
drop policy if exists definer on job_limits;
create policy definer on job_limits to filemill_definer using (true) with check (true);
grant select, insert, update, delete on job_limits to filemill_definer;
