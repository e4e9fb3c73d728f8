# SPDX-License-Identifier: MIT
"""What the scheduler makes of jobs and files, from outside: a real Postgres, and workers and gateways played by the
test."""
import json
import re
import time
import uuid

import pytest
from scheduler_process import STATISTICS, Queue, statement_texts
from system import eventually

SHA = "5e" * 32


def test_claim_to_done(stage, queue, postgres):
    scheduler = stage.scheduler()
    worker, gateway = stage.peer(scheduler), stage.peer(scheduler, role="gateway")
    file = queue.file(size=1234)
    job = queue.job(file, trace="req-1", payload=json.dumps({"language": "en"}))
    worker.credit(2)
    gateway.send("poke", jobs=1)
    task = worker.expect("task")
    assert (task["job"], task["epoch"], task["attempt"], task["type"]) == (job, 1, 1, "extract_pdf")
    assert (task["file"], task["tenant"], task["trace"]) == (file, queue.tenant, "req-1")
    assert (task["input_bytes"], task["input_mime"], task["input_etag"]) == (1234, "application/pdf", '"tag"')
    assert json.loads(task["parameters"]) == {"language": "en"}
    assert f"/u/{queue.owner}/{file}.pdf?" in task["input_url"] and "X-Amz-Signature=" in task["input_url"]
    assert [output["key"] for output in task["outputs"]] == [
        f"t/{queue.tenant}/derived/{file}/pdf_text.txt", f"t/{queue.tenant}/derived/{file}/pdf_pages.json"]
    assert task["memory_bytes"] == 1 << 30 and task["pages"] == 2000
    row = queue.row(job)
    assert row["status"] == "running" and row["locked_by"].startswith("node-a:") and row["lease_until"]
    worker.send("progress", job=job, epoch=1, done=1, total=2)
    event = gateway.expect("event")
    assert (event["file"], event["tenant"]) == (file, queue.tenant)
    worker.done(task, sha256=SHA)
    row = queue.wait(job, "done")
    assert row["result"]["ok"] and row["result"]["bytes"] == 14 and row["result"]["cpu_ms"] == 5
    assert row["result"]["derived_key"].endswith("pdf_text.txt") and row["result"]["metrics"] == {"words": 3}
    assert row["attempts"] == 0 and row["locked_by"] is None and row["lease_until"] is None and row["finished_at"]
    assert (row["progress_done"], row["progress_total"]) == (1, 2)
    assert queue.file_status(file) == "ready"
    assert postgres.value("select sha256 from files where id = %s", (file,)) == SHA
    kept = postgres.query("select kind, r2_key, mime, size_bytes, metadata from file_derivatives where file_id = %s"
                          " order by kind", (file,))
    assert [(row["kind"], row["mime"]) for row in kept] == [
        ("pdf_pages", "application/json"), ("pdf_text", "text/plain; charset=utf-8")]
    kinds = [row["kind"] for row in postgres.query("select kind from file_events where file_id = %s order by id", (file,))]
    assert kinds == ["job.progress", "job.status", "file.status"]
    newest = postgres.value("select max(id) from file_events where file_id = %s", (file,))
    gateway.expect("event", event=newest)


def test_backoff_doubles_and_attempts_end(stage, queue):
    scheduler = stage.scheduler(max_attempts=3)
    worker = stage.peer(scheduler)
    job = queue.job()
    delays = []
    for attempt in (1, 2):
        worker.credit(1)  # for no more than this: what waits for another stays as it is until there is some
        task = worker.expect("task")
        assert task["attempt"] == attempt and task["epoch"] == attempt
        worker.failed(task, "fetch_failed", retryable=True)
        row = queue.wait(job, "retry")
        delays.append(row["due_s"])
        assert row["attempts"] == attempt and row["error_code"] == "fetch_failed" and row["stage"] == "parse"
        assert row["result"]["last_error"] == "fetch_failed: it said no"
        assert row["locked_at"] is None and row["locked_by"] is None
    assert 0 < delays[0] <= 0.3 and 0.3 < delays[1] <= 0.6
    worker.credit(100)
    task = worker.expect("task")
    assert task["outputs"][0]["key"].endswith(f"pdf_text.{job}-3.txt")
    worker.failed(task, "fetch_failed", retryable=True)
    row = queue.wait(job, "failed")
    assert row["attempts"] == 3 and queue.file_status(row["file_id"]) == "failed"
    worker.nothing("task")


