# SPDX-License-Identifier: MIT
"""Every limit with a real offender made here: it ends in its typed reason, the option moves the limit, and the next
document of the same nursery succeeds. Every hostile feature with a real offender too: a server and a file that it asks
for are watched, and it is the library that does not ask, not the sandbox that stops it (no sandbox_violation)."""
import io
import socket
import struct
import threading
import time
import zipfile
import zlib
from pathlib import Path

import pytest
from PIL import Image

from driver import CORPUS, INSTRUMENTED, Driver

MIB = 1 << 20
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ODT = "application/vnd.oasis.opendocument.text"
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
S = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


@pytest.fixture(scope="module")
def driver():
    with Driver() as running:
        yield running


@pytest.fixture
def feed(driver, tmp_path):
    """Runs bytes, and then a document that must succeed: the service goes on."""
    return lambda kind, data, mime, parameters=None, **more: feed_to(driver, tmp_path, kind, data, mime, parameters,
                                                                     **more)


def feed_to(driver, folder, kind, data, mime, parameters=None, **limits):
    path, outputs = folder / "document", [str(folder / f"output{i}") for i in range(8)]
    path.write_bytes(data)
    answer = driver.run(kind, parameters, input=str(path), mime=mime, outputs=outputs, limits=limits)
    path.write_bytes(b"plain text\n")
    after = driver.run("extract_office", input=str(path), mime="text/plain", outputs=[None, None])
    assert after["reason"] == "", "the next document fails"
    return answer


# --- offenders ----------------------------------------------------------------------------------------------

def package(parts):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in parts.items():
            file.writestr(name, text)
    return data.getvalue()


def relations(target, kind="officeDocument", more=""):
    return (f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f'<Relationship Id="r1" Type="{R}/{kind}" Target="{target}"/>{more}</Relationships>')


def types(part, kind):
    return ('<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            f'<Override PartName="/{part}" ContentType="application/vnd.openxmlformats-officedocument.{kind}.main+xml"/>'
            "</Types>")


def docx(body, head="", **more):
    return package({"[Content_Types].xml": types("word/document.xml", "wordprocessingml.document"),
                    "_rels/.rels": relations("word/document.xml"),
                    "word/document.xml": f"<?xml version=\"1.0\"?>{head}<w:document {W}><w:body>{body}</w:body></w:document>",
                    **more})


def xlsx(sheet):
    return package({"[Content_Types].xml": types("xl/workbook.xml", "spreadsheetml.sheet"),
                    "_rels/.rels": relations("xl/workbook.xml"),
                    "xl/workbook.xml": f'<workbook {S} xmlns:r="{R}"><sheets><sheet name="a" sheetId="1" r:id="r1"/></sheets>'
                                       "</workbook>",
                    "xl/_rels/workbook.xml.rels": relations("worksheets/sheet1.xml", "worksheet"),
                    "xl/worksheets/sheet1.xml": f"<worksheet {S}>{sheet}</worksheet>"})


