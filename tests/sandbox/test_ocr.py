# SPDX-License-Identifier: MIT
"""ocr out of a real runner: as many right characters as plain tesseract or more, the same words in all six forms,
boxes where the words are, and typed errors."""
import json
import os
import random
import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
import zlib

import pytest

from driver import CORPUS, ROOT, Driver

sys.path.insert(0, str(ROOT / "bench" / "quality"))
import ocr as quality  # noqa: E402

if not CORPUS.is_dir():
    pytest.skip("no corpus: set FILEMILL_CORPUS", allow_module_level=True)

OCR, PDF = CORPUS / "ocr", CORPUS / "pdf"
NAMES = ("o.txt", "o.json", "o.html", "o.xml", "o.tsv", "o.pdf")
TURNED = ["phototest-rotated-180.png", "phototest-rotated-L.png", "simple-90.jpg"]
SKEWED = ["derived_pdkids_p20_skew3.png", "testRotated_minus10.png", "testRotated_plus10.png", "scan_skew.pdf"]
XHTML, ALTO = "{http://www.w3.org/1999/xhtml}", "{http://www.loc.gov/standards/alto/ns-v3#}"
TYPED = {"bad_input", "unsupported_input", "password_required", "too_many_pixels", "too_many_pages", "crash", "timeout",
         "no_progress", "cpu_limit", "memory_limit", "output_limit"}


def needs(program):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


class Reading:
    def __init__(self, answer, folder):
        self.answer, self.reason, self.detail = answer, answer["reason"], answer["detail"]
        self.metrics, self.pdf = answer["metrics"], folder / NAMES[5]
        if not self.reason:
            self.text = (folder / NAMES[0]).read_text()
            self.raw_json, self.hocr, self.alto, self.tsv = ((folder / name).read_text() for name in NAMES[1:5])
            self.json = json.loads(self.raw_json) if self.raw_json else None

    def words(self, page=0):
        return [word[0] for word in self.json["pages"][page]["words"]]


def read(driver, folder, path, parameters=None, mime=None, **limits):
    for name in NAMES:
        (folder / name).unlink(missing_ok=True)
    outputs = [str(folder / name) for name in NAMES]
    answer = driver.run("ocr", parameters, input=str(path), mime=mime or quality.media_type(path), outputs=outputs,
                        limits=limits)
    return Reading(answer, folder)


def pdf_words(path, *options):
    needs("pdftotext")
    return subprocess.run(["pdftotext", *options, path, "-"], capture_output=True, text=True, check=True).stdout.split()


def png(path, width, height, rows):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 1)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


# --- quality ------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def rates():
    needs("tesseract")
    needs("pdftoppm")
    return {name: (ours, plain) for name, ours, _, plain, _ in quality.measure()}


def test_no_more_errors_than_plain_tesseract(rates):
    ours, plain = zip(*rates.values())
    assert statistics.median(ours) <= statistics.median(plain)
    assert statistics.fmean(ours) <= statistics.fmean(plain)
    assert statistics.median(ours) <= 0.008
    worse = {name: pair for name, pair in rates.items() if pair[0] > pair[1] + 0.01}
    assert not worse


@pytest.mark.parametrize("name", SKEWED)
def test_skewed_pages_read_better(rates, name):
    ours, plain = rates[name]
    assert ours < plain and ours <= 0.02


@pytest.mark.parametrize("name", TURNED)
def test_turned_pages_read_without_errors(rates, name):
    assert rates[name][0] == 0


# --- forms --------------------------------------------------------------------------------------------------

def hocr_words(text):
    tree = ElementTree.fromstring(text)
    return [("".join(e.itertext()), tuple(int(n) for n in re.match(r"bbox (\d+) (\d+) (\d+) (\d+)", e.get("title")).groups()))
            for e in tree.iter(XHTML + "span") if e.get("class") == "ocrx_word"]


