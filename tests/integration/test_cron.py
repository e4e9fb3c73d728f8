# SPDX-License-Identifier: MIT
"""Times by the calendar, against a computation that shares nothing with it: minute by minute through the zone's clock, as
Python's zoneinfo tells it, over expressions that were made from the numbers they stand for."""
import random
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import psycopg2
import pytest

UTC = timezone.utc
MINUTE = timedelta(minutes=1)
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
DAYS = "sun mon tue wed thu fri sat".split()


class Field:
    """Some text, the numbers it stands for, and whether it begins with a star."""

    def __init__(self, text, numbers):
        self.text, self.numbers, self.star = text, set(numbers), text.startswith("*")

    @staticmethod
    def random(dice, low, high, star=0.35, names=None, full=None):
        if dice.random() < star:
            step = dice.choice((1, 1, 2, 3, 5, 15))
            return Field("*" if step == 1 else f"*/{step}", range(low, (full or high) + 1, step))
        parts, numbers = [], set()
        for _ in range(dice.randint(1, 3)):
            first, last = sorted((dice.randint(low, high), dice.randint(low, high)))
            if dice.random() < 0.5:
                last = first
            def word(number):
                return dice.choice((names[number - low], names[number - low].upper())) if names and dice.random() < 0.4 \
                    else f"{number:0{dice.randint(1, 2)}d}"
            text, step = word(first), 1
            if last > first:
                text, step = f"{text}-{word(last)}", dice.choice((1, 1, 2, 7))
                text += f"/{step}" if step > 1 else ""
            parts.append(text)
            numbers |= set(range(first, last + 1, step))
        return Field(",".join(parts), numbers)


class Expression:
    def __init__(self, *fields):
        self.minute, self.hour, self.day, self.month, self.weekday = fields
        self.text = " ".join(field.text for field in fields)

    def matches(self, clock):
        day, weekday = clock.day in self.day.numbers, clock.isoweekday() % 7 in self.weekday.numbers
        day = day or weekday if not (self.day.star or self.weekday.star) else day and weekday
        return day and clock.month in self.month.numbers and clock.hour in self.hour.numbers and \
            clock.minute in self.minute.numbers

    def times(self, zone, start, end):
        """All instants in (start, end]. The walk begins a while before, to know what the clock has shown already."""
        goes_by_clock = self.minute.star or self.hour.star
        at = start.replace(second=0, microsecond=0) - timedelta(hours=5)
        before = at.astimezone(zone).replace(tzinfo=None)
        shown, found = {before}, []
        while at + MINUTE <= end:
            at += MINUTE
            clock = at.astimezone(zone).replace(tzinfo=None)
            if goes_by_clock:
                hit = self.matches(clock)
            else:
                skipped = clock - before
                hit = clock not in shown and any(
                    self.matches(clock - back * MINUTE) for back in range(max(1, int(skipped / MINUTE))))
                shown.add(clock)
            if hit and at > start:
                found.append(at)
            before = max(before, clock) if not goes_by_clock else clock
        return found


def sequence(postgres, text, zone, start, end):
    return [row["at"].astimezone(UTC) for row in postgres.query(
        "with recursive t as (select cron_next(%s, %s, %s) as at union all select cron_next(%s, %s, at) from t where at <= %s)"
        " select at from t where at <= %s", (text, zone, start, text, zone, end, end))]


def day(*numbers):
    return datetime(*numbers, tzinfo=UTC)


# Just before clocks go forward, or back: half an hour, an hour, at midnight, at one minute past, a whole day.
CHANGES = [("Europe/Berlin", day(2026, 3, 28, 20)), ("Europe/Berlin", day(2026, 10, 24, 20)),
           ("America/New_York", day(2027, 3, 14, 2)), ("America/New_York", day(2027, 11, 7, 1)),
           ("Australia/Lord_Howe", day(2026, 10, 3, 11)), ("Australia/Lord_Howe", day(2027, 4, 3, 10)),
           ("America/St_Johns", day(2010, 3, 13, 23)), ("America/St_Johns", day(2010, 11, 6, 23)),
           ("America/Sao_Paulo", day(2018, 11, 3, 22)), ("Africa/Cairo", day(2023, 4, 27, 18)),
           ("Pacific/Apia", day(2011, 12, 30, 5)), ("Antarctica/Troll", day(2026, 3, 28, 20)),
           ("Asia/Kolkata", day(2026, 5, 1)), ("UTC", day(2026, 12, 31, 12))]


