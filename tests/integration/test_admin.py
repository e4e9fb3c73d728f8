# SPDX-License-Identifier: MIT
"""Those who run the service: what they see and change, from a shell and by HTTP, and that nobody else does; and what
comes round by itself."""
import json
import re

import pytest

from system import eventually


@pytest.fixture(scope="module")
def admin(system):
    """A user's token of the made-up admin."""
    user, = [row["user_id"] for row in system.sql("select user_id::text from service_admins")]
    return system.user(user)


@pytest.fixture(scope="module")
def broken(system, user):
    """A file whose text job has failed for good."""
    file_id = user.send("broken.pdf", "application/pdf", b"%PDF-1.4\nnothing of a PDF follows\n")
    eventually(lambda: user.file(file_id)["status"] == "failed", 30, what="failed")
    return file_id


def shell(system, *arguments, check=True):
    return system.command("admin", *arguments, check=check)


def test_a_shell_sees_the_failed_jobs(system, broken):
    table = shell(system, "jobs", "--state", "failed", "--type", "extract_pdf").stdout
    assert re.search(r"^[0-9a-f-]{36}  extract_pdf +failed +\d+ +bad_input +broken\.pdf", table, re.M), table
    jobs = json.loads(shell(system, "jobs", "--state", "failed", "--json").stdout)["jobs"]
    assert {job["file_id"] for job in jobs} == {broken}
    assert shell(system, "jobs", "--state", "failed", "--error", "no_such").stdout.count("\n") == 1


def test_failed_jobs_are_queued_again(system, user, broken):
    before, = system.sql("select id::text, attempts from jobs where file_id = %s and type = 'extract_pdf'", broken)
    assert shell(system, "retry", before["id"]).stdout == "1 queued again\n"
    row = eventually(lambda: next(iter(system.sql("select status::text, attempts from jobs where id = %s and "
                                                  "status = 'failed'", before["id"])), None), 30, what="failed again")
    assert row["attempts"] == before["attempts"]
    kinds = [event["data"].get("status") for event in
             system.sql("select data from file_events where job_id = %s order by id", before["id"])]
    assert kinds.count("queued") == 2 and kinds.count("failed") == 2
    answer = user.call("POST", f"/v1/tenants/{user.tenant}/jobs/retry", {"type": "thumbnail"})
    assert answer.status == 200 and answer.json["retried"] == 1
    assert shell(system, "retry", "all", "--error", "no_such").stdout == "0 queued again\n"


def test_a_key_that_is_taken_keeps_its_failed_jobs_back(system, user):
    file_id = user.send("key.txt", "text/plain", b"key")
    user.wait(file_id)
    system.sql("insert into jobs (tenant_id, file_id, type, status, error_code, unique_key, finished_at, crashes) select %s, "
               "%s, 'noop', 'failed', 'crash', k, now() - n * interval '1 s', 2 from (values ('a', 1), ('a', 2), ('b', 3), "
               "(null, 4), (null, 5)) v(k, n)", user.tenant, file_id)
    system.command("pause", "noop")
    held = system.sql("select job_enqueue(%s, 'noop', '{}', 1, now(), 'b')::text as id", file_id)[0]["id"]
    assert shell(system, "retry", "all", "--type", "noop").stdout == "3 queued again\n"
    rows = system.sql("select unique_key, status::text, crashes from jobs where file_id = %s and type = 'noop' and id <> %s "
                      "order by finished_at desc nulls first, unique_key", file_id, held)
    assert sorted((row["unique_key"] or "", row["status"]) for row in rows) == [
        ("", "queued"), ("", "queued"), ("a", "failed"), ("a", "queued"), ("b", "failed")]
    assert all(row["crashes"] == 0 for row in rows if row["status"] == "queued")
    system.sql("update jobs set status = 'cancelled' where file_id = %s and type = 'noop'", file_id)
    system.command("resume", "noop")


def test_any_job_is_cancelled(system, user):
    system.command("pause", "noop")
    file_id = user.send("waits.txt", "text/plain", b"waits")
    user.wait(file_id)
    job = system.sql("select job_enqueue(%s, 'noop')::text as id", file_id)[0]["id"]
    assert "noop" in shell(system, "queue").stdout
    assert shell(system, "cancel", job).stdout == "ok\n"
    assert user.call("GET", f"/v1/jobs/{job}").json["status"] == "cancelled"
    again = shell(system, "cancel", job, check=False)
    assert again.returncode == 1 and "job_finished" in again.stderr
    system.command("resume", "noop")