def alto_words(text):
    tree = ElementTree.fromstring(text)
    return [(e.get("CONTENT"), (int(e.get("HPOS")), int(e.get("VPOS")), int(e.get("HPOS")) + int(e.get("WIDTH")),
                                int(e.get("VPOS")) + int(e.get("HEIGHT")))) for e in tree.iter(ALTO + "String")]


def tsv_words(text):
    rows = [line.split("\t") for line in text.splitlines()[1:]]
    return [(row[11], (int(row[6]), int(row[7]), int(row[6]) + int(row[8]), int(row[7]) + int(row[9])))
            for row in rows if row[0] == "5"]


@pytest.mark.parametrize("path", [OCR / "linn.png", OCR / "escape_chars.png", OCR / "derived_pdkids_p20_skew3.png",
                                  OCR / "phototest-rotated-L.png", PDF / "tx_ocr_text.pdf"], ids=lambda p: p.name)
def test_all_forms_have_the_same_words(driver, tmp_path, path):
    done = read(driver, tmp_path, path)
    words = [(w[0], tuple(w[1:5])) for page in done.json["pages"] for w in page["words"]]
    assert words
    assert hocr_words(done.hocr) == words
    assert alto_words(done.alto) == words
    assert tsv_words(done.tsv) == words
    assert done.text.split() == [word for word, _ in words]
    assert done.text.count("\f") == len(done.json["pages"]) == done.answer["pages"]
    for page in done.json["pages"]:
        assert page["source"] == "ocr" and 0 <= page["confidence"] <= 100
        for _, left, top, right, bottom, confidence, line in page["words"]:
            assert 0 <= left < right <= page["width"] and 0 <= top < bottom <= page["height"]
            assert 0 <= confidence <= 100 and line >= 1
    assert done.metrics["pages_failed"] == done.metrics["partial"] == done.metrics["pdf_failed"] == 0


@pytest.mark.parametrize("name,turn", [
    ("phototest-rotated-180.png", lambda b, w, h: (w - b[2], h - b[3], w - b[0], h - b[1])),
    ("phototest-rotated-L.png", lambda b, w, h: (b[1], h - b[2], b[3], h - b[0])),
])
def test_boxes_lie_on_the_page_as_it_was_given(driver, tmp_path, name, turn):
    upright = read(driver, tmp_path, OCR / "phototest.tif").json["pages"][0]
    turned = read(driver, tmp_path, OCR / name).json["pages"][0]
    assert len(upright["words"]) == len(turned["words"])
    for one, other in zip(upright["words"], turned["words"]):
        expected = turn(other_box := one[1:5], turned["width"], turned["height"])
        assert all(abs(a - b) <= 3 for a, b in zip(expected, other[1:5])), (one, other, other_box)


def test_only_asked_for_outputs(driver, tmp_path):
    done = read(driver, tmp_path, OCR / "phototest.tif", {"outputs": ["tsv", "text"]})
    assert [size > 0 for size in done.answer["sizes"][:6]] == [True, False, False, False, True, False]


# --- the searchable PDF -------------------------------------------------------------------------------------

def same_words(found, expected, share=0.95):
    left = list(found)
    hits = 0
    for word in expected:
        if word in left:
            left.remove(word)
            hits += 1
    return hits >= share * len(expected)


@pytest.mark.parametrize("path", [OCR / n for n in (
    "linn.png", "phototest.tif", "derived_pdkids_p12_jpg35_150.jpg", "derived_pdkids_p6_g4_200.tif", "tyger.jpg",
    "escape_chars.png", "webp-test.webp", "testRotated_plus10.png", "phototest-rotated-L.png", "simple-90.jpg")] +
    [PDF / n for n in ("scan_linn.pdf", "scan_skew.pdf", "scan_jbig2.pdf", "scan_francais.pdf", "tx_ocr_text.pdf")],
    ids=lambda p: p.name)
