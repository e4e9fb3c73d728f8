# SPDX-License-Identifier: MIT
"""Document portals, step by step as their document describes them: schemas, jobs, documents, the ZIP, compute outside."""
import hashlib
import http.server
import io
import json
import os
import re
import subprocess
import threading
import urllib.parse
import uuid
import zipfile

import pytest
from system import BUILD, PATIENCE, ROOT, System, eventually, fetch

pytest.importorskip("PIL", reason="python3-pil is not installed")
from PIL import Image, ImageDraw, ImageFont  # noqa: E402

SEEDS = {"NEET 2026", "JEE Main 2026", "Aadhaar Update", "Passport India", "College Generic"}
DEFINITION = {"target_width": 120, "target_height": 150, "target_dpi": 150, "max_kb": 40, "output_format": "jpeg",
              "quality": 80}


def picture(width=600, height=700):
    """A photo with something to see in it: no two rows are alike."""
    image = Image.radial_gradient("L").resize((width, height))
    image = Image.merge("RGB", (image, image.rotate(90), Image.linear_gradient("L").resize((width, height))))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


SECRET = "webhook-secret-of-the-tests"


class Service(http.server.ThreadingHTTPServer):
    """A compute service outside: takes jobs, and does with each what its schema's name says."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.system, self.orders, self.answers = None, [], {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def call_back(self, job, body, secret=SECRET, backend="camber"):
        headers = {"Content-Type": "application/json", **({"X-Webhook-Secret": secret} if secret is not None else {})}
        return fetch("POST", f"{self.system.base}/internal/webhooks/{backend}", headers, json.dumps(body).encode())

    def report(self, order, **more):
        job, user = order["job_id"], order["user_id"]
        result = {"status": "success", "job_id": job, "quality_score": 0.87, "warnings": ["Low OCR confidence: 0.65"],
                  "artifacts": {"master_path": f"master/{user}/{job}/{job}.enc",
                                "preview_path": f"output/{user}/{job}/preview.jpg"},
                  "metrics": {"ocr_confidence": 0.65, "processing_ms": 2340}}
        result.update(more)
        return {"camber_job_id": f"camber-{job}", "job_id": job, "status": "success", "result": result}

    def failure(self, order):
        return {"camber_job_id": "c", "job_id": order["job_id"], "status": "failed", "result": {
            "status": "failed", "job_id": order["job_id"], "error": {
                "code": "OCR_TIMEOUT", "stage": "ocr", "message": "OCR processing exceeded timeout", "retryable": True}}}

    def put(self, order):
        """What the service's worker does: fetches the upload, stores a document and its preview."""
        image = Image.open(io.BytesIO(fetch("GET", order["input"]["artifact_url"]).body))
        definition = order["portal_schema"]["schema_definition"]
        out = io.BytesIO()
        image.resize((definition["target_width"], definition["target_height"])).save(out, "JPEG")
        paths = self.report(order)["result"]["artifacts"]
        for path in paths.values():
            self.system.s3().put_object(Bucket=self.system.bucket, Key=path, Body=out.getvalue())

    def run(self, order):
        """The service's worker is Filemill's own: `filemill run --contract` with keys of its own."""
        shell = self.system.shell
        keys = {"SPACES_ENDPOINT": shell["AWS_ENDPOINT_URL"], "SPACES_REGION": shell.get("AWS_REGION", "us-east-1"),
                "SPACES_BUCKET": self.system.bucket, "SPACES_KEY": shell["AWS_ACCESS_KEY_ID"],
                "SPACES_SECRET": shell["AWS_SECRET_ACCESS_KEY"], "FILEMILL_RUN_PRIVATE_ADDRESSES": "on",
                "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        order = {**order, "storage": {"bucket": self.system.bucket}}
        done = subprocess.run([BUILD / "filemill", "run", "--contract"], input=json.dumps(order).encode(), env=keys,
                              capture_output=True, timeout=60 * PATIENCE)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        return {"job_id": order["job_id"], "status": result["status"], "result": result}

    def work(self, order):
        what, answers = order["portal_schema"]["name"], []
        if what == "contract":
            answers = [self.run(order)]
        if what in ("good", "twice"):
            self.put(order)
            answers = [self.report(order)] * (2 if what == "twice" else 1)
        elif what == "bad":
            answers = [self.failure(order)]
        elif what == "garbage":
            answers = [{"job_id": order["job_id"], "status": "success", "result": result} for result in (
                {}, {"artifacts": {}}, {"artifacts": {"master_path": "../../etc/passwd"}},
                {"artifacts": {"master_path": f"master/{uuid.uuid4()}/{order['job_id']}/{order['job_id']}.enc"}},
                {"artifacts": {"master_path": f"master/{order['user_id']}/{order['job_id']}/{order['job_id']}.enc"}},
                {"quality_score": 7}, {"job_id": str(uuid.uuid4())})]
        self.answers[order["job_id"]] = [self.call_back(order["job_id"], body) for body in answers]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        refused = order["portal_schema"]["name"] == "refused"
        self.server.orders.append((self.path, self.headers["Authorization"], order))
        self.send_response(400 if refused else 202)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps({"camber_job_id": f"camber-{order['job_id']}"}).encode())
        if not refused:
            threading.Thread(target=self.server.work, args=(order,), daemon=True).start()

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def service():
    with Service() as running:
        yield running
        running.shutdown()