def test_not_retryable_fails_at_once(stage, queue):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    good, bad = queue.job(), queue.job()
    worker.credit(2)
    for _ in range(2):
        task = worker.expect("task")
        (worker.failed if task["job"] == bad else worker.done)(task)
    assert queue.wait(bad, "failed")["attempts"] == 1
    queue.wait(good, "done")


def test_crashes_are_quarantined(stage, queue, postgres):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    job = queue.job(queue.file(sha256=SHA))
    worker.credit(100)
    for _ in range(2):
        task = worker.expect("task")
        worker.failed(task, "crash", retryable=True, crash=True, input_sha256=SHA)
    row = queue.wait(job, "failed")
    assert row["crashes"] == 2 and row["attempts"] == 2
    assert postgres.query("select crashes, reason, tenant_id::text as tenant from quarantine") == [
        {"crashes": 2, "reason": "crash", "tenant": queue.tenant}]
    # The same bytes in another file of the tenant never reach a worker; another tenant's do.
    second = queue.job(queue.file(sha256=SHA))
    assert queue.wait(second, "failed")["error_code"] == "quarantined"
    other = Queue(postgres)
    third = other.job(other.file(sha256=SHA))
    assert worker.expect("task")["job"] == third


def test_unknown_type_and_gone_file(stage, queue, postgres):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    unknown = queue.job(kind="no_such_thing")
    file = queue.file()
    gone = queue.job(file)
    postgres.execute("update files set status = 'deleted' where id = %s", (file,))
    worker.credit(4)
    row = queue.wait(unknown, "failed")
    assert row["error_code"] == "unknown_job_type:no_such_thing" == row["result"]["last_error"]
    assert queue.wait(gone, "failed")["error_code"] == "file_deleted"
    worker.nothing("task", 0.2)


def test_other_bytes_than_declared(stage, queue):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    job = queue.job(queue.file(sha256=SHA))
    worker.credit(1)
    task = worker.expect("task")
    assert task["input_sha256"] == SHA
    worker.done(task, sha256="00" * 32)
    assert queue.wait(job, "failed")["error_code"] == "checksum_mismatch"


def test_stale_epoch_changes_nothing(stage, queue, postgres):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    job = queue.job()
    worker.credit(1)
    task = worker.expect("task")
    postgres.execute("update jobs set lease_epoch = lease_epoch + 1, locked_by = 'someone:else' where id = %s", (job,))
    worker.done(task)
    eventually(lambda: "state=stale" in scheduler.log(), what="stale result noticed")
    row = queue.row(job)
    assert row["status"] == "running" and row["locked_by"] == "someone:else" and row["lease_epoch"] == 2
    assert postgres.value("select count(*) from file_derivatives") == 0
    eventually(lambda: postgres.value("select count(*) from object_deletions") == 2, what="its objects as garbage")


def test_result_for_a_lease_of_nobody(stage, queue):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    job = queue.job(status="done", lease_epoch=4)
    worker.send("result", job=job, epoch=4, outcome=2, error="crash")
    worker.send("progress", job=job, epoch=3, done=1, total=2)
    assert worker.expect("cancel") == {"message": "cancel", "job": job, "epoch": 3}
    assert queue.status(job) == "done"


def test_foreign_keys_of_a_worker_are_refused(stage, queue, postgres):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    job = queue.job()
    worker.credit(1)
    task = worker.expect("task")
    task["outputs"][0]["key"] = f"t/{uuid.uuid4()}/derived/{uuid.uuid4()}/pdf_text.txt"
    worker.done(task)
    row = queue.wait(job, "retry")
    assert row["error_code"] == "bad_result" and row["attempts"] == 1
    assert postgres.value("select count(*) from file_derivatives") == 0