def p(text):
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def pdf(objects, root=1):
    """Objects by number, as bytes; with a right cross-reference table."""
    data, places = io.BytesIO(), {}
    data.write(b"%PDF-1.7\n")
    for number, text in objects.items():
        places[number] = data.tell()
        data.write(b"%d 0 obj\n%s\nendobj\n" % (number, text))
    start, size = data.tell(), max(objects) + 1
    data.write(b"xref\n0 %d\n0000000000 65535 f \n" % size)
    for number in range(1, size):
        data.write(b"%010d 00000 n \n" % places.get(number, 0))
    data.write(b"trailer\n<</Size %d/Root %d 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (size, root, start))
    return data.getvalue()


def page(content, catalogue=b"", page_more=b"", filters=b"", more=None):
    return pdf({1: b"<</Type/Catalog/Pages 2 0 R%s>>" % catalogue, 2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
                3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]/Contents 4 0 R"
                   b"/Resources<</Font<</F 5 0 R>>>>%s>>" % page_more,
                4: b"<</Length %d%s>>stream\n%s\nendstream" % (len(content), filters, content),
                5: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>", **(more or {})})


HELLO = b"BT /F 12 Tf 10 50 Td (hello) Tj ET"


def endless_spaces():
    """4 GiB of spaces, deflated twice: the inner stream is one flushed block again and again."""
    inner = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = inner.compress(b" " * (16 * MIB)) + inner.flush(zlib.Z_FULL_FLUSH)
    outer = zlib.compressobj(9)
    return outer.compress(b"\x78\xda" + block * 256 + b"\x03\x00" + b"\0\0\0\0") + outer.flush()


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth=8, colour=0, interlaced=False):
    """A black picture, whole: rows of zeros compress to nothing."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    samples = {0: 1, 2: 3, 6: 4}[colour]
    packer, data = zlib.compressobj(9), []
    for left, top, across, down in passes if interlaced else [(0, 0, 1, 1)]:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        row = bytes(1 + (columns * depth * samples + 7) // 8)
        many = max(1, MIB // len(row))
        for at in range(0, rows, many):
            data.append(packer.compress(row * min(many, rows - at)))
    data.append(packer.flush())
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"".join(data)) + png_chunk(b"IEND", b"")


def jpeg(width, height, **options):
    data = io.BytesIO()
    Image.new("RGB", (width, height)).save(data, "JPEG", **options)
    return data.getvalue()


def wav(seconds, rate=8000):
    size = seconds * rate
    return (b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, rate, rate, 1, 8) +
            b"data" + struct.pack("<I", size) + b"\x80" * size)


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


# --- what documents ask for, and nobody does ----------------------------------------------------------------

class Canary:
    """A server that only notes who came."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.calls = []
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.calls.append(connection)
            connection.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/secret"


@pytest.fixture(scope="module")
def canary():
    server = Canary()
    yield server
    server.socket.close()


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.txt"
    path.write_text("TOP-SECRET-CONTENT\n")
    path.chmod(0o644)
    return path


def check_silence(answer, canary, folder):
    assert answer["reason"] not in ("sandbox_violation", "crash"), answer
    assert canary.calls == []
    for path in folder.glob("output*"):
        assert b"TOP-SECRET" not in path.read_bytes()


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
    "hls-key": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{}"\n#EXTINF:1,\na.ts\n',
    "concat": "ffconcat version 1.0\nfile '{}'\n",
    "dash": '<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation><BaseURL>{}</BaseURL></Representation>'
            "</AdaptationSet></Period></MPD>",
    "srt": "1\n00:00:01,000 --> 00:00:02,000\n{}\n",
    "ass": "[Script Info]\nScriptType: v4.00+\n\n[Events]\nDialogue: 0,0:00:00.00,0:00:01.00,,,0,0,0,,{}\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\na={}\n",
    "rtsp": "RTSPtext\nREF1={}\n", "asx": '<asx version="3.0"><entry><ref href="{}"/></entry></asx>',
    "lavfi": "amovie={}", "cue": 'FILE "{}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n',
}


@pytest.mark.parametrize("form", PLAYLISTS)
def test_playlists_and_subtitles(feed, canary, secret, tmp_path, form):
    for target in (canary.url, f"file://{secret}", str(secret), f"concat:{secret}", f"subfile,,start,0,end,0,,:{secret}"):
        for mime in ("audio/mpeg", "audio/x-mpegurl", "audio/wav"):
            answer = feed("waveform", PLAYLISTS[form].format(target).encode(), mime)
            assert answer["reason"] == "bad_input", answer
            check_silence(answer, canary, tmp_path)


def test_references_in_a_film(feed, canary, secret, tmp_path):
    """QuickTime's data references: an `alis`/`url ` entry leads elsewhere for the samples."""
    url = canary.url.encode() + b"\0"
    entry = struct.pack(">I4sI", 12 + len(url), b"url ", 0) + url
    dref = struct.pack(">I4sII", 16 + len(entry), b"dref", 0, 1) + entry
    dinf = struct.pack(">I4s", 8 + len(dref), b"dinf") + dref
    minf = struct.pack(">I4s", 8 + len(dinf), b"minf") + dinf
    mdia = struct.pack(">I4s", 8 + len(minf), b"mdia") + minf
    trak = struct.pack(">I4s", 8 + len(mdia), b"trak") + mdia
    moov = struct.pack(">I4s", 8 + len(trak), b"moov") + trak
    data = struct.pack(">I4s4sI4s", 20, b"ftyp", b"M4A ", 0, b"M4A ") + moov
    answer = feed("waveform", data, "audio/mp4")
    assert answer["reason"] == "bad_input"
    check_silence(answer, canary, tmp_path)


