# SPDX-License-Identifier: MIT
"""Records of use do not grow for ever, and no credit is lost when old entries go: accounts and sums before and after."""
import contextlib
import random
import threading
import uuid

import psycopg2
import pytest

N = 5  # users
SUMS = ("select user_id::text as who, sum(balance_change)::bigint as balance, sum(reserved_change)::bigint as reserved, "
        "sum(used_change)::bigint as used from credit_ledger group by user_id order by 1")
ACCOUNTS = "select user_id::text, balance, reserved, used, granted from user_credits order by 1"


@pytest.fixture(scope="module")
def postgres(postgres):
    postgres.execute("select credits_switch(true, '{}')")
    return postgres


@pytest.fixture
def users(postgres):
    """Users' jobs: done, failed, deleted with their ledger left behind, and still open; all of it made long ago."""
    postgres.clear("tenants", "user_credits", "credit_ledger", "credit_reservations")
    dice, users = random.Random(4), [str(uuid.uuid4()) for _ in range(N)]
    tenant = postgres.value("insert into tenants (name) values ('t') returning id")
    for user in users:
        postgres.execute("select credit_grant(%s, %s, 'first')", (user, dice.randint(50000, 90000)))
        file = postgres.value("insert into files (tenant_id, owner_user_id, r2_key_original, mime, status) values "
                              "(%s, %s, 'k' || gen_random_uuid(), 'text/plain', 'processing') returning id", (tenant, user))
        for status in ("done", "failed", "cancelled", "done", "done", "queued"):
            job = postgres.value("insert into jobs (tenant_id, file_id, type) values (%s, %s, 'noop') returning id",
                                 (tenant, file))
            if status != "queued":
                postgres.execute("update jobs set status = 'running' where id = %s", (job,))
                postgres.execute("update jobs set status = %s, result = jsonb_build_object('cpu_ms', %s) where id = %s",
                                 (status, dice.randint(0, 3000), job))
        postgres.execute("delete from jobs where file_id = %s and status = 'done' and id in (select id from jobs where "
                         "file_id = %s and status = 'done' limit 2)", (file, file))
    age(postgres, "500 days")
    return users


def age(postgres, interval):
    postgres.execute("update credit_ledger set created_at = created_at - %s::interval + id * interval '1 second'", (interval,))


def standing(postgres):
    assert postgres.query("select * from credit_faults") == []
    return postgres.query(SUMS), postgres.query(ACCOUNTS)


def by(postgres, who, text):
    """As one of the programs' roles."""
    with postgres.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"set local role {who}")
        cursor.execute(text)
        return next(iter(cursor.fetchone().values())) if cursor.description else None


def fold(postgres):
    return by(postgres, "filemill_scheduler", "select credit_ledger_fold()")


def kinds(postgres):
    return {row["kind"]: row["n"] for row in postgres.query("select kind, count(*) as n from credit_ledger group by kind")}


def test_old_entries_become_one_and_the_balance_stays(postgres, users):
    before, count = standing(postgres), postgres.value("select count(*) from credit_ledger")
    # of each user: the grant and both entries of two deleted jobs go, and an opening comes
    assert fold(postgres) == N * (5 - 1)
    assert standing(postgres) == before and kinds(postgres)["opening"] == N
    assert postgres.value("select count(*) from credit_ledger") == count - 4 * N
    assert postgres.value("select count(*) from credit_ledger l where kind <> 'opening' and not exists "
                          "(select from jobs j where j.id = l.job_id)") == 0
    assert fold(postgres) == 0 and kinds(postgres)["opening"] == N
    # an opening is the oldest of its user's entries, and older than the grants to come
    assert postgres.value("select count(*) from credit_ledger o join credit_ledger l using (user_id) where o.kind = 'opening' "
                          "and l.kind = 'grant' and l.created_at < o.created_at") == 0
    for user in users[:3]:
        postgres.execute("select credit_grant(%s, 77, 'later')", (user,))
    postgres.execute("delete from jobs")
    before = standing(postgres)
    assert fold(postgres) > 0 and standing(postgres) == before
    assert kinds(postgres) == {"opening": N, "grant": 3, "refund": N}  # the last are of today
    age(postgres, "401 days")
    assert fold(postgres) == N + 3 and standing(postgres) == before and kinds(postgres) == {"opening": N}


