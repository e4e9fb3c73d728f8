# SPDX-License-Identifier: MIT
"""Encryption at rest, from outside: what lies in the store is no plain text, what comes out is what went in, and what
was changed does not come out at all."""
import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
import zipfile
from pathlib import Path

import pytest
from system import ROOT, System, eventually, fetch, one_page_pdf

pytest.importorskip("cryptography", reason="python3-cryptography is not installed")
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: E402
import scans  # noqa: E402
import sealed  # noqa: E402

OLD = "old:" + hashlib.sha256(b"old master key of the tests").hexdigest()
NEW = "new:" + hashlib.sha256(b"new master key of the tests").hexdigest()
MARK = "a sentence that must not be readable in the store"
LONG = "".join(f"line {i} of a text that is longer than a chunk\n" for i in range(8000)).encode()  # six chunks


class Keys:
    """The file of master keys, as the operator edits it."""

    def __init__(self, directory):
        self.path = directory / "keys"
        self.write(OLD)
        directory.chmod(0o755)  # as root the services are another user

    def write(self, *keys):
        self.path.write_text("# master keys\n" + "\n".join(keys) + "\n")
        self.path.chmod(0o644)


@pytest.fixture(scope="module")
def keys():
    with tempfile.TemporaryDirectory(prefix="fm-keys-") as directory:
        yield Keys(Path(directory))


@pytest.fixture(scope="module")
def system(keys):
    with System(backoff_unit_ms=200, encrypt_outputs="all", encryption_keys_file=keys.path, log_level="debug",
                remember_results="on", range_pages=2) as running:
        yield running


@pytest.fixture(scope="module")
def user(system):
    return system.user().bootstrap()


@pytest.fixture(scope="module")
def pdf(user):
    """A file whose text was extracted."""
    file = user.wait(user.send("report.pdf", "application/pdf", one_page_pdf(MARK)))
    assert file["status"] == "ready", file
    return file


def raw(system, key):
    return system.s3().get_object(Bucket=system.bucket, Key=key)["Body"].read()


def row(system, key):
    rows = system.sql("select * from object_keys where key = %s", key)
    return rows[0] if rows else None


def derivative(file, kind):
    return next(item for item in file["derivatives"] if item["kind"] == kind)


def content(user, file_id, kind=None, **headers):
    path = f"/v1/files/{file_id}" + (f"/derivatives/{kind}" if kind else "") + "/content"
    return user.call("GET", path, headers=headers)


def test_outputs_are_encrypted_before_they_are_stored(system, user, pdf):
    text = derivative(pdf, "pdf_text")
    stored = raw(system, text["r2_key"])
    keys_row = row(system, text["r2_key"])
    assert text["r2_key"].endswith(".txt.enc") and stored[:6] == b"FMSEAL" and MARK.encode() not in stored
    assert len(stored) == keys_row["stored_bytes"] == sealed.sealed_size(text["size_bytes"])
    assert hashlib.sha256(stored).hexdigest() == keys_row["stored_sha256"]
    assert keys_row["seal"].startswith("old:")
    answer = content(user, pdf["file_id"], "pdf_text")
    assert answer.status == 200 and MARK.encode() in answer.body
    assert len(answer.body) == text["size_bytes"] and hashlib.sha256(answer.body).hexdigest() == text["sha256"]
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''report.pdf_text.txt"
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"


def test_each_object_has_a_key_of_its_own(system, pdf):
    seals = system.sql("select seal from object_keys")
    assert len({item["seal"] for item in seals}) == len(seals) >= 2


def test_links_open_without_a_token_until_they_are_changed(system, user, pdf):
    answer = user.call("GET", f"/v1/files/{pdf['file_id']}/derivatives/pdf_text").json
    url = answer["download_url"]
    assert url.startswith(system.base + "/v1/content?") and answer["expires_in_seconds"] == 600
    assert MARK.encode() in fetch("GET", url).body
    for changed in (url.replace("of=derivative", "of=file"), url.replace("kind=pdf_text", "kind=pdf_pages"),
                    url.replace("expires=", "expires=9"), url[:-1] + ("0" if url[-1] != "0" else "1"), url.replace(user.id, pdf["file_id"])):
        refused = fetch("GET", changed)
        assert refused.status == 403 and refused.json["error"] == "link_refused", changed
    assert fetch("GET", url + "&more=1").status == 400