@pytest.mark.parametrize("mime", ["image/svg+xml", "image/png", "image/jpeg", "image/heic"])
@pytest.mark.parametrize("kind", ["thumbnail", "image_variants", "portal_photo", "ocr"])
def test_svg(feed, canary, secret, tmp_path, kind, mime):
    svg = (f'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file://{secret}">]><svg width="9" height="9" '
           f'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="{canary.url}" '
           f'width="9" height="9"/><image xlink:href="{secret}" width="9" height="9"/><text>&x;</text>'
           f'<style>@import url("{canary.url}");</style><script href="{canary.url}"/></svg>').encode()
    parameters = {"preset": "NEET 2026"} if kind == "portal_photo" else None
    answer = feed(kind, svg, mime, parameters)
    assert answer["reason"] in ("unsupported_input", "bad_input", "DECODE_FAILED"), answer
    check_silence(answer, canary, tmp_path)


def actions(canary, secret):
    url, path = canary.url.encode(), str(secret).encode()
    return {
        "uri": page(HELLO, catalogue=b"/OpenAction<</S/URI/URI(%s)>>" % url),
        "launch": page(HELLO, catalogue=b"/OpenAction<</S/Launch/F(%s)/Win<</F(cmd.exe)>>>>" % path),
        "javascript": page(HELLO, catalogue=b"/OpenAction<</S/JavaScript/JS(app.launchURL('%s');this.submitForm('%s'))>>"
                           % (url, url)),
        "names": page(HELLO, catalogue=b"/Names<</JavaScript<</Names[(a)<</S/JavaScript/JS(app.launchURL('%s'))>>]>>>>" % url),
        "submit": page(HELLO, page_more=b"/AA<</O<</S/SubmitForm/F<</FS/URL/F(%s)>>>>>>" % url),
        "remote": page(HELLO, catalogue=b"/OpenAction<</S/GoToR/F(%s)/D[0/Fit]>>" % path),
        "embedded": page(HELLO, catalogue=b"/Names<</EmbeddedFiles<</Names[(a)<</Type/Filespec/F(%s)/EF<</F 6 0 R>>>>]>>>>"
                         % path, more={6: b"<</Type/EmbeddedFile/Length 3/F(%s)>>stream\nabc\nendstream" % path}),
        "external-stream": page(HELLO, filters=b"/F(%s)/FFilter/FlateDecode" % path),
        "external-url": page(HELLO, filters=b"/F<</FS/URL/F(%s)>>" % url),
        "reference-xobject": page(HELLO + b" /X Do", page_more=b"/X<</XObject<</X 6 0 R>>>>",
                                  more={6: b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Length 0/Ref<</F(%s)/Page 0>>>>"
                                           b"stream\n\nendstream" % path}),
        "font-file": page(HELLO).replace(b"/BaseFont/Helvetica", b"/BaseFont/Helvetica/FontDescriptor<</FontFile<</Length 0"
                                         b"/F(%s)>>>>" % path),
        "xfa": page(HELLO, catalogue=b"/AcroForm<</XFA[(config)6 0 R]>>", more={
            6: b"<</Length %d>>stream\n%s\nendstream" % (65 + len(path), b'<!DOCTYPE a [<!ENTITY x SYSTEM "file://%s">]><a>&x;</a>'
                                                         % path)}),
    }


@pytest.mark.parametrize("action", list(actions(type("C", (), {"url": ""})(), "")))
def test_pdf_actions_and_references(feed, canary, secret, tmp_path, action):
    document = actions(canary, secret)[action]
    for kind in ("extract_pdf", "thumbnail"):
        answer = feed(kind, document, "application/pdf")
        assert answer["reason"] == "", answer
        if kind == "extract_pdf":
            assert b"hello" in (tmp_path / "output0").read_bytes() or action.startswith("external")
        check_silence(answer, canary, tmp_path)


