"""Bad input and bad days, through the whole system: a clear typed answer, nothing lost, the service unharmed."""
import contextlib
import os
import signal
import time
import zlib

import pytest
from system import CORPUS, SAMPLES, System, eventually, fetch, one_page_pdf, pdf_of

LIMITS = {"backoff_unit_ms": 200, "limit_pages": 20, "limit_pixels": 2_000_000, "limit_cpu_seconds": 4,
          "limit_wall_ms": 20000, "limit_memory_bytes": 600 << 20}


@pytest.fixture(scope="module")
def system():
    with System(**LIMITS) as running:
        yield running


def reasons(file):
    return {job["type"]: (job["status"], job["error_code"]) for job in file["jobs"]}


def many_pages_pdf(pages):
    kids = " ".join(f"{number} 0 R" for number in range(3, 3 + pages)).encode()
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, pages)]
    objects += [b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>"] * pages
    return pdf_of(objects)


def grey_png(width, height):
    def chunk(name, body):
        return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(bytes(width + 1)) for _ in range(height)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def spinning_pdf():
    """Four gigabytes of blanks behind two Flate filters, in some kilobytes: seconds of CPU in ten megabytes."""
    inner = zlib.compressobj(9)
    blanks = b" " * (1 << 20)
    once = b"".join(inner.compress(blanks) for _ in range(4096)) + inner.flush()
    stream = zlib.compress(once, 9)
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
               b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R>>",
               b"<</Length %d/Filter[/FlateDecode/FlateDecode]>>stream\n%s\nendstream" % (len(stream), stream)]
    return pdf_of(objects)


def test_too_many_pages(user):
    file = user.wait(user.send("long.pdf", "application/pdf", many_pages_pdf(21)))
    assert reasons(file)["extract_pdf"] == ("failed", "too_many_pages")
    assert user.wait(user.send("short.pdf", "application/pdf", many_pages_pdf(20)))["status"] == "ready"


def test_too_many_pixels(user):
    file = user.wait(user.send("big.png", "image/png", grey_png(2001, 1000)))
    assert reasons(file)["thumbnail"] == ("failed", "too_many_pixels")
    assert user.wait(user.send("fits.png", "image/png", grey_png(2000, 1000)))["status"] == "ready"


def test_cpu_limit(user):
    file = user.wait(user.send("spin.pdf", "application/pdf", spinning_pdf()), 240)
    assert reasons(file)["extract_pdf"][1] in ("cpu_limit", "timeout", "no_progress")


def test_password_required(user):
    path = CORPUS / "pdf" / "sf_libreoffice-writer-password.pdf"
    if not path.exists():
        pytest.skip("no corpus")
    file = user.wait(user.send("locked.pdf", "application/pdf", path.read_bytes()))
    assert reasons(file)["extract_pdf"] == ("failed", "password_required")


@pytest.mark.parametrize("size,status,code", [(-1, 400, "bad_request"), (5_000_000_001, 413, "too_large"),
                                              ("12", 400, "bad_request"), (1.5, 400, "bad_request")])
def test_declared_sizes(user, size, status, code):
    answer = user.init("a.pdf", "application/pdf", size)
    assert answer.status in (status, 400) and answer.json["error"] in (code, "bad_request"), answer


def test_unknown_and_privileged_fields_are_refused(user):
    for field, value in (("status", "ready"), ("id", "3b241101-e2bb-4255-8caf-4136c566a962"), ("nonsense", 1)):
        answer = user.init("a.pdf", "application/pdf", 10, **{field: value})
        assert (answer.status, answer.json["error"]) == (400, "bad_request"), field


def test_put_is_bound_to_type_and_length(user):
    init = user.init("a.pdf", "application/pdf", 100).json
    assert fetch("PUT", init["upload_url"], {"Content-Type": "text/html"}, b"x" * 100).status == 403
    assert fetch("PUT", init["upload_url"], init["required_headers"], b"x" * 101).status in (400, 403)


def test_storage_down_then_up(system, user):
    """The job waits for the store and then ends ready."""
    file_id = user.upload("later.pdf", "application/pdf", one_page_pdf("later"))
    assert user.finalize(file_id).status == 200
    user.wait(file_id)
    system.kill("filemill-store", signal=signal.SIGSTOP)
    try:
        answer = user.call("POST", f"/v1/internal/files/{file_id}/reprocess", {})
        assert answer.status == 200, answer
        time.sleep(2)
        assert user.file(file_id)["status"] == "processing"
    finally:
        system.kill("filemill-store", signal=signal.SIGCONT)
    assert user.wait(file_id, 90)["status"] == "ready"


def test_postgres_down_answers_503_and_recovers(system, user):
    stopped = set()

    def stop():
        """Its processes come and go: until all of them stand."""
        found = {pid for pid, name in system.descendants() if name.startswith("postgres")} - stopped
        stopped.update(found)
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        return not found
    try:
        eventually(stop, what="Postgres stands")
        answer = user.call("GET", "/v1/files?tenant_id=" + user.tenant, timeout=60)
        assert answer.status == 503 and answer.headers["Retry-After"], answer
        assert fetch("GET", system.base + "/health").status == 200
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    eventually(lambda: user.call("GET", "/v1/files?tenant_id=" + user.tenant).status == 200, 30, what="recovery")


def test_hostile_corpus_harms_nobody(system, user):
    """Every bad file ends in a refusal, a typed failure or a result; another tenant's work goes on meanwhile."""
    if not CORPUS.exists():
        pytest.skip("no corpus")
    types = {".pdf": "application/pdf", ".png": "image/png", ".jpg": "image/jpeg", ".gif": "image/gif",
             ".tif": "image/tiff", ".heic": "image/heic", ".svg": "image/svg+xml", ".wav": "audio/wav",
             ".zip": "application/zip", ".docx": "application/vnd.openxmlformats-officedocument."
             "wordprocessingml.document", ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
    restarts = {name: service["restarts"] for name, service in services(system).items()}
    pending = []
    for path in sorted((CORPUS / "bad").iterdir()):
        data = path.read_bytes()
        init = user.init(path.name, types[path.suffix], len(data))
        if not data:
            assert init.status in (200, 400, 422)
            continue
        assert init.status == 200, (path, init)
        assert user.put(init.json, data).status == 200
        answer = user.finalize(init.json["file_id"])
        assert answer.status in (200, 422), (path, answer)
        if answer.status == 200:
            pending.append((path.name, init.json["file_id"]))

    other = system.user().bootstrap()
    good = other.send("mill.pdf", "application/pdf", (SAMPLES / "mill.pdf").read_bytes())
    assert other.wait(good, 120)["status"] == "ready"
    for name, file_id in pending:
        file = user.wait(file_id, 180)
        for job in file["jobs"]:
            assert job["status"] in ("done", "failed"), (name, job)
            assert job["status"] == "done" or job["error_code"], (name, job)
    assert {name: service["restarts"] for name, service in services(system).items()} == restarts
    assert fetch("GET", system.base + "/ready").status == 200


def services(system):
    return {f"{service['name']}": service for service in system.stats()["services"]}
