# SPDX-License-Identifier: MIT
"""The scheduler from outside: a real Postgres, and workers and gateways played by the test."""
import json
import os
import signal
import time
import uuid

import pytest
from postgres import PgBouncer, Postgres
from scheduler_process import PATIENCE, Peer, Queue, Scheduler, eventually
from system import free_port

SHA = "5e" * 32


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as running:
        running.migrate()
        yield running


@pytest.fixture
def queue(postgres):
    postgres.clear("tenants", "paused_types", "object_deletions")
    return Queue(postgres)


class Stage:
    """Starts schedulers and peers, and ends them with the test."""

    def __init__(self, postgres, tmp_path):
        self.postgres, self.tmp_path, self.things = postgres, tmp_path, []

    def scheduler(self, url=None, **settings):
        scheduler = Scheduler(url or self.postgres.url(), self.tmp_path, **settings)
        self.things.append(scheduler)
        return scheduler

    def peer(self, *arguments, **more):
        peer = Peer(*arguments, **more)
        self.things.append(peer)
        return peer


@pytest.fixture
def stage(postgres, tmp_path_factory):
    import tempfile
    with tempfile.TemporaryDirectory(prefix="fms-") as directory:
        stage = Stage(postgres, directory)
        yield stage
        for thing in stage.things:
            thing.close()
        logs = [thing.log() for thing in stage.things if isinstance(thing, Scheduler)]
        assert not [line for log in logs for line in log.splitlines()
                    if "Sanitizer" in line or "runtime error" in line or "unknown_column" in line or "secret-of" in line]


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
    worker.credit(100)
    delays = []
    for attempt in (1, 2):
        task = worker.expect("task")
        assert task["attempt"] == attempt and task["epoch"] == attempt
        worker.failed(task, "fetch_failed", retryable=True)
        row = queue.wait(job, "retry")
        delays.append(row["due_s"])
        assert row["attempts"] == attempt and row["error_code"] == "fetch_failed" and row["stage"] == "parse"
        assert row["result"]["last_error"] == "fetch_failed: it said no"
        assert row["locked_at"] is None and row["locked_by"] is None
    assert 0 < delays[0] <= 0.3 and 0.3 < delays[1] <= 0.6
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


def test_restarted_scheduler_adopts_live_leases(stage, queue):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    named, silent = queue.job(), queue.job()
    worker.credit(2)
    tasks = {task["job"]: task for task in (worker.expect("task"), worker.expect("task"))}
    scheduler.kill()
    scheduler.start()
    # The new one greets whoever speaks to it; the worker names what it holds, but for one.
    worker.send("ping", nonce=1)
    assert worker.expect("welcome")["scheduler"] != worker.scheduler
    worker.hello()
    worker.send("progress", job=named, epoch=1, done=1, total=9)
    worker.credit(0)
    owner = eventually(lambda: (row := queue.row(named))["locked_by"] != queue.row(silent)["locked_by"] and row["locked_by"])
    assert owner.startswith("node-a:") and queue.row(named)["lease_epoch"] == 1
    row = queue.wait(silent, "retry", seconds=10)
    assert row["attempts"] == 1 and row["error_code"] == "scheduler_lost" and row["lease_epoch"] == 2
    worker.done(tasks[named])
    assert queue.wait(named, "done")["attempts"] == 0
    worker.done(tasks[silent])  # too late
    time.sleep(0.3)
    assert queue.status(silent) == "retry"


def test_result_owed_to_a_dead_scheduler_counts(stage, queue):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    job = queue.job()
    worker.credit(1)
    task = worker.expect("task")
    scheduler.kill()
    worker.done(task)  # queued by ZeroMQ until there is a scheduler again
    scheduler.start()
    row = queue.wait(job, "done")
    assert row["attempts"] == 0 and row["lease_epoch"] == 1