def test_nobody_else_is_an_admin(system, user, broken):
    stranger = system.user()
    for who in (user, stranger):
        for method, path, body in (("GET", "/v1/admin/queue", None), ("GET", "/v1/admin/jobs", None),
                                   ("POST", "/v1/admin/jobs/retry", {}), ("GET", "/v1/admin/schedules", None),
                                   ("POST", "/v1/admin/pause", {"type": "noop"}),
                                   ("POST", "/v1/admin/schedules/idempotency-expire", {"run_now": True}),
                                   ("POST", f"/v1/admin/jobs/{broken}/cancel", {})):
            answer = who.call(method, path, body)
            assert (answer.status, answer.json["error"]) == (403, "forbidden"), (method, path, answer)
    assert stranger.call("GET", f"/v1/tenants/{user.tenant}/jobs").status == 404
    assert stranger.call("POST", f"/v1/tenants/{user.tenant}/jobs/retry", {}).status == 404
    member = system.user()
    added = user.call("POST", f"/v1/tenants/{user.tenant}/members", {"user_id": member.id, "role": "member"})
    assert added.status == 201
    assert member.call("GET", f"/v1/tenants/{user.tenant}/jobs").json["error"] == "insufficient_role"


def test_an_admin_sees_all_and_an_owner_his_own(system, admin, user, broken):
    other = system.user().bootstrap("Another tenant")
    file_id = other.send("theirs.txt", "text/plain", b"theirs")
    other.wait(file_id)
    seen = {job["tenant_id"] for job in admin.call("GET", "/v1/admin/jobs?limit=500").json["jobs"]}
    assert {user.tenant, other.tenant} <= seen
    mine = user.call("GET", f"/v1/tenants/{user.tenant}/jobs?limit=500").json["jobs"]
    assert {job["tenant_id"] for job in mine} == {user.tenant} and len(mine) > 3
    first = user.call("GET", f"/v1/tenants/{user.tenant}/jobs?limit=2").json["jobs"]
    then = user.call("GET", f"/v1/tenants/{user.tenant}/jobs?limit=500&before={first[-1]['id']}").json["jobs"]
    assert [job["id"] for job in first + then] == [job["id"] for job in mine]
    queue = admin.call("GET", "/v1/admin/queue").json
    assert {"type": "extract_pdf", "error_code": "bad_input"}.items() <= max(
        queue["failures"], key=lambda row: row["type"] == "extract_pdf").items()


def test_limits_and_paused_tenants(system, admin, user):
    assert shell(system, "limit", "few-noops", "--running", "3", "--type", "noop", "--per", "tenant").stdout == "ok\n"
    row, = [row for row in admin.call("GET", "/v1/admin/limits").json["limits"] if row["name"] == "few-noops"]
    assert (row["name"], row["max_running"], row["type"], row["per_tenant"], row["per_user"]) == (
        "few-noops", 3, "noop", True, False)
    assert re.search(r"^few-noops +3 +- +noop +yes +no", shell(system, "limits").stdout, re.M)
    assert user.call("GET", "/v1/admin/limits").status == 403
    assert user.call("PUT", "/v1/admin/limits/x", {"max_running": 1}).status == 403
    assert admin.call("PUT", "/v1/admin/limits/x", {"max_running": -1}).status == 400
    assert shell(system, "drop-limit", "few-noops").stdout == "ok\n"
    assert shell(system, "drop-limit", "few-noops", check=False).returncode == 1
    assert shell(system, "pause-tenant", user.tenant).stdout == "ok\n"
    file_id = user.send("paused.txt", "text/plain", b"paused")
    other = system.user().bootstrap("Not paused")
    other.wait(other.send("on.txt", "text/plain", b"goes on"))
    assert user.file(file_id)["status"] == "processing"
    assert shell(system, "resume-tenant", user.tenant).stdout == "ok\n"
    assert user.wait(file_id)["status"] == "ready"


