# SPDX-License-Identifier: MIT
"""Who may go away, from outside: workers that fall silent, schedulers that die or drain, several of them, and a Postgres
that is not always there."""
import contextlib
import os
import signal
import time
import uuid

from postgres import PgBouncer
from system import PATIENCE, eventually, free_port


def left(postgres):
    return postgres.value("select count(*) from jobs where status <> 'done'")


def running(postgres):
    return postgres.value("select count(*) from jobs where status = 'running'")


def test_restarted_scheduler_adopts_live_leases(stage, queue):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    named, silent = queue.job(), queue.job()
    worker.credit(2)
    tasks = {task["job"]: task for task in (worker.expect("task"), worker.expect("task"))}
    scheduler.kill()
    worker.wire.wait_until_cut()
    scheduler.start()
    # The new one greets whoever speaks to it; the worker names what it holds, but for one.
    worker.send("ping", nonce=1)
    eventually(lambda: worker.expect("welcome")["scheduler"] != worker.scheduler, what="the new one's word")
    worker.hello()
    worker.send("progress", job=named, epoch=1, done=1, total=9)
    worker.credit(0)
    owner = eventually(lambda: (row := queue.row(named))["locked_by"] != queue.row(silent)["locked_by"] and row["locked_by"])
    assert owner.startswith("node-a:") and queue.row(named)["lease_epoch"] == 1
    row = queue.wait(silent, "retry")
    assert row["attempts"] == 1 and row["error_code"] == "scheduler_lost" and row["lease_epoch"] == 2
    worker.done(tasks[named])
    assert queue.wait(named, "done")["attempts"] == 0
    worker.done(tasks[silent])  # too late
    eventually(lambda: f"job={silent} lease=1 state=stale" in scheduler.log(), what="the late result is noticed")
    assert queue.status(silent) == "retry"


def test_result_owed_to_a_dead_scheduler_counts(stage, queue):
    scheduler = stage.scheduler()
    worker = stage.peer(scheduler)
    job = queue.job()
    worker.credit(1)
    task = worker.expect("task")
    scheduler.kill()
    worker.wire.wait_until_cut()
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
    second = stage.peer(scheduler, name="worker-0")
    second.credit(1)
    again = second.expect("task")  # neither silence nor a lease that ends: both answer pings
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
    worker.be_silent()
    row = queue.wait(job, "retry", seconds=40)
    assert row["error_code"] == "worker_lost" and row["attempts"] == 1


def test_silent_worker_is_given_up_within_its_lease(stage, queue, postgres):
    scheduler = stage.scheduler(lease_ms=8000)
    worker, alive = stage.peer(scheduler), stage.peer(scheduler)
    job = queue.job()
    worker.credit(1)
    worker.expect("task")
    worker.be_silent()
    began = postgres.value("select clock_timestamp()")
    row = queue.wait(job, "retry")  # the other answers pings, and has no credit
    assert row["error_code"] == "worker_lost" and (row["updated_at"] - began).total_seconds() < 8
    other = queue.job()
    alive.credit(2)
    assert {alive.expect("task")["job"], alive.expect("task")["job"]} == {job, other}


def test_leases_are_extended_while_the_worker_answers(stage, queue):
    scheduler = stage.scheduler(lease_ms=2000)
    worker = stage.peer(scheduler)
    job = queue.job()
    worker.credit(1)
    task = worker.expect("task")
    worker.nothing("task", 4.5)
    row = queue.row(job)
    assert row["status"] == "running" and row["lease_epoch"] == 1
    worker.done(task)
    queue.wait(job, "done")