def test_xml_entities(feed, canary, secret, tmp_path):
    """Of files, of servers, of parameters, of each other; external DTDs; XInclude."""
    xi = 'xmlns:xi="http://www.w3.org/2001/XInclude"'
    heads = [f'<!DOCTYPE w:document [<!ENTITY x SYSTEM "file://{secret}">]>',
             f'<!DOCTYPE w:document [<!ENTITY x SYSTEM "{canary.url}">]>',
             f'<!DOCTYPE w:document SYSTEM "{canary.url}">',
             f'<!DOCTYPE w:document [<!ENTITY % y SYSTEM "{canary.url}"> %y;<!ENTITY x "a">]>',
             '<!DOCTYPE w:document [<!ENTITY a "aaaaaaaaaa">' +
             "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)) + '<!ENTITY x "&j;">]>']
    for head in heads:
        answer = feed("extract_office", docx(p("&x;"), head=head), DOCX)
        assert answer["reason"] == "bad_input" and "document type" in answer["detail"], answer
        check_silence(answer, canary, tmp_path)
    included = feed("extract_office", docx(p(f'<xi:include {xi} href="file://{secret}" parse="text"/>')), DOCX)
    check_silence(included, canary, tmp_path)


def test_office_references(feed, canary, secret, tmp_path):
    """External templates, images and parts of a document are named by relationships: none is followed."""
    more = (f'<Relationship Id="r2" Type="{R}/image" Target="{canary.url}" TargetMode="External"/>'
            f'<Relationship Id="r3" Type="{R}/footnotes" Target="file://{secret}" TargetMode="External"/>'
            f'<Relationship Id="r4" Type="{R}/footnotes" Target="../../../../../../{secret}"/>')
    document = docx(p("a"), **{"word/_rels/document.xml.rels": relations(canary.url, "attachedTemplate", more)})
    answer = feed("extract_office", document, DOCX)
    assert answer["reason"] in ("", "bad_input")
    check_silence(answer, canary, tmp_path)


UNTRUSTED = {
    "matlab": b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x01IM" + bytes(200),
    "nifti": struct.pack("<I", 348) + bytes(340) + b"n+1\0" + bytes(200),
    "analyze": struct.pack("<I", 348) + bytes(344),
    "fits": b"SIMPLE  =                    T".ljust(80) + b"BITPIX  =                    8".ljust(80) + bytes(2800),
    "openslide": b"II*\0" + b"Aperio".ljust(300),
    "magick-mvg": b"push graphic-context\nviewbox 0 0 9 9\nimage over 0,0 0,0 '{url}'\npop graphic-context\n",
    "magick-msl": b'<?xml version="1.0"?><image><read filename="{url}"/></image>',
    "magick-label": b"label:@{path}",
    "postscript": b"%!PS-Adobe-3.0\n({path}) (r) file\n",
    "openexr": b"v/1\x01\x02\0\0\0" + bytes(300),
    "jxl": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100),
    "jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100),
    "radiance": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 9 +X 9\n" + bytes(400),
    "ppm": b"P6\n9 9\n255\n" + bytes(243),
    "vips": b"\xb6\xa6\xf2\x08" + bytes(400),
    "csv": b"1,2,3\n4,5,6\n",
    "bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 310, 0, 0, 54, 40, 9, 9, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(252),
    "ico": b"\0\0\1\0\1\0" + bytes(100),
}


@pytest.mark.parametrize("loader", UNTRUSTED)
def test_untrusted_loaders(feed, canary, secret, tmp_path, loader):
    """Under every name that is let in, and under their own."""
    data = UNTRUSTED[loader].replace(b"{url}", canary.url.encode()).replace(b"{path}", str(secret).encode())
    for mime in ("image/png", "image/tiff", "image/gif", "image/webp", "image/jpeg", "image/avif", "image/x-portable-pixmap",
                 "application/x-matlab-data", "image/vnd.radiance"):
        answer = feed("thumbnail", data, mime)
        assert answer["reason"] in ("bad_input", "unsupported_input"), answer
        check_silence(answer, canary, tmp_path)


def tiff(entries, extra=b"", next_ifd=0):
    """Little endian, one directory at 8."""
    ifd = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + ifd + struct.pack("<I", next_ifd) + extra