def test_new_generation_of_a_worker_frees_its_leases(stage, queue):
    scheduler = stage.scheduler()
    first = stage.peer(scheduler, name="worker-0")
    job = queue.job()
    first.credit(1)
    task = first.expect("task")
    began = time.monotonic()
    second = stage.peer(scheduler, name="worker-0")
    second.credit(1)
    again = second.expect("task", seconds=5)
    assert time.monotonic() - began < 3 * PATIENCE
    assert again["job"] == job and again["epoch"] == 2 and again["attempt"] == 2
    first.done(task)
    second.done(again)
    row = queue.wait(job, "done")
    assert row["lease_epoch"] == 2 and row["attempts"] == 1
    assert row["result"]["derived_key"].endswith(f"{job}-2.txt")


def test_silent_worker_is_given_up(stage, queue):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    job = queue.job()
    worker.credit(1)
    worker.expect("task")
    # It reads nothing any more: no answers to pings.
    row = queue.wait(job, "retry", seconds=25)
    assert row["error_code"] == "worker_lost" and row["attempts"] == 1


def test_silent_worker_is_given_up_within_its_lease(stage, queue):
    scheduler = stage.scheduler(lease_ms=3000)
    worker, alive = stage.peer(scheduler), stage.peer(scheduler)
    job = queue.job()
    worker.credit(1)
    worker.expect("task")
    began = time.monotonic()
    alive.nothing("task", 2.5)  # answers pings, and has no credit
    assert queue.row(job)["error_code"] == "worker_lost" and queue.status(job) == "retry"
    assert time.monotonic() - began < 3 + 1
    other = queue.job()
    alive.credit(2)
    assert {alive.expect("task")["job"], alive.expect("task")["job"]} == {job, other}


def test_light_tasks_have_room_of_their_own(stage, queue, postgres):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    file = queue.file()
    for kind, count in (("ping", 40), ("noop", 5), ("ping", 40)):
        postgres.execute("insert into jobs (tenant_id, file_id, type, run_after) select %s, %s, %s,"
                         " clock_timestamp() - interval '1 min' from generate_series(1, %s)",
                         (queue.tenant, file, kind, count))
    worker.send("credit", tasks=2, memory_bytes=1 << 30, light=16)
    held = {"ping": [], "noop": []}

    def take():
        task = worker.receive(0.5)
        while task is not None:
            held[task["type"]].append(task)
            task = worker.receive(0.5)

    take()
    assert 8 < len(held["ping"]) <= 16 and not held["noop"]
    done = 0
    while done < 80 and (len(held["noop"]) < 2 or held["ping"]):
        for task in held["ping"]:
            worker.done(task)
        done += len(held["ping"])
        held["ping"] = []
        take()
        assert len(held["ping"]) <= 16 and len(held["noop"]) <= 2
    assert len(held["noop"]) == 2, "documents go by the credit alone"
    assert postgres.value("select count(*) from jobs where type = 'noop' and status = 'running'") == 2
    for task in held["noop"]:
        worker.done(task)
    held["noop"] = []
    worker.send("credit", tasks=8, memory_bytes=1 << 30, light=16)
    while done < 80 or len(held["noop"]) < 3:
        before = done + len(held["noop"])
        take()
        for task in held["ping"]:
            worker.done(task)
        done += len(held["ping"])
        held["ping"] = []
        assert done + len(held["noop"]) > before, (done, len(held["noop"]))
    assert done == 80 and len(held["noop"]) == 3


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
    time.sleep(0.3)
    assert queue.status(job) == "cancelled"
    assert postgres.value("select count(*) from file_derivatives") == 0


def test_cancel_that_was_never_sent_is_found(stage, queue, postgres):
    scheduler = stage.scheduler(lease_ms=1500)
    worker = stage.peer(scheduler)
    job = queue.job()
    worker.credit(1)
    worker.expect("task")
    postgres.execute("update jobs set status = 'cancelled' where id = %s", (job,))
    assert worker.expect("cancel", seconds=5)["job"] == job


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


def test_leases_are_extended_while_the_worker_answers(stage, queue):
    scheduler = stage.scheduler(lease_ms=1000)
    worker = stage.peer(scheduler)
    job = queue.job()
    worker.credit(1)
    task = worker.expect("task")
    worker.nothing("task", 3.5)
    row = queue.row(job)
    assert row["status"] == "running" and row["lease_epoch"] == 1
    worker.done(task)
    queue.wait(job, "done")


