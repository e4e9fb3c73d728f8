# SPDX-License-Identifier: MIT
"""The REST API as the seed of the project fixes it: routes, fields, codes, and what bad requests get."""
import base64
import hashlib
import json
import re
import socket
import urllib.parse
import uuid

import jsonschema
import pytest

from gateway_process import World

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def world():
    with World(cors_origins="https://app.example,http://localhost:3000", max_body_bytes=65536) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(world):
    return world.gateway


@pytest.fixture(scope="module")
def user(gateway):
    return gateway.user().bootstrap()


# -- the way of a file ---------------------------------------------------------------------------------------------

def test_health_and_ready(gateway):
    assert gateway.call("GET", "/health").json == {"ok": True}
    assert gateway.call("GET", "/ready").status == 200


def test_init_upload_answers_the_seeds_fields(world, user):
    answer = user.init(size=12345)
    assert answer.status == 200, answer
    body = answer.json
    assert set(body) >= {"file_id", "r2_key", "upload_url", "required_headers", "expires_in_seconds"}
    assert body["required_headers"] == {"Content-Type": "application/pdf"}
    assert body["expires_in_seconds"] == 300
    assert body["r2_key"] == f"t/{user.tenant}/u/{user.id}/{body['file_id']}.pdf"
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(body["upload_url"]).query)
    assert query["X-Amz-Expires"] == ["300"]
    assert {"content-length", "content-type", "host"} <= set(query["X-Amz-SignedHeaders"][0].split(";"))
    row, = world.postgres.query("select * from files where id = %s", (body["file_id"],))
    assert (row["status"], row["r2_key_original"], row["size_bytes"]) == ("uploading", body["r2_key"], 12345)
    assert (row["visibility"], row["filename"], row["owner_user_id"]) == ("private", "test.pdf", user.id)


def test_upload_finalize_read_download(world, user):
    file_id = user.upload(PDF)
    answer = user.finalize(file_id)
    assert answer.status == 200 and answer.json["ok"] is True, answer
    assert {job["type"] for job in answer.json["jobs"]} == {"extract_pdf", "thumbnail"}
    assert all(set(job) == {"id", "type", "status"} and job["status"] == "queued" for job in answer.json["jobs"])
    rows = world.postgres.query("select * from jobs where file_id = %s", (file_id,))
    assert {(row["status"], row["priority"], row["trace"]) for row in rows} == \
           {("queued", 1, answer.headers["traceresponse"].split("-")[1])}
    again = user.finalize(file_id)
    assert again.status == 200 and again.json == answer.json

    detail = user.call("GET", f"/v1/files/{file_id}").json
    assert detail["status"] == "processing" and detail["detected_mime"] == "application/pdf"
    assert detail["derivatives"] == [] and len(detail["jobs"]) == 2

    link = user.call("GET", f"/v1/files/{file_id}/download").json
    assert link["expires_in_seconds"] == 600
    got = user.gateway.user()  # any client: the link is enough
    reply = got.put({"upload_url": link["download_url"], "required_headers": {}}, PDF)
    assert reply.status in (403, 405), "a link to read must not write"
    import urllib.request
    with urllib.request.urlopen(link["download_url"]) as reply:
        assert reply.read() == PDF
        assert reply.headers["Content-Disposition"] == "attachment; filename*=UTF-8''test.pdf"


def test_events_of_a_finalize_are_kept(world, user):
    file_id = user.send(PDF)
    events = world.postgres.query("select kind, data from file_events where file_id = %s order by id", (file_id,))
    assert sorted((event["kind"], event["data"]["status"]) for event in events) == \
        [("file.status", "processing"), ("job.status", "queued"), ("job.status", "queued")]


EMPTY_ZIP = b"PK\x05\x06" + bytes(18)  # a type that no job is planned for


def test_a_file_without_jobs_is_ready_at_once(user):
    file_id = user.upload(EMPTY_ZIP, filename="note.zip", mime="application/zip")
    answer = user.finalize(file_id)
    assert answer.json == {"ok": True, "jobs": []}
    assert user.call("GET", f"/v1/files/{file_id}").json["status"] == "ready"


