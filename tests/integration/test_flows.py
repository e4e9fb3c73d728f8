# SPDX-License-Identifier: MIT
"""Jobs that wait for others, from outside: a real Postgres, one or two schedulers, workers played by the test."""
import json
import uuid

from system import eventually

SHA = "5e" * 32


def split(queue, worker, job, text="1-8:8,9-16:8,17-20:3"):
    """The first run of a long document: the worker answers with ranges. Returns the children in order."""
    task = worker.expect("task", job=job)
    assert task["range_pages"] == 8 and task["ranges"] == 64 and not task.get("joins")
    worker.send("result", job=job, epoch=task["epoch"], outcome=1, split=text, input_sha256=SHA)
    queue.wait(job, "waiting")
    return children(queue, job)


def children(queue, job):
    return [row["id"] for row in queue.postgres.query("select id::text as id from jobs where parent = %s order by id", (job,))]


def parts(queue, job):
    return queue.postgres.query("select key, size_bytes from job_parts where parent = %s order by key", (job,))


def finish_range(worker, task, pages=8):
    output = next(output for output in task["outputs"] if output["kind"] == "ocr_range")
    worker.send("result", job=task["job"], epoch=task["epoch"], outcome=1, pages=pages, outputs=[
        {"kind": "ocr_range", "key": output["key"], "size_bytes": 7, "sha256": "ab" * 32}])


def flow(queue, rule=None, count=2, file=None):
    """A waiting job of one file and `count` jobs of other files that it waits for, in one statement: a scheduler that
    looks in between would find a job that waits for nobody, and wake it."""
    files = [queue.file() for _ in range(count)]
    rows = queue.postgres.query(
        "with one as (insert into jobs (tenant_id, file_id, type, status, payload) values (%s, %s, 'noop', 'waiting', %s)"
        " returning id), others as (insert into jobs (tenant_id, file_id, type, parent)"
        " select %s, file, 'noop', one.id from one, unnest(%s::uuid[]) as file returning id)"
        " select one.id::text as parent, others.id::text as child from one, others",
        (queue.tenant, file or queue.file(), json.dumps({} if rule is None else {"on_child_failure": rule}),
         queue.tenant, files))
    return rows[0]["parent"], [row["child"] for row in rows]


def test_a_long_document_is_cut_and_joined(stage, queue, postgres):
    scheduler = stage.scheduler()
    worker, gateway = stage.peer(scheduler), stage.peer(scheduler, role="gateway")
    job = queue.job(kind="ocr", priority=2, payload=json.dumps({"languages": "eng"}))
    worker.credit(1)
    ranges = split(queue, worker, job)
    assert len(ranges) == 3
    row = queue.row(job)
    assert (row["progress_done"], row["progress_total"], row["attempts"]) == (0, 19, 0) and row["locked_by"] is None
    assert queue.file_status(row["file_id"]) == "processing"
    assert [queue.row(child)["payload"] for child in ranges] == [
        {"languages": "eng", "range": text} for text in ("1-8", "9-16", "17-20")]
    assert {queue.row(child)["priority"] for child in ranges} == {2}
    worker.credit(3)
    tasks = [worker.expect("task") for _ in ranges]
    assert sorted(task["job"] for task in tasks) == ranges and len({task["outputs"][6]["key"] for task in tasks}) == 3
    assert all("range_pages" not in task or task["range_pages"] == 0 for task in tasks)
    first, second, third = sorted(tasks, key=lambda task: task["job"])
    worker.send("progress", job=first["job"], epoch=1, done=5, total=8)
    eventually(lambda: queue.row(job)["progress_done"] == 5, what="pages of a running range")
    finish_range(worker, first)
    finish_range(worker, second)
    eventually(lambda: queue.row(job)["progress_done"] == 16, what="pages of two ranges")
    worker.nothing("task", 0.3)
    finish_range(worker, third, pages=3)
    worker.credit(1)
    task = worker.expect("task", job=job)
    assert task["joins"] and task["epoch"] == 2 and len(task["parts"]) == 3
    assert json.loads(task["parameters"]) == {"languages": "eng"}
    assert all("/derived/" in part["url"] and part["size_bytes"] == 7 for part in task["parts"])
    worker.send("result", job=job, epoch=2, outcome=1, pages=19, outputs=[
        {"kind": "ocr_text", "key": task["outputs"][0]["key"], "size_bytes": 7, "sha256": "ab" * 32}])
    row = queue.wait(job, "done")
    assert row["attempts"] == 0 and queue.file_status(row["file_id"]) == "ready" and parts(queue, job) == []
    kinds = [row["kind"] for row in postgres.query("select kind from file_derivatives")]
    assert kinds == ["ocr_text"], "parts are no derivatives"
    garbage = [row["key"] for row in postgres.query("select key from object_deletions order by key")]
    assert garbage == sorted(task["outputs"][6]["key"] for task in tasks)
    progress = [row["data"]["done"] for row in postgres.query(
        "select data from file_events where kind = 'job.progress' and job_id = %s order by id", (job,))]
    assert progress == sorted(progress) and progress[-1] == 19
    gateway.expect("event")


