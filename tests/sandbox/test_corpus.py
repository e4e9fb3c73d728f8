# SPDX-License-Identifier: MIT
"""Every PDF and picture of the corpus, good and bad, through a real runner: a right result or a typed reason within
the limits, judged by other programs (pdftotext, pdfinfo, exiftool, libvips' own tools)."""
import json
import shutil
import subprocess

import pytest

from driver import CORPUS
from text_distance import ratio

if not CORPUS.is_dir():
    pytest.skip("no corpus: set FILEMILL_CORPUS", allow_module_level=True)

MIME = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif",
        ".tif": "image/tiff", ".tiff": "image/tiff", ".heic": "image/heic", ".avif": "image/avif",
        ".bmp": "image/bmp", ".svg": "image/svg+xml"}
PDFS = sorted(p for folder in ("pdf", "bad") for p in (CORPUS / folder).glob("*.pdf"))
PICTURES = sorted(p for folder in ("img", "bad", "ocr") for p in (CORPUS / folder).iterdir() if p.suffix.lower() in MIME)
TYPED = {"bad_input", "unsupported_input", "password_required", "too_many_pixels", "too_many_pages", "crash", "timeout",
         "no_progress", "cpu_limit", "memory_limit", "output_limit"}
LIMITS = {"cpu_seconds": 20, "wall_ms": 60000}
FORBIDDEN_TAGS = ("GPS", "EXIF", "XMP", "IPTC", "ICC", "Photoshop")
GOOD_PICTURES = {"pil_hopper.avif", "vips_avif-orientation-6.avif", "tika_testHEIF.heic", "sharp_5_webp_a.webp",
                 "sharp_rotating-squares.webp", "sharp_Channel_digital_image_CMYK_color.jpg", "sharp_p3.png",
                 "sharp_16-bit-grey-alpha.png", "vips_rgba.png", "sharp_animated-loop-3.gif", "vips_indexed.png",
                 "pil_hopper.gif", "pil_g4-multi.tiff", "vips_1bit.tif"}


def needs(program):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def extract(driver, path, folder, **limits):
    outputs = [folder / "text", folder / "pages"]
    answer = driver.run("extract_pdf", input=str(path), mime="application/pdf", outputs=[str(o) for o in outputs],
                        limits={**LIMITS, **limits})
    return answer, *outputs


def draw(driver, path, mime, folder):
    outputs = [folder / "small.webp", folder / "large.webp"]
    answer = driver.run("thumbnail", input=str(path), mime=mime, outputs=[str(o) for o in outputs], limits=LIMITS)
    return answer, *outputs


