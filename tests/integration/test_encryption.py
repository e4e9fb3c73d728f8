# SPDX-License-Identifier: MIT
"""Encryption at rest, from outside: what lies in the store is no plain text, what comes out is what went in, and what
was changed does not come out at all."""
import hashlib
import io
import os
import zipfile

import pytest
from system import System, fetch, one_page_pdf

pytest.importorskip("cryptography", reason="python3-cryptography is not installed")
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
        directory.chmod(0o755)
        for parent in list(directory.parents)[:2]:
            if os.geteuid() == 0:
                parent.chmod(0o755)

    def write(self, *keys):
        self.path.write_text("# master keys\n" + "\n".join(keys) + "\n")
        self.path.chmod(0o644)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def system(keys):
    with System(backoff_unit_ms=200, encrypt_outputs="all", encryption_keys_file=keys.path, log_level="debug",
                remember_results="on") as running:
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
                    url.replace("expires=", "expires=9"), url[:-4] + "0000", url.replace(user.id, pdf["file_id"])):
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