def test_a_lease_that_began_while_others_were_extended_is_kept(stage, queue, postgres):
    """The statement that extends waits for one job's row; meanwhile the other job fails and is claimed again."""
    scheduler = stage.scheduler(lease_ms=9000, backoff_unit_ms=10)
    worker = stage.peer(scheduler)
    held = queue.job(id="0" + str(uuid.uuid4())[1:])  # rows are updated in order of id
    worker.credit(1)
    first = worker.expect("task")
    job = queue.job(id="f" + str(uuid.uuid4())[1:])
    worker.credit(1)
    task = worker.expect("task")
    assert (first["job"], task["job"], task["epoch"]) == (held, job, 1)
    with contextlib.closing(postgres.connect()) as holder, holder.cursor() as cursor:
        cursor.execute("begin; select 1 from jobs where id = %s for update", (held,))

        def waits():
            worker.nothing("cancel", 0.1)  # and answers pings
            return postgres.query("select 1 from pg_stat_activity where %s = any (pg_blocking_pids(pid))",
                                  (holder.get_backend_pid(),))
        eventually(waits, what="a scheduler that extends its leases")
        worker.failed(task, retryable=True)
        worker.credit(1)
        again = worker.expect("task")
        assert (again["job"], again["epoch"]) == (job, 2)
        cursor.execute("commit")
    worker.nothing("cancel", 1)
    worker.done(again)
    worker.done(first)
    assert queue.wait(job, "done")["attempts"] == 1 and queue.wait(held, "done")["attempts"] == 0


def test_expired_lease_of_another_node_is_rescued(stage, queue, postgres):
    job = queue.job(status="running", locked_by="node-z:" + str(uuid.uuid4()), lease_epoch=3)
    old = queue.job(status="running", locked_by="host:123")
    fresh = queue.job(status="running", locked_by="host:124")
    postgres.execute("update jobs set lease_until = now() - interval '1 s' where id = %s", (job,))
    postgres.execute("update jobs set locked_at = now() - interval '20 min' where id = %s", (old,))
    postgres.execute("update jobs set locked_at = now() where id = %s", (fresh,))
    scheduler = stage.scheduler()
    for taken in (job, old):
        row = queue.wait(taken, "retry")
        assert row["attempts"] == 1 and row["error_code"] == "lease_expired"
    assert queue.row(job)["lease_epoch"] == 4
    assert queue.status(fresh) == "running"
    assert scheduler.process.poll() is None


def run_all(peers, jobs, postgres, seconds=90, on_loop=lambda done: None):
    """Workers that finish whatever they get, until every job is done. As real ones do they ping when it is quiet: what is
    sent while a scheduler is away may be lost."""
    done, deadline, heard = set(), time.monotonic() + seconds * PATIENCE, time.monotonic()
    for peer in peers:
        peer.credit(8)

    def is_over():
        return {job for _, job, _ in done} == set(jobs) and left(postgres) == 0
    while not is_over():
        assert time.monotonic() < deadline, f"{len(done)} of {len(jobs)} sent, {left(postgres)} left"
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
                peer.scheduler = message["scheduler"]
                peer.hello()
                peer.credit(8)
        on_loop(done)
    return done


def test_two_nodes_claim_disjointly(stage, queue, postgres):
    jobs = queue.jobs(150)
    nodes = [stage.scheduler(node=name) for name in ("node-a", "node-b")]
    peers = [stage.peer(node) for node in nodes]
    for peer in peers:
        peer.credit(8)
    eventually(lambda: {row["n"] for row in postgres.query(
        "select count(*) as n from jobs where status = 'running' group by locked_by")} == {8}
        and running(postgres) == 16, what="eight on each")
    sent = run_all(peers, jobs, postgres)
    assert len({job for _, job, _ in sent}) == len(sent) == len(jobs), "a job went out twice"
    assert {name for name, _, _ in sent} == {peer.name for peer in peers}, "one node did everything"
    assert postgres.value("select count(*) from jobs where status = 'done' and lease_epoch = 1") == 150


def test_other_nodes_hear_of_a_poke(stage, queue):
    first, second = (stage.scheduler(node=name, poll_ms=60000) for name in ("node-a", "node-b"))
    gateway, worker = stage.peer(first, role="gateway"), stage.peer(second)
    worker.credit(1)
    worker.wait_until_heard()
    worker.nothing("task", 0.7)  # its first look at the queue
    job = queue.job()
    gateway.send("poke", jobs=1)
    assert worker.expect("task")["job"] == job