def test_schedules_run_once_and_are_seen(system, admin):
    system.sql("create table ticks (at timestamptz default clock_timestamp())")
    system.sql("grant insert, select on ticks to filemill_scheduler")
    system.sql("create function tick() returns text language sql as $$ insert into ticks default values returning "
               "'ticked' $$")
    system.sql("create function tock() returns text language plpgsql as $$ begin raise 'out of order'; end $$")
    system.sql("insert into schedules (name, every, function) values ('tick', '1 hour', 'tick'), ('tock', '1 hour', 'tock')")
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(6) as pool:  # and the scheduler, if a minute begins now
        list(pool.map(lambda _: system.sql("select schedules_run(16)"), range(6)))
    eventually(lambda: len(system.sql("select 1 from schedules where name in ('tick', 'tock') and last_run is not null")) == 2,
               what="both runs")
    assert system.sql("select count(*) as n from ticks")[0]["n"] == 1
    rows = {row["name"]: row for row in admin.call("GET", "/v1/admin/schedules").json["schedules"]}
    assert rows["tick"]["last_result"] == "ticked" and rows["tick"]["failures"] == 0
    assert rows["tock"]["last_result"] == "out of order" and rows["tock"]["failures"] == 1
    assert "out of order" in shell(system, "schedules").stdout
    assert admin.call("POST", "/v1/admin/schedules/tick", {"enabled": False}).status == 200
    assert shell(system, "run-schedule", "tick").stdout == "ok\n"
    assert system.sql("select next_run <= now() as due from schedules where name = 'tick'")[0]["due"]
    system.sql("select schedules_run(16)")
    assert system.sql("select count(*) as n from ticks")[0]["n"] == 1
    assert admin.call("POST", "/v1/admin/schedules/tick", {"enabled": True}).status == 200
    system.sql("select schedules_run(16)")
    eventually(lambda: system.sql("select 1 from ticks offset 1"), what="a run on demand")
    assert shell(system, "run-schedule", "nothing", check=False).returncode == 1
    system.sql("delete from schedules where name in ('tick', 'tock')")


def test_a_schedule_is_given_another_time(system, admin, user):
    system.sql("insert into schedules (name, every, function) values ('timed', '1 hour', 'idempotency_expire')")
    said = shell(system, "schedule", "timed", "--cron", "15 4 1 1 *", "--zone", "Europe/Berlin").stdout
    assert re.fullmatch(r"next run 20\d\d-01-01T03:15:00.000Z\n", said), said
    assert re.search(r"^timed +- +15 4 1 1 \* +Europe/Berlin +20\d\d-01-01T03:15:00 ", shell(system, "schedules").stdout, re.M)
    for bad, words in (({"cron": "61 * * * *"}, 'minute "61": from 0 to 59'), ({"cron": "0 0 31 2 *"}, "no such day"),
                       ({"cron": "@daily", "time_zone": "Mars/Phobos"}, "no such time zone"),
                       ({"cron": "@daily", "every_seconds": 5}, "not both")):
        answer = admin.call("POST", "/v1/admin/schedules/timed", bad)
        assert (answer.status, answer.json["error"]) == (422, "bad_schedule") and words in answer.json["detail"], answer
    done = shell(system, "schedule", "timed", "--cron", "* * * *", check=False)
    assert done.returncode == 1 and "expected five fields" in done.stderr
    row, = [row for row in admin.call("GET", "/v1/admin/schedules").json["schedules"] if row["name"] == "timed"]
    assert (row["cron"], row["time_zone"], row["every_seconds"]) == ("15 4 1 1 *", "Europe/Berlin", None)
    assert user.call("POST", "/v1/admin/schedules/timed", {"cron": "@daily"}).status == 403
    assert admin.call("POST", "/v1/admin/schedules/nothing", {"cron": "@daily"}).status == 404
    answer = admin.call("POST", "/v1/admin/schedules/timed", {"every_seconds": 900, "enabled": False})
    assert answer.status == 200 and answer.json["ok"], answer
    row, = system.sql("select cron, every::text, enabled, next_run <= now() + interval '15 min' as soon from schedules "
                      "where name = 'timed'")
    assert row == {"cron": None, "every": "00:15:00", "enabled": False, "soon": True}
    system.sql("delete from schedules where name = 'timed'")


def test_a_schedule_may_queue_a_job(system, user):
    file_id = user.send("daily.txt", "text/plain", b"daily")
    user.wait(file_id)
    system.sql("insert into schedules (name, every, job) values ('daily', '1 day', %s)",
               json.dumps({"file_id": file_id, "type": "noop", "unique_key": "daily"}))
    system.sql("select schedules_run(16)")
    eventually(lambda: system.sql("select 1 from jobs where file_id = %s and type = 'noop' and status = 'done'", file_id),
               20, what="the job of a schedule")
    system.sql("delete from schedules where name = 'daily'")


def test_a_shell_is_told_what_is_wrong(system):
    for arguments in ((), ("nothing",), ("retry",), ("jobs", "--nothing"), ("cancel", "a", "b")):
        done = shell(system, *arguments, check=False)
        assert done.returncode == 2 and "usage: filemill admin" in done.stderr
    done = shell(system, "cancel", "../../files", check=False)
    assert done.returncode == 1 and done.stderr.startswith("filemill: ")