def test_names_are_data_and_never_in_keys(user):
    name = "../../etc/\u202epasswd\n\u00fc %2f;\U0001f600.P\u00e4DF"
    answer = user.init(filename=name)
    assert answer.status == 200
    assert re.fullmatch(rf"t/{UUID}/u/{UUID}/{UUID}\.pdf", answer.json["r2_key"]) or \
        re.fullmatch(rf"t/{UUID}/u/{UUID}/{UUID}\.pdf?", answer.json["r2_key"])
    file_id = user.upload(PDF, filename=name)
    assert user.finalize(file_id).status == 200
    assert user.call("GET", f"/v1/files/{file_id}").json["filename"] == name
    link = user.call("GET", f"/v1/files/{file_id}/download").json["download_url"]
    import urllib.request
    with urllib.request.urlopen(link) as reply:
        disposition = reply.headers["Content-Disposition"]
    assert urllib.parse.unquote(disposition.removeprefix("attachment; filename*=UTF-8''")) == name


def test_checksum_is_bound(user):
    digest = hashlib.sha256(PDF)
    init = user.init(size=len(PDF), sha256=digest.hexdigest().upper()).json
    assert init["required_headers"]["x-amz-checksum-sha256"] == base64.b64encode(digest.digest()).decode()
    wrong = bytearray(PDF)
    wrong[20] ^= 1
    assert user.put(init, bytes(wrong)).status in (400, 403)
    assert user.put(init, PDF).status in (200, 204)
    assert user.finalize(init["file_id"]).status == 200
    assert user.call("GET", f"/v1/files/{init['file_id']}").json["sha256"] == digest.hexdigest()


# -- refusals of finalize ------------------------------------------------------------------------------------------

def test_finalize_without_an_object(user):
    file_id = user.init(size=10).json["file_id"]
    answer = user.finalize(file_id)
    assert (answer.status, answer.error) == (400, "object_not_found_in_storage")
    assert user.call("GET", f"/v1/files/{file_id}").json["status"] == "uploading"


def put_object(world, key, data):
    """Past the presigned URL, as a client with keys of its own could."""
    import boto3
    import botocore.config
    from gateway_process import ACCESS_KEY, BUCKET, SECRET_KEY
    client = boto3.client("s3", endpoint_url=world.store.endpoint, aws_access_key_id=ACCESS_KEY,
                          aws_secret_access_key=SECRET_KEY, region_name="us-east-1",
                          config=botocore.config.Config(s3={"addressing_style": "path"}))
    client.put_object(Bucket=BUCKET, Key=key, Body=data)


def test_size_mismatch_then_a_good_upload(world, user):
    init = user.init(size=len(PDF)).json
    put_object(world, init["r2_key"], PDF + b"x")
    answer = user.finalize(init["file_id"])
    assert (answer.status, answer.error) == (422, "size_mismatch")
    assert (answer.json["declared_bytes"], answer.json["stored_bytes"]) == (len(PDF), len(PDF) + 1)
    assert user.put(init, PDF).status in (200, 204)
    assert user.finalize(init["file_id"]).status == 200


def test_type_mismatch(world, user):
    file_id = user.upload(PDF, filename="a.png", mime="image/png")
    answer = user.finalize(file_id)
    assert (answer.status, answer.error) == (422, "type_mismatch")
    assert (answer.json["declared"], answer.json["detected"]) == ("image/png", "application/pdf")
    nonsense = user.upload(b"\x00\x01nothing known", mime="application/pdf")
    answer = user.finalize(nonsense)
    assert (answer.status, answer.error, answer.json["detected"]) == (422, "type_mismatch", None)
    assert world.postgres.value("select count(*) from jobs where file_id = %s", (nonsense,)) == 0


def test_empty_file(user):
    for declared in (0, 5):
        init = user.init(size=declared).json
        if declared == 0:
            assert user.put(init, b"").status in (200, 204)
            answer = user.finalize(init["file_id"])
            assert (answer.status, answer.error) == (422, "empty_file")


def test_planned_for_what_the_bytes_are(user):
    file_id = user.upload(PNG, filename="a.bin", mime="application/octet-stream")
    answer = user.finalize(file_id)
    assert [job["type"] for job in answer.json["jobs"]] == ["thumbnail", "image_variants", "ocr"]
    assert user.call("GET", f"/v1/files/{file_id}").json["detected_mime"] == "image/png"