BASE = [(258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)]
TIFFS = {
    "directory-loop": tiff([(256, 4, 1, 9), (257, 4, 1, 9), *BASE, (273, 4, 1, 200), (278, 4, 1, 9), (279, 4, 1, 81)],
                           bytes(300), next_ifd=8),
    "huge": tiff([(256, 4, 1, 0xffffffff), (257, 4, 1, 0xffffffff), *BASE, (273, 4, 1, 200), (279, 4, 1, 9)], bytes(300)),
    "huge-tile": tiff([(256, 4, 1, 9), (257, 4, 1, 9), *BASE, (322, 4, 1, 0x7ffffff0), (323, 4, 1, 0x7ffffff0),
                       (324, 4, 1, 200), (325, 4, 1, 9)], bytes(300)),
    "huge-strip-count": tiff([(256, 4, 1, 9), (257, 4, 1, 9), *BASE, (273, 4, 0x40000000, 200), (279, 4, 0x40000000, 200)],
                             bytes(300)),
    "beyond-the-end": tiff([(256, 4, 1, 9), (257, 4, 1, 9), *BASE, (273, 4, 1, 0x7fffffff), (278, 4, 1, 9),
                            (279, 4, 1, 0x7fffffff)]),
    "many-bands": tiff([(256, 4, 1, 9), (257, 4, 1, 9), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 200),
                        (277, 3, 1, 65535), (278, 4, 1, 9), (279, 4, 1, 81)], bytes(300)),
    "no-directory": b"II*\0\xff\xff\xff\x7f",
    "entries": b"II*\0\x08\0\0\0\xff\xff" + bytes(100),
}


@pytest.mark.parametrize("oddity", TIFFS)
@pytest.mark.parametrize("kind", ["thumbnail", "ocr"])
def test_tiff_oddities(feed, kind, oddity):
    answer = feed(kind, TIFFS[oddity], "image/tiff", cpu_seconds=5, wall_ms=10000, memory_bytes=512 * MIB)
    assert answer["reason"] in ("", "bad_input", "too_many_pixels", "too_many_pages", "memory_limit",
                                "unsupported_input"), answer
    assert answer["cpu_us"] < 3_000_000


def heif(size, boxes):
    """ftyp and a meta box around what is given."""
    meta = struct.pack(">I4sI", 12 + len(boxes), b"meta", 0) + boxes
    return struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic") + meta + bytes(size)


def box(kind, data, full=None):
    head = b"" if full is None else struct.pack(">I", full)
    return struct.pack(">I4s", 8 + len(head) + len(data), kind) + head + data


HEIFS = {
    "items": heif(10, box(b"hdlr", bytes(4) + b"pict" + bytes(13), 0) + box(b"iinf", struct.pack(">I", 0xffffffff), 0x01000000)),
    "grid": heif(10, box(b"hdlr", bytes(4) + b"pict" + bytes(13), 0) + box(b"pitm", b"\0\1", 0) +
                 box(b"iinf", b"\0\1" + box(b"infe", b"\0\1\0\0grid\0", 0x02000000), 0) +
                 box(b"iloc", b"\x44\x00\0\1\0\1\0\0\0\1" + struct.pack(">II", 0, 8), 0) +
                 box(b"iprp", box(b"ipco", box(b"ispe", struct.pack(">II", 0xffff, 0xffff), 0)) +
                     box(b"ipma", struct.pack(">IHBB", 1, 1, 1, 1), 0))),
    "nested": heif(10, box(b"hdlr", bytes(4) + b"pict" + bytes(13), 0) + struct.pack(">I4s", 16, b"iprp") * 5000),
    "length-zero": heif(10, struct.pack(">I4s", 0, b"iprp")),
    "length-64": heif(10, struct.pack(">I4sQ", 1, b"iprp", 0xffffffffffffffff)),
}


@pytest.mark.parametrize("oddity", HEIFS)
def test_heif_oddities(feed, oddity):
    answer = feed("thumbnail", HEIFS[oddity], "image/heic", cpu_seconds=5, wall_ms=10000)
    assert answer["reason"] in ("bad_input", "unsupported_input", "too_many_pixels"), answer
    assert answer["cpu_us"] < 3_000_000


@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus: set FILEMILL_CORPUS")
@pytest.mark.parametrize("path", sorted((CORPUS / "bad").glob("*.heic")) + sorted((CORPUS / "bad").glob("*.tif")),
                         ids=lambda path: path.name)
def test_fuzzed_pictures_of_the_corpus(feed, path):
    mime = "image/heic" if path.suffix == ".heic" else "image/tiff"
    answer = feed("thumbnail", path.read_bytes(), mime, cpu_seconds=10, wall_ms=20000)
    assert answer["reason"] in ("", "bad_input", "unsupported_input", "too_many_pixels", "memory_limit"), answer