def test_a_job_that_is_there_keeps_who_paid(postgres, users):
    job = postgres.query("select j.id, f.owner_user_id::text as payer from jobs j join files f on f.id = j.file_id where "
                         "j.status = 'failed' limit 1")[0]
    fold(postgres)
    postgres.execute("update jobs set status = 'queued' where id = %s", (job["id"],))
    assert postgres.value("select user_id::text from credit_reservations where job_id = %s", (job["id"],)) == job["payer"]
    standing(postgres)


def test_young_entries_stay_and_operators_say_what_is_young(postgres, users):
    postgres.execute("update credit_ledger set created_at = now() - interval '100 days'")
    assert fold(postgres) == 0
    postgres.execute("update retention_periods set keep = '90 days' where name = 'credit-ledger'")
    before = standing(postgres)
    assert fold(postgres) == 4 * N and standing(postgres) == before
    postgres.execute("update retention_periods set keep = '400 days' where name = 'credit-ledger'")
    with pytest.raises(psycopg2.errors.CheckViolation):
        postgres.execute("update retention_periods set keep = '1 hour'")


def test_folds_and_grants_at_once(postgres, users):
    """Whoever sums up the ledger meanwhile finds no fault, and two folds at once count nothing twice."""
    postgres.execute("insert into credit_ledger (user_id, kind, balance_change, created_at) select u, 'grant', 1, now() - "
                     "interval '450 days' from unnest(%s::uuid[]) u, generate_series(1, 1000)", (users,))
    postgres.execute("update user_credits set balance = balance + 1000, granted = granted + 1000")
    stop, faults = threading.Event(), []

    def grants():
        with contextlib.closing(postgres.connect()) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            while not stop.is_set():
                try:
                    cursor.execute("select credit_grant(%s, 1, 'meanwhile')", (random.choice(users),))
                    cursor.execute("select * from credit_faults")
                    faults.extend(cursor.fetchall())
                except psycopg2.Error as error:
                    faults.append(error)

    threads = [threading.Thread(target=grants) for _ in range(2)]
    folds = [threading.Thread(target=fold, args=(postgres,)) for _ in range(3)]
    for thread in threads + folds:
        thread.start()
    for thread in folds:
        thread.join()
    stop.set()
    for thread in threads:
        thread.join()
    assert faults == []
    standing(postgres)
    assert postgres.value("select count(*) from credit_ledger where created_at < now() - interval '400 days' and kind = "
                          "'grant'") == 0


def test_use_by_the_job_expires(postgres):
    postgres.execute("insert into cpu_usage (job_id, epoch, stage, tenant_id, user_id, type, outcome, cpu_ms, wall_ms, created_at)"
                     " select gen_random_uuid(), 1, 'noop', gen_random_uuid(), gen_random_uuid(), 'noop', 'done', 1, 1,"
                     " now() - n * interval '10 days' from generate_series(1, 60) n")
    assert by(postgres, "filemill_scheduler", "select cpu_usage_expire()") == 21
    assert postgres.value("select count(*) from cpu_usage") == 39
    assert by(postgres, "filemill_scheduler", "select cpu_usage_expire()") == 0


def test_both_come_round(postgres):
    postgres.execute("update schedules set next_run = now() where name in ('credit-ledger', 'cpu-usage')")
    by(postgres, "filemill_scheduler", "select schedules_run(100)")
    rows = postgres.query("select name, failures, last_result from schedules where name in ('credit-ledger', 'cpu-usage') and "
                          "last_run is not null and next_run > last_run order by name")
    assert [(row["name"], row["failures"]) for row in rows] == [("cpu-usage", 0), ("credit-ledger", 0)], rows