def test_download_before_finalize(user):
    file_id = user.init().json["file_id"]
    for path in (f"/v1/files/{file_id}/download",):
        answer = user.call("GET", path)
        assert (answer.status, answer.error) == (409, "not_finalized")
    answer = user.call("POST", f"/v1/internal/files/{file_id}/reprocess")
    assert (answer.status, answer.error) == (409, "not_finalized")


# -- bad requests --------------------------------------------------------------------------------------------------

GOOD = {"tenant_id": str(uuid.uuid4()), "filename": "a.pdf", "mime": "application/pdf", "size_bytes": 1}


@pytest.mark.parametrize("change,field", [
    ({"tenant_id": "x"}, "tenant_id"), ({"tenant_id": None}, "tenant_id"), ({"tenant_id": 5}, "tenant_id"),
    ({"filename": ""}, "filename"), ({"filename": "a" * 257}, "filename"), ({"filename": "\U0001f600" * 129}, "filename"),
    ({"filename": "a\0b"}, "filename"), ({"mime": "pdf"}, "mime"), ({"mime": "a/b\r\nX: y"}, "mime"),
    ({"mime": "a/" + "b" * 200}, "mime"), ({"visibility": "secret"}, "visibility"), ({"visibility": ""}, "visibility"),
    ({"visibility": "public|private"}, "visibility"), ({"size_bytes": -1}, "size_bytes"), ({"size_bytes": "1"}, "size_bytes"),
    ({"size_bytes": 1.5}, "size_bytes"), ({"size_bytes": 1.0}, "size_bytes"), ({"size_bytes": True}, "size_bytes"),
    ({"size_bytes": 5_000_000_001}, "size_bytes"), ({"sha256": "00"}, "sha256"), ({"sha256": "g" * 64}, "sha256")])
def test_fields_are_checked(user, change, field):
    answer = user.call("POST", "/v1/files/init-upload", {**GOOD, **change})
    assert (answer.status, answer.error) == (400, "bad_request"), answer
    assert field in answer.json["details"]["fieldErrors"], answer


@pytest.mark.parametrize("field", ["id", "file_id", "status", "owner_user_id", "lease_epoch", "r2_key", "__proto__", ""])
def test_unknown_and_privileged_fields_are_refused(user, field):
    answer = user.call("POST", "/v1/files/init-upload", {**GOOD, "tenant_id": user.tenant, field: "ready"})
    assert (answer.status, answer.error) == (400, "bad_request")


@pytest.mark.parametrize("missing", list(GOOD))
def test_required_fields(user, missing):
    answer = user.call("POST", "/v1/files/init-upload", {name: value for name, value in GOOD.items() if name != missing})
    assert answer.status == 400 and answer.json["details"]["fieldErrors"][missing] == ["Required"]


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"1", b"null", b'"x"', b"{}x", b"{'a':1}", b'{"file_id":1,"file_id":2}', b"\xef\xbb\xbf{}",
    b'{"file_id":"\xff"}', b'{"file_id":"\\ud800"}', b'{"a\\u0000b":1}', pytest.param(b"[" * 60000, id="60000 levels"), b'{"a":' * 33 + b"1" + b"}" * 33,
    b'{"size_bytes":1e400}', b'{"size_bytes":9223372036854775808}', b'{"a":NaN}', b'{"a":01}', b"{}\x00"])
def test_malformed_json(user, body):
    answer = user.call("POST", "/v1/files/finalize", body)
    assert (answer.status, answer.error) == (400, "bad_request"), answer
    assert "details" in answer.json


def test_many_names_take_bounded_time(user):
    body = json.dumps({f"k{i}": i for i in range(4000)}).encode()
    assert user.call("POST", "/v1/files/finalize", body, timeout=20).status == 400


@pytest.mark.parametrize("headers", [
    {"Content-Type": "text/plain"}, {"Content-Type": "application/jsonx"}, {"Content-Type": ""},
    {"Content-Type": "application/json", "Content-Encoding": "gzip"}, {"Content-Type": "multipart/form-data; boundary=x"}])
