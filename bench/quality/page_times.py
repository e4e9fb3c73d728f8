# SPDX-License-Identifier: MIT
"""Is any page of a long PDF slower to read than `pdftotext -raw` reads it? The file is taken apart (pdfseparate), and
each page is read alone: by extract_pdf in a runner and by pdftotext, in turns, each with all the processor time that it
takes, user and system: ours with the nursery's part (fork, results), theirs with its start. Processor time and not
seconds, since a loaded machine stretches those. Medians of ROUNDS. `text` is the output that pdftotext has, `all` adds
words, boxes, labels and the document's properties.

`python3 bench/quality/page_times.py [FILE]`; FILEMILL_BUILD and FILEMILL_CORPUS say where programs and files are."""
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "sandbox"))
from driver import CORPUS, Driver  # noqa: E402

FILE = CORPUS / "pdf" / "sf_GeoTopo-komprimiert.pdf"
ROUNDS = 5
SLOWER = 1.10
OUTPUTS = {"text": ["/dev/null", None], "all": ["/dev/null", "/dev/null"]}


def nanoseconds_of(pid):
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def filemill(driver, page, outputs):
    """Milliseconds of processor time."""
    before = nanoseconds_of(driver.ready["pid"])
    answer = driver.run("extract_pdf", input=str(page), mime="application/pdf", outputs=outputs)
    assert answer["reason"] == "", (page, answer)
    return answer["cpu_us"] / 1e3 + (nanoseconds_of(driver.ready["pid"]) - before) / 1e6


def pdftotext(page):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["pdftotext", "-raw", page, "-"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3


def measure(file, rounds=ROUNDS):
    """Rows of (page, {"text": ms, "all": ms, "plain": ms})."""
    with tempfile.TemporaryDirectory() as folder, Driver() as driver:
        subprocess.run(["pdfseparate", file, f"{folder}/%05d.pdf"], check=True, stderr=subprocess.DEVNULL)
        pages = sorted(Path(folder).iterdir())
        filemill(driver, pages[0], OUTPUTS["all"])
        for number, page in enumerate(pages, 1):
            taken = [{"plain": pdftotext(page), **{name: filemill(driver, page, outputs)
                                                   for name, outputs in OUTPUTS.items()}} for _ in range(rounds)]
            yield number, {name: statistics.median(times[name] for times in taken) for name in taken[0]}


def show(rows):
    print(f"{'page':>5} {'pdftotext ms':>13} {'text ms':>9} {'ratio':>6} {'all ms':>9} {'ratio':>6}")
    worst = sorted(rows, key=lambda row: row[1]["text"] / row[1]["plain"])[-5:]
    for number, ms in worst:
        print(f"{number:5} {ms['plain']:13.2f} {ms['text']:9.2f} {ms['text'] / ms['plain']:6.2f} {ms['all']:9.2f} "
              f"{ms['all'] / ms['plain']:6.2f}")
    for name in OUTPUTS:
        ratios = [ms[name] / ms["plain"] for _, ms in rows]
        print(f"{name}: median {statistics.median(ratios):.2f}, worst {max(ratios):.2f}, "
              f"{sum(ratio > SLOWER for ratio in ratios)} of {len(rows)} pages above {SLOWER:.2f}")


if __name__ == "__main__":
    show(list(measure(Path(sys.argv[1]) if sys.argv[1:] else FILE)))
