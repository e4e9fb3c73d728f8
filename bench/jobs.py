"""No-op jobs per second through a real worker process: the queue, the messages and the commits, and nothing else.

`ping` is answered by the worker process itself, `noop` by a sandboxed runner forked for it. The jobs are spread over
files, 8 to a file, as page ranges of documents are, and each file has its own time in the queue: jobs of one file
alone would all wait for that file's row.

The baseline is what this Postgres does with a bare queue of the same rows: claim 100 with SKIP LOCKED and complete
them, over and over, on one connection, with durable commits; no files, no events, no fencing.
"""
import time

from harness import System

PINGS = 100000
NOOPS = 6000
PER_FILE = 8
BARE = 20000
PATIENCE_S = 120


def insert(system, user, kind, count):
    system.sql("""with f as (insert into files (tenant_id, owner_user_id, r2_key_original, mime, status)
                             select %s, %s, 't/' || gen_random_uuid(), 'text/plain', 'processing'
                               from generate_series(1, %s) returning id)
                  insert into jobs (tenant_id, file_id, type, run_after)
                  select %s, n.id, %s, now() - n.number * interval '1 ms'
                    from (select id, row_number() over () as number from f) n, generate_series(1, %s)""",
               user.tenant, user.id, count // PER_FILE, user.tenant, kind, PER_FILE)


def left(system, kind):
    """How many are not done yet; fails if one failed or was tried again."""
    states = {row["status"]: row["n"] for row in system.sql(
        "select status::text, count(*) as n from jobs where type = %s group by status", kind)}
    bad = {status: count for status, count in states.items() if status not in ("queued", "running", "done")}
    assert not bad, f"{kind}: {bad}\n{system.log()[-2000:]}"
    return sum(count for status, count in states.items() if status != "done")


def burn_down(system, user, kind, count):
    """Jobs per second from the first claim to the last commit, by the database's own clock."""
    system.command("pause", kind)
    insert(system, user, kind, count)
    for table in ("jobs", "files"):
        system.sql(f"vacuum analyze {table}")
    system.command("resume", kind)
    deadline = time.monotonic() + PATIENCE_S
    while left(system, kind):
        assert time.monotonic() < deadline, f"{kind}: {left(system, kind)} of {count} left after {PATIENCE_S} s"
        time.sleep(0.5)
    row, = system.sql("select extract(epoch from max(finished_at) - min(started_at)) as s, min(attempts) as least,"
                      "       max(attempts) as most from jobs where type = %s", kind)
    assert row["least"] == row["most"] == 0, row
    return count / float(row["s"])


def bare_queue(system):
    import psycopg2
    connection = psycopg2.connect(system.shell["PSQL_URL"])
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("create table bare (like jobs including all)")
    cursor.execute("insert into bare (tenant_id, file_id, type) select gen_random_uuid(), gen_random_uuid(), 'noop' "
                   "from generate_series(1, %s)", (BARE,))
    cursor.execute("vacuum analyze bare")
    done, started = 0, time.perf_counter()
    while done < BARE:
        cursor.execute("""with p as materialized (select id from bare where status in ('queued', 'retry')
                            and priority = 1 and run_after <= now() order by run_after, id limit 100
                            for update skip locked)
                          update bare j set status = 'running', lease_epoch = lease_epoch + 1 from p
                           where j.id = p.id returning j.id""")
        ids = [row[0] for row in cursor.fetchall()]
        cursor.execute("update bare set status = 'done' where id = any (%s::uuid[])", (ids,))
        done += len(ids)
    rate = BARE / (time.perf_counter() - started)
    cursor.execute("drop table bare")
    connection.close()
    return rate


def main(table):
    with System(log_level="error") as system:
        user = system.user().bootstrap()
        bare = bare_queue(system)
        against = "bare SKIP LOCKED queue, batches of 100"
        table.add("ping jobs through a worker process", burn_down(system, user, "ping", PINGS), "/s", bare, against,
                  "45,000/s")
        table.add("noop jobs through a sandboxed runner", burn_down(system, user, "noop", NOOPS), "/s", bare, against,
                  "1,500/s")