def test_strangers_see_nothing(system, pdf):
    stranger = system.user().bootstrap()
    assert content(stranger, pdf["file_id"], "pdf_text").status == 404
    assert content(stranger, pdf["file_id"]).status == 404
    assert fetch("GET", f"{system.base}/v1/files/{pdf['file_id']}/content").status == 401


@pytest.fixture(scope="module")
def long_text(user):
    file = user.wait(user.send("long.txt", "text/plain", LONG))
    assert file["status"] == "ready", file
    ordered = user.call("POST", f"/v1/files/{file['file_id']}/jobs", {"type": "extract_office"})
    assert ordered.status in (200, 201, 202), ordered
    return user.wait(file["file_id"])


def some_derivative(file):
    return next(item for item in file["derivatives"] if item["kind"] == "office_text")


EDGES = [(0, 0), (0, 65535), (65535, 65536), (65536, 65536), (131071, 131072), (70000, 200000), (0, 10**9)]


@pytest.mark.parametrize("sealed_one", [True, False], ids=["sealed", "plain"])
def test_ranges_across_chunks(user, long_text, sealed_one):
    kind = "office_text" if sealed_one else None
    whole = content(user, long_text["file_id"], kind)
    assert whole.status == 200 and len(whole.body) > 4 * 65536, whole
    assert whole.headers["Accept-Ranges"] == "bytes" and int(whole.headers["Content-Length"]) == len(whole.body)
    if not sealed_one:
        assert whole.body == LONG
    for first, last in EDGES:
        part = content(user, long_text["file_id"], kind, Range=f"bytes={first}-{last}")
        end = min(last, len(whole.body) - 1)
        assert part.status == 206 and part.body == whole.body[first:last + 1], (first, last)
        assert part.headers["Content-Range"] == f"bytes {first}-{end}/{len(whole.body)}"
    assert content(user, long_text["file_id"], kind, Range="bytes=-5").body == whole.body[-5:]
    assert content(user, long_text["file_id"], kind, Range="bytes=65530-").body == whole.body[65530:]
    assert content(user, long_text["file_id"], kind, Range="bytes=0-1,5-6").body == whole.body
    beyond = content(user, long_text["file_id"], kind, Range=f"bytes={len(whole.body)}-")
    assert beyond.status == 416 and beyond.headers["Content-Range"] == f"bytes */{len(whole.body)}"


@pytest.mark.parametrize("kind", ["office_text", None])
def test_conditions(user, long_text, kind):
    file_id = long_text["file_id"]
    whole = content(user, file_id, kind)
    etag = whole.headers["ETag"]
    assert content(user, file_id, kind, **{"If-None-Match": etag}).status == 304
    assert content(user, file_id, kind, **{"If-Match": '"other"'}).status == 412
    assert content(user, file_id, kind, **{"If-Range": etag, "Range": "bytes=1-2"}).status == 206
    assert content(user, file_id, kind, **{"If-Range": '"other"', "Range": "bytes=1-2"}).status == 200
    path = f"/v1/files/{file_id}" + (f"/derivatives/{kind}" if kind else "") + "/content"
    head = user.call("HEAD", path)
    assert head.status == 200 and head.body == b"" and int(head.headers["Content-Length"]) == len(whole.body)


def cut_short(call):
    """What of the body comes before the connection ends, or the problem's code."""
    import http.client
    try:
        answer = call()
    except http.client.IncompleteRead as error:
        return error.partial
    return answer.json["error"] if answer.status >= 400 else answer.body


def test_nothing_comes_of_a_changed_chunk(system, user, long_text):
    item = some_derivative(long_text)
    key, good = item["r2_key"], raw(system, item["r2_key"])
    plain = content(user, long_text["file_id"], "office_text").body
    whole = 65536 + 16

    def put(data):
        system.s3().put_object(Bucket=system.bucket, Key=key, Body=data)
        return cut_short(lambda: content(user, long_text["file_id"], "office_text"))

    def flip(at):
        return good[:at] + bytes([good[at] ^ 1]) + good[at + 1:]

    swapped = good[:32] + good[32 + whole:32 + 2 * whole] + good[32:32 + whole] + good[32 + 2 * whole:]
    try:
        assert put(flip(20)) == put(flip(40)) == put(swapped) == put(good[:20]) == "decrypt_failed"
        assert put(good[:-whole]) == "decrypt_failed"
        # a later window: what came before is right, and ends at a chunk
        assert put(good) == plain
    finally:
        put(good)
    assert content(user, long_text["file_id"], "office_text").body == plain


