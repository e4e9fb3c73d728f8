-- A document that must wait is refused by an error, as an upload is (FM011, 0076): then the transaction keeps nothing, and
-- the same request, under the same idempotency key, is taken when the rest is over.
create function wordlist_order(file uuid, source_language text, target_language text, options jsonb, cooldown_seconds bigint,
                               trace text) returns jsonb language plpgsql
set search_path = pg_catalog, public as $$
declare
  said jsonb := wordlist_submit(file, source_language, target_language, options, cooldown_seconds, trace);
begin
  if said->>'error' = 'cooldown' then
    raise exception '%', said using errcode = 'FM011';
  end if;
  return said;
end $$;
revoke all on function wordlist_order(uuid, text, text, jsonb, bigint, text) from public;
grant execute on function wordlist_order(uuid, text, text, jsonb, bigint, text) to filemill_gateway;
