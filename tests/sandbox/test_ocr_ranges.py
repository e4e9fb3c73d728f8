# SPDX-License-Identifier: MIT
"""A long document read in ranges: cut, read by several runners, joined by another; the result is the same, byte for
byte, as that of a single run."""
import json
import shutil
import subprocess
import sys

import pytest

from driver import ROOT

sys.path.insert(0, str(ROOT / "tests" / "integration"))
import scans  # noqa: E402

if shutil.which("pdftoppm") is None:
    pytest.skip("pdftoppm is not installed", allow_module_level=True)

NAMES = ("o.txt", "o.json", "o.html", "o.xml", "o.tsv", "o.pdf")
PAGES = 11


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "scan.pdf"
    path.write_bytes(scans.scan_pdf(PAGES, empty=(4,)))
    return path


def run(driver, path, parameters=None, folder=None, part=None, mime="application/pdf", parts=None, **limits):
    outputs = [str(folder / name) if folder else "/dev/null" for name in NAMES] + [str(part) if part else None]
    more = {"parts": [str(path) for path in parts]} if parts is not None else {}
    return driver.run("ocr", parameters or {}, input=str(path), mime=mime, outputs=outputs, limits=limits, **more)


def in_ranges(driver, path, folder, parameters=None, skip=(), mime="application/pdf"):
    """Cuts, reads all ranges but those in `skip`, joins. Returns the join's answer and the ranges."""
    cut = run(driver, path, parameters, mime=mime, range_pages=4, ranges=64)
    assert cut["reason"] == "" and cut["split"], cut
    ranges = [text.partition(":")[0] for text in cut["split"].split(",")]
    parts = []
    for i, text in enumerate(ranges):
        if i in skip:
            continue
        part = folder / f"part-{i}"
        answer = run(driver, path, {**(parameters or {}), "range": text}, part=part, mime=mime)
        assert answer["reason"] == "" and answer["split"] == "", answer
        parts.append(part)
    return run(driver, path, parameters, folder, mime=mime, parts=list(reversed(parts)), joins=1), ranges


def made(folder):
    return {name: (folder / name).read_bytes() for name in NAMES}


def without_time(answer):
    return {name: answer[name] for name in ("reason", "pages", "metrics", "metadata", "sizes")}


def test_ranges_give_what_one_run_gives(driver, scan, tmp_path):
    single, joined = tmp_path / "single", tmp_path / "joined"
    single.mkdir(), joined.mkdir()
    whole = run(driver, scan, folder=single)
    assert whole["reason"] == "" and whole["split"] == ""
    answer, ranges = in_ranges(driver, scan, joined)
    assert len(ranges) > 2
    assert without_time(answer) == without_time(whole)
    assert made(joined) == made(single)
    pages = (single / "o.txt").read_text().split("\f")
    assert [f"number {i + 1} of" in page for i, page in enumerate(pages[:PAGES])] == [i != 3 for i in range(PAGES)]


def test_a_scan_of_pictures_too(driver, tmp_path):
    path = tmp_path / "scan.tif"
    path.write_bytes(scans.scan_tiff(6))
    single, joined = tmp_path / "single", tmp_path / "joined"
    single.mkdir(), joined.mkdir()
    whole = run(driver, path, folder=single, mime="image/tiff")
    assert whole["reason"] == "" and whole["pages"] == 6
    answer, _ = in_ranges(driver, path, joined, mime="image/tiff")
    assert without_time(answer) == without_time(whole) and made(joined) == made(single)


def test_a_range_that_is_missing_is_said(driver, scan, tmp_path):
    answer, ranges = in_ranges(driver, scan, tmp_path, skip=(1,))
    first, last = map(int, ranges[1].split("-"))
    listed = list(range(first, last + 1))
    assert answer["reason"] == "" and answer["metrics"]["partial"] == 1
    assert answer["metrics"]["pages_failed"] == len(listed)
    words = str(first) if first == last else f"{first}-{last}"
    assert answer["metrics"]["failed_pages"] == words
    assert all(output["failed_pages"] == words for output in answer["metadata"][:6])
    document = json.loads((tmp_path / "o.json").read_text())
    assert document["pages_failed"] == listed
    missing = document["pages"][first - 1]
    assert missing["error"] == "range_failed" and (missing["width"], missing["height"]) == (1250, 500)
    assert f"number {last + 1} of" in (tmp_path / "o.txt").read_text()


def test_no_range_at_all_is_a_failure(driver, scan):
    answer = run(driver, scan, parts=[], joins=1)
    assert answer["reason"] == "bad_input" and f"none of {PAGES}" in answer["detail"]


def test_what_is_no_part_is_refused(driver, scan, tmp_path):
    part = tmp_path / "part"
    assert run(driver, scan, {"range": "1-2"}, part=part)["reason"] == ""
    good = part.read_bytes()
    for number, bad in enumerate((good[:-1], good[:9], b"junk" * 100, good[:60] + b"\xff" * 40 + good[100:],
                                  good[:4] + b"\xff\xff\xff\x7f" + good[8:], good[:8] + b"\0\0\0\0" + good[12:])):
        part.write_bytes(bad)
        answer = run(driver, scan, parts=[part], joins=1)
        assert answer["reason"] == "engine_failed", (number, answer)


def test_only_pages_that_need_it(driver, tmp_path):
    """Text pages between scans: the scans alone are read, in one run and in ranges."""
    mixed = tmp_path / "mixed.pdf"
    subprocess.run(["qpdf", "--version"], stdout=subprocess.DEVNULL, check=True) if shutil.which("qpdf") else pytest.skip(
        "qpdf is not installed")
    (tmp_path / "text.pdf").write_bytes(scans.text_pdf(range(1, 5), scans.LINES * 1))
    (tmp_path / "scan.pdf").write_bytes(scans.scan_pdf(6))
    subprocess.run(["qpdf", "--empty", "--pages", tmp_path / "text.pdf", tmp_path / "scan.pdf", tmp_path / "text.pdf",
                    "--", mixed], check=True)
    single, joined = tmp_path / "single", tmp_path / "joined"
    single.mkdir(), joined.mkdir()
    whole = run(driver, mixed, {"pages": "needed"}, folder=single)
    assert whole["reason"] == "" and whole["pages"] == 6
    assert [page["page"] for page in json.loads((single / "o.json").read_text())["pages"]] == [5, 6, 7, 8, 9, 10]
    answer, ranges = in_ranges(driver, mixed, joined, {"pages": "needed"})
    assert ranges[0].startswith("5-") and ranges[-1].endswith("10")
    assert without_time(answer) == without_time(whole) and made(joined) == made(single)
    text_only = run(driver, tmp_path / "text.pdf", {"pages": "needed"}, folder=single)
    assert text_only["reason"] == "" and text_only["pages"] == 0 and made(single)["o.txt"] == b""


@pytest.mark.parametrize("text", ["", "9", "0-3", "5-4", "1-2-3", "1-", "a-b", "1-100001", 7])
def test_bad_ranges(driver, scan, text):
    assert run(driver, scan, {"range": text})["reason"] == "bad_parameters"


def test_short_documents_are_not_cut(driver, scan):
    assert run(driver, scan, {"pages": "1-4"}, range_pages=4, ranges=64)["split"] == ""
    assert run(driver, scan, {"range": "1-9"}, range_pages=4, ranges=64)["split"] == ""
