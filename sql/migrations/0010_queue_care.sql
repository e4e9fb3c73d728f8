-- What the scheduler's claims and maintenance rely on.

-- Claims look at four bands, one by one.
update jobs set priority = 3 where priority > 3;
update jobs set priority = 0 where priority < 0;
do $$ begin
  alter table jobs add constraint jobs_priority_check check (priority between 0 and 3);
exception when duplicate_object then null; end $$;

-- Deleted files whose objects were handed to deletion, and whose rows go next.
create index if not exists files_purged_idx on files (purged_at) where status = 'deleted' and purged_at is not null;
