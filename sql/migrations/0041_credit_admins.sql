-- Those who run the service (the option admins, 0046) may grant credits too; credit-admins are beside them.
create or replace function credit_grant(receiver uuid, amount bigint, reason text) returns void
language plpgsql security definer set search_path = pg_catalog, public as $$
begin
  if (filemill_user() is not null or 'filemill_gateway' in (coalesce(current_setting('role', true), ''), session_user))
     and not exists (select from credit_admins a where a.user_id = filemill_user())
     and not exists (select from service_admins a where a.user_id = filemill_user()) then
    raise exception 'not a credit admin' using errcode = '42501';
  end if;
  insert into user_credits (user_id) values (receiver) on conflict do nothing;
  update user_credits c set balance = c.balance + amount, granted = c.granted + amount, updated_at = now()
   where c.user_id = receiver;
  insert into credit_ledger (user_id, kind, balance_change, note) values (receiver, 'grant', amount, left(reason, 200));
end $$;