def test_ranges_that_nobody_asked_for(stage, queue):
    scheduler = stage.scheduler(max_attempts=1)
    worker = stage.peer(scheduler)
    worker.credit(10)
    for text in ("1-8:8", "1-8:9,9-16:8", "9-16:8,1-8:8", "1-8:8,8-9:2", "1-8:8,9-16:8,", "a", "01-8:8,9-9:1"):
        job = queue.job(kind="ocr")
        worker.credit(10)  # wakes the scheduler
        task = worker.expect("task", job=job)
        worker.send("result", job=job, epoch=task["epoch"], outcome=1, split=text)
        assert queue.wait(job, "failed")["error_code"] == "bad_result"
        assert children(queue, job) == []
    job = queue.job(kind="ocr")
    child = split(queue, worker, job)[0]
    task = worker.expect("task", job=child)
    worker.send("result", job=child, epoch=task["epoch"], outcome=1, split="1-4:4,5-8:4")
    assert queue.wait(child, "failed")["error_code"] == "bad_result"


def test_a_part_without_anybody_who_waits_is_refused(stage, queue, postgres):
    scheduler = stage.scheduler(max_attempts=1)
    worker = stage.peer(scheduler)
    worker.credit(1)
    job = queue.job(kind="ocr")
    finish_range(worker, worker.expect("task", job=job))
    assert queue.wait(job, "failed")["error_code"] == "bad_result" and parts(queue, job) == []


def test_a_range_that_fails_leaves_the_others(stage, queue):
    scheduler = stage.scheduler(max_attempts=1)
    worker = stage.peer(scheduler)
    worker.credit(10)
    job = queue.job(queue.file(sha256=SHA), kind="ocr")
    ranges = split(queue, worker, job)
    tasks = {task["job"]: task for task in (worker.expect("task") for _ in ranges)}
    worker.failed(tasks[ranges[1]], "crash", crash=True, retryable=True)  # crashes of one range: not of the bytes
    queue.wait(ranges[1], "failed")
    finish_range(worker, tasks[ranges[0]])
    finish_range(worker, tasks[ranges[2]], pages=3)
    task = worker.expect("task", job=job)
    assert task["joins"] and len(task["parts"]) == 2
    worker.send("result", job=job, epoch=task["epoch"], outcome=1, pages=19)
    row = queue.wait(job, "done")
    assert queue.file_status(row["file_id"]) == "ready", "the whole decides, not the range"
    assert queue.postgres.value("select count(*) from quarantine") == 0


def test_two_schedulers_end_the_last_two_at_once(stage, queue, postgres):
    """Each ends half of the children, in their own order; the parent is woken once, whatever the order of commits."""
    here, there = stage.scheduler(), stage.scheduler(node="node-b")
    workers = [stage.peer(here), stage.peer(there)]
    flows = [flow(queue) for _ in range(40)]
    for worker in workers:  # more than half of them each: some room is kept for short work
        worker.credit(60)
    pending, held = {child for _, kids in flows for child in kids}, []

    def all_held():
        for worker in workers:
            while (task := worker.receive(0.01)) is not None:
                if task["message"] == "task":
                    held.append((worker, task))
                    pending.discard(task["job"])
        return not pending
    eventually(all_held, 60, "every child")
    assert {worker.node for worker, _ in held} == {"node-a", "node-b"}
    for worker in workers:
        worker.credit(40)
    for worker, task in held:
        worker.send("result", job=task["job"], epoch=task["epoch"], outcome=1)
    woken = {}
    parents = {parent for parent, _ in flows}

    def all_woken():
        for worker in workers:
            while (task := worker.receive(0.02)) is not None:
                if task["message"] == "task":
                    woken[task["job"]] = woken.get(task["job"], 0) + 1
                    worker.send("result", job=task["job"], epoch=task["epoch"], outcome=1)
        return set(woken) == parents
    eventually(all_woken, what="every parent")
    for parent in parents:
        assert queue.wait(parent, "done")["lease_epoch"] == 1
    events = postgres.query("select job_id::text as job, count(*) as n from file_events where data->>'status' = 'queued'"
                            " group by 1")
    assert {row["job"]: row["n"] for row in events} == {parent: 1 for parent in parents}


