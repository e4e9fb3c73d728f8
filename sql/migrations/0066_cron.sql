-- Schedules by the calendar: the five fields of cron(5), in a time zone of their own.
--
--   minute 0-59, hour 0-23, day of month 1-31, month 1-12 or jan-dec, weekday 0-7 or sun-sat (0 and 7 are Sunday);
--   each '*', numbers, names, ranges and lists of them; '*' and ranges with a step ('*/15', '8-18/2')
--   @hourly, @daily or @midnight, @weekly, @monthly, @yearly or @annually
--
-- As in Vixie cron: where neither day of month nor weekday begins with '*', one of them is enough. Where minute and hour
-- both do not, the expression names times of day: one that the clock skips comes when it has, at once and once for all
-- that were skipped, and one that the clock shows twice comes the first time only. All others go by what the clock shows.

-- The numbers of a field; FM066 says what is wrong with it.
create or replace function cron_field(field text, label text, low int, high int, names text[] default '{}') returns int[]
language plpgsql immutable set search_path = pg_catalog, public as $$
declare
  part text;
  m text[];
  ends int[];
  found int[] := '{}';
begin
  foreach part in array string_to_array(field, ',') loop
    m := regexp_match(lower(part), '^(?:(\*)|([0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?)(?:/([0-9]{1,2}))?$');
    if m is null then
      raise exception '% "%": expected *, a number, a range, or a list of them', label, left(part, 20) using errcode = 'FM066';
    end if;
    if m[1] is null and m[3] is null and m[4] is not null then
      raise exception '% "%": a step needs * or a range', label, part using errcode = 'FM066';
    end if;
    ends := array(select case when w.word ~ '^[0-9]' then w.word::int else array_position(names, w.word) - 1 + low end
                    from unnest(array[m[2], coalesce(m[3], m[2])]) with ordinality w(word, place) order by w.place);
    if m[1] is not null then
      ends := array[low, high];
    elsif label = 'weekday' and ends[2] = 0 and ends[1] > 0 then
      ends[2] := 7; -- fri-sun
    end if;
    if ends[1] is null or ends[2] is null or ends[1] < low or ends[2] > high or coalesce(m[4]::int, 1) < 1 then
      raise exception '% "%": from % to %', label, part, low, high using errcode = 'FM066';
    end if;
    if ends[1] > ends[2] then
      raise exception '% "%": the range ends before it begins', label, part using errcode = 'FM066';
    end if;
    found := found || array(select generate_series(ends[1], ends[2], coalesce(m[4]::int, 1)));
  end loop;
  if cardinality(found) = 0 then
    raise exception '%: it is empty', label using errcode = 'FM066';
  end if;
  return array(select distinct v from unnest(found) v order by v);
end $$;

create or replace function cron_fields(expression text, out minutes int[], out hours int[], out days int[],
                                       out months int[], out weekdays int[], out is_clock boolean, out either_day boolean)
language plpgsql immutable set search_path = pg_catalog, public as $$
declare
  whole text := btrim(coalesce(expression, ''), E' \t');
  f text[] := regexp_split_to_array(whole, '[ \t]+');
begin
  if left(whole, 1) = '@' then
    whole := case lower(whole) when '@hourly' then '0 * * * *' when '@daily' then '0 0 * * *'
               when '@midnight' then '0 0 * * *' when '@weekly' then '0 0 * * 0' when '@monthly' then '0 0 1 * *'
               when '@yearly' then '0 0 1 1 *' when '@annually' then '0 0 1 1 *' end;
    if whole is null then
      raise exception '"%": not one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually',
        left(expression, 30) using errcode = 'FM066';
    end if;
    f := string_to_array(whole, ' ');
  end if;
  if cardinality(f) <> 5 or length(whole) > 200 then
    raise exception '"%": expected five fields: minute, hour, day of month, month, weekday', left(whole, 40)
      using errcode = 'FM066';
  end if;
  minutes := cron_field(f[1], 'minute', 0, 59);
  hours := cron_field(f[2], 'hour', 0, 23);
  days := cron_field(f[3], 'day of month', 1, 31);
  months := cron_field(f[4], 'month', 1, 12,
                       '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}');
  weekdays := cron_field(f[5], 'weekday', 0, 7, '{sun,mon,tue,wed,thu,fri,sat}');
  weekdays := weekdays || case when 7 = any (weekdays) then '{0}'::int[] else '{}' end;
  is_clock := left(f[1], 1) = '*' or left(f[2], 1) = '*';
  either_day := left(f[3], 1) <> '*' and left(f[5], 1) <> '*';