@pytest.mark.skipif(shutil.which("pdftoppm") is None, reason="pdftoppm is not installed")
def test_what_ranges_of_a_long_document_leave_is_sealed_too(system, user):
    """Ranges of a scan, each by a run of its own, joined by another: nothing of the text lies open in between."""
    file_id = user.send("scan.pdf", "application/pdf", scans.scan_pdf(6))
    user.wait(file_id)
    # The run that joins the ranges is held back: so all their parts are there when they are looked at.
    system.sql("create function hold() returns trigger language plpgsql as $$ begin update jobs set run_after = now() + "
               "interval '1 day' where id = new.id; return null; end $$")
    system.sql("create trigger hold after update of status on jobs for each row when (old.status = 'waiting' and "
               "new.status = 'queued') execute function hold()")
    try:
        ordered = user.call("POST", f"/v1/files/{file_id}/jobs", {"type": "ocr"})
        assert ordered.status in (200, 201, 202), ordered
        eventually(lambda: system.sql("select 1 from jobs where id = %s and run_after > now() + interval '1 hour'", ordered.json["id"]), 90,
                   what="all ranges are read")
    finally:
        system.sql("drop trigger hold on jobs")
        system.sql("drop function hold")
    seen = {item["Key"]: raw(system, item["Key"])
            for item in system.s3().list_objects_v2(Bucket=system.bucket, Prefix=f"t/{user.tenant}/").get("Contents", [])
            if file_id in item["Key"]}
    system.sql("update jobs set run_after = now() where id = %s", ordered.json["id"])
    user.wait(file_id, 90)
    text = content(user, file_id, "ocr_text").body.decode()
    assert [f"number {page} of" in part for page, part in enumerate(text.split("\f"), 1)][:6] == [True] * 6, text
    parts = {key: data for key, data in seen.items() if "/ocr_range." in key}
    assert len(parts) >= 3, sorted(seen)
    for key, data in seen.items():
        if "/derived/" in key:
            assert key.endswith(".enc") and data[:6] == b"FMSEAL" and b"number" not in data, key


# ---- uploads that the client has encrypted ----


def init_sealed(user, key, plain, filename="sealed.pdf", mime="application/pdf", **more):
    public = user.call("GET", "/v1/encryption/key").json
    assert public["algorithm"] == "AES-256-GCM-STREAM" and public["key"]["crv"] == "X25519"
    init = user.init(filename, mime, len(plain), encryption={"algorithm": public["algorithm"],
                                                             "wrapped_key": sealed.wrap(public, key)}, **more)
    assert init.status in (200, 201), init
    return init.json


def send_sealed(user, key, plain, data=None, **more):
    init = init_sealed(user, key, plain, **more)
    assert user.put(init, data if data is not None else sealed.seal(key, plain)).status in (200, 204)
    return init, user.finalize(init["file_id"])


def test_a_client_encrypts_what_it_uploads(system, user):
    key, plain = os.urandom(32), one_page_pdf(MARK)
    init, answer = send_sealed(user, key, plain, sha256=hashlib.sha256(plain).hexdigest())
    assert answer.status == 200, answer
    file = user.wait(init["file_id"])
    assert file["status"] == "ready" and file["detected_mime"] == "application/pdf" and file["size_bytes"] == len(plain)
    assert MARK.encode() not in raw(system, init["r2_key"]) and sealed.open_sealed(key, raw(system, init["r2_key"])) == plain
    assert content(user, init["file_id"]).body == plain
    assert MARK.encode() in content(user, init["file_id"], "pdf_text").body
    link = user.call("GET", f"/v1/files/{init['file_id']}/download").json["download_url"]
    assert fetch("GET", link).body == plain


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("size", [0, 1, 65536, 200000])
def test_the_client_in_javascript_seals_as_the_one_in_python_opens(user, size):
    """samples/seal.mjs; in a page: tests/browser/test_sealed_upload.py."""
    plain = os.urandom(size)
    script = ("import(process.argv[1]).then(async ({seal}) => { const chunks = []; for await (const chunk of process.stdin)"
              " chunks.push(chunk); const {encryption, body} = await seal(JSON.parse(process.argv[2]), Buffer.concat(chunks));"
              " process.stderr.write(encryption.wrapped_key); process.stdout.write(Buffer.from(await body.arrayBuffer())); })")
    public = user.call("GET", "/v1/encryption/key").json
    made = subprocess.run(["node", "-e", script, ROOT / "samples" / "seal.mjs", json.dumps(public)], input=plain,
                          capture_output=True, check=True, timeout=60)
    assert len(made.stdout) == sealed.sealed_size(size)
    init = user.init("a.bin", "application/octet-stream", max(size, 1), encryption={
        "algorithm": public["algorithm"], "wrapped_key": made.stderr.decode()})
    assert init.status in (200, 201), init
    if size > 0:
        assert user.put(init.json, made.stdout).status in (200, 204)
        assert user.finalize(init.json["file_id"]).status == 200
        assert content(user, init.json["file_id"]).body == plain