@pytest.mark.parametrize("who", ["filemill_gateway", "filemill_scheduler"])
@pytest.mark.parametrize("change", ["delete from credit_ledger", "update credit_ledger set note = 'x'", "delete from cpu_usage",
                                    "update cpu_usage set cpu_ms = 0", "delete from retention_periods"])
def test_those_who_write_them_take_nothing_back(postgres, who, change):
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        by(postgres, who, change)


def test_a_batch_is_as_one_after_the_other(postgres, users):
    """Many jobs of one statement: what there is goes to the first ones, and none is charged what nobody has."""
    user, who = users[0], str(uuid.uuid4())
    file = postgres.query("select id::text, tenant_id::text as tenant from files where owner_user_id = %s", (user,))[0]
    postgres.execute("select credit_grant(%s, 9000, 'little')", (who,))
    with postgres.connect() as connection, connection.cursor() as cursor:
        cursor.execute("set local role filemill_scheduler")
        cursor.execute("insert into jobs (id, tenant_id, file_id, type, user_id) select ('00000000-0000-4000-8000-00000000000' || n)"
                       "::uuid, %s, %s, 'ping', %s from generate_series(1, 6) n", (file["tenant"], file["id"], who))
    def amounts():
        return [row["amount"] for row in postgres.query("select amount from credit_reservations where user_id = %s "
                                                        "order by job_id", (who,))]
    assert amounts() == [2000, 2000, 2000, 2000, 1000, 0]
    postgres.execute("update jobs set status = 'failed' where type = 'ping' and right(id::text, 1) in ('1', '2')")
    assert amounts() == [2000, 2000, 1000, 0] and postgres.value("select balance from user_credits where user_id = %s",
                                                                 (who,)) == 4000
    # 4000 there: 5000 of the first and 2500 of the second take 3500 beyond what they hold, the third what is left
    costs, have, wanted = [5000, 2500, 3000, 10], 4000, []
    for cost, held in zip(costs, [2000, 2000, 1000, 0]):
        wanted.append(min(cost, held + have))
        have += held - wanted[-1]
    postgres.execute("update jobs j set status = 'done', result = jsonb_build_object('cpu_ms', (%s::int[])"
                     "[right(id::text, 1)::int - 2]) where type = 'ping' and status = 'queued'", (costs,))
    assert [row["used_change"] for row in postgres.query("select used_change from credit_ledger where user_id = %s and kind in "
            "('charge', 'refund') and job_id::text ~ '[3-6]$' order by job_id", (who,))] == wanted == [5000, 2500, 1500, 0]
    assert postgres.value("select balance from user_credits where user_id = %s", (who,)) == have == 0
    standing(postgres)


def test_a_batch_reads_its_own_reservations_only(postgres, users):
    """However many jobs are open, and with the settings that the scheduler's transactions have."""
    file = postgres.query("select id::text, tenant_id::text as tenant from files limit 1")[0]
    postgres.execute("select credit_grant(%s, 100000000, 'much')", (users[0],))
    postgres.execute("insert into jobs (tenant_id, file_id, type, user_id) select %s, %s, 'ping', %s from generate_series(1, "
                     "4000)", (file["tenant"], file["id"], users[0]))
    with postgres.connect() as connection, connection.cursor() as cursor:
        for name in ("seqscan", "bitmapscan", "sort", "hashjoin", "mergejoin"):
            cursor.execute(f"set local enable_{name} = off")
        cursor.execute("update jobs set status = 'done' where id in (select id from jobs where type = 'ping' limit 50)")
        cursor.execute("select coalesce(sum(idx_tup_fetch + seq_tup_read), 0)::int as read from pg_stat_xact_user_tables where "
                       "relname = 'credit_reservations'")
        assert 50 <= cursor.fetchone()["read"] <= 200
    standing(postgres)