def test_a_failed_child_fails_the_one_that_waits(stage, queue):
    scheduler = stage.scheduler(max_attempts=1)
    worker, gateway = stage.peer(scheduler), stage.peer(scheduler, role="gateway")
    worker.credit(10)
    parent, kids = flow(queue)
    tasks = {task["job"]: task for task in (worker.expect("task") for _ in kids)}
    worker.failed(tasks[kids[0]], "bad_input")
    queue.wait(kids[0], "failed")
    assert queue.status(parent) == "waiting"
    worker.send("result", job=kids[1], epoch=1, outcome=1)
    row = queue.wait(parent, "failed")
    assert row["error_code"] == "child_failed" and "bad_input" in row["error_detail"] and row["attempts"] == 0
    assert queue.file_status(row["file_id"]) == "failed" and row["finished_at"]
    gateway.expect("event", file=row["file_id"])
    worker.nothing("task", 0.3)


def test_one_that_goes_on_does(stage, queue):
    scheduler = stage.scheduler(max_attempts=1)
    worker = stage.peer(scheduler)
    worker.credit(10)
    parent, kids = flow(queue, rule="go_on")
    for _ in kids:
        worker.failed(worker.expect("task"), "bad_input")
    task = worker.expect("task", job=parent)
    assert task["joins"] and "parameters" in task and json.loads(task["parameters"]) == {}


def test_nobody_is_left_waiting(stage, queue, postgres):
    """Children that end without any scheduler: cancelled, or their rows gone. And a flow of flows."""
    lost, kids = flow(queue, rule="go_on")
    strict, strict_kids = flow(queue)
    outer = queue.job(kind="noop", status="waiting")
    postgres.execute("update jobs set parent = %s where id = %s", (outer, strict))
    scheduler = stage.scheduler(lease_ms=3000)
    worker = stage.peer(scheduler)
    postgres.execute("delete from jobs where id = any (%s::uuid[])", (kids,))
    postgres.execute("update jobs set status = 'cancelled' where id = any (%s::uuid[])", (strict_kids,))
    worker.credit(10)
    worker.expect("task", job=lost)
    assert queue.wait(strict, "failed")["error_code"] == "child_failed"
    assert queue.wait(outer, "failed")["error_code"] == "child_failed"


def test_what_was_made_for_a_cancelled_job_goes(stage, queue, postgres):
    key = f"t/{queue.tenant}/derived/{uuid.uuid4()}/ocr_range.{uuid.uuid4()}-1.bin"
    job = queue.job(kind="ocr", status="cancelled")
    postgres.execute("insert into job_parts (key, parent, job, size_bytes, sha256) values (%s, %s, %s, 1, '')",
                     (key, job, job))
    stage.scheduler()
    eventually(lambda: parts(queue, job) == [], 60, "the chore")
    assert postgres.value("select key from object_deletions") == key


def test_killed_after_the_split(stage, queue):
    """The next scheduler goes on with the ranges; those that are done stay done."""
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    worker.credit(2)
    job = queue.job(kind="ocr")
    ranges = split(queue, worker, job)
    worker.credit(3)
    tasks = {task["job"]: task for task in (worker.expect("task") for _ in ranges)}
    finish_range(worker, tasks[ranges[0]])
    queue.wait(ranges[0], "done")
    scheduler.kill()
    worker.wire.wait_until_cut()
    scheduler.start()
    worker.hello()
    worker.credit(3)
    for child, pages in ((ranges[1], 8), (ranges[2], 3)):
        finish_range(worker, tasks[child], pages)
    for child in ranges[1:]:
        assert queue.wait(child, "done")["lease_epoch"] == 1
    task = worker.expect("task", job=job)
    assert task["joins"] and len(task["parts"]) == 3


def test_a_reading_that_is_needed_follows(stage, queue, postgres):
    scheduler = stage.scheduler(ocr_when_needed="on")
    worker = stage.peer(scheduler)
    worker.credit(10)
    text = queue.job()
    worker.done(worker.expect("task", job=text), metrics='{"pages_need_ocr": 0}')
    assert queue.file_status(queue.wait(text, "done")["file_id"]) == "ready"
    scan = queue.job()
    worker.done(worker.expect("task", job=scan), metrics='{"pages_need_ocr": 3}')
    task = worker.expect("task", type="ocr")
    file = queue.wait(scan, "done")["file_id"]
    assert task["file"] == file and json.loads(task["parameters"]) == {"pages": "needed"}
    assert queue.row(task["job"])["priority"] == 2 and queue.file_status(file) == "processing"
    again = queue.job(file)
    worker.done(worker.expect("task", job=again), metrics='{"pages_need_ocr": 3}')
    queue.wait(again, "done")
    assert postgres.value("select count(*) from jobs where type = 'ocr'") == 1


def test_a_reading_that_is_not_wanted(stage, queue, postgres):
    scheduler = stage.scheduler(ocr_when_needed="off")
    worker = stage.peer(scheduler)
    worker.credit(10)
    job = queue.job()
    worker.done(worker.expect("task", job=job), metrics='{"pages_need_ocr": 3}')
    queue.wait(job, "done")
    assert postgres.value("select count(*) from jobs where type = 'ocr'") == 0