def test_bad_json_of_a_worker_hurts_only_its_job(stage, queue):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    bad = queue.job()
    worker.credit(1)
    bad_task = worker.expect("task")
    good = [queue.job() for _ in range(6)]
    worker.credit(6)
    tasks = [worker.expect("task") for _ in good]
    for number, task in enumerate(tasks):
        worker.done(task)
        if number == 2:
            worker.done(bad_task, metrics='{"unfinished": ')
    for job in good:
        queue.wait(job, "done")
    assert queue.wait(bad, "failed")["error_code"] == "bad_result"


def test_light_tasks_have_room_of_their_own(stage, queue, postgres):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    for kind, count, age_s in (("ping", 40, 60), ("noop", 5, 50), ("ping", 40, 40)):
        queue.jobs(count, kind=kind, age_s=age_s, per_file=count)
    worker.send("credit", tasks=2, memory_bytes=1 << 30, light=16)
    held, done = {"ping": [], "noop": []}, 0

    def take():
        task = worker.receive(0.3)
        while task is not None:
            held[task["type"]].append(task)
            task = worker.receive(0.3)
        return held

    def end_pings():
        nonlocal done
        for task in held["ping"]:
            worker.done(task)
        done += len(held["ping"])
        held["ping"] = []

    eventually(lambda: len(take()["ping"]) > 8, what="more pings than credit")
    assert len(held["ping"]) <= 16 and not held["noop"]

    def go_on(most):
        end_pings()
        take()
        assert len(held["ping"]) <= 16 and len(held["noop"]) <= most, "documents go by the credit alone"
        return len(held["noop"]) == most and not held["ping"]
    eventually(lambda: go_on(2), 60, what="two documents behind forty pings")
    assert postgres.value("select count(*) from jobs where type = 'noop' and status = 'running'") == 2
    for task in held["noop"]:
        worker.done(task)
    held["noop"] = []
    worker.send("credit", tasks=8, memory_bytes=1 << 30, light=16)
    eventually(lambda: go_on(3) and done == 80, 60, what="everything")


def test_cancel(stage, queue, postgres):
    scheduler = stage.scheduler()
    worker, gateway = stage.peer(scheduler), stage.peer(scheduler, role="gateway")
    job = queue.job()
    worker.credit(1)
    task = worker.expect("task")
    postgres.execute("update jobs set status = 'cancelled', finished_at = now() where id = %s", (job,))
    gateway.send("cancel", job=job)
    assert worker.expect("cancel") == {"message": "cancel", "job": job, "epoch": 1}
    worker.send("release", job=job, epoch=1, reason="cancelled")
    worker.done(task)
    worker.wait_until_heard()
    worker.nothing("task", 0.3)
    assert queue.status(job) == "cancelled"
    assert postgres.value("select count(*) from file_derivatives") == 0


def test_cancel_that_was_never_sent_is_found(stage, queue, postgres):
    scheduler = stage.scheduler(lease_ms=3000)
    worker = stage.peer(scheduler)
    job = queue.job()
    worker.credit(1)
    worker.expect("task")
    postgres.execute("update jobs set status = 'cancelled' where id = %s", (job,))
    assert worker.expect("cancel")["job"] == job


def test_release_does_not_count(stage, queue):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    job = queue.job()
    worker.credit(1)
    worker.send("release", job=job, epoch=worker.expect("task")["epoch"], reason="overload")
    worker.credit(1)
    task = worker.expect("task")
    assert task["epoch"] == 2 and task["attempt"] == 1
    worker.done(task)
    assert queue.wait(job, "done")["attempts"] == 0


def test_pause_and_resume(stage, queue, postgres):
    scheduler = stage.scheduler()
    worker, control = stage.peer(scheduler), stage.peer(scheduler, role="control")
    other = stage.peer(scheduler, role="gateway")
    other.send("pause", type="noop")  # not its to say
    other.wait_until_heard()
    control.send("pause", type="thumbnail")
    eventually(lambda: postgres.query("select type from paused_types") == [{"type": "thumbnail"}], what="the pause")
    paused, free = queue.job(kind="thumbnail"), queue.job()
    worker.credit(5)
    assert worker.expect("task")["job"] == free
    worker.nothing("task", 1.5)
    control.send("pause", type="thumbnail", resume=True)
    assert worker.expect("task")["job"] == paused


