# SPDX-License-Identifier: MIT
"""Scores of processors over the corpus, a table for each: `python3 bench/quality/scores.py [pdf|office|pictures]`.

pdf and office: how much of the true text is there, by Levenshtein's ratio of the whole texts (py-pdf's benchmark takes
the same), beside `pdftotext -raw` on the same file. pictures: how near the thumbnail of each EXIF orientation is to
the upright one (SSIM over 8×8 windows of the luma). Some references are no plain reading: SampleDoc and SampleSS begin
with the properties, xlsx_01 repeats its tables as charts, tx_two_column keeps the columns side by side, and
dl_right_to_left_01 was reviewed, not copied. FILEMILL_BUILD and FILEMILL_CORPUS say where programs and files are."""
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "sandbox"))
from driver import CORPUS, Driver  # noqa: E402
from text_distance import ratio  # noqa: E402

OOXML = "application/vnd.openxmlformats-officedocument."
OFFICE = {".docx": OOXML + "wordprocessingml.document", ".xlsx": OOXML + "spreadsheetml.sheet"}


def without_marks(text):
    """The text of a Markdown reference: no table rules, headings, images, escapes or emphasis."""
    lines = [line for line in text.splitlines() if not re.fullmatch(r"[|\s:-]+", line)]
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)|<!--.*?-->", r"\1", "\n".join(lines))
    return re.sub(r"[|#*_`\\>]|^\s*[-+] ", " ", text, flags=re.M)


def reference(path):
    for ending, clean in ((".ref.txt", str), (".ref.md", without_marks)):
        for name in (path.with_suffix(ending), path.with_name(path.name + ending)):
            if name.exists():
                return clean(name.read_text(errors="replace"))
    return None


def read(driver, kind, path, mime, count):
    """The first output and the seconds it took; "" where the file is refused."""
    with tempfile.TemporaryDirectory() as folder:
        output, begun = Path(folder) / "text", time.monotonic()
        answer = driver.run(kind, input=str(path), mime=mime, outputs=[str(output)] + [None] * (count - 1))
        seconds = time.monotonic() - begun
        return ("" if answer["reason"] else output.read_text(errors="replace")), seconds


def pdf(driver):
    for path in sorted((CORPUS / "pdf").glob("*.pdf")):
        truth = reference(path)
        if truth is None or path.name.startswith(("tx_ocr", "scan_")):
            continue
        text, seconds = read(driver, "extract_pdf", path, "application/pdf", 2)
        begun = time.monotonic()
        plain = subprocess.run(["pdftotext", "-raw", path, "-"], capture_output=True).stdout.decode(errors="replace")
        plain_seconds = time.monotonic() - begun
        yield path.name, ratio(truth, text), seconds, ratio(truth, plain), plain_seconds


def office(driver):
    for path in sorted((CORPUS / "office").iterdir()):
        truth = reference(path) if path.suffix in OFFICE else None
        if truth is not None:
            text, seconds = read(driver, "extract_office", path, OFFICE[path.suffix], 2)
            yield path.name, ratio(truth, without_marks(text)), seconds, None, None


def luma(path):
    from PIL import Image
    image = Image.open(path).convert("L").resize((200, 150))
    return image.size, list(image.getdata())


def structural_similarity(left, right, width, height):
    """SSIM (Wang 2004) of two gray pictures, mean over windows of 8×8 without overlap."""
    scores = []
    for top in range(0, height - 7, 8):
        for start in range(0, width - 7, 8):
            a, b = ([pixels[y * width + x] for y in range(top, top + 8) for x in range(start, start + 8)]
                    for pixels in (left, right))
            mean_a, mean_b = statistics.fmean(a), statistics.fmean(b)
            covariance = statistics.fmean(x * y for x, y in zip(a, b)) - mean_a * mean_b
            scores.append((2 * mean_a * mean_b + 6.5025) * (2 * covariance + 58.5225) /
                          ((mean_a ** 2 + mean_b ** 2 + 6.5025) *
                           (statistics.pvariance(a) + statistics.pvariance(b) + 58.5225)))
    return statistics.fmean(scores)


def pictures(driver):
    with tempfile.TemporaryDirectory() as folder:
        upright = None
        for number in range(1, 9):
            path, output = CORPUS / "img" / f"exif_Landscape_{number}.jpg", Path(folder) / f"{number}.webp"
            begun = time.monotonic()
            driver.run("thumbnail", input=str(path), mime="image/jpeg", outputs=[str(output), None])
            seconds = time.monotonic() - begun
            (width, height), pixels = luma(output)
            upright = upright or pixels
            yield path.name, structural_similarity(upright, pixels, width, height), seconds, None, None


MEASURES = {"pdf": pdf, "office": office, "pictures": pictures}


def measure(name):
    """Rows of (file, score, seconds, score of plain tools or None, their seconds or None)."""
    with Driver() as driver:
        return list(MEASURES[name](driver))


def show(name, rows):
    print(f"\n{name:44} {'score':>7} {'s':>6}   {'plain':>7} {'s':>6}")
    for path, score, seconds, plain, plain_seconds in rows:
        beside = "" if plain is None else f"{plain:7.4f} {plain_seconds:6.2f}"
        print(f"{path:44} {score:7.4f} {seconds:6.2f}   {beside}")
    worst = min(rows, key=lambda row: row[1])
    print(f"{'median':44} {statistics.median(row[1] for row in rows):7.4f}")
    print(f"{'worst: ' + worst[0]:44} {worst[1]:7.4f}")


if __name__ == "__main__":
    for wanted in sys.argv[1:] or MEASURES:
        show(wanted, measure(wanted))
