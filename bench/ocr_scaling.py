# SPDX-License-Identifier: MIT
"""A scan of 100 full pages through a whole system: how many times as fast with a slot per core as with one slot.
`python3 bench/ocr_scaling.py [pages]`."""
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

from harness import System

import scans

PAGES = 100
WIDTH, HEIGHT, DPI = 595, 842, 200  # A4 in points; of the pictures
SENTENCE = "Before the river froze the mill ground {number} sacks of grain, and nobody had to watch it. "


def page_text(number):
    """Forty lines of about eighty characters."""
    words = (SENTENCE.format(number=number) * 40).split()
    lines = [" ".join(words[i:i + 14]) for i in range(0, 40 * 14, 14)]
    return b"".join(b"1 0 0 1 50 %d Tm (%s) Tj\n" % (780 - 18 * i, line.encode()) for i, line in enumerate(lines))


def full_scan(count):
    """A PDF of pictures of full pages. A few are drawn and used in turn: reading is what is measured."""
    font = b"/Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Times-Roman >> >>"
    drawn = [(b"BT /F 10 Tf\n" + page_text(number) + b"ET", b"null") for number in range(1, 6)]
    pictures = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "text.pdf"
        source.write_bytes(scans.document(drawn, WIDTH, HEIGHT, font))
        subprocess.run(["pdftoppm", "-r", str(DPI), "-gray", source, Path(folder) / "p"], check=True)
        for path in sorted(Path(folder).glob("p-*.pgm")):
            _, size, _, gray = path.read_bytes().split(b"\n", 3)
            head = b"/Type /XObject /Subtype /Image /Width %d /Height %d /BitsPerComponent 8 /ColorSpace /DeviceGray" \
                   b" /Filter /FlateDecode" % tuple(map(int, size.split()))
            pictures.append(scans.stream(zlib.compress(gray, 6), head))
    place = b"q %d 0 0 %d 0 0 cm /I Do Q" % (WIDTH, HEIGHT)
    return scans.document([(place, pictures[i % len(pictures)]) for i in range(count)], WIDTH, HEIGHT)


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
    scan = full_scan(pages)
    return seconds(1, scan), seconds(CORES, scan)


def main(table):
    one, many = measure()
    table.add(f"ocr of a {PAGES}-page scan, {CORES} slots", PAGES / many, "pages/s", PAGES / one, "one slot", "3.6 of 4")


if __name__ == "__main__":
    one, many = measure(int(sys.argv[1]) if len(sys.argv) > 1 else PAGES)
    print(f"one slot {one:.2f} s, {CORES} slots {many:.2f} s: {one / many:.2f} times as fast")
