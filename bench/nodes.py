# SPDX-License-Identifier: MIT
"""One queue, one, two and three nodes: thumbnails of a photo per second, each node with a single slot, so that the
machine has a core for each. What a node adds is the figure; the first node alone is the baseline. All pictures are the
same, so results are not remembered here: each is made."""
import sys
import time

from harness import ROOT
from system import SAMPLES

sys.path.insert(0, str(ROOT / "tests" / "integration"))
from test_nodes import Nodes  # noqa: E402

DOCUMENTS = 160
PATIENCE_S = 300


def insert(system, user, file_id):
    system.sql("insert into jobs (tenant_id, file_id, type) select %s, %s, 'thumbnail' from generate_series(1, %s)",
               user.tenant, file_id, DOCUMENTS)


def burn_down(system, user, file_id):
    """Jobs per second, from the first claim to the last commit."""
    system.sql("delete from jobs where type = 'thumbnail'")
    insert(system, user, file_id)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        row, = system.sql("select count(*) filter (where status <> 'done') as left, count(*) filter (where status = 'failed')"
                          " as failed, extract(epoch from max(finished_at) - min(started_at))::float as s from jobs"
                          " where type = 'thumbnail'")
        assert row["failed"] == 0 and time.monotonic() < deadline, row
        if row["left"] == 0:
            return DOCUMENTS / row["s"]
        time.sleep(0.25)


def main(table):
    with Nodes(worker_slots=1, log_level="error", remember_results="off") as system:
        user = system.user().bootstrap()
        file_id = user.send("phone.jpg", "image/jpeg", (SAMPLES / "phone.jpg").read_bytes())
        user.wait(file_id)
        system.processors.pop().terminate()
        rates = []
        for count in (1, 2, 3):
            if count > 1:
                system.processors.append(system.add_processor(f"processor-{count + 1}"))
            rates.append(burn_down(system, user, file_id))
            table.add(f"thumbnails, {count} node{'s' if count > 1 else ''} of one slot", rates[-1], "/s",
                      rates[0] if count > 1 else None, "one node" if count > 1 else "", str(count) if count > 1 else "")