@pytest.mark.parametrize("zone,start", CHANGES, ids=[f"{zone}-{start:%Y-%m}" for zone, start in CHANGES])
def test_every_time_around_a_change_of_the_clock(postgres, zone, start):
    dice = random.Random(f"{zone}{start}")
    everything = [Field("*", range(32)), Field("*", range(1, 13)), Field("*", range(7))]
    seen = 0
    for number in range(8):
        # times of day and times of the clock by turns, most of them in the hours of the change
        star = 0.0 if number % 2 else 0.9
        hour = Field.random(dice, 0, 4 if number % 3 else 23, star=star / 2, full=23)
        text = Expression(Field.random(dice, 0, 59, star=star), hour, *everything)
        begin = start + timedelta(seconds=dice.randint(0, 7200))
        end = begin + timedelta(hours=9)
        wanted = text.times(ZoneInfo(zone), begin, end)
        assert sequence(postgres, text.text, zone, begin, end) == wanted, (text.text, zone, begin)
        seen += len(wanted)
    assert seen > 15


def test_days_months_and_weekdays(postgres):
    """By days: these name one time of day, which no change of these clocks skips or repeats."""
    dice = random.Random(7)
    seen = 0
    for hour in (0, *range(4, 24)):
        zone = dice.choice(("Europe/Berlin", "America/New_York", "UTC"))
        text = Expression(Field("17", [17]), Field(str(hour), [hour]), Field.random(dice, 1, 31),
                          Field.random(dice, 1, 12, names=MONTHS), Field.random(dice, 0, 6, names=DAYS))
        start = day(2027, dice.randint(1, 12), dice.randint(1, 28), dice.randint(0, 23), dice.randint(0, 59))
        local = start.astimezone(ZoneInfo(zone))
        times = [(local + timedelta(days=ahead)).replace(hour=hour, minute=17, second=0) for ahead in range(600)]
        wanted = [at.astimezone(UTC) for at in times if at > local and text.matches(at.replace(tzinfo=None))]
        assert sequence(postgres, text.text, zone, start, times[-1]) == wanted, (text.text, zone, start)
        seen += len(wanted)
    assert seen > 500


@pytest.mark.parametrize("text,after,wanted", [
    ("@hourly", "2026-01-01 00:00", "2026-01-01 01:00"), ("@daily", "2026-01-01 00:00", "2026-01-02 00:00"),
    ("@midnight", "2026-01-01 00:00:30", "2026-01-02 00:00"), ("@weekly", "2026-01-01 00:00", "2026-01-04 00:00"),
    ("@monthly", "2026-01-31 23:59:59", "2026-02-01 00:00"), ("@YEARLY", "2026-01-01 00:00", "2027-01-01 00:00"),
    ("@annually", "2026-06-01 00:00", "2027-01-01 00:00"), ("0 0 29 2 *", "2096-03-01 00:00", "2104-02-29 00:00"),
    ("0 12 13 * fri", "2026-02-13 12:00", "2026-02-20 12:00"), ("0 12 */2 * fri", "2026-02-13 12:00", "2026-02-27 12:00"),
    (" 5   4 * *  7 ", "2026-01-01 00:00", "2026-01-04 04:05"), ("0 0 * * fri-sun", "2026-01-05 00:00", "2026-01-09 00:00"),
    ("*/7 23 31 dec *", "2026-12-31 23:56", "2027-12-31 23:00")])
