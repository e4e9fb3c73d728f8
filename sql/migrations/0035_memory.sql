-- Results that are remembered: what a done job was made of, so that the same from the same bytes can be copied. Null
-- where it is not to be taken for another. One tenant never sees another's.
alter table jobs add column if not exists recipe text;
create index if not exists jobs_recipe_idx on jobs (tenant_id, recipe) where recipe is not null;

-- Beside the declared type (mime) and the detected one: what the name said.
alter table files add column if not exists extension text
  generated always as (lower(substring(filename from '\.([^.]{1,16})$'))) stored;