def test_expired_lease_of_another_node_is_rescued(stage, queue, postgres):
    job = queue.job(status="running", locked_by="node-z:" + str(uuid.uuid4()), lease_epoch=3)
    old = queue.job(status="running", locked_by="host:123")
    fresh = queue.job(status="running", locked_by="host:124")
    postgres.execute("update jobs set lease_until = now() - interval '1 s' where id = %s", (job,))
    postgres.execute("update jobs set locked_at = now() - interval '20 min' where id = %s", (old,))
    postgres.execute("update jobs set locked_at = now() where id = %s", (fresh,))
    scheduler = stage.scheduler()
    for taken in (job, old):
        row = queue.wait(taken, "retry", seconds=8)
        assert row["attempts"] == 1 and row["error_code"] == "lease_expired"
    assert queue.row(job)["lease_epoch"] == 4
    assert queue.status(fresh) == "running"
    assert scheduler.process.poll() is None


def test_pause_and_resume(stage, queue):
    scheduler = stage.scheduler()
    worker, gateway = stage.peer(scheduler), stage.peer(scheduler, role="control")
    stage.peer(scheduler, role="gateway").send("pause", type="noop")  # not its to say
    gateway.send("pause", type="thumbnail")
    time.sleep(0.3)
    paused, free = queue.job(kind="thumbnail"), queue.job()
    worker.credit(5)
    assert worker.expect("task")["job"] == free
    worker.nothing("task", 1.5)
    gateway.send("pause", type="thumbnail", resume=True)
    assert worker.expect("task", seconds=3)["job"] == paused


def test_priority_and_order(stage, queue, postgres):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    low, first, second, urgent = (queue.job(priority=p) for p in (3, 1, 1, 0))
    later = queue.job(priority=0)
    postgres.execute("update jobs set run_after = now() + interval '900 ms' where id = %s", (later,))
    worker.credit(4)
    assert [worker.expect("task")["job"] for _ in range(4)] == [urgent, first, second, low]
    worker.credit(1)
    assert worker.expect("task", seconds=3)["job"] == later


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
    message = worker.expect("delete", seconds=15)
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
    message = worker.expect("delete", seconds=20)
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


def run_all(queue, peers, jobs, seconds=60, on_loop=lambda done: None):
    """Workers that finish whatever they get, until every job is done. As real ones do they ping when it is quiet: what is
    sent while a scheduler is away may be lost."""
    done, deadline, heard = set(), time.monotonic() + seconds * PATIENCE, time.monotonic()
    for peer in peers:
        peer.credit(8)
    while len(done) < len(jobs):
        assert time.monotonic() < deadline, f"{len(done)} of {len(jobs)} sent"
        for peer in peers:
            message = peer.receive(0.01)
            if message is None:
                if time.monotonic() - heard > 1:
                    heard = time.monotonic()
                    peer.send("ping", nonce=1)
                continue
            heard = time.monotonic()
            if message["message"] == "task":
                done.add((peer.name, message["job"], message["epoch"]))
                peer.done(message)
                peer.credit(8)
            elif message["message"] == "welcome" and message["scheduler"] != peer.scheduler:
                peer.hello()
                peer.credit(8)
        on_loop(done)
    return done


def test_two_nodes_claim_disjointly(stage, queue, postgres):
    jobs = [queue.job() for _ in range(150)]
    nodes = [stage.scheduler(node=name) for name in ("node-a", "node-b")]
    peers = [stage.peer(node) for node in nodes]
    sent = run_all(queue, peers, jobs)
    assert len({job for _, job, _ in sent}) == len(sent) == len(jobs), "a job went out twice"
    assert {name for name, _, _ in sent} == {peer.name for peer in peers}, "one node did everything"
    eventually(lambda: postgres.value("select count(*) from jobs where status = 'done' and lease_epoch = 1") == 150)


def test_other_nodes_hear_of_a_poke(stage, queue):
    first, second = (stage.scheduler(node=name, poll_ms=60000) for name in ("node-a", "node-b"))
    gateway, worker = stage.peer(first, role="gateway"), stage.peer(second)
    worker.credit(1)
    time.sleep(0.7)  # its first look at the queue
    job = queue.job()
    gateway.send("poke", jobs=1)
    assert worker.expect("task", seconds=3)["job"] == job