def test_priority_and_order(stage, queue, postgres):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    low, first, second, urgent = (queue.job(priority=p) for p in (3, 1, 1, 0))
    later = queue.jobs(1, priority=0, age_s=-3600)[0]
    worker.credit(4)
    assert [worker.expect("task")["job"] for _ in range(4)] == [urgent, first, second, low]
    postgres.execute("update jobs set run_after = now() + interval '900 ms' where id = %s", (later,))
    worker.credit(1)
    assert worker.expect("task")["job"] == later
    row = queue.row(later)
    assert row["locked_at"] >= row["run_after"]


def test_never_more_than_there_is_room_for(stage, queue):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    jobs = [queue.job() for _ in range(12)]
    worker.credit(5)
    tasks = [worker.expect("task") for _ in range(5)]
    worker.nothing("task", 1.3)
    assert sum(queue.status(job) == "running" for job in jobs) == 5
    for task in tasks:
        worker.done(task)
    worker.credit(7)
    for _ in range(7):
        worker.done(worker.expect("task"))
    for job in jobs:
        queue.wait(job, "done")


def test_reprocess_replaces_the_object_and_drops_the_old(stage, queue, postgres):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    file = queue.file()
    first = queue.job(file)
    worker.credit(10)
    worker.done(worker.expect("task"))
    queue.wait(first, "done")
    postgres.execute("update files set generation = 1, status = 'processing' where id = %s", (file,))
    second = queue.job(file, generation=1)
    task = worker.expect("task")
    assert task["outputs"][0]["key"] == f"t/{queue.tenant}/derived/{file}/pdf_text.{second}-1.txt"
    worker.done(task)
    queue.wait(second, "done")
    keys = {row["r2_key"] for row in postgres.query("select r2_key from file_derivatives")}
    assert keys == {output["key"] for output in task["outputs"]}
    assert {row["key"] for row in postgres.query("select key from object_deletions")} == {
        f"t/{queue.tenant}/derived/{file}/pdf_text.txt", f"t/{queue.tenant}/derived/{file}/pdf_pages.json"}


def test_garbage_goes_but_what_is_referenced_stays(stage, queue, postgres):
    file = queue.file()
    kept = f"t/{queue.tenant}/derived/{file}/pdf_text.txt"
    postgres.execute("insert into file_derivatives (file_id, kind, r2_key, mime) values (%s, 'pdf_text', %s, 'x/y')",
                     (file, kept))
    original = postgres.value("select r2_key_original from files where id = %s", (file,))
    gone = f"t/{queue.tenant}/derived/{uuid.uuid4()}/pdf_text.txt"
    postgres.execute("insert into object_deletions (key) values (%s), (%s), (%s), ('../../etc/passwd'),"
                     " ('upload:../etc?id'), ('upload:' || %s)", (kept, original, gone, original))
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    message = worker.expect("delete", seconds=30)
    assert [item["key"] for item in message["objects"]] == [gone]
    assert "X-Amz-Signature" in message["objects"][0]["url"]
    worker.send("deleted", batch=message["batch"], objects=[{"key": gone}])
    eventually(lambda: {row["key"] for row in postgres.query("select key from object_deletions")} == {
        "../../etc/passwd", "upload:../etc?id", f"upload:{original}"}, what="rows of deleted objects")


def test_an_upload_in_parts_that_never_ends_is_aborted(stage, queue, postgres):
    file = queue.file()
    postgres.execute("update files set status = 'uploading', upload_expires_at = now() - interval '1 s',"
                     " store_upload = 'a+/id?' where id = %s", (file,))
    original = postgres.value("select r2_key_original from files where id = %s", (file,))
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    message = worker.expect("delete", seconds=30)
    assert [item["key"] for item in message["objects"]] == [f"upload:{original}?a+/id?"]
    url = message["objects"][0]["url"]
    assert f"{original}?" in url and "uploadId=a%2B%2Fid%3F" in url and "X-Amz-Signature" in url
    worker.send("deleted", batch=message["batch"], objects=[{"key": message["objects"][0]["key"]}])
    eventually(lambda: [row["key"] for row in postgres.query("select key from object_deletions")] == [original],
               what="the object itself follows an hour later")