def test_a_long_zip_is_recognised_by_its_end(user):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as package:
        package.writestr("padding.bin", os.urandom(200000))
        package.writestr("[Content_Types].xml", "<Types/>")
    key = os.urandom(32)
    init, answer = send_sealed(user, key, data.getvalue(), filename="a.zip", mime="application/zip")
    assert answer.status == 200, answer
    assert content(user, init["file_id"], Range="bytes=65500-131100").body == data.getvalue()[65500:131101]


def test_uploads_that_are_not_as_announced_are_refused(user):
    key, plain = os.urandom(32), one_page_pdf(MARK)
    good = sealed.seal(key, plain)
    for data in (sealed.seal(os.urandom(32), plain), sealed.seal(key, plain, 4096)[:len(good)].ljust(len(good), b"\0"),
                 good[:50] + bytes([good[50] ^ 1]) + good[51:], b"%PDF" + good[4:]):
        answer = send_sealed(user, key, plain, data)[1]
        assert answer.status == 422 and answer.json["error"] == "bad_envelope", answer
    short = user.put(init_sealed(user, key, plain), plain)
    assert short.status >= 400, "the URL binds the length of the sealed object"
    wrapped = sealed.wrap(user.call("GET", "/v1/encryption/key").json, key)
    for wrong in (wrapped[:-4] + "AAAA", "A" * len(wrapped), wrapped[:-8]):
        refused = user.init("a.pdf", "application/pdf", 10,
                            encryption={"algorithm": "AES-256-GCM-STREAM", "wrapped_key": wrong})
        assert refused.status == 422 and refused.json["error"] == "bad_envelope", refused
    assert user.init("a.pdf", "application/pdf", 10, encryption={"algorithm": "ROT13", "wrapped_key": wrapped}).status == 400


def test_a_changed_upload_fails_its_job_with_a_reason(system, user):
    key, plain = os.urandom(32), LONG
    good = sealed.seal(key, plain)
    init, answer = send_sealed(user, key, plain, good[:200000] + bytes([good[200000] ^ 1]) + good[200001:], filename="long.txt", mime="text/plain")
    assert answer.status == 200  # finalize looks at the beginning alone
    file = user.wait(init["file_id"])
    assert "decrypt_failed" in [job["error_code"] for job in file["jobs"] if job["type"] == "extract_office"], file


def test_a_portals_job_from_a_sealed_photo_to_a_sealed_package(system, user):
    pytest.importorskip("PIL", reason="python3-pil is not installed")
    from PIL import Image
    photo = Image.radial_gradient("L").resize((500, 600)).convert("RGB")
    out = io.BytesIO()
    photo.save(out, "JPEG")
    key = os.urandom(32)
    init, answer = send_sealed(user, key, out.getvalue(), filename="me.jpg", mime="image/jpeg", layout="raw")
    assert answer.status == 200 and init["r2_key"].startswith("raw/"), answer
    accepted = user.call("POST", "/jobs", {"portal_schema": {"name": "NEET 2026"}, "input": {"file_id": init["file_id"]}})
    assert accepted.status == 202, accepted
    path = f"/jobs/{accepted.json['job_id']}"
    job = eventually(lambda: (lambda found: found if found["status"] in ("completed", "failed") else None)(
        user.call("GET", path).json), 60, what="the portal's job")
    assert job["status"] == "completed", job
    assert job["artifacts"]["output_path"].endswith("_output.zip.enc")
    for name in ("master_path", "preview_path", "output_path"):
        assert raw(system, job["artifacts"][name])[:6] == b"FMSEAL", name
    package = zipfile.ZipFile(io.BytesIO(fetch("GET", job["download_url"]).body))
    assert package.testzip() is None and package.namelist()
    document = user.call("GET", f"/v1/documents/{job['artifacts']['document_id']}").json
    for artifact in document["artifacts"]:
        data = fetch("GET", artifact["download_url"]).body
        assert artifact["encrypted"] and hashlib.sha256(data).hexdigest() == artifact["sha256"], artifact
        again = user.call("GET", f"/v1/jobs/{document['job_id']}/artifacts/{artifact['kind']}/content")
        assert again.body == data
    stranger = system.user().bootstrap()
    assert stranger.call("GET", f"/v1/jobs/{document['job_id']}/artifacts/master/content").status == 404


