-- At most five word lists are made at a time, everybody's together: a limit like any other, which operators change.
do $$ begin
  if not exists (select from job_limits where name = 'wordlists') then
    perform limits_set('wordlists', 5, job_type => 'wordlist');
  end if;
end $$;