def test_media_type_of_bodies(user, headers):
    answer = user.call("POST", "/v1/files/finalize", b'{"file_id":"x"}', headers=headers)
    assert (answer.status, answer.error) == (415, "unsupported_media_type")


def test_json_with_a_charset_is_json(user):
    answer = user.call("POST", "/v1/files/finalize", b'{"file_id":"x"}',
                       headers={"Content-Type": "Application/JSON; charset=utf-8"})
    assert (answer.status, answer.error) == (400, "bad_request")


def test_too_large_a_body(user):
    answer = user.call("POST", "/v1/files/finalize", b" " * 70000)
    assert answer.status == 413
    assert user.gateway.call("GET", "/health").status == 200


@pytest.mark.parametrize("path", [
    "/", "/v1", "/v1/", "/v1/files/", "/v1/file", "/V1/files", "/v1//files", "/v1/files/%2e%2e/health", "/v1%2ffiles",
    "/v1/files/x/download", "/v1/files/{id}%00/download", "/v1/files/{id}/download/", "/v1/files/{id}/derivatives/A",
    "/v1/files/{id}/derivatives/a%2fb", "/v1/files/{id}/derivatives/", "/v1/jobs/1", "/..%2fhealth", "/health/", "/metrics"])
def test_unknown_paths(user, path):
    answer = user.call("GET", path.replace("{id}", str(uuid.uuid4())))
    assert answer.status in (400, 404), answer


@pytest.mark.parametrize("method,path,allow", [
    ("DELETE", "/v1/files/init-upload", {"POST"}), ("PUT", "/v1/files", {"GET"}),
    ("POST", "/health", {"GET"}), ("PATCH", "/v1/tenants", {"GET"}),
    ("TRACE", "/v1/tenants", {"GET"}), ("BREW", "/health", {"GET"}), ("HEAD", "/v1/files/finalize", {"POST"})])
def test_methods(gateway, method, path, allow):
    answer = gateway.call(method, path)
    assert answer.status in (405, 501), answer
    if answer.status == 405:
        assert allow <= set(answer.headers["allow"].split(", "))


def test_head_is_get_without_a_body(user):
    answer = user.call("HEAD", "/v1/tenants")
    assert answer.status == 200 and answer.body == b"" and int(answer.headers["content-length"]) > 10


def test_unknown_query_parameters(user):
    for query in ("", "tenant_id=x", f"tenant_id={user.tenant}&nonsense=1", f"tenant_id={user.tenant}&limit=0",
                  f"tenant_id={user.tenant}&limit=101", f"tenant_id={user.tenant}&limit=x",
                  f"tenant_id={user.tenant}&tenant_id={user.tenant}", f"tenant_id={user.tenant}&status=deleted"):
        answer = user.call("GET", "/v1/files?" + query)
        assert (answer.status, answer.error) == (400, "bad_request"), query


def test_request_ids(gateway):
    assert gateway.call("GET", "/health", headers={"X-Request-Id": "abc-1:2.3_4"}).headers["x-request-id"] == "abc-1:2.3_4"
    for odd in ("a b", "x" * 65, "a\"b", "ü".encode().decode("latin-1")):
        made = gateway.call("GET", "/health", headers={"X-Request-Id": odd}).headers.get("x-request-id", "")
        assert re.fullmatch(UUID, made) or made == ""
    assert re.fullmatch(UUID, gateway.call("GET", "/health").headers["x-request-id"])


def test_errors_tell_nothing_of_the_inside(user):
    for answer in (user.call("GET", f"/v1/files/{uuid.uuid4()}"), user.call("POST", "/v1/files/finalize", b"{"),
                   user.gateway.call("GET", "/v1/tenants")):
        text = answer.body.decode().lower()
        assert not any(word in text for word in ("select ", "postgres", "/src", ".c:", "filemill_gateway", "sqlstate"))
        assert "server" not in answer.headers


# -- lists ---------------------------------------------------------------------------------------------------------