def test_searchable_pdf(driver, tmp_path, path):
    needs("qpdf")
    done = read(driver, tmp_path, path)
    words = [word for page in range(len(done.json["pages"])) for word in done.words(page)]
    assert same_words(pdf_words(done.pdf, "-raw"), words, 0.93 if path.name == "tyger.jpg" else 0.95)
    subprocess.run(["qpdf", "--check", done.pdf], check=True, capture_output=True)
    # no more and no less to be seen than before
    if path.suffix == ".pdf":
        assert drawn(done.pdf, tmp_path / "after") == drawn(path, tmp_path / "before")


def drawn(path, base):
    needs("pdftoppm")
    subprocess.run(["pdftoppm", "-r", "40", path, base], check=True, capture_output=True)
    return [page.read_bytes() for page in sorted(base.parent.glob(base.name + "*"))]


def test_scans_are_not_encoded_again(driver, tmp_path):
    jpeg = OCR / "derived_pdkids_p12_jpg35_150.jpg"
    assert jpeg.read_bytes() in read(driver, tmp_path, jpeg).pdf.read_bytes()
    image = (OCR / "linn.png").read_bytes()
    at = image.index(b"IDAT")
    size = struct.unpack(">I", image[at - 4:at])[0]
    assert image[at + 4:at + 4 + size] in read(driver, tmp_path, OCR / "linn.png").pdf.read_bytes()
    for path in (PDF / "scan_jbig2.pdf", PDF / "scan_linn.pdf"):
        done = read(driver, tmp_path, path)
        lists = [subprocess.run(["pdfimages", "-list", pdf], capture_output=True, text=True).stdout.splitlines()[2:]
                 for pdf in (path, done.pdf)]
        assert [row.split()[8:9] + row.split()[14:] for row in lists[0]] == [row.split()[8:9] + row.split()[14:] for row in lists[1]]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_text_lies_over_its_word(driver, tmp_path, rotation):
    needs("qpdf")
    turned = tmp_path / "turned.pdf"
    subprocess.run(["qpdf", PDF / "scan_linn.pdf", f"--rotate=+{rotation}:1", turned], check=True)
    done = read(driver, tmp_path, turned, {"outputs": ["json", "pdf"]})
    page = done.json["pages"][0]
    assert page["rotation"] == (360 - rotation) % 360
    boxes = subprocess.run(["pdftotext", "-bbox", done.pdf, "-"], capture_output=True, text=True, check=True).stdout
    found = {}
    for *box, word in re.findall(r'<word xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)">(.*?)</word>', boxes):
        left, top, right, bottom = (float(n) * page["dpi"] / 72 for n in box)
        found.setdefault(word, []).append(((left + right) / 2, (top + bottom) / 2))
    words = [w for w in page["words"] if w[0].isalpha() and len(w[0]) > 6]
    near = sum(any(abs(x - (w[1] + w[3]) / 2) < 25 and abs(y - (w[2] + w[4]) / 2) < 25 for x, y in found.get(w[0], []))
               for w in words)
    assert len(words) > 100 and near > 0.95 * len(words)


# --- pages and languages ------------------------------------------------------------------------------------

def test_pages_by_request(driver, tmp_path):
    whole = read(driver, tmp_path, PDF / "tx_ocr_text.pdf")
    done = read(driver, tmp_path, PDF / "tx_ocr_text.pdf", {"pages": "2-"})
    assert [page["page"] for page in done.json["pages"]] == [2, 3]
    assert done.text == "\f".join(whole.text.split("\f")[1:])
    assert done.answer["pages"] == 2
    tiff = read(driver, tmp_path, CORPUS / "img" / "pil_g4-multi.tiff", {"pages": "1,3"})
    assert [page["page"] for page in tiff.json["pages"]] == [1, 3]
    assert len(pdf_words(tiff.pdf)) == 2
    assert read(driver, tmp_path, PDF / "tx_ocr_text.pdf", {"pages": "4-9"}).reason == "bad_parameters"
    assert read(driver, tmp_path, PDF / "tx_ocr_text.pdf", {"pages": "1-3"}, pages=2).reason == "too_many_pages"