def test_a_sealed_text_becomes_an_example(system):
    """Read by the way of all contents, decrypted in the gateway: one of a single chunk, one of many windows."""
    user = system.user().bootstrap()
    for count, text in enumerate((b"Invoice number 4711, amount due\n", b"Dear Anna, thank you for your letter.\n" * 40000)):
        file_id = user.send(f"{count}.txt", "text/plain", text)
        user.wait(file_id)
        row = system.sql("select r2_key from file_derivatives where file_id = %s and kind = 'office_text'", file_id)[0]
        assert row["r2_key"].endswith(".enc")
        answer = user.call("POST", f"/v1/files/{file_id}/label", {"label": ("invoice", "letter")[count]})
        assert answer.status == 200 and answer.json["examples"] == count + 1, answer
    words = {row["label"]: row["words"] for row in system.sql("select label, words from label_examples where tenant_id = %s",
                                                              user.tenant)}
    assert len(words["invoice"]) == 5 * 5 and len(words["letter"]) == 7 * 5, words
    done = system.sql("select key from object_keys k join file_derivatives d on d.r2_key = k.key where d.file_id = %s"
                      " and d.kind = 'office_text'",
                      file_id)
    rename = "update object_keys set seal = regexp_replace(seal, '^[^:]+', %s) where key = %s"
    system.sql(rename, "another", done[0]["key"])
    answer = user.call("POST", f"/v1/files/{file_id}/label", {"label": "letter"})
    assert answer.status == 503 and answer.json["error"] == "key_unavailable", answer
    system.sql(rename, OLD.split(":")[0], done[0]["key"])


# ---- master keys: the last of this file, since they change the system ----


def test_no_key_is_in_logs_or_figures_or_in_processes_without_it(system, user, pdf):
    """The master keys are in the gateways' and the scheduler's memory alone, a task's key nowhere in runners'."""
    secret = OLD.split(":")[1]
    places = [system.log(), system.command("stats").stdout]
    assert not [place for place in places if secret in place or "data_key" in place]
    assert not [row_ for row_ in system.sql("select result::text as text from jobs") if secret in (row_["text"] or "")]
    for pid, name in system.descendants():
        if name in ("filemill-worker", "filemill-nursery", "filemill-store", "filemill-identify", "postgres"):
            assert not memory_has(pid, [secret.encode(), bytes.fromhex(secret)]), name
    if os.geteuid() == 0:
        assert memory_has(system.pids("filemill-gateway")[0], [bytes.fromhex(secret)]), "the search finds what is there"


def memory_has(pid, needles):
    """Whether the memory that a core file would hold has one of these."""
    try:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                span, mode = line.split()[:2]
                if "w" not in mode or "r" not in mode:
                    continue
                first, last = (int(part, 16) for part in span.split("-"))
                if last - first > 256 << 20:
                    continue
                with contextlib.suppress(OSError):
                    memory.seek(first)
                    data = memory.read(last - first)
                    if any(needle in data for needle in needles):
                        return True
    except OSError:
        return False
    return False


MANY = 6000  # a dozen transactions


def master_of(key):
    name, digits = key.split(":")
    return name, AESGCM(bytes.fromhex(digits))


def open_seal(object_key, seal):
    name, wrapped = seal.split(":")
    nonce, rest = bytes.fromhex(wrapped[:24]), bytes.fromhex(wrapped[24:])
    return dict(map(master_of, (OLD, NEW)))[name].decrypt(nonce, rest, f"{name}\0{object_key}".encode())