def test_postgres_restarts_under_load(stage, queue, postgres):
    scheduler = stage.scheduler()
    peers = [stage.peer(scheduler) for _ in range(2)]
    jobs = queue.jobs(200)
    state = {"restarts": 0}

    def restart(done):
        if len(done) >= 60 * (state["restarts"] + 1) and state["restarts"] < 2:
            state["restarts"] += 1
            postgres.restart(down_seconds=0.5)

    sent = run_all(peers, jobs, postgres, on_loop=restart)
    assert state["restarts"] == 2
    assert postgres.value("select count(*) from files where status = 'ready'") == len(jobs)
    assert postgres.value("select count(*) from file_derivatives") == 2 * len(jobs)
    assert len(sent) >= len(jobs)


def test_results_wait_while_postgres_is_away(stage, queue, postgres):
    scheduler = stage.scheduler(lease_ms=2000)
    worker = stage.peer(scheduler)
    jobs = queue.jobs(20)
    worker.credit(20)
    tasks = [worker.expect("task") for _ in jobs]
    postgres.stop()
    for task in tasks:
        worker.done(task)
    worker.nothing("task", 4)  # longer than a lease
    postgres.start()
    for job in jobs:
        row = queue.wait(job, "done")
        assert row["lease_epoch"] == 1 and row["attempts"] == 0


def test_scheduler_killed_over_and_over(stage, queue, postgres):
    scheduler = stage.scheduler()
    peers = [stage.peer(scheduler)]
    jobs = queue.jobs(200)
    state = {"kills": 0}

    def kill(done):
        if len(done) >= 40 * (state["kills"] + 1) and state["kills"] < 3:
            state["kills"] += 1
            scheduler.kill()
            scheduler.start()
            for peer in peers:
                peer.send("ping", nonce=1)

    run_all(peers, jobs, postgres, on_loop=kill)
    assert state["kills"] == 3
    assert postgres.value("select count(*) from files where status = 'ready'") == len(jobs)
    assert postgres.value("select count(*) from file_derivatives") == 2 * len(jobs)
    assert postgres.value("select max(attempts) from jobs") <= 3


def test_drain_gives_back_and_waits(stage, queue):
    scheduler = stage.scheduler(drain_ms=30000)
    worker = stage.peer(scheduler)
    running, unstarted = queue.job(), queue.job()
    worker.credit(2)
    tasks = {task["job"]: task for task in (worker.expect("task"), worker.expect("task"))}
    scheduler.process.send_signal(signal.SIGTERM)
    assert 0 < worker.expect("drain")["deadline_ms"] <= 30000
    worker.credit(0)
    worker.send("release", job=unstarted, epoch=1, reason="drain")
    later = queue.job()
    queue.wait(unstarted, "queued")
    assert scheduler.process.poll() is None
    worker.done(tasks[running])
    assert scheduler.process.wait(timeout=15 * PATIENCE) == 0
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
    def seconds():
        scheduler = stage.scheduler()
        stage.peer(scheduler)
        began = time.monotonic()
        assert scheduler.terminate() == 0
        return time.monotonic() - began
    assert any(seconds() < 2 * PATIENCE for _ in range(3))


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
    bad.wait_until_heard()
    gateway.wait_until_heard()
    assert queue.status(job) == "running" and scheduler.process.poll() is None
    worker.done(task)
    assert queue.wait(job, "done")["result"]["cpu_ms"] == 5, "by the worker itself"


def test_through_pgbouncer(stage, queue, postgres):
    with PgBouncer(postgres, free_port(), pool=3) as bouncer:
        scheduler = stage.scheduler(url=bouncer.url(), database_prepare="off")
        peers = [stage.peer(scheduler) for _ in range(2)]
        jobs = queue.jobs(120)
        run_all(peers, jobs, postgres)
        postgres.execute("update jobs set locked_by = locked_by")
        scheduler.terminate()
