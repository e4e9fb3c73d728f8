"""What isolation adds to one document: a fresh sandboxed process per document, forked from a warm nursery.

Each document goes through a real nursery alone, from the hand-over to word of its end. Beside it, in the same run: a bare
fork and wait that does nothing, and poppler reading the same PDF in a process of its own without any isolation.
"""
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import ROOT, percentile

sys.path.insert(0, str(ROOT / "tests" / "sandbox"))

from driver import BUILD, Driver  # noqa: E402
from system import one_page_pdf  # noqa: E402

DOCUMENTS = 500
WARM_UP = 50
FLOOR = BUILD / "tests" / "sandbox" / "isolation_floor"


def isolated(driver, kind, **request):
    """Milliseconds per document."""
    times = []
    for number in range(DOCUMENTS + WARM_UP):
        end = driver.run(kind, **request)
        assert end["reason"] == "", end
        if number >= WARM_UP:
            times.append(end["us"] / 1000)
    return times


def floor(*arguments):
    output = subprocess.run([FLOOR, *map(str, arguments), str(DOCUMENTS + WARM_UP)], capture_output=True, text=True,
                            check=True).stdout
    return [int(line) / 1000 for line in output.split()][WARM_UP:]


def add(table, what, values, baseline, against):
    for share in (0.5, 0.99):
        value, bare = percentile(values, share), percentile(baseline, share)
        table.add(f"{what}, p{share * 100:.0f}", value, "ms", bare, against)
        table.add(f"  added by isolation, p{share * 100:.0f}", value - bare, "ms", aim="3" if share == 0.5 else "")


def main(table):
    with tempfile.TemporaryDirectory() as directory, Driver() as driver:
        assert driver.ready["complete"], f"layers missing: {driver.ready}"
        path = Path(directory) / "page.pdf"
        path.write_bytes(one_page_pdf("What isolation costs"))
        noop = isolated(driver, "noop")
        add(table, "no-op document", noop, floor("fork"), "bare fork and wait")
        pdf = isolated(driver, "extract_pdf", input=str(path), mime="application/pdf")
        add(table, "text of a one-page PDF", pdf, floor("pdf", path), "poppler in process")