@pytest.fixture(scope="module")
def system(service):
    # as the document's .env has them
    names = {"WEBHOOK_SECRET": SECRET, "CAMBER_API_URL": f"http://127.0.0.1:{service.server_port}",
             "CAMBER_API_KEY": "camber-key", "SERVICE_ENV": "dev", "SUPABASE_ANON_KEY": "anon",
             "SUPABASE_SERVICE_ROLE_KEY": "service-role"}
    running = System(backoff_unit_ms="50", max_attempts="3")
    running.environment.update(names)
    with running:
        service.system = running
        yield running


@pytest.fixture
def outside(system, service):
    """While it is on, portals' jobs go to the service."""
    system.sql("update compute_backends set enabled = true, deadline_ms = 60000 where name = 'camber'")
    yield service
    system.sql("update compute_backends set enabled = false, secret_sha256 = null where name = 'camber'")


@pytest.fixture(scope="module")
def user(system):
    return system.user().bootstrap()


@pytest.fixture(scope="module")
def admin(system):
    """The made-up admin of the service."""
    user, = [row["user_id"] for row in system.sql("select user_id::text from service_admins")]
    return system.user(user)


@pytest.fixture(scope="module")
def upload(user):
    """A finalized upload under raw/: its id and its path."""
    data = picture()
    init = user.init("my photo.jpg", "image/jpeg", len(data), layout="raw")
    assert init.status == 200, init
    assert user.put(init.json, data).status == 200
    assert user.finalize(init.json["file_id"]).status == 200
    return init.json


def submit(user, schema, source, **more):
    return user.call("POST", "/jobs", {"portal_schema": schema, "input": {**source, **more}})


def job_of(user, answer):
    assert answer.status == 202, answer
    return answer.json["job_id"]


def settled(user, job, seconds=60):
    """The job once it is completed or failed; what was seen before must be earlier states, in their order."""
    order = ["pending", "processing", "completed", "failed"]
    seen = []

    def look():
        answer = user.call("GET", f"/jobs/{job}")
        assert answer.status == 200, answer
        seen.append(answer.json["status"])
        return answer.json if answer.json["status"] in order[2:] else None

    result = eventually(look, seconds, what=f"job {job}")
    assert [order.index(s) for s in seen] == sorted(order.index(s) for s in seen), seen
    return result


# ---- paths and uploads ----

