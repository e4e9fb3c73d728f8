# SPDX-License-Identifier: MIT
"""Every hostile feature with a real offender: a server and a file that it asks for are watched, and it is the library
that does not ask, not the sandbox that stops it (no sandbox_violation). The next document of the nursery succeeds."""
import contextlib
import socket
import struct

import pytest

from driver import CORPUS
from offenders import DOCX, HELLO, MIB, R, docx, p, page, relations


class Canary:
    """A server that only counts who came."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.socket.setblocking(False)

    def calls(self):
        """How many have come: the kernel has taken their call whether or not anybody waits for it."""
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.accept()[0].close()
                count += 1
        return count

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/secret"


@pytest.fixture(scope="module")
def canary():
    server = Canary()
    with server.socket:
        socket.create_connection(("127.0.0.1", server.port)).close()
        assert server.calls() == 1
        yield server


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.txt"
    path.write_text("TOP-SECRET-CONTENT\n")
    path.chmod(0o644)
    return path


def check_silence(answer, canary, folder):
    assert answer["reason"] not in ("sandbox_violation", "crash"), answer
    assert canary.calls() == 0
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
