# SPDX-License-Identifier: MIT
"""Every limit with a real offender made here: it ends in its typed reason, the option moves the limit, and the next
document of the same nursery succeeds."""
import io
import struct
import time
import zipfile
import zlib
from pathlib import Path

import pytest

from driver import CORPUS, INSTRUMENTED, Driver
from offenders import (DOCX, HELLO, MIB, ODT, W, XLSX, docx, endless_spaces, feed_to, jpeg, p, package, page, png, png_chunk,
                       relations, types, wav, xlsx)


# --- limits: the processors' own ----------------------------------------------------------------------------

def million_pages():
    """One page object, named a million times; the cross-reference stream has as many (free) objects."""
    data, places = io.BytesIO(), []
    data.write(b"%PDF-1.7\n")
    for number, text in enumerate([b"<</Type/Catalog/Pages 2 0 R>>",
                                   b"<</Type/Pages/Count 1000000/Kids[%s]>>" % (b"3 0 R " * 1000000),
                                   b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"], 1):
        places.append(data.tell())
        data.write(b"%d 0 obj\n%s\nendobj\n" % (number, text))
    start = data.tell()
    entries = [struct.pack(">BI", 1, place) for place in [*places, start]]
    table = zlib.compress(b"\0" * 5 + b"".join(entries) + b"\0" * 5 * 1000000, 9)
    data.write(b"4 0 obj\n<</Type/XRef/Size 1000005/W[1 4 0]/Root 1 0 R/Length %d/Filter/FlateDecode>>stream\n%s\n"
               b"endstream\nendobj\nstartxref\n%d\n%%%%EOF\n" % (len(table), table, start))
    return data.getvalue()


def test_pages(feed):
    """A million pages that are there, and a million that are not."""
    pages = million_pages()
    for kind in ("extract_pdf", "ocr"):
        answer = feed(kind, pages, "application/pdf", pages=2000, cpu_seconds=20)
        assert answer["reason"] == "too_many_pages" and answer["cpu_us"] < 10_000_000, answer
    lies = page(HELLO).replace(b"/Count 1>>", b"/Count 1000000>>")
    assert feed("extract_pdf", lies, "application/pdf", pages=2000, cpu_seconds=20)["reason"] in ("too_many_pages", "bad_input")
    assert feed("extract_pdf", page(HELLO), "application/pdf", pages=1)["reason"] == ""


def test_pixels_that_are_there(feed):
    bomb = png(60000, 12000, depth=1)
    assert len(bomb) < MIB
    answer = feed("thumbnail", bomb, "image/png", pixels=100_000_000)
    assert answer["reason"] == "too_many_pixels" and answer["cpu_us"] < 1_000_000, answer


@pytest.mark.parametrize("kind", ["thumbnail", "image_variants", "ocr"])
def test_pixels(feed, kind):
    header = png(1, 1).replace(struct.pack(">II", 1, 1), struct.pack(">II", 60000, 60000))
    header = header[:12] + png_chunk(b"IHDR", header[16:29])[4:] + header[33:]
    answer = feed(kind, header, "image/png", pixels=100_000_000)
    assert answer["reason"] == "too_many_pixels" and answer["cpu_us"] < 1_000_000, answer
    assert feed("thumbnail", png(300, 300), "image/png", pixels=90_000)["reason"] == ""
    assert feed("thumbnail", png(300, 301), "image/png", pixels=90_000)["reason"] == "too_many_pixels"


@pytest.mark.parametrize("data,plain,mime", [
    (lambda: png(5000, 5000, colour=2, interlaced=True), lambda: png(5000, 5000, colour=2), "image/png"),
    (lambda: jpeg(5000, 5000, progressive=True), lambda: jpeg(5000, 5000), "image/jpeg"),
], ids=["interlaced", "progressive"])
def test_memory_is_charged_from_the_header(feed, data, plain, mime):
    """What must be decoded as a whole is refused before that; the same pixels row by row are not."""
    if INSTRUMENTED:
        pytest.skip("AddressSanitizer reserves terabytes: no limit holds")
    answer = feed("thumbnail", data(), mime, memory_bytes=88 * MIB)
    assert answer["reason"] == "too_many_pixels" and "to decode" in answer["detail"], answer
    assert answer["rss"] < 64 * MIB
    assert feed("thumbnail", plain(), mime, memory_bytes=192 * MIB)["reason"] == ""
    assert feed("thumbnail", data(), mime, memory_bytes=1024 * MIB)["reason"] == ""


def test_processor_time_of_one_step(feed):
    """A form whose fields double with each of 40 levels keeps poppler busy for years, before the first page."""
    fields = {level: b"<</Kids[%d 0 R %d 0 R]/Parent %d 0 R>>" % (level + 1, level + 1, level - 1)
              for level in range(11, 50)}
    form = page(HELLO, b"/AcroForm<</Fields[10 0 R]>>", more={
        10: b"<</Kids[11 0 R 11 0 R]>>", **fields,
        50: b"<</Type/Annot/Subtype/Widget/FT/Tx/T(leaf)/Rect[0 0 1 1]/Parent 49 0 R>>"})
    answer = feed("extract_pdf", form, "application/pdf", no_progress_ms=500, cpu_seconds=60, wall_ms=60000)
    assert answer["reason"] == "cpu_limit" and "no step forward" in answer["end"], answer
    assert answer["cpu_us"] < 20_000_000


def test_processor_time(feed):
    bomb = page(endless_spaces(), filters=b"/Filter[/FlateDecode/FlateDecode]")
    assert len(bomb) < 100_000
    answer = feed("extract_pdf", bomb, "application/pdf", cpu_seconds=1, wall_ms=30000)
    assert answer["reason"] == "cpu_limit" and answer["rss"] < 300 * MIB, answer


def test_time_by_the_clock(feed):
    bomb = page(endless_spaces(), filters=b"/Filter[/FlateDecode/FlateDecode]")
    assert feed("extract_pdf", bomb, "application/pdf", wall_ms=500)["reason"] == "timeout"


def test_silence(driver, tmp_path):
    """Neither progress nor processor time: nothing that parses does that, so it is asked for."""
    assert driver.act("sleep", 20000, limits={"no_progress_ms": 300})["reason"] == "no_progress"


def test_output(feed):
    assert feed("extract_office", b"0123456789\n" * 100_000, "text/plain", output_bytes=MIB)["reason"] == "output_limit"
    assert feed("extract_office", b"0123456789\n" * 10_000, "text/plain", output_bytes=MIB)["reason"] == ""


# --- limits: the node's -------------------------------------------------------------------------------------

OFFENDERS = [
    ("limit_archive_ratio", 1000, "extract_office", DOCX, lambda: docx(p("x" * 2_000_000)), "archive_bomb"),
    ("limit_archive_bytes", 1000000, "extract_office", DOCX,
     lambda: docx("".join(p(n * 7919 % 999983) for n in range(50000))), ""),
    ("limit_archive_entries", 10, "extract_office", DOCX,
     lambda: docx(p("a"), **{f"word/media/{n}.png": b"" for n in range(20)}), ""),
    ("limit_archive_entries", 20000, "extract_office", DOCX,
     lambda: docx(p("a"), **{f"word/media/{n}.png": b"" for n in range(10000)}), "too_many_entries"),
    ("limit_depth", 20, "extract_office", DOCX, lambda: docx("<w:sdt><w:sdtContent>" * 20 + p("a") +
                                                             "</w:sdtContent></w:sdt>" * 20), ""),
    ("limit_characters", 1000, "extract_office", "text/plain", lambda: b"0123456789\n" * 200, ""),
    ("limit_characters", 100, "extract_pdf", "application/pdf",
     lambda: page(b"BT /F 2 Tf 1 50 Td (" + b"word " * 60 + b") Tj ET"), ""),
    ("limit_audio_seconds", 60, "waveform", "audio/wav", lambda: wav(61), ""),
]
WITH_OPTION = {"limit_archive_ratio": "", "limit_archive_bytes": "archive_bomb", "limit_archive_entries": "too_many_entries",
               "limit_depth": "bad_input", "limit_characters": "output_limit", "limit_audio_seconds": "too_long"}


@pytest.mark.parametrize("option,value,kind,mime,data,reason", OFFENDERS, ids=lambda value: str(value)[:24])
def test_options_move_the_limit(feed, tmp_path, option, value, kind, mime, data, reason):
    document = data()
    answer = feed(kind, document, mime)
    assert answer["reason"] == reason, answer
    expected = WITH_OPTION[option] if reason == "" else ""
    with Driver(**{option: value}) as other:
        assert feed_to(other, tmp_path, kind, document, mime)["reason"] == expected


def test_endless_sound(feed):
    """Twelve hours by default; 13 hours of it are 47 MB of silence in FLAC's simplest frames, so a shorter limit."""
    with Driver(limit_audio_seconds=30) as short:
        folder = Path("/dev/shm")
        folder = folder if folder.is_dir() else Path("/tmp")
        path = folder / f"filemill-endless-{time.monotonic_ns()}.wav"
        try:
            with path.open("wb") as file:  # 3 hours, sparse
                head = bytearray(wav(0, 8000))
                struct.pack_into("<I", head, 40, 3 * 3600 * 8000)
                file.write(head)
                file.truncate(44 + 3 * 3600 * 8000)
            answer = short.run("waveform", input=str(path), mime="audio/wav", outputs=[None] * 3)
        finally:
            path.unlink()
        assert answer["reason"] == "too_long" and answer["cpu_us"] < 2_000_000, answer


def test_resolution_is_lowered(feed, tmp_path):
    """A page is drawn at the limit, not refused: what is asked beyond it costs nothing."""
    with Driver(limit_dpi=72) as coarse:
        answer = feed_to(coarse, tmp_path, "ocr", page(HELLO), "application/pdf",
                         {"dpi": 600, "outputs": ["json"]})
        assert answer["reason"] in ("", "bad_input"), answer
        assert answer["reason"] == "" and b'"dpi":72' in (tmp_path / "output1").read_bytes().replace(b" ", b"")


def test_nested_xml(feed):
    assert feed("extract_office", docx("<w:a>" * 1_000_000), DOCX)["reason"] in ("bad_input", "archive_bomb")
    deep = "<w:a>" * 101 + p("a") + "</w:a>" * 101
    assert feed("extract_office", docx(deep), DOCX)["reason"] == "bad_input"
    within = "<w:a>" * 50 + p("a") + "</w:a>" * 50
    assert feed("extract_office", docx(within), DOCX)["reason"] == ""


def test_archives_within_archives(feed):
    """Packages are never opened in packages: depth one, whatever lies inside. The quine holds itself."""
    inside = docx(p("inner"))
    answer = feed("extract_office", docx(p("outer"), **{"word/embeddings/again.docx": inside}), DOCX)
    assert answer["reason"] == ""
    quine = CORPUS / "bad" / "tika_droste.zip"
    if quine.exists():
        assert feed("extract_office", quine.read_bytes(), DOCX)["reason"] in ("unsupported_input", "bad_input")


def test_overlapping_entries(feed):
    """One entry's bytes named by many (Fifield's bomb): each is charged as it is read."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("[Content_Types].xml", types("word/document.xml", "wordprocessingml.document"))
        file.writestr("_rels/.rels", relations("word/document.xml"))
        file.writestr("word/document.xml", f"<w:document {W}><w:body>{p('a' * 50_000_000)}</w:body></w:document>")
    assert feed("extract_office", data.getvalue(), DOCX)["reason"] == "archive_bomb"


def test_huge_dimension(feed, tmp_path):
    """A sheet that says it has 17 thousand million cells, and has its first and its last."""
    sheet = ('<dimension ref="A1:XFD1048576"/><sheetData><row r="1"><c r="A1"><v>1</v></c></row>'
             '<row r="1048576"><c r="XFD1048576"><v>2</v></c></row></sheetData>')
    answer = feed("extract_office", xlsx(sheet), XLSX, cpu_seconds=5)
    assert answer["reason"] == "" and answer["sizes"][0] < MIB and answer["cpu_us"] < 2_000_000, answer


def test_huge_spans(feed):
    """Repeats are bounded: an OpenDocument cell may say that it stands a thousand million times."""
    cell = '<table:table-cell table:number-columns-repeated="1000000000"><text:p>a</text:p></table:table-cell>'
    spaces = '<text:p>b<text:s text:c="1000000000"/>c</text:p>'
    names = ('xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
             'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" '
             'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"')
    body = f"<table:table><table:table-row>{cell}</table:table-row></table:table>{spaces}"
    data = package({"mimetype": ODT, "content.xml": f"<office:document-content {names}><office:body><office:text>{body}"
                                                    "</office:text></office:body></office:document-content>"})
    answer = feed("extract_office", data, ODT, cpu_seconds=5)
    assert answer["reason"] == "" and answer["sizes"][0] < MIB, answer