def test_postgres_restarts_under_load(stage, queue, postgres):
    scheduler = stage.scheduler()
    peers = [stage.peer(scheduler) for _ in range(2)]
    jobs = [queue.job() for _ in range(200)]
    state = {"restarts": 0}

    def restart(done):
        if len(done) >= 60 * (state["restarts"] + 1) and state["restarts"] < 2:
            state["restarts"] += 1
            postgres.restart(down_seconds=0.5)

    sent = run_all(queue, peers, jobs, on_loop=restart)
    assert state["restarts"] == 2
    eventually(lambda: postgres.value("select count(*) from jobs where status = 'done'") == len(jobs), 60, "all done")
    assert postgres.value("select count(*) from files where status = 'ready'") == len(jobs)
    assert postgres.value("select count(*) from file_derivatives") == 2 * len(jobs)
    assert len(sent) >= len(jobs)


def test_results_wait_while_postgres_is_away(stage, queue, postgres):
    scheduler = stage.scheduler(lease_ms=2000)
    worker = stage.peer(scheduler)
    jobs = [queue.job() for _ in range(20)]
    worker.credit(20)
    tasks = [worker.expect("task") for _ in jobs]
    postgres.stop()
    for task in tasks:
        worker.done(task)
    worker.nothing("task", 4)  # longer than a lease
    postgres._control("start")
    for job in jobs:
        row = queue.wait(job, "done", seconds=20)
        assert row["lease_epoch"] == 1 and row["attempts"] == 0


def test_scheduler_killed_over_and_over(stage, queue, postgres):
    scheduler = stage.scheduler()
    peers = [stage.peer(scheduler)]
    jobs = [queue.job() for _ in range(200)]
    state = {"kills": 0}

    def kill(done):
        if len(done) >= 40 * (state["kills"] + 1) and state["kills"] < 3:
            state["kills"] += 1
            scheduler.kill()
            scheduler.start()
            for peer in peers:
                peer.send("ping", nonce=1)

    run_all(queue, peers, jobs, on_loop=kill)
    assert state["kills"] == 3

    def finish():
        message = peers[0].receive(0.05)
        if message and message["message"] == "task":
            peers[0].done(message)
            peers[0].credit(8)
        return postgres.value("select count(*) from jobs where status = 'done'") == len(jobs)

    eventually(finish, 60, "all done")
    assert postgres.value("select count(*) from files where status = 'ready'") == len(jobs)
    assert postgres.value("select count(*) from file_derivatives") == 2 * len(jobs)
    assert postgres.value("select max(attempts) from jobs") <= 3


def test_drain_gives_back_and_waits(stage, queue):
    scheduler = stage.scheduler(drain_ms=8000)
    worker = stage.peer(scheduler)
    running, unstarted = queue.job(), queue.job()
    worker.credit(2)
    tasks = {task["job"]: task for task in (worker.expect("task"), worker.expect("task"))}
    scheduler.process.send_signal(signal.SIGTERM)
    assert 0 < worker.expect("drain")["deadline_ms"] <= 8000
    worker.credit(0)
    worker.send("release", job=unstarted, epoch=1, reason="drain")
    later = queue.job()
    time.sleep(0.5)
    assert scheduler.process.poll() is None
    worker.done(tasks[running])
    assert scheduler.process.wait(timeout=5 * PATIENCE) == 0
    assert queue.status(running) == "done"
    row = queue.row(unstarted)
    assert row["status"] == "queued" and row["attempts"] == 0 and row["locked_by"] is None
    assert queue.status(later) == "queued"


def test_drain_deadline_gives_back_what_runs(stage, queue):
    scheduler = stage.scheduler(drain_ms=800)
    worker = stage.peer(scheduler)
    job = queue.job()
    worker.credit(1)
    worker.expect("task")
    assert scheduler.terminate() == 0
    row = queue.row(job)
    assert row["status"] == "queued" and row["attempts"] == 0 and row["lease_until"] is None


def test_idle_drain_is_quick(stage, queue):
    scheduler = stage.scheduler()
    stage.peer(scheduler)
    began = time.monotonic()
    assert scheduler.terminate() == 0
    assert time.monotonic() - began < 2 * PATIENCE