def test_list_by_cursor(gateway):
    owner = gateway.user().bootstrap()
    ids = [owner.init(filename=f"{n}.pdf").json["file_id"] for n in range(7)]
    seen, cursor, pages = [], None, 0
    while True:
        answer = owner.call("GET", f"/v1/files?tenant_id={owner.tenant}&limit=3" + (f"&cursor={cursor}" if cursor else ""))
        assert answer.status == 200, answer
        seen += [file["file_id"] for file in answer.json["files"]]
        cursor, pages = answer.json["next_cursor"], pages + 1
        if cursor is None:
            break
    assert seen == ids[::-1] and pages == 3

    first = owner.call("GET", f"/v1/files?tenant_id={owner.tenant}&limit=3").json["next_cursor"]
    other = gateway.user().bootstrap()
    for query in (f"tenant_id={other.tenant}&cursor={first}", ):
        answer = other.call("GET", "/v1/files?" + query)
        assert (answer.status, answer.error) == (400, "bad_request")
    for bad in (first[:-4], "AAAA", "x" * 400, first + "A", "%00"):
        assert owner.call("GET", f"/v1/files?tenant_id={owner.tenant}&cursor={bad}").status == 400, bad
    assert owner.call("GET", f"/v1/files?tenant_id={owner.tenant}&status=ready&cursor={first}").status == 400


def test_list_by_status(gateway):
    owner = gateway.user().bootstrap()
    ready = owner.upload(EMPTY_ZIP, filename="a.zip", mime="application/zip")
    owner.finalize(ready)
    owner.init()
    answer = owner.call("GET", f"/v1/files?tenant_id={owner.tenant}&status=ready")
    assert [file["file_id"] for file in answer.json["files"]] == [ready]


# -- jobs, reprocess, delete ---------------------------------------------------------------------------------------

def test_reprocess_makes_new_jobs_and_cancels_old_ones(world, user):
    file_id = user.upload(PDF)
    old = {job["id"] for job in user.finalize(file_id).json["jobs"]}
    answer = user.call("POST", f"/v1/internal/files/{file_id}/reprocess")
    assert answer.status == 200 and answer.json["ok"] is True
    new = {job["id"] for job in answer.json["jobs"]}
    assert len(new) == 2 and not new & old
    rows = world.postgres.query("select id, status, generation, lease_epoch from jobs where file_id = %s", (file_id,))
    assert {(row["status"], row["generation"], row["lease_epoch"]) for row in rows if row["id"] in old} == {("cancelled", 0, 1)}
    assert {(row["status"], row["generation"]) for row in rows if row["id"] in new} == {("queued", 1)}
    shown = user.call("GET", f"/v1/files/{file_id}").json
    assert {job["id"] for job in shown["jobs"]} == new and shown["generation"] == 1
    assert {job["id"] for job in user.finalize(file_id).json["jobs"]} == old, "finalize goes on telling its own jobs"


def test_cancel(world, user):
    file_id = user.upload(PDF)
    jobs = [job["id"] for job in user.finalize(file_id).json["jobs"]]
    for job in jobs:
        answer = user.call("POST", f"/v1/jobs/{job}/cancel", {})
        assert answer.status == 200 and answer.json["status"] == "cancelled", answer
        assert user.call("GET", f"/v1/jobs/{job}").json["status"] == "cancelled"
    answer = user.call("POST", f"/v1/jobs/{jobs[0]}/cancel")
    assert (answer.status, answer.error) == (409, "job_finished")
    assert user.call("GET", f"/v1/files/{file_id}").json["status"] == "ready", "nothing active and nothing failed"
    kinds = world.postgres.query("select data->>'status' as status from file_events where file_id = %s and kind = "
                                 "'job.status' order by id", (file_id,))
    assert [row["status"] for row in kinds].count("cancelled") == 2


