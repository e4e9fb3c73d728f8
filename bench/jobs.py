"""No-op jobs per second through a real worker process: the queue, the messages and the commits, and nothing else.

The baseline is what this Postgres does with a bare queue of the same rows: claim 100 with SKIP LOCKED and complete
them, over and over, on one connection, with durable commits.
"""
import time

from harness import System

JOBS = 60000
BARE = 20000


def insert(system, user, kind, count):
    file_id, = [row["id"] for row in system.sql(
        "insert into files (tenant_id, owner_user_id, r2_key_original, mime, status) "
        "values (%s, %s, 't/' || gen_random_uuid(), 'text/plain', 'processing') returning id::text",
        user.tenant, user.id)]
    system.sql("insert into jobs (tenant_id, file_id, type) select %s, %s, %s from generate_series(1, %s)",
               user.tenant, file_id, kind, count)
    return file_id


def burn_down(system, user, kind, count):
    """Jobs per second from the first claim to the last commit, by the database's own clock."""
    system.sql("insert into paused_types (type) values (%s) on conflict do nothing", kind)
    time.sleep(2)
    file_id = insert(system, user, kind, count)
    system.sql("vacuum analyze jobs")
    system.command("resume", kind)
    deadline = time.monotonic() + 300
    while system.sql("select 1 from jobs where file_id = %s and status <> 'done' limit 1", file_id):
        assert time.monotonic() < deadline, "not finished"
        time.sleep(0.25)
    row, = system.sql("select extract(epoch from max(finished_at) - min(started_at)) as s from jobs "
                      "where file_id = %s", file_id)
    return count / float(row["s"])


def bare_queue(system):
    import psycopg2
    connection = psycopg2.connect(system.shell["DATABASE_URL"])
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("create unlogged table if not exists bare_warm (id int); drop table bare_warm")
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
    with System() as system:
        user = system.user().bootstrap()
        bare = bare_queue(system)
        table.add("no-op jobs through a worker process", burn_down(system, user, "noop", JOBS), "/s", bare,
                  "bare SKIP LOCKED queue, batches of 100", "45,000/s")
        table.add("no-op jobs through a sandboxed runner", burn_down(system, user, "noop_runner", 4000), "/s", bare,
                  "the same", "")