end $$;

-- When a zone's clock shows this for the first time; where it never does, when it has skipped it.
create or replace function cron_instant(clock timestamp, zone text) returns timestamptz language plpgsql stable
set search_path = pg_catalog, public as $$
declare
  at timestamptz := clock at time zone zone;
  shown timestamp := at at time zone zone;
  gap interval := make_interval(mins => abs(extract(epoch from shown - clock) / 60)::int);
  low timestamptz := at - gap;
  high timestamptz := at + gap;
  middle timestamptz;
  before interval;
begin
  if shown = clock then
    before := (low - interval '3 hours') at time zone zone - ((low - interval '3 hours') at time zone 'UTC');
    middle := (clock at time zone 'UTC') - before;
    return case when middle < at and middle at time zone zone = clock then middle else at end;
  end if;
  before := low at time zone zone - (low at time zone 'UTC');
  while high - low > interval '1 minute' loop
    middle := low + make_interval(mins => (extract(epoch from high - low) / 120)::int);
    if middle at time zone zone - (middle at time zone 'UTC') = before then low := middle; else high := middle; end if;
  end loop;
  return high;
end $$;

-- The next time after this one; null: it does not come within nine years, and so never.
create or replace function cron_next(expression text, zone text, after timestamptz) returns timestamptz
language plpgsql stable set search_path = pg_catalog, public as $$
declare
  f record;
  at timestamptz := date_trunc('minute', after, 'UTC') + interval '1 minute';
  clock timestamp;
  day date := (after at time zone zone)::date - 1;
  last date := day + 3290;
  is_day boolean;
  steps int[];
  step int;
begin
  select * into f from cron_fields(expression);
  while day < last loop
    if f.is_clock then
      clock := at at time zone zone;
      day := clock::date;
    end if;
    is_day := extract(month from day)::int = any (f.months) and case when f.either_day
      then extract(day from day)::int = any (f.days) or extract(dow from day)::int = any (f.weekdays)
      else extract(day from day)::int = any (f.days) and extract(dow from day)::int = any (f.weekdays) end;
    if f.is_clock then
      if is_day and extract(hour from clock)::int = any (f.hours) and extract(minute from clock)::int = any (f.minutes) then
        return at;
      end if;
      -- to the next day, hour or minute; a leap over a change of the clock is a shorter one
      step := 60 - extract(minute from clock)::int;
      steps := case when not is_day then array[1440 - extract(hour from clock)::int * 60 - 60 + step, step, 1]
                    when not extract(hour from clock)::int = any (f.hours) then array[step, 1] else array[1] end;
      foreach step in array steps loop
        exit when step = 1 or (at + step * interval '1 minute') at time zone zone = clock + step * interval '1 minute';
      end loop;
      at := at + step * interval '1 minute';
    else
      if is_day then
        for clock in select day + make_interval(hours => h, mins => m)
                       from unnest(f.hours) h, unnest(f.minutes) m order by 1 loop
          at := cron_instant(clock, zone);
          if at > after then return at; end if;
        end loop;
      end if;
      day := day + 1;
    end if;
  end loop;
  return null;
end $$;

alter table schedules alter column every drop not null;
alter table schedules add column if not exists cron text;
alter table schedules add column if not exists time_zone text not null default 'UTC';
do $$ begin
  alter table schedules add constraint schedules_time_check check ((every is null) <> (cron is null));
exception when duplicate_object then null; end $$;

