-- A portal's job that failed outside and is tried again is done here: the order that was sent out has run out, and so may
-- have its links. What the service said, or may still say, counts no more. The jobs that sent it and asked for it are over
-- with it: they are not tried again for themselves.
create or replace function compute_retried() returns trigger language plpgsql security definer
set search_path = pg_catalog, public as $$
begin
  if new.type <> 'portal_document' then return null; end if;
  update portal_jobs set backend = null, external_id = null, report = null, error_details = null
   where job_id = new.id and backend is not null;
  if found then new.payload = new.payload - 'on_child_failure'; end if;
  return new;
end $$;
drop trigger if exists trg_compute_retried on jobs;
create trigger trg_compute_retried before update of status on jobs for each row
  when (old.status = 'failed' and new.status = 'queued' and
        new.type in ('portal_document', 'compute_submit', 'compute_poll', 'compute_deadline'))
  execute function compute_retried();

grant create on schema public to filemill_definer;
alter function compute_retried() owner to filemill_definer;
revoke create on schema public from filemill_definer;
revoke all on function compute_retried() from public;