@pytest.mark.parametrize("parameters", [{"pages": "0"}, {"pages": "3-1"}, {"pages": "1;2"}, {"pages": "1-5,"}, {"pages": 3},
                                        {"pages": "-2"}, {"pages": "1-99999999999999999999"}, {"dpi": 50}, {"dpi": 5000},
                                        {"outputs": []}, {"outputs": ["docx"]}, {"what": 1}, {"languages": ""},
                                        {"languages": "../../etc/passwd"}, {"languages": "e" * 200}])
def test_bad_parameters(driver, tmp_path, parameters):
    assert read(driver, tmp_path, OCR / "phototest.tif", parameters).reason == "bad_parameters"


@pytest.mark.parametrize("languages", ["xyz", "eng+xyz", "eng+", "+", "en", "ENG"])
def test_languages_that_are_not_installed(driver, tmp_path, languages):
    assert read(driver, tmp_path, OCR / "phototest.tif", {"languages": languages}).reason == "unsupported_language"


def installed():
    done = subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True)
    return [name for name in done.stdout.split()[-1:0:-1] if re.fullmatch("[a-z]{3}", name)]


def test_other_languages_are_loaded_in_the_runner(driver, tmp_path):
    needs("tesseract")
    others = [name for name in installed() if name not in ("eng", "osd")]
    if not others:
        pytest.skip("English is the only language here")
    done = read(driver, tmp_path, OCR / "phototest.tif", {"languages": f"eng+{others[0]}"})
    assert done.reason == "" and done.json["languages"] == f"eng+{others[0]}"
    assert "quick brown" in done.text


def test_missing_data_is_said_not_fatal(tmp_path):
    with Driver(ocr_data=tmp_path) as cold:
        assert read(cold, tmp_path, OCR / "phototest.tif").reason == "unsupported_language"
        assert cold.run("noop")["reason"] == ""


def test_data_elsewhere(tmp_path):
    needs("tesseract")
    source = next(p for p in ("/usr/share/tesseract-ocr/5/tessdata/eng.traineddata",) if os.path.exists(p))
    with tempfile.TemporaryDirectory() as data:  # pytest's own folder is closed to others by each pytest that starts
        os.chmod(data, 0o755)
        shutil.copy(source, f"{data}/eng.traineddata")
        shutil.copy(source, f"{data}/other.traineddata")
        with Driver(ocr_data=data) as moved:
            assert "quick brown" in read(moved, tmp_path, OCR / "phototest.tif").text
            assert "quick brown" in read(moved, tmp_path, OCR / "phototest.tif", {"languages": "other"}).text


# --- what goes wrong ----------------------------------------------------------------------------------------

def test_noise_ends(driver, tmp_path):
    chance = random.Random(1)
    path = png(tmp_path / "noise.png", 2480, 3508, (chance.randbytes(2480) for _ in range(3508)))
    done = read(driver, tmp_path, path, cpu_seconds=60)
    assert done.reason == "" and len("".join(done.text.split())) < 200
    assert done.answer["rss"] < 600 << 20


def test_blank_page(driver, tmp_path):
    done = read(driver, tmp_path, png(tmp_path / "blank.png", 800, 600, [b"\xff" * 800] * 600))
    assert done.reason == "" and done.text == "\f" and done.json["pages"][0]["words"] == []
    assert pdf_words(done.pdf) == []


def test_a_failed_page_is_listed(driver, tmp_path):
    done = read(driver, tmp_path, CORPUS / "bad" / "js_Pages-tree-refs.pdf")
    assert done.reason == "" and done.metrics["pages_failed"] == done.metrics["partial"] == 1
    failed = done.json["pages_failed"]
    assert [page["page"] for page in done.json["pages"] if "error" in page] == failed and len(failed) == 1
    assert done.text.count("\f") == 2


def test_large_pages_stay_under_the_cap(driver, tmp_path):
    done = read(driver, tmp_path, CORPUS / "bad" / "ocr_enormous.pdf", {"outputs": ["json"]}, pixels=4000000)
    assert done.reason == ""
    page = done.json["pages"][0]
    assert page["width"] * page["height"] <= 4040000 and page["dpi"] < 300