def test_housekeeping(stage, queue, postgres):
    uploading, deleted, kept = queue.file(), queue.file(), queue.file()
    postgres.execute("update files set status = 'uploading', upload_expires_at = now() - interval '1 s' where id = %s",
                     (uploading,))
    postgres.execute("update files set status = 'deleted', deleted_at = now() - interval '40 days' where id = %s",
                     (deleted,))
    old = queue.job(kept, status="done")
    failed = queue.job(kept, status="failed")
    postgres.execute("update jobs set finished_at = now() - interval '100 days'")
    postgres.execute("insert into file_events (tenant_id, file_id, kind, created_at) values (%s, %s, 'file.status',"
                     " now() - interval '8 days')", (queue.tenant, kept))
    stage.scheduler()
    eventually(lambda: queue.file_status(uploading) == "deleted", what="expired upload")
    eventually(lambda: not postgres.query("select 1 from jobs where id = %s", (old,)), what="old job")
    eventually(lambda: postgres.value("select count(*) from file_events where created_at < now() - interval '7 days'") == 0)
    assert queue.status(failed) == "failed"
    eventually(lambda: postgres.value("select purged_at is not null from files where id = %s", (deleted,)))
    assert postgres.value("select count(*) from object_deletions") == 2
    assert queue.file_status(kept) != "deleted"


def test_idle_asks_little(stage, queue, postgres):
    postgres.execute("alter system set log_statement = 'all'")
    postgres.execute("select pg_reload_conf()")
    try:
        eventually(lambda: postgres.value("show log_statement") == "all", what="statements in the server's log")
        worker = stage.peer(stage.scheduler())
        worker.credit(4)
        worker.nothing("task", 4)
        before, began = transactions(postgres), time.monotonic()
        worker.nothing("task", 10)
        passed_s = time.monotonic() - began
        used = transactions(postgres) - before
    finally:
        postgres.execute("alter system reset log_statement")
        postgres.execute("select pg_reload_conf()")
    chores = 10  # each once, if a minute begins meanwhile
    assert 0 < used <= 2 * passed_s + 3 + chores, f"{used} transactions in {passed_s} s"


def transactions(postgres):
    """Those of the scheduler so far: each begins with its settings."""
    return postgres.log().count(": select set_config($1, $2, true)")


@pytest.mark.parametrize("statistics", ["analyzed", "of no row"])
def test_claim_plan_reads_only_what_it_takes(queue, postgres, statistics):
    """The statement that the scheduler prepares, with 100 000 rows queued and 50 000 finished."""
    file = queue.file()
    postgres.execute("insert into jobs (tenant_id, file_id, type, status) select %s, %s, 'noop',"
                     " case when n %% 3 = 0 then 'done' else 'queued' end::job_status_t"
                     " from generate_series(1, 150000) n", (queue.tenant, file))
    postgres.execute(STATISTICS[statistics])
    text, settings = statement_texts("statement_claim(4)->text")
    assert re.findall(r"limit (\d+)", text) == ["16"] * 5, "the LIMIT is a literal"
    with postgres.connect() as connection, connection.cursor() as cursor:
        cursor.execute("set plan_cache_mode = force_generic_plan")
        for name, value in settings:
            cursor.execute(f"set {name} = {value}")
        cursor.execute("prepare claim as " + text)
        mark = "'-infinity', '00000000-0000-0000-0000-000000000000'"
        cursor.execute(f"explain (analyze, format json) execute claim({', '.join([mark] * 4)}, 'n:g', '30000', 16, '{{ping}}', '{{chat}}', 0)")
        plan = cursor.fetchone()["QUERY PLAN"][0]["Plan"]
        cursor.execute("rollback")

    def nodes(node):
        yield node
        for child in node.get("Plans", []):
            yield from nodes(child)

    flat = list(nodes(plan))
    assert not [node for node in flat if node["Node Type"] == "Seq Scan" and node.get("Relation Name") in ("jobs", "files")]
    picks = [node for node in flat if node.get("Index Name") == "jobs_pick_idx"]
    assert len(picks) == 4 and sum(node["Actual Rows"] for node in picks) == 16
    assert not [node for node in flat if "Scan" in node["Node Type"] and node["Actual Rows"] > 16], flat
    assert not [node for node in flat if node["Node Type"] == "Sort" and node["Actual Rows"] > 16]
