# SPDX-License-Identifier: MIT
"""Pages read per second with as many slots as cores, against as many `tesseract` processes at a time with one thread
each; the same page, text only. `python3 bench/ocr.py [rounds]`."""
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "sandbox"))
from driver import CORPUS, Driver  # noqa: E402

PAGES = [CORPUS / "ocr" / name for name in ("derived_pdkids_p6_g4_200.tif", "derived_pdkids_p28_low100.png", "linn.png")]
CORES = len(os.sched_getaffinity(0))
MIME = {".tif": "image/tiff", ".png": "image/png"}


def with_filemill(driver, work):
    begun, waiting, running = time.monotonic(), list(work), []
    while waiting or running:
        while waiting and len(running) < CORES:
            path = waiting.pop()
            running.append(driver.start("ocr", {"outputs": ["text"]}, input=str(path), mime=MIME[path.suffix]))
        driver.read()
        for number in [n for n in running if n in driver.ended]:
            assert driver.wait(number)["reason"] == ""
            running.remove(number)
    return len(work) / (time.monotonic() - begun)


def tesseract(path):
    subprocess.run(["tesseract", path, "stdout"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
                   env={**os.environ, "OMP_THREAD_LIMIT": "1"})


def with_tesseract(work):
    begun = time.monotonic()
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(tesseract, work))
    return len(work) / (time.monotonic() - begun)


def measure(rounds):
    work, ours, plain = PAGES * CORES, [], []
    with Driver() as driver:
        for _ in range(rounds):  # in turns: both meet the same load of the machine
            ours.append(with_filemill(driver, work))
            plain.append(with_tesseract(work))
    return max(ours), max(plain)


def main(table):
    ours, plain = measure(2)
    table.add("ocr", ours, "pages/s")
    table.add("ocr against tesseract processes", ours / plain, "times", aim="1.05")


if __name__ == "__main__":
    ours, plain = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    print(f"{CORES} cores: filemill {ours:.2f} pages/s, tesseract {plain:.2f} pages/s, ratio {ours / plain:.3f}")