-- An expression is looked at when it is written, by whomever, and its next time follows from it.
create or replace function schedules_guard() returns trigger language plpgsql
set search_path = pg_catalog, public as $$
begin
  if not exists (select from pg_timezone_names z where z.name = new.time_zone) then
    raise exception '"%": no such time zone; expected a name such as Europe/Berlin', left(new.time_zone, 40)
      using errcode = 'FM066';
  end if;
  if new.cron is not null then
    new.next_run := cron_next(new.cron, new.time_zone, now());
    if new.next_run is null then
      raise exception '"%": there is no such day', new.cron using errcode = 'FM066';
    end if;
  end if;
  return new;
end $$;
drop trigger if exists trg_schedules_guard on schedules;
create trigger trg_schedules_guard before insert or update of cron, time_zone on schedules for each row
  when (new.cron is not null or new.time_zone <> 'UTC') execute function schedules_guard();

-- As in 0046, with what comes next by the calendar.
create or replace function schedules_run(most int) returns int language plpgsql set search_path = pg_catalog, public as $$
declare
  s schedules;
  begun timestamptz;
  said text;
  bad boolean;
  ran int := 0;
begin
  for s in select * from schedules where enabled and next_run <= now() order by next_run limit most
           for update skip locked loop
    begun := clock_timestamp();
    bad := false;
    begin
      if s.function is not null then
        execute format('select (%I())::text', s.function) into said;
      else
        select string_agg(e.job::text, ' ') into said from jobs_enqueue(
          case jsonb_typeof(s.job) when 'array' then s.job else jsonb_build_array(s.job) end) e;
      end if;
    exception when others then
      bad := true;
      said := sqlerrm;
    end;
    update schedules set last_run = begun,
           next_run = case when s.cron is null then greatest(s.next_run + s.every, begun + s.every * 0.5)
                           else coalesce(cron_next(s.cron, s.time_zone, begun), 'infinity') end,
           last_ms = extract(epoch from clock_timestamp() - begun) * 1000, last_result = left(said, 500),
           failures = case when bad then s.failures + 1 else 0 end
     where name = s.name;
    ran := ran + 1;
  end loop;
  return ran;
end $$;

create or replace function admin_schedules() returns jsonb language plpgsql stable security definer
set search_path = pg_catalog, public as $$
begin
  perform filemill_admin_check();
  return (select coalesce(jsonb_agg(jsonb_build_object('name', name, 'every_seconds', extract(epoch from every)::bigint,
    'cron', cron, 'time_zone', time_zone, 'function', function, 'job', job, 'enabled', enabled,
    'next_run', filemill_time(next_run), 'last_run', filemill_time(last_run), 'last_ms', last_ms, 'last_result',
    last_result, 'failures', failures) order by name), '[]') from schedules);
end $$;

-- Another time: {"cron", "time_zone"} or {"every_seconds"}. What next_run then is; null where there is no such schedule.
create or replace function admin_schedule_time(wanted text, change jsonb) returns text language plpgsql security definer
set search_path = pg_catalog, public as $$
declare
  said text;
begin
  perform filemill_admin_check();
  if change ? 'cron' and change ? 'every_seconds' then
    raise exception 'either cron or every_seconds, not both' using errcode = 'FM066';
  end if;
  update schedules s
     set cron = case when change ? 'cron' then change->>'cron' when change ? 'every_seconds' then null else s.cron end,
         every = case when change ? 'cron' then null
                      else coalesce(make_interval(secs => (change->>'every_seconds')::int), s.every) end,
         time_zone = coalesce(change->>'time_zone', s.time_zone),
         next_run = case when change ? 'every_seconds'
                         then least(s.next_run, now() + make_interval(secs => (change->>'every_seconds')::int))
                         else s.next_run end
   where s.name = wanted returning filemill_time(s.next_run) into said;
  return said;
end $$;
grant create on schema public to filemill_definer;
alter function admin_schedule_time(text, jsonb) owner to filemill_definer;
revoke create on schema public from filemill_definer;
revoke all on function admin_schedule_time(text, jsonb) from public;
grant execute on function admin_schedule_time(text, jsonb) to filemill_gateway;
revoke all on function schedules_run(int) from public;