def test_times_that_people_know(postgres, text, after, wanted):
    assert postgres.value("select to_char(cron_next(%s, 'UTC', %s::timestamptz) at time zone 'UTC', "
                          "'YYYY-MM-DD HH24:MI')", (text, after + "+00")) == wanted


def test_the_session_has_no_say(postgres):
    for mine in ("UTC", "America/New_York", "Pacific/Chatham"):
        with postgres.connect() as connection, connection.cursor() as cursor:
            cursor.execute("select set_config('TimeZone', %s, true)", (mine,))
            cursor.execute("select cron_next('30 2 * * *', 'Europe/Berlin', '2026-03-28 12:00+00') = '2026-03-29 01:00+00' as "
                           "forward, cron_next('*/20 * * * *', 'Europe/Berlin', '2026-10-25 00:59+00') = "
                           "'2026-10-25 01:00+00' as back, current_setting('TimeZone') as mine")
            assert cursor.fetchall() == [{"forward": True, "back": True, "mine": mine}]


@pytest.mark.parametrize("text,words", [
    ("", "expected five fields"), ("* * * *", "expected five fields"), ("* * * * * *", "expected five fields"),
    ("60 * * * *", 'minute "60": from 0 to 59'), ("* 24 * * *", 'hour "24": from 0 to 23'),
    ("* * 0 * *", 'day of month "0": from 1 to 31'), ("* * * 13 *", 'month "13": from 1 to 12'),
    ("* * * * 8", 'weekday "8": from 0 to 7'), ("* * * foo *", 'month "foo": from 1 to 12'),
    ("* * * mon *", 'month "mon": from 1 to 12'), ("5/10 * * * *", "a step needs * or a range"),
    ("30-10 * * * *", "the range ends before it begins"), ("*/0 * * * *", 'minute "*/0"'), ("1,,2 * * * *", 'minute ""'),
    ("a * * * *", 'minute "a": expected'), ("-1 * * * *", 'minute "-1": expected'), ("1.5 * * * *", 'minute "1.5"'),
    ("*5 * * * *", 'minute "*5"'), ("@reboot", "not one of @hourly"), ("@", "not one of"), ("0 0 30 2 *", "there is no such day"),
    ("0 0 31 feb,apr,jun,sep,nov *", "there is no such day"), ("1" * 300 + " * * * *", 'minute')])
def test_nonsense_is_refused_with_words(postgres, text, words):
    with pytest.raises(psycopg2.Error) as refused:
        postgres.execute("insert into schedules (name, cron, function) values ('bad', %s, 'idempotency_expire')", (text,))
    assert refused.value.pgcode == "FM066" and words in str(refused.value), refused.value


def test_zones_are_those_there_are(postgres):
    for zone in ("Europe/Berln", "UTC+3", "EST+5nonsense", ""):
        with pytest.raises(psycopg2.Error) as refused:
            postgres.execute("insert into schedules (name, cron, time_zone, function) values ('bad', '@daily', %s, "
                             "'idempotency_expire')", (zone,))
        assert "no such time zone" in str(refused.value)


def test_a_schedule_goes_by_the_calendar(postgres):
    # a time that is not between two of these lines, but every fourth year
    postgres.execute("insert into schedules (name, cron, time_zone, function) values ('calendar', '30 3 29 2 *', "
                     "'Asia/Tokyo', 'idempotency_expire')")
    due = "select next_run = cron_next('30 3 29 2 *', 'Asia/Tokyo', now()) as due, next_run > now() as later, last_run is " \
          "not null as ran from schedules where name = 'calendar'"
    assert postgres.query(due) == [{"due": True, "later": True, "ran": False}]
    postgres.execute("update schedules set next_run = now() - interval '3 days' where name = 'calendar'")
    postgres.execute("select schedules_run(100)")
    assert postgres.query(due) == [{"due": True, "later": True, "ran": True}]
    with pytest.raises(psycopg2.errors.CheckViolation):
        postgres.execute("update schedules set every = '1 hour' where name = 'calendar'")
