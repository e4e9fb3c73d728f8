-- Uploads in parts through the gateway: the upload's id at the store. One that never ends is aborted when its row expires:
-- object_deletions takes "upload:<key>?<id>" beside keys.
alter table files add column if not exists store_upload text check (length(store_upload) between 1 and 800);
grant update (store_upload) on files to filemill_gateway;