def test_an_upload_under_raw_has_the_documents_path(user, upload):
    path = upload["r2_key"]
    assert re.fullmatch(rf"raw/{user.id}/{upload['file_id']}/\d+_my_photo\.jpg\.enc", path), path
    assert uuid.UUID(upload["file_id"]).version == 4
    link = user.call("GET", f"/v1/files/{upload['file_id']}/download")
    assert fetch("GET", link.json["download_url"]).body == picture()


@pytest.mark.parametrize("path", ["/raw/{user}/{job}/1_a.enc", "raw/{user}/{job}/../1_a.enc", "raw/{user}/{job}/1_a",
                                  "raw/{user}/not-a-uuid/1_a.enc", "raw/{v1}/{job}/1_a.enc", "raw/{user}/{job}/1 a.enc",
                                  "output/{user}/{job}/a.zip", "raw/{user}/{job}/1_\u0000a.enc", "raw/{user}//1_a.enc"])
def test_paths_that_are_none_are_refused(user, path):
    path = path.format(user=user.id, job=uuid.uuid4(), v1=uuid.uuid1())
    answer = submit(user, {"name": "NEET 2026"}, {"raw_path": path})
    assert answer.status == 400 and answer.json["error"] == "payload_invalid", answer


def test_another_users_path_does_not_exist(system, user, upload):
    stranger = system.user().bootstrap()
    for source in ({"raw_path": upload["r2_key"]}, {"file_id": upload["file_id"]}):
        answer = submit(stranger, {"name": "NEET 2026"}, source)
        assert answer.status == 404 and answer.json["error"] == "not_found", answer
    assert submit(user, {"name": "NEET 2026"}, {"file_id": str(uuid.uuid4())}).status == 404


# ---- schemas ----

def presets():
    """name: (width, height, dpi, min, max, quality) of the processor's own table."""
    text = (ROOT / "workers" / "processors" / "photo_schemas.c").read_text()
    row = r'\.name = "([^"]+)", \.width = (\d+), \.height = (\d+), \.dpi = (\d+), \.min_kb = (\d+), \.max_kb = (\d+), ' \
          r"\.quality = (\d+)"
    return {name: tuple(map(int, rest)) for name, *rest in re.findall(row, text)}


def test_the_seeded_schemas_are_the_presets(system, user):
    answer = user.call("GET", "/v1/portal-schemas")
    assert answer.status == 200, answer
    seeded = {s["name"]: s for s in answer.json["schemas"] if s["tenant_id"] is None}
    assert set(seeded) == SEEDS
    for name, schema in seeded.items():
        d = schema["schema_definition"]
        assert schema["version"] == 1
        assert (d["target_width"], d["target_height"], d["target_dpi"], d["min_kb"], d["max_kb"],
                d["quality"]) == presets()[name], name
        assert d["output_format"] == "jpeg" and d["filename_pattern"] == "{job_id}"


def test_versions_are_added_and_never_changed(system, user):
    body = {"tenant_id": user.tenant, "name": "neet-2026", "schema_definition": DEFINITION}
    first, second = user.call("POST", "/v1/portal-schemas", body), user.call("POST", "/v1/portal-schemas", body)
    assert (first.status, second.status) == (201, 201), (first, second)
    assert (first.json["version"], second.json["version"]) == (2, 3), "versions go on after everybody's"
    with pytest.raises(Exception, match="never changes"):
        system.sql("update portal_schemas set schema_definition = '{}' where id = %s", first.json["id"])
    member = system.user()
    user.call("POST", f"/v1/tenants/{user.tenant}/members", {"user_id": member.id})
    assert member.call("POST", "/v1/portal-schemas", body).json["error"] == "insufficient_role"
    stranger = system.user()
    assert stranger.call("POST", "/v1/portal-schemas", body).status == 404
    names = {s["version"] for s in stranger.call("GET", "/v1/portal-schemas?name=NEET%202026").json["schemas"]}
    assert names == {1}, "a tenant's schemas are its own"
    assert len(member.call("GET", "/v1/portal-schemas?name=NEET%202026").json["schemas"]) == 3


