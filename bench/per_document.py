# SPDX-License-Identifier: MIT
"""Documents per second through sandboxed runners with as many worker processes as there are cores, against what people would
otherwise run on as many cores: a short libvips program for pictures, `pdftotext` called once per file for PDFs."""
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from harness import ROOT

sys.path.insert(0, str(ROOT / "tests" / "sandbox"))
from driver import BUILD, CORPUS, Driver  # noqa: E402
from system import one_page_pdf  # noqa: E402

CORES = len(os.sched_getaffinity(0))
PLAIN = BUILD / "bench" / "images_plain"
QUALITY = "80"  # as WEBP_QUALITY in workers/processors/webp.h
PICTURES = 80
PDFS = 1200
ROUNDS = 3


def one_nursery(driver, kind, paths, mime):
    """Two in its hands at any time: one runs, the next is forked."""
    waiting, running = list(paths), 0
    while waiting or running:
        while waiting and running < 2:
            driver.start(kind, input=str(waiting.pop()), mime=mime)
            running += 1
        driver.read()
        for number in list(driver.ended):
            end = driver.wait(number)
            assert end["reason"] == "", end
            running -= 1


def isolated(drivers, kind, paths, mime):
    """Documents per second."""
    begun = time.monotonic()
    with ThreadPoolExecutor(len(drivers)) as pool:
        list(pool.map(lambda i: one_nursery(drivers[i], kind, paths[i::len(drivers)], mime), range(len(drivers))))
    return len(paths) / (time.monotonic() - begun)


def libvips(paths):
    parts = [paths[i::CORES] for i in range(CORES)]
    begun = time.monotonic()
    programs = [subprocess.Popen([PLAIN, QUALITY, *part], stdout=subprocess.PIPE, text=True) for part in parts]
    made = sum(int(program.communicate()[0]) for program in programs)
    assert made == 2 * len(paths), made
    return len(paths) / (time.monotonic() - begun)


def pdftotext(paths):
    def read(path):
        subprocess.run(["pdftotext", "-raw", path, "-"], stdout=subprocess.DEVNULL, check=True)

    begun = time.monotonic()
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(read, paths))
    return len(paths) / (time.monotonic() - begun)


def in_turns(ours, theirs):
    """The best of each; in turns, so that both meet the same load of the machine."""
    pairs = [(ours(), theirs()) for _ in range(ROUNDS)]
    return max(pair[0] for pair in pairs), max(pair[1] for pair in pairs)


def main(table):
    photos = [str(path) for path in sorted((CORPUS / "img").glob("exif_Landscape_*.jpg"))]
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        drivers = [stack.enter_context(Driver()) for _ in range(CORES)]
        if photos:
            work = (photos * PICTURES)[:PICTURES]
            ours, plain = in_turns(lambda: isolated(drivers, "thumbnail", work, "image/jpeg"), lambda: libvips(work))
            table.add("photos to 400 and 1600 px WebP", ours, "/s", plain, f"{CORES} plain libvips programs", "0.95")
        page = Path(directory) / "page.pdf"
        page.write_bytes(one_page_pdf("Documents per second"))
        work = [str(page)] * PDFS
        ours, plain = in_turns(lambda: isolated(drivers, "extract_pdf", work, "application/pdf"), lambda: pdftotext(work))
        table.add("text of one-page PDFs", ours, "/s", plain, "pdftotext once per file", "5")
