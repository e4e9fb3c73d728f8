# SPDX-License-Identifier: MIT
"""Character error rate of ocr over the corpus, beside `tesseract --psm 1` on the same page: pictures as they are,
PDFs drawn by pdftoppm at 300 dpi in gray. `python3 bench/quality/ocr.py [NAME…]`; FILEMILL_BUILD and FILEMILL_CORPUS
say where the programs and the files are."""
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "sandbox"))
from driver import CORPUS, Driver  # noqa: E402
from text_distance import error_rate  # noqa: E402

SIGNATURES = {b"\xff\xd8": "image/jpeg", b"\x89PNG": "image/png", b"RIFF": "image/webp", b"II*": "image/tiff",
              b"MM": "image/tiff", b"%PDF": "application/pdf"}
LINN = CORPUS / "ocr" / "linn.gt.txt"
SCANS = {"scan_linn.pdf": LINN, "scan_jbig2.pdf": LINN, "scan_skew.pdf": LINN,
         "scan_francais.pdf": CORPUS / "pdf" / "scan_francais.txt",
         "tx_ocr_text.pdf": CORPUS / "pdf" / "tx_ocr_text.ref.txt"}
ONE_THREAD = {**os.environ, "OMP_THREAD_LIMIT": "1"}


def media_type(path):
    """By the first bytes: a name may lie."""
    first = path.read_bytes()[:8]
    return next((mime for signature, mime in SIGNATURES.items() if first.startswith(signature)), None)


def material():
    """Pairs of a file and its true text."""
    pictures = sorted(p for p in (CORPUS / "ocr").iterdir() if media_type(p))
    return [(p, p.with_suffix(".gt.txt")) for p in pictures] + [(CORPUS / "pdf" / name, t) for name, t in SCANS.items()]


def read_with_filemill(driver, path, folder):
    output = folder / "text"
    begun = time.monotonic()
    answer = driver.run("ocr", {"outputs": ["text"]}, input=str(path), mime=media_type(path),
                        outputs=[str(output)] + [None] * 5)
    seconds = time.monotonic() - begun
    if answer["reason"]:
        print(f"{path.name}: {answer['reason']}: {answer['detail']}", file=sys.stderr)
        return "", seconds
    return output.read_text(), seconds


def read_with_tesseract(path, folder):
    begun = time.monotonic()
    pages = [path]
    if path.suffix == ".pdf":
        subprocess.run(["pdftoppm", "-r", "300", "-gray", path, folder / "page"], check=True)
        pages = sorted(folder.glob("page*.pgm"))
    text = "".join(subprocess.run(["tesseract", page, "stdout", "--psm", "1"], capture_output=True, text=True,
                                  env=ONE_THREAD).stdout for page in pages)
    return text, time.monotonic() - begun


def measure(names=()):
    """One row per file: name, our rate and seconds, plain tesseract's rate and seconds."""
    rows = []
    with Driver() as driver:
        for path, truth in material():
            if names and path.name not in names:
                continue
            with tempfile.TemporaryDirectory() as folder:
                ours, our_seconds = read_with_filemill(driver, path, Path(folder))
                plain, plain_seconds = read_with_tesseract(path, Path(folder))
            truth = truth.read_text()
            rows.append((path.name, error_rate(truth, ours), our_seconds, error_rate(truth, plain), plain_seconds))
    return rows


def main():
    rows = measure(sys.argv[1:])
    print(f"{'file':36} {'CER':>7} {'s':>6}   {'tesseract':>9} {'s':>6}")
    for name, ours, our_seconds, plain, plain_seconds in rows:
        print(f"{name:36} {ours:7.4f} {our_seconds:6.2f}   {plain:9.4f} {plain_seconds:6.2f}")
    for title, pick in (("median", statistics.median), ("mean", statistics.fmean), ("worst", max)):
        print(f"{title:36} {pick(r[1] for r in rows):7.4f} {pick(r[2] for r in rows):6.2f}   "
              f"{pick(r[3] for r in rows):9.4f} {pick(r[4] for r in rows):6.2f}")


if __name__ == "__main__":
    main()