def test_delete_is_soft_and_final(world, user):
    file_id = user.send(PDF)
    job = user.call("GET", f"/v1/files/{file_id}").json["jobs"][0]["id"]
    assert user.call("DELETE", f"/v1/files/{file_id}").json == {"ok": True, "file_id": file_id, "status": "deleted"}
    row, = world.postgres.query("select status, deleted_at from files where id = %s", (file_id,))
    assert row["status"] == "deleted" and row["deleted_at"] is not None
    assert {row["status"] for row in world.postgres.query("select status from jobs where file_id = %s", (file_id,))} == \
        {"cancelled"}
    for method, path, body in (("GET", f"/v1/files/{file_id}", None), ("GET", f"/v1/files/{file_id}/download", None),
                               ("DELETE", f"/v1/files/{file_id}", None), ("GET", f"/v1/jobs/{job}", None),
                               ("POST", f"/v1/internal/files/{file_id}/reprocess", None),
                               ("POST", "/v1/files/finalize", {"file_id": file_id})):
        assert user.call(method, path, body).status == 404, path
    assert file_id not in user.call("GET", f"/v1/files?tenant_id={user.tenant}").body.decode()


def test_derivative_links(world, user):
    file_id = user.send(PDF)
    key = f"t/{user.tenant}/derived/{file_id}/pdf_text.txt"
    put_object(world, key, b"hello")
    world.postgres.query("insert into file_derivatives (file_id, kind, r2_key, mime, size_bytes, metadata) values "
                         "(%s, 'pdf_text', %s, 'text/plain', 5, '{\"pages\": 1}')", (file_id, key))
    shown = user.call("GET", f"/v1/files/{file_id}").json["derivatives"]
    assert [(row["kind"], row["mime"], row["size_bytes"], row["metadata"]) for row in shown] == \
        [("pdf_text", "text/plain", 5, {"pages": 1})]
    path = f"/v1/files/{file_id}/derivatives/pdf_text"
    link = user.call("GET", path).json
    assert (link["kind"], link["mime"], link["size_bytes"], link["expires_in_seconds"]) == ("pdf_text", "text/plain", 5, 600)
    redirect = user.call("GET", path + "?redirect=1")
    assert redirect.status == 303
    import urllib.request
    with urllib.request.urlopen(redirect.headers["location"]) as reply:
        assert reply.read() == b"hello" and "test.pdf_text.txt" in reply.headers["Content-Disposition"]
    assert user.call("GET", f"/v1/files/{file_id}/derivatives/transcript").status == 404
    assert user.call("GET", path + "?redirect=2").status == 400


# -- CORS ----------------------------------------------------------------------------------------------------------

def test_cors(gateway, user):
    preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST",
                 "Access-Control-Request-Headers": "authorization,content-type,idempotency-key"}
    answer = gateway.call("OPTIONS", "/v1/files/init-upload", headers=preflight)
    assert answer.status == 204 and answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "POST" in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"]
    assert all(name in allowed for name in ("authorization", "content-type", "idempotency-key", "last-event-id"))
    assert "access-control-allow-credentials" not in answer.headers and "Origin" in answer.headers["vary"]

    for origin in ("https://evil.example", "https://app.example.evil", "null", "http://localhost:30000"):
        answer = gateway.call("OPTIONS", "/v1/files/init-upload", headers={**preflight, "Origin": origin})
        assert "access-control-allow-origin" not in answer.headers, origin
    answer = user.call("GET", "/v1/tenants", headers={"Origin": "http://localhost:3000"})
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "x-request-id" in answer.headers["access-control-expose-headers"]
    refused = gateway.call("GET", "/v1/tenants", headers={"Origin": "http://localhost:3000"})
    assert refused.status == 401 and "access-control-allow-origin" in refused.headers, "a page must see why"


# -- the document --------------------------------------------------------------------------------------------------

def routes_in_the_tables():
    """All but the pages for browsers, which are not of the API."""
    from postgres import ROOT
    source = "".join(path.read_text() for path in sorted((ROOT / "gateway").glob("*.c")))
    return {(method.lower(), re.sub(r":(\w+)", r"{\1}", pattern))
            for method, pattern in re.findall(
                r'\.method = "(\w+)",\s+\.pattern = "([^"]+)",(?!\s+\.operation = "\w+",\s+\.flags = ROUTE_PAGE)', source)}


def test_openapi_and_the_routes_agree(gateway):
    document = gateway.call("GET", "/openapi.json").json
    assert document["openapi"] == "3.1.0" and document["info"]["title"] == "Filemill"
    described = {(method, path) for path, item in document["paths"].items() for method in item}
    assert described == routes_in_the_tables() and len(described) >= 20
    operations = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(set(operations)) == len(operations)