def reference_text(path):
    try:
        done = subprocess.run(["pdftotext", "-raw", path, "-"], capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None


@pytest.mark.parametrize("path", PDFS, ids=lambda p: p.name)
def test_pdf_text(driver, tmp_path, path):
    needs("pdftotext")
    answer, text, pages = extract(driver, path, tmp_path)
    if answer["reason"]:
        assert answer["reason"] in TYPED
        return
    expected = reference_text(path)
    assert expected is None or text.read_bytes() == expected
    document = json.loads(pages.read_text())
    assert [p["page"] for p in document["pages"]] == list(range(1, answer["pages"] + 1))
    assert answer["sizes"] == [text.stat().st_size, pages.stat().st_size]
    assert sum(p["chars"] for p in document["pages"]) == len(text.read_bytes().decode(errors="replace").replace("\f", ""))


def test_pdf_layout_is_an_option(driver, tmp_path):
    needs("pdftotext")
    path, output = CORPUS / "pdf" / "tx_two_column.pdf", tmp_path / "text"
    answer = driver.run("extract_pdf", {"layout": "layout"}, input=str(path), mime="application/pdf",
                        outputs=[str(output), None])
    assert answer["reason"] == ""
    laid_out = subprocess.run(["pdftotext", "-layout", path, "-"], capture_output=True, check=True).stdout.decode()
    assert ratio(laid_out, output.read_text()) > 0.98
    assert driver.run("extract_pdf", {"layout": "columns"}, input=str(path), mime="application/pdf")["reason"] == \
        "bad_parameters"


def test_pdf_says_what_it_is(driver, tmp_path):
    def document(name):
        answer, _, pages = extract(driver, CORPUS / "pdf" / name, tmp_path)
        assert answer["reason"] == ""
        return json.loads(pages.read_text())

    book = document("sf_GeoTopo-komprimiert.pdf")
    assert "PDF Optimization Shell" in book["properties"]["Producer"]
    assert len(book["outline"]) > 20 and {entry["level"] for entry in book["outline"]} >= {1, 2}
    assert any("Topologische" in entry["title"] for entry in book["outline"])
    attached = document("sf_with-attachment.pdf")["attachments"]
    assert [entry["name"] for entry in attached] and all("bytes" in entry for entry in attached)
    plain = document("opf_lorem-ipsum.pdf")
    assert plain["outline"] == [] and plain["attachments"] == []


def test_most_pdfs_succeed(driver, tmp_path):
    good = [p for p in PDFS if p.parent.name == "pdf"]
    failed = {p.name: r for p in good if (r := extract(driver, p, tmp_path)[0]["reason"])}
    assert all(reason == "password_required" for name, reason in failed.items() if "truncated" not in name), failed
    assert len(failed) < len(good) / 10, failed


def test_words_have_boxes(driver, tmp_path):
    answer, text, pages = extract(driver, CORPUS / "pdf" / "opf_lorem-ipsum.pdf", tmp_path)
    assert answer["reason"] == ""
    page = json.loads(pages.read_text())["pages"][0]
    assert page["words"]
    for word, left, top, right, bottom in page["words"]:
        assert word and 0 <= left < right <= page["width"] + 1 and 0 <= top < bottom <= page["height"] + 1
        assert word.encode() in text.read_bytes()


@pytest.mark.parametrize("name,reason", [
    ("pdf/sf_libreoffice-writer-password.pdf", "password_required"),
    ("pdf/opf_encryption_notextaccess.pdf", ""),  # may be opened, only copying is forbidden
    ("bad/ocr_invalid.pdf", "bad_input"),
    ("bad/zero_byte.pdf", "bad_input"),
    ("bad/html_named.pdf", "bad_input"),
])
def test_known_pdfs(driver, tmp_path, name, reason):
    assert extract(driver, CORPUS / name, tmp_path)[0]["reason"] == reason


def test_too_many_pages(driver, tmp_path):
    path = CORPUS / "pdf" / "sf_GeoTopo-komprimiert.pdf"
    assert extract(driver, path, tmp_path, pages=116)[0]["reason"] == "too_many_pages"
    assert extract(driver, path, tmp_path, pages=117)[0]["pages"] == 117


# --- pictures -----------------------------------------------------------------------------------------------

def tags(path):
    done = subprocess.run(["exiftool", "-j", "-G", path], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)[0]


def check_picture(path, facts, longest):
    found = tags(path)
    width, height = (int(n) for n in found["Composite:ImageSize"].split("x"))
    assert found["File:FileType"].endswith("WEBP")
    assert (width, height) == (facts["width"], facts["height"])
    assert max(width, height) <= longest
    assert not [tag for tag in found if tag.split(":")[0].startswith(FORBIDDEN_TAGS)]


@pytest.mark.parametrize("path", PICTURES, ids=lambda p: p.name)
def test_picture(driver, tmp_path, path):
    needs("exiftool")
    answer, small, large = draw(driver, path, MIME[path.suffix.lower()], tmp_path)
    if answer["reason"]:
        assert answer["reason"] in TYPED
        assert path.name not in GOOD_PICTURES, answer
        return
    source = sorted((answer["metrics"]["width"], answer["metrics"]["height"]))
    for output, facts, longest in ((small, answer["metadata"][0], 400), (large, answer["metadata"][1], 1600)):
        check_picture(output, facts, longest)
        assert all(got <= had for got, had in zip(sorted((facts["width"], facts["height"])), source)), "enlarged"


@pytest.mark.parametrize("path", PDFS, ids=lambda p: p.name)
def test_pdf_picture(driver, tmp_path, path):
    needs("exiftool")
    answer, small, large = draw(driver, path, "application/pdf", tmp_path)
    if answer["reason"]:
        assert answer["reason"] in TYPED
        return
    check_picture(small, answer["metadata"][0], 401)
    assert answer["metadata"][1] == {} and answer["sizes"][1] == 0  # documents have no display picture


def grey(path, size=32):
    """Brightness of the picture, shrunk to size x size."""
    raw = path.with_suffix(".pgm")
    subprocess.run(["vips", "thumbnail", path, raw, str(size), "--height", str(size), "--size", "force"], check=True, capture_output=True)
    pixels = subprocess.run(["vips", "colourspace", raw, path.with_suffix(".b.pgm"), "b-w"], capture_output=True)
    assert pixels.returncode == 0, pixels.stderr
    return path.with_suffix(".b.pgm").read_bytes()[-size * size:]


def difference(left, right):
    return sum(abs(a - b) for a, b in zip(left, right)) / len(left)


def test_all_eight_orientations_are_upright(driver, tmp_path):
    needs("vips")
    pictures = []
    for orientation in range(1, 9):
        folder = tmp_path / str(orientation)
        folder.mkdir()
        answer, small, _ = draw(driver, CORPUS / "img" / f"exif_Landscape_{orientation}.jpg", "image/jpeg", folder)
        assert (answer["metadata"][0]["width"], answer["metadata"][0]["height"]) == (400, 267)
        pictures.append(grey(small))
    upside_down = bytes(reversed(pictures[0]))
    assert difference(pictures[0], upside_down) > 20, "the picture must show which way it lies"
    for picture in pictures[1:]:
        assert difference(pictures[0], picture) < 4


def test_gps_is_gone(driver, tmp_path):
    """The input has what must not come out: otherwise this shows nothing."""
    needs("exiftool")
    source = tmp_path / "with.jpg"
    shutil.copy(CORPUS / "img" / "exif_Landscape_1.jpg", source)
    subprocess.run(["exiftool", "-q", "-overwrite_original", "-GPSLatitude=52.5", "-GPSLatitudeRef=N", "-Artist=someone",
                    "-XMP:Creator=someone", "-IPTC:By-line=someone", source], check=True)
    assert "EXIF:GPSLatitude" in tags(source) and "XMP:Creator" in tags(source)
    answer, small, large = draw(driver, source, "image/jpeg", tmp_path)
    assert answer["reason"] == ""
    for output in (small, large):
        assert not [tag for tag in tags(output) if tag.split(":")[0].startswith(FORBIDDEN_TAGS)]
        assert b"someone" not in output.read_bytes()


@pytest.mark.parametrize("name,mime,reason", [
    ("bad/png_bomb_30000x30000_gray8.png", "image/png", "too_many_pixels"),
    ("bad/png_bomb_50000x50000_1bit.png", "image/png", "too_many_pixels"),
    ("img/vips_17000x17000.avif", "image/avif", "too_many_pixels"),
    ("img/vips_truncated.jpg", "image/jpeg", "bad_input"),
    ("img/sharp_truncated.png", "image/png", "bad_input"),
    ("bad/one_byte.png", "image/png", "bad_input"),
    ("img/vips_logo.svg", "image/svg+xml", "unsupported_input"),
    ("bad/pdf_named.jpg", "image/jpeg", "bad_input"),
    ("img/pil_hopper.gif", "image/png", "bad_input"),
])
def test_known_pictures(driver, tmp_path, name, mime, reason):
    assert draw(driver, CORPUS / name, mime, tmp_path)[0]["reason"] == reason
