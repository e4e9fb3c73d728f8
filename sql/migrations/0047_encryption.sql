-- Encryption at rest: the data key of each encrypted object, wrapped by a master key ("seal", storage/keyring.h). The
-- bytes carry no key: another master key needs new seals alone. An object is encrypted if and only if it has a row here.

create table if not exists object_keys (
  key text primary key,                        -- of the object
  file_id uuid not null references files(id) on delete cascade,
  seal text not null check (seal ~ '^[a-z0-9_-]{1,32}:[0-9a-f]{120}$'),
  stored_bytes bigint,                         -- of the object as it lies there; null: not looked at yet
  stored_sha256 text,
  by_client boolean not null default false,    -- encrypted before it came
  created_at timestamptz not null default now(),
  wrapped_at timestamptz not null default now()
);
create index if not exists object_keys_file_idx on object_keys (file_id);

-- Says that the original has such a row: jobs of other files look nothing up.
alter table files add column if not exists sealed boolean not null default false;

alter table object_keys enable row level security;
alter table object_keys force row level security;
do $$ begin
  execute 'drop policy if exists operator on object_keys';
  execute format('create policy operator on object_keys to %I using (true) with check (true)', current_user);
end $$;
drop policy if exists scheduler on object_keys;
create policy scheduler on object_keys to filemill_scheduler using (true) with check (true);
-- Who may see a file may see the seals of what belongs to it: worth nothing without the master key.
drop policy if exists user_reads on object_keys;
create policy user_reads on object_keys for select to filemill_gateway
  using (exists (select 1 from files f where f.id = file_id));
drop policy if exists user_adds on object_keys;
create policy user_adds on object_keys for insert to filemill_gateway
  with check (by_client and exists (select 1 from files f where f.id = file_id and f.r2_key_original = object_keys.key
                                       and f.owner_user_id = filemill_user() and f.status = 'uploading'));
grant select, insert on object_keys to filemill_gateway;
grant update (sealed) on files to filemill_gateway;
grant select, insert, update, delete on object_keys to filemill_scheduler;
