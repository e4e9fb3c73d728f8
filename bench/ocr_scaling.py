# SPDX-License-Identifier: MIT
"""A scan of 100 pages through a whole system: how many times as fast with a slot per core as with one slot.
`python3 bench/ocr_scaling.py [pages]`."""
import os
import sys

from harness import System

import scans

PAGES = 100
CORES = len(os.sched_getaffinity(0))


def seconds(slots, scan):
    """From the first claim of the reading to its end, by the database's clock."""
    with System(log_level="error", plan="full", worker_slots=slots) as system:
        user = system.user().bootstrap()
        file = user.send("scan.pdf", "application/pdf", scan)
        assert user.wait(file, 600)["status"] == "ready"
        row, = system.sql("select extract(epoch from finished_at - started_at) as s, result from jobs"
                          " where type = 'ocr' and parent is null")
        assert row["result"]["metrics"]["partial"] == 0
        return float(row["s"])


def measure(pages=PAGES):
    scan = scans.scan_pdf(pages)
    return seconds(1, scan), seconds(CORES, scan)


def main(table):
    one, many = measure()
    table.add(f"ocr of a {PAGES}-page scan, {CORES} slots", PAGES / many, "pages/s", PAGES / one, "one slot", "3.6 of 4")


if __name__ == "__main__":
    one, many = measure(int(sys.argv[1]) if len(sys.argv) > 1 else PAGES)
    print(f"one slot {one:.2f} s, {CORES} slots {many:.2f} s: {one / many:.2f} times as fast")