def test_bad_peers_do_not_hurt(stage, queue):
    scheduler = stage.scheduler()
    bad, worker = stage.peer(scheduler), stage.peer(scheduler)
    gateway = stage.peer(scheduler, role="gateway")
    job = queue.job()
    worker.credit(1)
    task = worker.expect("task")
    for data in (b"", b"\xc1", b"\x81\x00", os.urandom(300), b"\x81\x00\x63", b"\xdf" + b"\xff" * 4,
                 b"\x83\x00\x06\x01\xa3abc\x02\x01"):
        bad.send_bytes(data)
    bad.send("task", job=job, epoch=1, type="x")  # not a worker's to send
    gateway.send("result", job=job, epoch=1, outcome=1)
    gateway.send("credit", tasks=50)
    bad.send("result", job=str(uuid.uuid4()), epoch=1, outcome=1)
    time.sleep(0.5)
    assert queue.status(job) == "running" and scheduler.process.poll() is None
    worker.done(task)
    queue.wait(job, "done")


def test_through_pgbouncer(stage, queue, postgres):
    with PgBouncer(postgres, free_port(), pool=3) as bouncer:
        scheduler = stage.scheduler(url=bouncer.url(), database_prepare="off")
        peers = [stage.peer(scheduler) for _ in range(2)]
        jobs = [queue.job() for _ in range(120)]
        run_all(queue, peers, jobs)
        eventually(lambda: postgres.value("select count(*) from jobs where status = 'done'") == len(jobs))
        postgres.execute("update jobs set locked_by = locked_by")
        scheduler.terminate()


def test_idle_asks_little(stage, queue, postgres):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    worker.credit(4)
    count = "select xact_commit + xact_rollback from pg_stat_database where datname = 'filemill'"
    worker.nothing("task", 4)
    time.sleep(1.5)
    before = int(postgres.value(count))
    worker.nothing("task", 10)
    time.sleep(1.5)  # statistics arrive late
    used = int(postgres.value(count)) - before
    chores = 10  # each once, if a minute begins meanwhile
    assert used <= 2 * 11.5 + 3 + chores, f"{used} transactions in 11.5 s"


def test_claim_plan_reads_only_what_it_takes(queue, postgres):
    """The statement that the scheduler prepares, with 100 000 rows queued and 50 000 finished."""
    import re
    import subprocess
    from pathlib import Path
    file = queue.file()
    postgres.execute("insert into jobs (tenant_id, file_id, type, status) select %s, %s, 'noop',"
                     " case when n %% 3 = 0 then 'done' else 'queued' end::job_status_t"
                     " from generate_series(1, 150000) n", (queue.tenant, file))
    postgres.execute("analyze jobs")
    source = Path(__file__).resolve().parents[2] / "scheduler"
    code = ('#include "scheduler/statements.h"\n#include <stdio.h>\n'
            'int main(void){printf("%s", statement_claim(4)->text);return 0;}\n')
    probe = f"/tmp/claim-text-{os.getpid()}"
    subprocess.run(["cc", "-xc", "-", "-xnone", str(source / "statements.c"),
                    *map(str, (source.parent / "lib" / name for name in ("buffer.c", "text.c", "text_code.c", "log.c",
                                                                         "log_json.c", "memory.c", "clock.c"))),
                    "-D_GNU_SOURCE", f"-I{source.parent}", "-I/usr/include/postgresql", "-o", probe],
                   input=code, text=True, check=True)
    text = subprocess.run([probe], capture_output=True, text=True, check=True).stdout
    os.unlink(probe)
    assert re.findall(r"limit (\d+)", text) == ["16"] * 5, "the LIMIT is a literal"
    with postgres.connect() as connection, connection.cursor() as cursor:
        cursor.execute("set plan_cache_mode = force_generic_plan")
        for name, value in re.findall(r'{"(\w+)", "(\w+)"}', (source / "statements.c").read_text()):
            cursor.execute(f"set {name} = {value}")  # statement_locals
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
    assert not [node for node in flat if node["Node Type"] == "Sort" and node["Actual Rows"] > 16]