def test_admins_add_everybodys_versions_and_say_which_are_offered(system, admin, user):
    body = {"name": "Visa Form", "schema_definition": DEFINITION}
    first = admin.call("POST", "/v1/admin/portal-schemas", body)
    assert first.status == 201 and (first.json["version"], first.json["tenant_id"]) == (1, None), first
    second = admin.call("POST", "/v1/admin/portal-schemas", {**body, "name": "visa form", "active": False}).json
    assert (second["version"], second["active"]) == (2, False)
    source = send(user, picture(300, 300))

    def version_taken():
        job = user.call("GET", f"/jobs/{job_of(user, submit(user, {'name': 'Visa Form'}, source))}").json
        return job["portal_schema"]["version"]
    assert version_taken() == 1, "one that is not active is not taken"
    named = user.call("GET", f"/jobs/{job_of(user, submit(user, {'name': 'Visa Form', 'version': 2}, source))}").json
    assert named["portal_schema"]["id"] == second["id"], "but it can be named"
    assert admin.call("PUT", f"/v1/admin/portal-schemas/{second['id']}", {"active": True}).json["active"] is True
    assert version_taken() == 2
    assert admin.call("PUT", f"/v1/admin/portal-schemas/{second['id']}", {"active": False}).status == 200
    assert version_taken() == 1, "and back"
    listed = admin.call("GET", "/v1/admin/portal-schemas?name=VISA-form").json["schemas"]
    assert [(s["version"], s["active"]) for s in listed] == [(1, True), (2, False)]
    with pytest.raises(Exception, match="never changes"):
        system.sql("update portal_schemas set name = 'x' where id = %s", second["id"])


def test_everybodys_schemas_are_the_admins(admin, user):
    own = user.call("POST", "/v1/portal-schemas", {"tenant_id": user.tenant, "name": "Own", "schema_definition":
                                                   DEFINITION}).json["id"]
    assert admin.call("PUT", f"/v1/admin/portal-schemas/{own}", {"active": False}).status == 404, "a tenant's is its own"
    assert admin.call("PUT", f"/v1/admin/portal-schemas/{uuid.uuid4()}", {"active": False}).status == 404
    for method, path, body in (("GET", "", None), ("POST", "", {"name": "a", "schema_definition": DEFINITION}),
                               ("PUT", f"/{own}", {"active": False})):
        answer = user.call(method, f"/v1/admin/portal-schemas{path}", body)
        assert answer.status == 403 and answer.json["error"] == "forbidden", answer
    for bad in ({"target_width": 0}, {}, {**DEFINITION, "surprise": 1}):
        answer = admin.call("POST", "/v1/admin/portal-schemas", {"name": "a", "schema_definition": bad})
        assert answer.status == 400 and answer.json["error"] == "payload_invalid", answer
    assert admin.call("POST", "/v1/admin/portal-schemas", {"name": "--", "schema_definition": DEFINITION}).status == 400


@pytest.mark.parametrize("change", [{"target_width": 0}, {"target_width": 3001}, {"quality": 101}, {"max_kb": "100"},
                                    {"output_format": "gif"}, {"surprise": 1}, {"min_kb": 50}, {"target_height": None}])
def test_a_definition_that_makes_no_photo_is_refused(user, upload, change):
    definition = {k: v for k, v in {**DEFINITION, **change}.items() if v is not None}
    answer = submit(user, {"schema_definition": definition}, {"file_id": upload["file_id"]})
    assert answer.status == 400 and answer.json["error"] == "payload_invalid", answer
    answer = user.call("POST", "/v1/portal-schemas",
                       {"tenant_id": user.tenant, "name": "bad", "schema_definition": definition})
    assert answer.status == 400 and answer.json["error"] == "payload_invalid", answer


# ---- jobs ----

