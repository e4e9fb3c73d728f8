"""What a system costs that does nothing: proportional memory of our own processes, and queries per second."""
import time

from harness import System

SECONDS = 20


def pss_kib(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as rollup:
            return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0


def main(table):
    with System() as system:
        user = system.user().bootstrap()
        user.wait(user.send("mill.pdf", "application/pdf", (system_sample()).read_bytes()))
        time.sleep(5)
        own = [system.process.pid] + [pid for pid, name in system.descendants() if name.startswith("filemill")]
        table.add("idle memory of all own processes", sum(map(pss_kib, own)) / 1024, "MiB PSS", aim="60")

        counted = "select xact_commit + xact_rollback as n from pg_stat_database where datname = current_database()"
        before = system.sql(counted)[0]["n"]
        time.sleep(SECONDS)
        after = system.sql(counted)[0]["n"]
        table.add("idle transactions", max(0, after - before - 1) / SECONDS, "/s", aim="2")


def system_sample():
    from system import SAMPLES
    return SAMPLES / "mill.pdf"
