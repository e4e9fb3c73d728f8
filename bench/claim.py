# SPDX-License-Identifier: MIT
"""What a claim costs with 10 thousand and with 1 million queued rows, and how many no-op jobs a second the
scheduler alone carries through, its worker played by a script that answers at once (so that figure is also the
script's own; bench/jobs.py has a real worker).

The claim's time is a whole one: from the message that gives room to the last of its tasks, less an empty round."""
import sys
import tempfile
import time

import harness  # noqa: F401  (puts the fixtures on the path)
from harness import percentile
from postgres import Postgres
from scheduler_process import Peer, Queue, Scheduler

SMALL, LARGE = 10_000, 1_000_000
BATCH = 16
ROUNDS = 60
NOOPS = 30_000


def fill(postgres, queue, rows):
    postgres.execute("truncate jobs cascade")
    postgres.execute("insert into jobs (tenant_id, file_id, type) select %s, f.id, 'noop' from"
                     " (select array_agg(id) as ids from files) a, generate_series(1, %s) n"
                     " join lateral (select a.ids[1 + n %% array_length(a.ids, 1)] as id) f on true",
                     (queue.tenant, rows))
    postgres.execute("vacuum analyze jobs")


def claim_ms(postgres, directory, rows):
    """Milliseconds from credit to the last task of a batch, without what an empty message round costs."""
    scheduler = Scheduler(postgres.url(), directory, node=f"n{rows}", batch=BATCH, poll_ms=60000, log_level="warn")
    worker = Peer(scheduler)
    times, echoes = [], []
    try:
        time.sleep(1)
        for number in range(ROUNDS + 10):
            began = time.perf_counter()
            worker.send("ping", nonce=number)
            worker.expect("pong")
            echoes.append(time.perf_counter() - began)
            began = time.perf_counter()
            worker.credit(BATCH)
            tasks = [worker.expect("task") for _ in range(BATCH)]
            times.append(time.perf_counter() - began)
            for task in tasks:
                worker.send("release", job=task["job"], epoch=task["epoch"], reason="overload")
            time.sleep(0.02)
    finally:
        scheduler.close()
        worker.close()
    return 1000 * (percentile(times[10:], 0.5) - percentile(echoes[10:], 0.5))


def noops(postgres, directory, queue):
    fill(postgres, queue, NOOPS)
    scheduler = Scheduler(postgres.url(), directory, node="noop", batch=256, poll_ms=60000, log_level="warn")
    worker = Peer(scheduler)
    try:
        time.sleep(1)
        began = time.perf_counter()
        room, done = 1024, 0
        worker.credit(room)
        while done < NOOPS:
            task = worker.expect("task", seconds=30)
            worker.done(task)
            done += 1
            if done % 256 == 0:
                worker.credit(room)
        while postgres.value("select count(*) from jobs where status = 'done'") < NOOPS:
            time.sleep(0.02)
        return NOOPS / (time.perf_counter() - began)
    finally:
        scheduler.close()
        worker.close()


def main(table):
    with Postgres(durable=True) as postgres, tempfile.TemporaryDirectory(prefix="fmb-") as directory:
        postgres.migrate()
        queue = Queue(postgres)
        for _ in range(1000):
            queue.file()
        fill(postgres, queue, SMALL)
        small = claim_ms(postgres, directory, SMALL)
        fill(postgres, queue, LARGE)
        large = claim_ms(postgres, directory, LARGE)
        table.add(f"claim of {BATCH}, {LARGE:,} queued", large, "ms", small, f"{SMALL:,} queued", "ratio 1.5")
        table.add("no-op jobs, scheduler alone", noops(postgres, directory, queue), "/s")


if __name__ == "__main__":
    table = harness.Table()
    main(table)
    table.print()
    sys.exit(0)
