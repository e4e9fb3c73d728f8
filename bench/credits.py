# SPDX-License-Identifier: MIT
"""What credits cost: `ping` jobs per second and Postgres' processor time per job, with credits off and on; that of making
the jobs in one statement apart from that of claiming and finishing them. Off, in the same run, is the baseline."""
import time
from pathlib import Path

from harness import System
from jobs import insert, left

JOBS = 20000
ROUNDS = 2
PATIENCE_S = 180
TICKS = 100


def cpu_of(pid):
    """Processor seconds of a process, and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS


def postgres_cpu(system):
    """Of Postgres and all its processes. A process that ends between the two looks moves into its parent's sum."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                pass
    root, = system.pids("postgres")
    total = cpu_of(root)
    for child in [pid for pid, parent in parents.items() if parent == root]:
        try:
            total += cpu_of(child)
        except OSError:
            pass
    return total


def burn(system, user):
    """Jobs per second; microseconds of Postgres per job, to make it and to run it."""
    system.sql("delete from jobs where type = 'ping'")
    system.command("pause", "ping")
    started = postgres_cpu(system)
    insert(system, user, "ping", JOBS)
    made = postgres_cpu(system)
    for table in ("jobs", "files", "credit_ledger", "credit_reservations", "user_credits"):
        system.sql(f"vacuum analyze {table}")
    ready = postgres_cpu(system)
    system.command("resume", "ping")
    deadline = time.monotonic() + PATIENCE_S
    while left(system, "ping"):
        assert time.monotonic() < deadline, f"{left(system, 'ping')} of {JOBS} left after {PATIENCE_S} s"
        time.sleep(1)
    ended = postgres_cpu(system)
    row, = system.sql("select extract(epoch from max(finished_at) - min(started_at)) as s from jobs where type = 'ping'")
    assert system.sql("select * from credit_faults") == []
    return JOBS / float(row["s"]), (made - started) / JOBS * 1e6, (ended - ready) / JOBS * 1e6


def best(mode):
    with System(log_level="error", credits=mode) as system:
        user = system.user().bootstrap()
        system.sql("select credit_grant(%s, 1000000000000, 'bench')", user.id)
        rounds = [burn(system, user) for _ in range(ROUNDS)]
        return max(r[0] for r in rounds), min(r[1] for r in rounds), min(r[2] for r in rounds)


def main(table):
    off, on = best("off"), best("on")
    for index, (what, unit) in enumerate((("ping jobs, credits on", "/s"), ("Postgres to make a job, credits on", "µs"),
                                          ("Postgres to run a job, credits on", "µs"))):
        table.add(what, on[index], unit, off[index], "credits off")