def test_the_manual_names_every_route_and_code():
    from postgres import ROOT
    manual = (ROOT / "docs" / "api.md").read_text()
    codes = re.findall(r'PROBLEM\(\w+, "(\w+)", (\d+),', (ROOT / "gateway" / "problems.h").read_text())
    assert len(codes) > 20
    for code, status in codes:
        assert re.search(rf"^\| {status} \|.*`{code}`", manual, re.M), code
    for method, path in routes_in_the_tables():
        parts = [re.escape(part) for part in re.split(r"{\w+}", path)]
        assert re.search(r"(:\w+|\$\w+)".join(parts) if len(parts) > 1 else parts[0], manual), path


def walk(node):
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def test_openapi_is_sound(gateway):
    document = gateway.call("GET", "/openapi.json").json
    for node in walk(document):
        if "$ref" in node:
            part = document
            for name in node["$ref"].removeprefix("#/").split("/"):
                part = part[name]
    for path, item in document["paths"].items():
        for operation in item.values():
            named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))
            assert all(re.fullmatch(r"[1-5]\d\d", status) and response["description"]
                       for status, response in operation["responses"].items())
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert set(document) <= {"openapi", "info", "servers", "security", "paths", "components"}


def test_answers_are_as_described(gateway, user):
    document = gateway.call("GET", "/openapi.json").json
    file_id = user.send(PDF)
    job = user.call("GET", f"/v1/files/{file_id}").json["jobs"][0]["id"]
    for name, answer in (("Tenants", user.call("GET", "/v1/tenants")), ("FileDetail", user.call("GET", f"/v1/files/{file_id}")),
                         ("Files", user.call("GET", f"/v1/files?tenant_id={user.tenant}")), ("Jobs", user.finalize(file_id)),
                         ("Members", user.call("GET", f"/v1/tenants/{user.tenant}/members")), ("Upload", user.init()),
                         ("Job", user.call("GET", f"/v1/jobs/{job}")), ("Ok", gateway.call("GET", "/health")),
                         ("Link", user.call("GET", f"/v1/files/{file_id}/download")), ("OpenApi", gateway.call("GET", "/openapi.json")),
                         ("Problem", user.call("GET", f"/v1/jobs/{uuid.uuid4()}")),
                         ("Cancelled", user.call("POST", f"/v1/jobs/{job}/cancel")),
                         ("Deleted", user.call("DELETE", f"/v1/files/{file_id}"))):
        jsonschema.validate(answer.json, {"$ref": f"#/components/schemas/{name}", "components": document["components"]})


def test_pipelined_requests_are_answered_in_order(gateway):
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as client:
        request = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Request-Id: %d\r\n\r\n"
        client.sendall(b"".join(request % n for n in range(100)) + b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = b""
        while part := client.recv(65536):
            received += part
    ids = [int(n) for n in re.findall(rb"[Xx]-[Rr]equest-[Ii]d: (\d+)\r\n", received)]
    assert ids == list(range(100))


@pytest.mark.parametrize("method,path", [("DELETE", "/v1/files/{}"), ("POST", "/v1/internal/files/{}/reprocess")])
def test_what_is_cancelled_with_a_file_is_over_for_its_own(world, user, method, path):
    """A job waits for one of another file, that is of its plan: both go with the first file, and the other one is ready."""
    first, other = (user.send(b"a text\n", filename="a.txt", mime="text/plain") for _ in range(2))
    planned = [job["type"] for job in user.call("GET", f"/v1/files/{other}").json["jobs"]]
    orders = [{"file_id": first, "type": planned[0], "waits_for": list(range(1, len(planned) + 1))},
              *({"file_id": other, "type": name} for name in planned)]
    assert user.call("POST", "/v1/jobs", {"jobs": orders}).status == 202
    assert user.call("GET", f"/v1/files/{other}").json["status"] == "processing"
    assert user.call(method, path.format(first)).status == 200
    file = user.call("GET", f"/v1/files/{other}").json
    assert {job["status"] for job in file["jobs"]} == {"cancelled"} and file["status"] == "ready", file