def test_exactly_one_source_and_a_known_schema(user, upload):
    source = {"file_id": upload["file_id"]}
    for bad in ({}, {**source, "raw_path": upload["r2_key"]}):
        answer = submit(user, {"name": "NEET 2026"}, bad)
        assert answer.status == 400 and "exactly one" in answer.json["detail"], answer
    assert submit(user, {}, source).json["error"] == "payload_invalid"
    assert submit(user, {"name": "No Such Form"}, source).json["error"] == "schema_not_found"
    assert submit(user, {"name": "NEET 2026", "version": 99}, source).json["error"] == "schema_not_found"
    assert submit(user, {"id": str(uuid.uuid4())}, source).json["error"] == "schema_not_found"
    assert submit(user, {"name": "NEET 2026", "colour": 1}, source).json["error"] == "payload_invalid"
    unfinished = user.upload("x.jpg", "image/jpeg", picture())
    assert submit(user, {"name": "NEET 2026"}, {"file_id": unfinished}).json["error"] == "not_finalized"
    assert user.call("GET", f"/jobs/{uuid.uuid4()}").status == 404


def artifact(system, path):
    return system.s3().get_object(Bucket=system.bucket, Key=path)["Body"].read()


def test_a_job_from_upload_to_completion(system, user, upload):
    answer = submit(user, {"name": "NEET 2026", "version": 1}, {"raw_path": upload["r2_key"]})
    assert job_of(user, answer) == upload["file_id"], "the path names the job that it was uploaded for"
    assert answer.json["status"] == "pending"
    job = settled(user, answer.json["job_id"])
    assert job["status"] == "completed" and job["error"] is None, job
    assert job["user_id"] == user.id and job["raw_path"] == upload["r2_key"]
    assert job["portal_schema"] == {"id": "0b6ad1f0-6f0c-4c36-9f3e-2f6d9b0a0001", "name": "NEET 2026", "version": 1}
    assert 0 <= job["quality_score"] <= 1
    assert isinstance(job["warnings"], list) and all(isinstance(w, str) for w in job["warnings"])
    assert job["metrics"]["processing_ms"] > 0
    assert job["metrics"]["ocr_confidence"] == 0, "there is no text in it"
    assert "Low OCR confidence: 0.00" in job["warnings"] and "OCR skipped" not in job["warnings"]
    paths = job["artifacts"]
    assert paths["master_path"] == f"master/{user.id}/{paths['document_id']}/{paths['document_id']}.enc"
    assert paths["preview_path"] == f"output/{user.id}/{job['job_id']}/preview.jpg"
    photo = Image.open(io.BytesIO(artifact(system, paths["master_path"])))
    assert photo.size == (200, 230) and photo.info["dpi"] == (200, 200)
    preview = Image.open(io.BytesIO(artifact(system, paths["preview_path"])))
    assert max(preview.size) <= 256
    assert re.fullmatch(rf"output/{user.id}/{job['job_id']}/\d+_output\.zip", paths["output_path"])
    assert job["download_expires_in_seconds"] == 86400
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(job["download_url"]).query)
    assert query["X-Amz-Expires"] == ["86400"]
    reply = fetch("GET", job["download_url"])
    assert reply.status == 200 and reply.headers["Content-Type"] == "application/zip"
    assert f'filename="{job["job_id"]}.zip"' in reply.headers["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(reply.body)) as package:
        assert package.testzip() is None
        assert package.namelist() == [f"{job['job_id']}.jpg", "preview.jpg", "proof.json"]
        assert {entry.date_time for entry in package.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert package.read(f"{job['job_id']}.jpg") == artifact(system, paths["master_path"])


def test_ocr_tells_how_surely_the_text_can_be_read(user):
    image = Image.new("RGB", (900, 400), "white")
    font = ImageFont.truetype("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", 48)
    ImageDraw.Draw(image).multiline_text((40, 60), "The quick brown fox jumps\nover the lazy dog 1234567890\n"
                                         "and then it goes home.", "black", font)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95)
    job = settled(user, job_of(user, submit(user, {"name": "College Generic"}, send(user, out.getvalue()))))
    assert job["status"] == "completed" and job["metrics"]["ocr_confidence"] > 0.7, job
    assert job["metrics"]["ocr_words"] >= 12 and not [w for w in job["warnings"] if "OCR" in w], job


def test_the_zip_of_the_same_upload_has_the_same_bytes(user, upload):
    definition = {**DEFINITION, "filename_pattern": "{schema}-{original}"}
    jobs = [settled(user, job_of(user, submit(user, {"schema_definition": definition, "name": "My Form"},
                                              {"file_id": upload["file_id"]}))) for _ in range(2)]
    zips = [fetch("GET", job["download_url"]).body for job in jobs]
    assert zips[0] == zips[1] and zips[0]
    assert zipfile.ZipFile(io.BytesIO(zips[0])).namelist()[0] == "My_Form-my_photo.jpg.jpg"


def test_two_jobs_of_one_upload_keep_their_own_outputs(system, user, upload):
    source = {"file_id": upload["file_id"]}
    first = settled(user, job_of(user, submit(user, {"name": "Aadhaar Update"}, source)))
    second = settled(user, job_of(user, submit(user, {"schema_definition": DEFINITION, "name": "own"}, source)))
    sizes = [Image.open(io.BytesIO(artifact(system, job["artifacts"]["master_path"]))).size for job in (first, second)]
    assert sizes == [(276, 354), (120, 150)]
    assert second["portal_schema"] == {"id": None, "name": "own", "version": None}
    newest = settled(user, job_of(user, submit(user, {"name": "NEET 2026"}, source)))
    assert newest["portal_schema"]["version"] == 3, "the newest version is taken"


def test_documents_are_their_users(system, user, upload):
    listed = user.call("GET", "/v1/documents?limit=2").json["documents"]
    assert len(listed) == 2
    more = user.call("GET", f"/v1/documents?before={listed[-1]['document_id']}").json["documents"]
    assert not {d["document_id"] for d in listed} & {d["document_id"] for d in more}
    document = user.call("GET", f"/v1/documents/{listed[0]['document_id']}").json
    kinds = {a["kind"]: a for a in document["artifacts"]}
    assert {"master", "preview", "proof"} <= set(kinds)
    assert fetch("GET", kinds["master"]["download_url"]).body == artifact(system, document["master_path"])
    proof = json.loads(fetch("GET", kinds["proof"]["download_url"]).body)
    assert proof["status"] == "success"
    stranger = system.user().bootstrap()
    assert stranger.call("GET", f"/v1/documents/{document['document_id']}").status == 404
    assert stranger.call("GET", f"/jobs/{document['job_id']}").status == 404
    assert stranger.call("GET", "/v1/documents").json == {"documents": []}


# ---- failures ----

def send(user, data, name="a.jpg", mime="image/jpeg"):
    return {"file_id": user.send(name, mime, data)}


def test_a_picture_that_is_none_is_told_as_decode_failed(user):
    broken = picture()[:600]
    job = settled(user, job_of(user, submit(user, {"schema_definition": DEFINITION}, send(user, broken))))
    assert job["status"] == "failed" and job["quality_score"] is None and job["download_url"] is None
    assert {k: job["error"][k] for k in ("code", "stage", "retryable")} == {
        "code": "DECODE_FAILED", "stage": "decode", "retryable": False}, job


def test_a_size_that_cannot_be_met_is_told(user, upload):
    definition = {**DEFINITION, "target_width": 2000, "target_height": 2500, "max_kb": 1}
    job = settled(user, job_of(user, submit(user, {"schema_definition": definition}, {"file_id": upload["file_id"]})))
    assert job["error"]["code"] == "SIZE_EXCEEDED" and job["error"]["stage"] == "schema", job


def test_an_upload_that_vanished_is_told_as_fetch_failed(system, user):
    source = send(user, picture(300, 300), "gone.jpg")
    assert user.wait(source["file_id"])["status"] == "ready"
    key, = system.sql("select r2_key_original as key from files where id = %s", source["file_id"])
    system.s3().delete_object(Bucket=system.bucket, Key=key["key"])
    job = settled(user, job_of(user, submit(user, {"schema_definition": DEFINITION}, source)))
    assert job["error"]["code"] == "FETCH_FAILED" and job["error"]["retryable"] is False, job
    assert user.file(source["file_id"])["status"] == "ready", "what becomes of an order does not change its file"


def test_the_codes_are_those_of_the_document(system):
    rows = {(r["code"], r["stage"], r["retryable"]) for r in system.sql("select * from portal_error_codes")}
    assert rows >= {("PAYLOAD_MISSING", "init", False), ("PAYLOAD_INVALID", "init", False),
                    ("FETCH_FAILED", "fetch", False), ("FETCH_TIMEOUT", "fetch", True),
                    ("DECODE_FAILED", "decode", False), ("OCR_FAILED", "ocr", False), ("OCR_TIMEOUT", "ocr", True),
                    ("SCHEMA_FAILED", "schema", False), ("SIZE_EXCEEDED", "schema", False),
                    ("UPLOAD_FAILED", "upload", True)}


# ---- compute outside ----

def send_out(user, upload, name, **definition):
    return job_of(user, submit(user, {"name": name, "schema_definition": {**DEFINITION, **definition}},
                               {"file_id": upload["file_id"]}, original_filename="photo.jpg"))


def test_a_job_goes_out_and_comes_back_packed(system, user, upload, outside):
    job_id = send_out(user, upload, "good")
    job = settled(user, job_id)
    assert job["status"] == "completed" and job["error"] is None, job
    assert job["quality_score"] == 0.87 and job["warnings"] == ["Low OCR confidence: 0.65"]
    assert job["metrics"] == {"ocr_confidence": 0.65, "processing_ms": 2340}
    assert job["artifacts"]["master_path"] == f"master/{user.id}/{job_id}/{job_id}.enc"
    assert job["artifacts"]["document_id"] == job_id
    with zipfile.ZipFile(io.BytesIO(fetch("GET", job["download_url"]).body)) as package:
        assert package.namelist() == [f"{job_id}.jpg"]
        assert package.read(f"{job_id}.jpg") == artifact(system, job["artifacts"]["master_path"])
    path, authorization, order = next(o for o in outside.orders if o[2]["job_id"] == job_id)
    assert (path, authorization) == ("/jobs", "Bearer camber-key")
    assert set(order) == {"job_id", "user_id", "portal_schema", "input", "storage"}
    assert order["user_id"] == user.id and order["portal_schema"]["schema_definition"] == DEFINITION
    assert set(order["input"]) >= {"artifact_url", "original_filename"} and "raw_path" not in order["input"]
    row, = system.sql("select backend, external_id from portal_jobs where job_id = %s", job_id)
    assert row == {"backend": "camber", "external_id": f"camber-{job_id}"}
    assert system.sql("select status::text as s from jobs where parent = %s and status not in ('done', 'cancelled')",
                      job_id) == []
    user.wait(upload["file_id"])


def test_a_service_that_says_it_twice_is_heard_once(system, user, upload, outside):
    job_id = send_out(user, upload, "twice")
    assert settled(user, job_id)["status"] == "completed"
    answers = eventually(lambda: outside.answers.get(job_id), what="both answers")
    assert [a.status for a in answers] == [200, 200] and [a.json["replayed"] for a in answers] == [False, True]
    late = outside.call_back(job_id, outside.failure({"job_id": job_id}))
    assert late.status == 200 and late.json["replayed"] is True
    assert user.call("GET", f"/jobs/{job_id}").json["status"] == "completed", "an end is an end"
    assert len(system.sql("select id from documents where job_id = %s", job_id)) == 1


def test_the_orders_and_answers_are_those_of_filemill_run(system, user, upload, outside):
    job = settled(user, send_out(user, upload, "contract"))
    assert job["status"] == "completed", (job, outside.answers.get(job["job_id"]))
    photo = Image.open(io.BytesIO(artifact(system, job["artifacts"]["master_path"])))
    assert photo.size == (120, 150) and 0 <= job["quality_score"] <= 1


def test_a_failure_keeps_its_details(user, upload, outside):
    job = settled(user, send_out(user, upload, "bad"))
    assert job["status"] == "failed"
    assert job["error"] == {"code": "OCR_TIMEOUT", "stage": "ocr", "message": "OCR processing exceeded timeout",
                            "retryable": True}


def test_garbage_changes_nothing_and_silence_ends_at_the_deadline(system, user, upload, outside):
    garbage = send_out(user, upload, "garbage")
    answers = eventually(lambda: outside.answers.get(garbage), what="answers to garbage")
    assert [a.status for a in answers] == [400] * 7, answers
    assert {a.json["error"] for a in answers} == {"payload_invalid"}
    system.sql("update jobs set run_after = now() where type = 'compute_deadline' and parent = %s", garbage)
    system.sql("update compute_backends set deadline_ms = 1500 where name = 'camber'")
    silent = send_out(user, upload, "silent")
    for job in (settled(user, silent), settled(user, garbage)):
        assert job["status"] == "failed" and job["error"]["code"] == "OCR_TIMEOUT", job
        assert job["error"]["retryable"] is True and "in time" in job["error"]["message"]


def test_a_document_of_another_job_is_not_taken(system, user, upload, outside):
    first = settled(user, send_out(user, upload, "good"))
    job_id = send_out(user, upload, "silent")
    order = {"job_id": job_id, "user_id": user.id}
    report = outside.report(order, artifacts={"master_path": first["artifacts"]["master_path"]})
    answer = outside.call_back(job_id, report)
    assert answer.status == 400 and "another document" in answer.json["detail"], answer
    assert user.call("GET", f"/jobs/{job_id}").json["status"] in ("pending", "processing")
    assert outside.call_back(job_id, outside.failure(order)).json["replayed"] is False


def test_a_service_that_refuses_ends_the_job_at_once(user, upload, outside):
    job = settled(user, send_out(user, upload, "refused"))
    assert job["error"]["code"] == "WORKER_FAILED" and "could not be asked" in job["error"]["message"], job


def test_webhooks_need_their_secret(system, user, upload, outside):
    job_id = send_out(user, upload, "silent")
    report = outside.failure({"job_id": job_id})
    for secret in (None, "", "wrong", SECRET + "x"):
        answer = outside.call_back(job_id, report, secret)
        assert answer.status == 401 and answer.json["error"] == "webhook_secret", answer
    assert outside.call_back(job_id, report, backend="unknown").status == 401
    own = outside.failure({"job_id": str(uuid.uuid4())})
    assert outside.call_back(None, own).status == 404
    system.sql("update compute_backends set secret_sha256 = %s where name = 'camber'",
               hashlib.sha256(b"its own").hexdigest())
    assert outside.call_back(job_id, report).status == 401, "a backend's own secret replaces the general one"
    assert user.call("GET", f"/jobs/{job_id}").json["status"] in ("pending", "processing")
    assert outside.call_back(job_id, report, "its own").status == 200
    assert settled(user, job_id)["status"] == "failed"


def test_a_job_of_ours_is_no_services(user, upload, outside, system):
    system.sql("update compute_backends set enabled = false where name = 'camber'")
    job_id = send_out(user, upload, "here")
    assert outside.call_back(job_id, outside.failure({"job_id": job_id})).status == 404
    assert settled(user, job_id)["status"] == "completed"


def test_a_cancelled_job_is_told_as_one(user, upload, outside):
    job_id = send_out(user, upload, "silent")
    assert user.call("POST", f"/v1/jobs/{job_id}/cancel").status == 200
    job = settled(user, job_id)
    assert job["error"]["code"] == "CANCELLED", job
    assert outside.call_back(job_id, outside.failure({"job_id": job_id})).json["replayed"] is True