def test_rotation_may_be_killed_at_any_point(system, user, pdf, keys):
    """kill -9 twenty times, back and forth: each data key is there after each, and a run that is left alone ends it."""
    import psycopg2
    import psycopg2.extras
    chance = random.Random(20)
    name, master = master_of(OLD)
    data_keys = {f"t/none/rotation/{number:05d}": os.urandom(32) for number in range(MANY)}
    rows = []
    for key, data_key in data_keys.items():
        nonce = os.urandom(12)
        rows.append((key, pdf["file_id"], f"{name}:{(nonce + master.encrypt(nonce, data_key, f'{name}{chr(0)}{key}'.encode())).hex()}"))
    order, midway = [OLD, NEW], 0
    connection = psycopg2.connect(system.shell["PSQL_URL"])
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        psycopg2.extras.execute_values(cursor, "insert into object_keys (key, file_id, seal) values %s", rows, page_size=1000)

        def count(key):
            cursor.execute("select count(*) from object_keys where starts_with(key, 't/none/') and starts_with(seal, %s)",
                           (key.split(":")[0] + ":",))
            return cursor.fetchone()[0]

        def all_are_readable():
            cursor.execute("select key, seal from object_keys where starts_with(key, 't/none/')")
            found = dict(cursor.fetchall())
            assert found.keys() == data_keys.keys()
            assert not [key for key, seal in found.items() if open_seal(key, seal) != data_keys[key]]

        for turn in range(200):
            if turn >= 20 and midway >= 5:
                break
            if count(order[0]) in (0, MANY):  # all that there was to do is done: back again
                order.reverse()
                keys.write(*order)
            before = count(order[0])
            rotation = subprocess.Popen([system.programs / "filemill", "rotate-keys"], env=system.environment,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            while rotation.poll() is None and count(order[0]) < before + chance.choice((1, 1, 1000, 2500)):
                pass
            time.sleep(chance.uniform(0, 0.004))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(rotation.pid, signal.SIGKILL)
            rotation.wait()
            midway += 0 < count(order[0]) < MANY
            all_are_readable()
        assert midway >= 5, "the kills came in the middle"
        keys.write(OLD, NEW)
        assert "; 0 wrapped by a key that is not here; 0 broken" in system.command("rotate-keys").stdout
        assert count(OLD) == MANY and system.command("rotate-keys").stdout.startswith("0 keys")
        all_are_readable()
        assert MARK.encode() in content(user, pdf["file_id"], "pdf_text").body
        cursor.execute("delete from object_keys where starts_with(key, 't/none/')")
    keys.write(OLD)


def test_rotation_needs_no_byte_of_an_object(system, user, pdf, keys):
    item = derivative(pdf, "pdf_text")
    before, seal = raw(system, item["r2_key"]), row(system, item["r2_key"])["seal"]
    assert seal.startswith("old:")
    eventually(lambda: not system.sql("select 1 from jobs where status in ('queued', 'retry', 'running', 'waiting')"), 60,
               what="nothing writes")
    before_all = system.sql("select count(*) as n from object_keys")[0]["n"]
    keys.write(NEW, OLD)
    said = system.command("rotate-keys").stdout
    after_all = system.sql("select count(*) as n from object_keys")[0]["n"]  # garbage goes when it goes
    total = int(said.split()[0])
    assert after_all <= total <= before_all, (said, before_all, after_all)
    assert said.startswith(f"{total} keys wrapped by new; 0 wrapped by a key that is not here; 0 broken"), said
    assert not system.sql("select key from object_keys where seal not like 'new:%'")
    assert system.command("rotate-keys").stdout.startswith("0 keys")
    assert raw(system, item["r2_key"]) == before
    # what runs has the old keys alone: it says so, and sends nothing
    refused = content(user, pdf["file_id"], "pdf_text")
    assert refused.status == 503 and refused.json["error"] == "key_unavailable", refused
    keys.write(NEW)
    system.terminate()
    system.start()
    assert MARK.encode() in content(user, pdf["file_id"], "pdf_text").body
    again = user.wait(user.send("again.pdf", "application/pdf", one_page_pdf("after the rotation")))
    assert row(system, derivative(again, "pdf_text")["r2_key"])["seal"].startswith("new:")


def test_without_its_key_nothing_starts_or_says_why(system, keys):
    keys.write(OLD)
    wrong = system.command("rotate-keys", check=False)
    assert wrong.returncode == 1 and "0 keys wrapped by old" in wrong.stdout, wrong
    keys.write("old:1234")
    wrong = system.command("rotate-keys", check=False)
    assert wrong.returncode == 2 and "encryption-keys-file: a key must be 64 hex digits" in wrong.stderr
    keys.path.unlink()
    wrong = system.command("rotate-keys", check=False)
    assert wrong.returncode == 2 and "can't be opened" in wrong.stderr
    keys.write(NEW)
