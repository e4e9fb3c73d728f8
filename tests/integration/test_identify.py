"""What the bytes are: our signatures, a zip's directory and libmagic together, whatever name and type they came under;
and what becomes of finalize when the process that asks libmagic dies, hangs or is fed poison."""
import array
import csv
import io
import os
import random
import signal
import socket
import struct
import subprocess
import zipfile

import pytest
from system import BUILD, CORPUS, System, eventually, fetch, one_page_pdf

OOXML = "application/vnd.openxmlformats-officedocument."
OCTETS = "application/octet-stream"


@pytest.fixture(scope="module")
def system():
    with System() as running:
        yield running


@pytest.fixture(scope="module")
def user(system):
    """Of a tenant whose files get no jobs: only what they are is asked."""
    somebody = system.user().bootstrap()
    assert somebody.call("PUT", f"/v1/tenants/{somebody.tenant}/plan",
                         {"plan": [{"media_type": "*", "jobs": []}]}).status == 200
    return somebody


def detect(user, data, filename="a.bin", mime=OCTETS):
    """What finalize says: the detected type, or the refusal's code and the type in it."""
    file_id = user.upload(filename, mime, data)
    answer = user.finalize(file_id)
    if answer.status != 200:
        return answer.json["error"], answer.json.get("detected")
    return user.file(file_id)["detected_mime"]


def package(*names, padding=0):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        if padding:
            archive.writestr("first.bin", random.Random(1).randbytes(padding))
        for name in names:
            archive.writestr(name, b"x")
    return out.getvalue()


def told(user, expected, data, *more):
    """detect's answer, and where it is another one the next: one that takes longer than a second is done without."""
    found = detect(user, data, *more)
    return found if found == expected else detect(user, data, *more)


ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 0, 64, 0, 0)
DOCX = ("[Content_Types].xml", "word/document.xml")


