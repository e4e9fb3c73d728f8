-- A reprocess classifies anew what was classified: requests that have no answer of the file yet wait for the new job.
create index if not exists classify_files_file_idx on classify_files (file_id);
drop policy if exists own_changes on classify_files;
create policy own_changes on classify_files for update to filemill_gateway
  using (exists (select from classify_requests r where r.id = request_id))
  with check (exists (select from classify_requests r where r.id = request_id));
grant update (job_id) on classify_files to filemill_gateway;
