-- What models cost, for admins: rows of llm_prices, each named by its model and the time from which it is good (absent:
-- from ever). Times are kept to the millisecond, as they are told.
create or replace function admin_prices() returns jsonb language plpgsql stable security definer
set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  return (select coalesce(jsonb_agg(jsonb_build_object('model', p.model, 'prompt_per_million', p.prompt_per_million,
            'completion_per_million', p.completion_per_million,
            'valid_from', case when isfinite(p.valid_from) then filemill_time(p.valid_from) end,
            'in_force', p.valid_from = (select max(q.valid_from) from llm_prices q
                                         where q.model = p.model and q.valid_from <= now()))
            order by p.model, p.valid_from), '[]')
            from llm_prices p);
end $$;
create or replace function admin_price_set(wanted jsonb) returns void language plpgsql security definer
set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  insert into llm_prices as p (model, prompt_per_million, completion_per_million, valid_from)
  values (wanted->>'model', trim_scale(round((wanted->>'prompt_per_million')::numeric, 9)),
          trim_scale(round((wanted->>'completion_per_million')::numeric, 9)),
          coalesce(date_trunc('milliseconds', (wanted->>'valid_from')::timestamptz), '-infinity'))
  on conflict (model, valid_from) do update set prompt_per_million = excluded.prompt_per_million,
                                                completion_per_million = excluded.completion_per_million;
end $$;
create or replace function admin_price_drop(of_model text, since timestamptz) returns boolean language plpgsql
security definer set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  delete from llm_prices where model = of_model
     and date_trunc('milliseconds', valid_from) = coalesce(date_trunc('milliseconds', since), '-infinity');
  return found;
end $$;

grant select, insert, update, delete on llm_prices to filemill_definer;
grant create on schema public to filemill_definer;
do $$
declare f text;
begin
  foreach f in array array['admin_prices()', 'admin_price_set(jsonb)', 'admin_price_drop(text, timestamptz)'] loop
    execute format('alter function %s owner to filemill_definer', f);
    execute format('revoke all on function %s from public', f);
    execute format('grant execute on function %s to filemill_gateway', f);
  end loop;
end $$;
revoke create on schema public from filemill_definer;