@pytest.mark.parametrize("data, expected", [
    (package(*DOCX), OOXML + "wordprocessingml.document"),
    (package(*DOCX, padding=100_000), OOXML + "wordprocessingml.document"),  # told by its end alone
    (package("[Content_Types].xml", "xl/workbook.xml", padding=70_000), OOXML + "spreadsheetml.sheet"),
    (package("[Content_Types].xml", "ppt/presentation.xml", padding=200_000), OOXML + "presentationml.presentation"),
    (package("word/document.xml"), "application/zip"),
    (package("a.txt", padding=100_000), "application/zip"),
    (package("META-INF/MANIFEST.MF", "A.class"), "application/java-archive"),
    (package("AndroidManifest.xml", "META-INF/MANIFEST.MF"), "application/vnd.android.package-archive"),
    (package(*DOCX)[:-30], OOXML + "wordprocessingml.document"),  # no directory left: by its first names
    (b"a,b,c\n" * 50, "text/csv"),
    (b"just words\n", "text/plain"),
    (b"<!doctype html><p>", "text/html"),
    (b"%PDF-1.4\n", "application/pdf"),
    (ELF, "application/x-executable"),
    (b"wOFF\0\1\0\0" + bytes(80), "font/woff"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_told_by_the_bytes(user, data, expected):
    assert told(user, expected, data) == expected


def test_a_stored_pdf_does_not_make_a_zip_a_pdf(user):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("inner.pdf", one_page_pdf("inside"))
    assert detect(user, out.getvalue(), "a.zip", "application/zip") == "application/zip"
    assert detect(user, out.getvalue(), "a.pdf", "application/pdf") == ("type_mismatch", "application/zip")


def test_a_local_header_that_lies(user):
    """The directory is what programs read; names between the entries are not."""
    lie = b"PK\3\4" + bytes(22) + struct.pack("<HH", 17, 0) + b"word/document.xml" + b"PK\3\4" + bytes(22) + \
        struct.pack("<HH", 19, 0) + b"[Content_Types].xml"
    data = lie + package("readme.txt")
    assert detect(user, data) == "application/zip"


@pytest.mark.parametrize("mime, data, detected", [
    ("image/png", b"\xff\xd8\xff\xe0" + bytes(40), "image/jpeg"),
    ("application/pdf", b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + bytes(200), "application/x-dosexec"),
    ("text/plain", ELF, "application/x-executable"),
    ("image/jpeg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
    ("application/zip", b"\x89PNG\r\n\x1a\n" + bytes(40), "image/png"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_another_family_is_refused(user, mime, data, detected):
    assert told(user, ("type_mismatch", detected), data, "a.bin", mime) == ("type_mismatch", detected)


BY_EXTENSION = {
    "pdf": "application/pdf", "jpg": "image/jpeg", "png": "image/png", "gif": "image/gif", "webp": "image/webp",
    "tif": "image/tiff", "tiff": "image/tiff", "avif": "image/avif", "heic": "image/heic", "bmp": "image/bmp",
    "svg": "image/svg+xml", "wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "m4a": "audio/mp4",
    "docx": OOXML + "wordprocessingml.document", "xlsx": OOXML + "spreadsheetml.sheet",
    "pptx": OOXML + "presentationml.presentation", "odt": "application/vnd.oasis.opendocument.text",
    "ods": "application/vnd.oasis.opendocument.spreadsheet", "zip": "application/zip", "csv": "text/csv",
    "txt": "text/plain", "rtf": "application/rtf",
}


# Names in the corpus that lie, as its manifest says.
LIARS = {
    "ocr/alphabet_png_inside.tiff": "image/png",
    "office/bug53475-password-is-pass.docx": "application/encrypted",
    "bad/html_named.pdf": "text/html",
    "bad/pdf_named.jpg": "application/pdf",
    "bad/zero_byte.pdf": ("empty_file", None),
    "bad/one_byte.png": OCTETS,
    "audio/goforward.raw": OCTETS,
    "bad/q_fuzz-16214.pdf": OCTETS,  # no header is left
    "bad/heif_clusterfuzz-testcase-minimized-file-fuzzer-5120279175102464.heic": "image/heif",
}


@pytest.mark.skipif(not (CORPUS / "MANIFEST.tsv").exists(), reason="the corpus is not here")
def test_the_corpus_is_what_its_manifest_says(user):
    with open(CORPUS / "MANIFEST.tsv", newline="") as manifest:
        names = [row["path"] for row in csv.DictReader(manifest, delimiter="\t", quoting=csv.QUOTE_NONE)
                 if row["role"] == "main"]
    wrong = []
    for name in names:
        expected = LIARS.get(name) or BY_EXTENSION[name.rsplit(".", 1)[1].lower()]
        found = told(user, expected, (CORPUS / name).read_bytes(), os.path.basename(name))
        if found != expected:
            wrong.append((name, found, expected))
    assert not wrong and len(names) > 150, wrong


# -- the process that asks libmagic ---------------------------------------------------------------------------------


class Child:
    """filemill-identify without a gateway."""

    def __init__(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket = ours

        def place():
            os.dup2(theirs.fileno(), 3)
        self.process = subprocess.Popen([BUILD / "filemill-identify", "optional"], preexec_fn=place, pass_fds=[3],
                                        env={"LC_ALL": "C"})
        theirs.close()

    def ask(self, head, tail=b""):
        file = os.memfd_create("test")
        os.write(file, head + tail)
        reader, writer = os.pipe()
        self.socket.sendmsg([struct.pack("=II", len(head), len(tail))],
                            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file, writer]))])
        os.close(file)
        os.close(writer)
        with open(reader, "rb") as answer:
            return answer.read()

    def close(self):
        self.socket.close()
        assert self.process.wait(60) == 0


def test_bad_input_does_no_harm():
    """Garbage, cut-off files and what hurts matchers: an answer or none, the next one is answered."""
    child, rng = Child(), random.Random(7)
    hostile = [b"", b"\0", b"PK", b"PK\5\6", b"PK\5\6" + b"\xff" * 18, package(*DOCX)[:-1], b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" +
               rng.randbytes(60_000), b"<" * 65536, b"(" * 65536, b"{" * 65536, b"[" * 65536, b"a" * 65536, b"," * 65536,
               b"\x7fELF\x02\x01\x01" + b"\xff" * 4000, b"%PDF-" * 13107, (b"@" * 1023 + b"\n") * 64, bytes(65536)]
    hostile += [rng.randbytes(rng.randrange(1, 4096)) for _ in range(60)]
    whole = package(*DOCX, padding=3000)
    hostile += [whole[:cut] for cut in range(1, len(whole), 211)]
    for data in hostile:
        answer = child.ask(data, rng.randbytes(500) if len(data) % 2 else b"")
        assert answer == b"" or answer.count(b"\n") == 2, (data[:40], answer)
    assert eventually(lambda: child.ask(b"%PDF-1.4\n")) == b"application/pdf\n\n"
    child.close()


def parent_of_all(system):
    """The one that stays: its own children are there as long as they look."""
    return eventually(lambda: (pids := system.pids("filemill-identify")) and len(pids) == 1 and pids[0], what="one alone")


def test_the_child_lives_in_the_sandbox(system):
    """The parent of those that meet bytes holds no address, key or privilege."""
    pid = parent_of_all(system)
    status = open(f"/proc/{pid}/status").read()
    assert "NoNewPrivs:\t1" in status
    assert open(f"/proc/{pid}/environ", "rb").read() == b"LC_ALL=C\0"
    links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    assert sum(link.startswith("socket:") for link in links) == 1, links


def test_a_dead_or_hanging_child_is_no_reason_to_fail(system, user):
    pid = parent_of_all(system)
    os.kill(pid, signal.SIGSTOP)
    try:
        assert detect(user, b"%PDF-1.4\n") == "application/pdf"
    finally:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: pid not in system.pids("filemill-identify"), what="death seen")
    assert detect(user, b"a,b\n1,2\n" * 9) in ("text/plain", "text/csv")
    eventually(lambda: system.pids("filemill-identify"), what="another one")
    assert eventually(lambda: detect(user, b"a,b\n1,2\n" * 9) == "text/csv", what="its answers")
    assert fetch("GET", f"{system.base}/ready").status == 200
    assert "state=ended" in system.log() and "state=too-late" in system.log()
