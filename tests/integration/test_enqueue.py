# SPDX-License-Identifier: MIT
"""Queueing by one function: keys that are taken once, delays, bulk, the place in the queue; by the operator in SQL and
by callers whom row security holds."""
import contextlib
import json
import uuid

import psycopg2
import pytest

from system import eventually


@pytest.fixture(scope="module", autouse=True)
def paused(system):
    system.command("pause", "noop")


@pytest.fixture(scope="module")
def file_id(system, user):
    file = user.send("queue.txt", "text/plain", b"queue")
    user.wait(file)
    return file


def enqueue(system, *jobs):
    return [(row["job"], row["created"])
            for row in system.sql("select job::text, created from jobs_enqueue(%s)", json.dumps(jobs))]


def as_caller(system, user_id, query, *values):
    """As the gateway does it: its role, and the caller for this transaction only."""
    with contextlib.closing(psycopg2.connect(system.shell["PSQL_URL"])) as connection, connection.cursor() as cursor:
        cursor.execute("set local role filemill_gateway")
        cursor.execute("select set_config('filemill.user_id', %s, true)", (user_id,))
        cursor.execute(query, values)
        rows = cursor.fetchall()
        connection.commit()
        return rows


def test_a_key_is_taken_once(system, file_id):
    (first, created), (second, again) = enqueue(system, *[{"file_id": file_id, "type": "noop", "unique_key": "k"}] * 2)
    assert created and not again and first == second
    assert enqueue(system, {"file_id": file_id, "type": "noop", "unique_key": "k"}) == [(first, False)]
    (other, created), = enqueue(system, {"file_id": file_id, "type": "selftest", "unique_key": "k", "run_after": "2100-01-01"})
    assert created and other != first
    system.sql("update jobs set status = 'cancelled' where id = any (%s::uuid[])", [first, other])
    (third, created), = enqueue(system, {"file_id": file_id, "type": "noop", "unique_key": "k"})
    assert created and third != first
    system.sql("update jobs set status = 'cancelled' where id = %s", third)


def test_many_at_once_of_one_key_make_one_job(system, file_id):
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: enqueue(system, {"file_id": file_id, "type": "noop", "unique_key": "race"})[0],
                             range(24)))
    assert sum(created for _, created in made) == 1 and len({job for job, _ in made}) == 1
    system.sql("update jobs set status = 'cancelled' where unique_key = 'race'")


def test_a_job_has_what_was_asked_for(system, user, file_id):
    job, = system.sql("select job_enqueue(%s, 'noop', '{\"a\": 1}', 3, now() + interval '1 hour', null, 4)::text as id",
                      file_id)
    row, = system.sql("select *, tenant_id::text as tenant, run_after > now() + interval '50 min' as later from jobs "
                      "where id = %s", job["id"])
    assert (row["payload"], row["priority"], row["max_attempts"], row["later"]) == ({"a": 1}, 3, 4, True)
    assert row["tenant"] == user.tenant and row["ordered"] is True and user.file(file_id)["status"] == "ready"
    events = system.sql("select data from file_events where job_id = %s", job["id"])
    assert [event["data"]["status"] for event in events] == ["queued"]
    assert user.call("POST", f"/v1/jobs/{job['id']}/cancel").status == 200


def test_nothing_is_queued_for_what_is_not_there(system, file_id):
    before, = system.sql("select count(*) as n from jobs")
    for bad in ({"file_id": str(uuid.uuid4()), "type": "noop"}, {"type": "noop"},
                {"file_id": file_id, "type": "noop", "priority": 9}):
        with pytest.raises(psycopg2.Error):
            enqueue(system, {"file_id": file_id, "type": "noop"}, bad)
    after, = system.sql("select count(*) as n from jobs")
    assert after == before


def test_callers_queue_for_their_own_files_only(system, user, file_id):
    query = "select jobs_enqueue(%s)"
    wanted = json.dumps([{"file_id": file_id, "type": "noop"}])
    with pytest.raises(psycopg2.Error) as refused:
        as_caller(system, str(uuid.uuid4()), query, wanted)
    assert refused.value.pgcode == "FM003"
    assert as_caller(system, user.id, query, wanted)
    row, = system.sql("select id::text, user_id::text as asker from jobs where file_id = %s and type = 'noop' and "
                      "status = 'queued'", file_id)
    assert row["asker"] == user.id
    system.sql("update jobs set status = 'cancelled' where id = %s", row["id"])


def test_the_place_in_a_long_queue(system, user, file_id):
    system.sql("insert into jobs (tenant_id, file_id, type, run_after) select %s, %s, 'noop', now() - n * interval '1 ms' "
               "from generate_series(1, 100000) n", user.tenant, file_id)
    system.sql("vacuum analyze jobs")
    last = system.sql("select job_enqueue(%s, 'noop')::text as id", file_id)[0]["id"]
    first = system.sql("select job_enqueue(%s, 'noop', '{}', 0)::text as id", file_id)[0]["id"]
    def place(job):
        return as_caller(system, user.id, "select job_queue_position(%s)", job)[0][0]
    assert (place(first), place(last)) == (1, 100002)
    plan = "\n".join(row["QUERY PLAN"] for row in system.sql(
        "explain (analyze, buffers) select count(*) from jobs j where j.status in ('queued', 'retry') and "
        "(j.priority, j.run_after, j.id) < (1, now(), %s::uuid)", last))
    assert "jobs_pick_idx" in plan and "Seq Scan" not in plan, plan
    system.sql("delete from jobs where type = 'noop'")
    assert place(last) is None
    eventually(lambda: user.file(file_id)["status"], 5)