@pytest.mark.parametrize("path,mime,reason", [
    ("bad/ocr_invalid.pdf", "application/pdf", "bad_input"), ("bad/zero_byte.pdf", "application/pdf", "bad_input"),
    ("bad/html_named.pdf", "application/pdf", "bad_input"), ("bad/one_byte.png", "image/png", "bad_input"),
    ("bad/pdf_named.jpg", "image/jpeg", "bad_input"), ("bad/svg_xxe_file.svg", "image/svg+xml", "unsupported_input"),
    ("bad/png_bomb_30000x30000_gray8.png", "image/png", "too_many_pixels"),
    ("pdf/sf_libreoffice-writer-password.pdf", "application/pdf", "password_required"),
])
def test_refused(driver, tmp_path, path, mime, reason):
    assert read(driver, tmp_path, CORPUS / path, mime=mime).reason == reason


@pytest.mark.parametrize("path", sorted((CORPUS / "bad").glob("*.pdf")), ids=lambda p: p.name)
def test_bad_pdfs_end(driver, tmp_path, path):
    done = read(driver, tmp_path, path, {"pages": "1-3"}, mime="application/pdf", cpu_seconds=20, wall_ms=60000)
    assert done.reason == "" or done.reason in TYPED | {"bad_parameters"}


# --- which pages need it ------------------------------------------------------------------------------------

def grades(driver, folder, path):
    answer = driver.run("extract_pdf", input=str(path), mime="application/pdf", outputs=[None, str(folder / "pages")])
    pages = json.loads((folder / "pages").read_text())["pages"]
    return answer["metrics"]["pages_need_ocr"], [(p["source"], p["reason"]) for p in pages]


@pytest.mark.parametrize("name,need,found", [
    ("scan_linn.pdf", 1, [("none", "no_text")]), ("scan_skew.pdf", 1, [("none", "no_text")]),
    ("tx_ocr_text.pdf", 3, [("none", "no_text")] * 3), ("sf_cmyk-image.pdf", 1, [("none", "no_text")]),
    ("sf_GeoTopo-komprimiert.pdf", 0, [("native", "text")] * 117), ("box_rotation.pdf", 0, [("native", "text")] * 2),
])
def test_pages_that_need_ocr(driver, tmp_path, name, need, found):
    assert grades(driver, tmp_path, PDF / name) == (need, found)


def test_text_of_another_ocr_is_told_apart(driver, tmp_path):
    done = read(driver, tmp_path, PDF / "scan_linn.pdf")
    assert grades(driver, tmp_path, done.pdf) == (0, [("native", "foreign_ocr")])


def test_little_text_over_a_scan(driver, tmp_path):
    done = read(driver, tmp_path, OCR / "lazy_dog.png")
    assert grades(driver, tmp_path, done.pdf)[1][0][0] == "native"
    visible = tmp_path / "stamped.pdf"
    scan = zlib.compress(bytes([255]) * 700 * 900)
    content = b"q 612 0 0 792 0 0 cm /I Do Q BT /F 9 Tf 20 20 Td (page 7) Tj ET"
    parts = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
             b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>/Font<</F 6 0 R>>>>>>",
             b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
             b"<</Type/XObject/Subtype/Image/Width 700/Height 900/BitsPerComponent 8/ColorSpace/DeviceGray/Filter/FlateDecode"
             b"/Length %d>>stream\n%s\nendstream" % (len(scan), scan),
             b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    visible.write_bytes(b"%PDF-1.4\n" + b"".join(b"%d 0 obj\n%s\nendobj\n" % (i + 1, p) for i, p in enumerate(parts)) +
                        b"trailer<</Root 1 0 R/Size 7>>\n%%EOF\n")
    assert grades(driver, tmp_path, visible) == (1, [("native", "little_text_over_image")])
