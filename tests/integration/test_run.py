# SPDX-License-Identifier: MIT
"""`filemill run`: one processor on one document without a server, and the payload contract end to end against a store
of its own. What is looked at: standard output to the byte, standard error, the exit status, what lies in the bucket."""
import http.server
import io
import json
import os
import pty
import signal
import subprocess
import threading
import time
import uuid
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from store_process import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, Store
from system import BUILD, PATIENCE, SAMPLES

INSTRUMENTED = {name: os.environ[name] for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")
                if name in os.environ}
PDF = (SAMPLES / "mill.pdf").read_bytes()
PHOTO = (SAMPLES / "phone.jpg").read_bytes()


def command(*words, environment=None, program="filemill"):
    """What is run, and in which environment: no home, no instance."""
    line = [BUILD / program, *(["run"] if program == "filemill" else []), *[str(word) for word in words]]
    return line, {"PATH": os.environ["PATH"], **INSTRUMENTED, **(environment or {})}


def run(*words, document=b"", environment=None, program="filemill", **more):
    line, variables = command(*words, environment=environment, program=program)
    return subprocess.run(line, input=document, capture_output=True, env=variables, timeout=60 * PATIENCE, **more)


def result_of(done):
    """The last line of standard error."""
    return json.loads(done.stderr.decode().strip().splitlines()[-1])


# --- one document -------------------------------------------------------------------------------------------

def test_from_a_pipe_and_from_a_file(tmp_path):
    piped = run("extract_pdf", document=PDF)
    assert piped.returncode == 0 and b"grain goes in at the top" in piped.stdout
    with open(SAMPLES / "mill.pdf", "rb") as file:
        line, variables = command("extract_pdf")
        redirected = subprocess.run(line, stdin=file, capture_output=True, env=variables, timeout=60)
    named = run("extract_pdf", "--input", SAMPLES / "mill.pdf")
    assert redirected.stdout == named.stdout == piped.stdout


def test_the_result_is_one_line_of_json_on_standard_error():
    done = run("extract_pdf", document=PDF)
    result = result_of(done)
    assert result["type"] == "extract_pdf" and result["status"] == "done" and result["pages"] == 3
    assert result["mime"] == "application/pdf" and result["input_bytes"] == len(PDF)
    assert result["outputs"] == [{"kind": "pdf_text", "mime": "text/plain; charset=utf-8", "bytes": len(done.stdout),
                                  "file": "-", "metadata": result["outputs"][0]["metadata"]}]
    assert result["peak_rss_bytes"] > 0 and "error" not in result
    assert run("extract_pdf", "--quiet", document=PDF).stderr == b""


def test_several_outputs_go_to_files(tmp_path):
    text, pages = tmp_path / "text", tmp_path / "pages"
    done = run("extract_pdf", "--json", "--output", f"pdf_text={text}", "--output", f"pdf_pages={pages}", document=PDF)
    assert done.returncode == 0 and done.stderr == b""
    assert text.stat().st_size > 100 and len(json.loads(pages.read_text())["pages"]) == 3
    assert [output["file"] for output in json.loads(done.stdout)["outputs"]] == [str(text), str(pages)]


def test_all_outputs_go_to_a_folder(tmp_path):
    done = run("portal_photo", "--outputs", tmp_path / "new", "--param", "preset=NEET 2026", document=PHOTO)
    assert done.returncode == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["portal_photo.jpg", "portal_proof.json"]
    assert Image.open(tmp_path / "new" / "portal_photo.jpg").size == (200, 230)


def test_one_to_standard_output_and_one_to_a_file(tmp_path):
    pages = tmp_path / "pages.json"
    done = run("extract_pdf", "--output", "pdf_text", "--output", f"pdf_pages={pages}", document=PDF)
    assert b"grain goes in" in done.stdout and pages.exists()


def test_parameters_are_json_or_text_and_may_be_nested():
    done = run("portal_photo", "--param", "schema.target_width=120", "--param", "schema.target_height=90", "--param",
               "schema.output_format=png", "--param", "clahe=on", "--output", "portal_photo_png", document=PHOTO)
    picture = Image.open(io.BytesIO(done.stdout))
    assert (picture.format, picture.size) == ("PNG", (120, 90))
    done = run("image_variants", "--params", '{"sizes": [64], "formats": ["png"]}', "--output", "variant_1_png",
               document=PHOTO)
    assert max(Image.open(io.BytesIO(done.stdout)).size) == 64


def test_nothing_is_written_when_the_document_fails(tmp_path):
    output = tmp_path / "text"
    done = run("extract_pdf", "--output", f"pdf_text={output}", document=PHOTO)
    assert done.returncode == 3 and not output.exists() and done.stdout == b""
    assert done.stderr.startswith(b"filemill run: bad_input: ")
    assert result_of(done)["error"] == {"code": "bad_input", "detail": "not a readable PDF", "retryable": False}


def test_an_output_that_was_not_made_is_missed():
    done = run("thumbnail", "--output", "display", document=PDF)
    assert done.returncode == 1 and b"no display was made" in done.stderr and done.stdout == b""


@pytest.mark.parametrize("words,message", [
    ([], b"which processor?"), (["nothing"], b"nothing: there is no such processor"), (["ping"], b"touches no document"),
    (["noop", "noop"], b"only one processor"), (["noop", "--nothing"], b"--nothing: is not understood"),
    (["noop", "--wall"], b"--wall: a value is missing"), (["noop", "--wall", "long"], b"limit-wall"),
    (["noop", "--memory", "-1"], b"limit-memory"), (["noop", "--json=1"], b"--json: takes no value"),
    (["noop", "--param", "x"], b"a parameter is NAME=VALUE"), (["noop", "--params", "[]"], b"a JSON object is expected"),
    (["noop", "--param", "a=1", "--param", "a.b=1"], b"a: is not an object"),
    (["thumbnail", "--output", "nothing"], b"nothing: the processor has no output"),
    (["thumbnail", "--output", "thumbnail", "--output", "display"], b"only one output can go to standard output"),
    (["thumbnail", "--output", "thumbnail", "--output", "thumbnail=x"], b"wanted twice"),
    (["thumbnail", "--output", "thumbnail="], b"has no name"),
    (["thumbnail", "--json", "--output", "thumbnail"], b"standard output is the result's"),
    (["portal_photo", "--param", "preset=unknown"], b"bad_parameters: preset"),
])
def test_what_is_not_understood_is_said(words, message):
    done = run(*words, document=PHOTO)
    assert done.returncode == 2 and message in done.stderr and done.stdout == b""


def test_files_that_are_not_there(tmp_path):
    missing = run("noop", "--input", tmp_path / "missing")
    assert missing.returncode == 1 and b"No such file" in missing.stderr
    unwritable = run("extract_pdf", "--output", f"pdf_text={tmp_path}/no/text", document=PDF)
    assert unwritable.returncode == 1 and b"No such file" in unwritable.stderr


def test_a_reader_that_goes_away_is_an_error():
    line, variables = command("extract_pdf", "--quiet")
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables) as p:
        p.stdout.close()
        p.stdin.write(PDF)
        p.stdin.close()
        assert p.wait(60) == 1 and b"Broken pipe" in p.stderr.read()


def test_a_terminal_is_no_document():
    leader, terminal = pty.openpty()
    line, variables = command("noop")
    done = subprocess.run(line, stdin=terminal, capture_output=True, env=variables, timeout=30)
    os.close(leader)
    os.close(terminal)
    assert done.returncode == 2 and b"standard input is a terminal" in done.stderr


@pytest.mark.parametrize("act,flags,code,status", [
    ("spin", ["--cpu", "1"], "cpu_limit", 4), ("sleep", ["--wall", "300", "--no-progress", "9000"], "timeout", 4),
    ("sleep", ["--no-progress", "300"], "no_progress", 4), ("allocate", ["--memory", "128M"], "memory_limit", 4),
    ("write", ["--output-bytes", "1M"], "output_limit", 4), ("crash", [], "crash", 5),
])
def test_limits_are_flags(act, flags, code, status):
    if INSTRUMENTED and code == "memory_limit":
        pytest.skip("AddressSanitizer reserves terabytes: no limit holds")
    amount = {"sleep": 30000, "allocate": 512 << 20, "write": 4 << 20}.get(act, 0)
    done = run("selftest", "--param", f"act={act}", "--param", f"amount={amount}", *flags)
    assert (done.returncode, result_of(done)["error"]["code"]) == (status, code)


def test_limits_are_settings_too():
    done = run("extract_pdf", document=PDF, environment={"FILEMILL_LIMIT_PAGES": "2"})
    assert done.returncode == 3 and result_of(done)["error"]["code"] == "too_many_pages"
    assert run("extract_pdf", "--pages", "3", document=PDF, environment={"FILEMILL_LIMIT_PAGES": "2"}).returncode == 0
    done = run("extract_pdf", "--input-bytes", "1000", document=PDF)
    assert done.returncode == 1 and b"larger than" in done.stderr


def test_a_configuration_that_is_wrong_is_said():
    done = run("noop", environment={"FILEMILL_LIMIT_PAGES": "many"})
    assert done.returncode == 2 and b"FILEMILL_LIMIT_PAGES" in done.stderr


def test_no_sandbox_no_run(tmp_path):
    """The program beside a nursery that does not start."""
    for name in ("filemill", "filemill-run"):
        (tmp_path / name).write_bytes((BUILD / name).read_bytes())
        (tmp_path / name).chmod(0o755)
    (tmp_path / "filemill-nursery").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "filemill-nursery").chmod(0o755)
    done = subprocess.run([tmp_path / "filemill", "run", "noop"], input=b"", capture_output=True,
                          env={"PATH": os.environ["PATH"], **INSTRUMENTED}, timeout=60)
    assert done.returncode == 6 and b"no sandbox" in done.stderr


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for(check, seconds=60):
    deadline = time.monotonic() + seconds * PATIENCE
    while not (value := check()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return value


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_kills_the_runner(number):
    line, variables = command("selftest", "--param", "act=sleep", "--param", "amount=30000", "--no-progress", "60000")
    with subprocess.Popen(line, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=variables) as process:
        nursery = wait_for(lambda: children(process.pid))[0]
        runner = wait_for(lambda: children(nursery))[0]
        process.send_signal(number)
        assert process.wait(60 * PATIENCE) == 128 + number
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in (nursery, runner)))


def test_ordinary_users_and_root_are_alike(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    done = run("extract_pdf", document=PDF, user=65534, group=65534, extra_groups=[], cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout == run("extract_pdf", document=PDF).stdout


# --- the list -----------------------------------------------------------------------------------------------

def test_the_list_names_outputs_parameters_and_limits():
    text = run("--list").stdout.decode()
    assert "extract_pdf: " in text and "selftest" not in text and "pdf_pages" in text and "wall 600 s" in text and "ping" not in text
    rows = {row["type"]: row for row in json.loads(run("--list", "--json").stdout)}
    assert rows["extract_pdf"]["limits"]["wall_ms"] == 600000
    assert [output["kind"] for output in rows["thumbnail"]["outputs"]] == ["thumbnail", "display"]


def test_defaults_that_are_listed_are_taken():
    """The list and the processors agree: all defaults of a processor at once are what it takes."""
    for row in json.loads(run("--list", "--json").stdout):
        given = {parameter["name"]: parameter["default"] for parameter in row["parameters"] if "default" in parameter}
        done = run(row["type"], "--json", "--params", json.dumps(given), "--mime", "application/octet-stream", document=b"?")
        error = json.loads(done.stdout).get("error", {"detail": ""})
        assert "unknown parameter" not in error["detail"], (row["type"], error)


def test_help_explains():
    text = run("--help").stdout.decode()
    for word in ("--param", "--output", "--contract", "--wall", "Exit status"):
        assert word in text


# --- the contract -------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def store():
    with Store() as running:
        yield running


class Web(http.server.ThreadingHTTPServer):
    """Serves artifacts, and misbehaves by path."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/slow":
                self.server.asked.set()
                time.sleep(60)
                return
            if self.path.startswith("/status/"):
                self.send_error(int(self.path.rsplit("/", 1)[1]))
                return
            body = self.server.files.get(self.path, b"")
            self.send_response(200)
            if self.path == "/redirect":
                self.send_response_only(302)
                self.send_header("Location", "/photo.jpg")
            self.send_header("Content-Length", str(len(body) + (10 if self.path == "/cut" else 0)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.daemon_threads = True
        self.asked = threading.Event()  # for what is slow
        self.files = {"/photo.jpg": PHOTO, "/cut": PHOTO[:5000], "/empty": b"", "/text": b"no picture at all\n",
                      "/corrupt.jpg": PHOTO[:2000], "/mill.pdf": PDF}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def base(self):
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture(scope="module")
def web():
    server = Web()
    yield server
    server.shutdown()
    server.server_close()


USER, JOB = "12345678-1234-1234-1234-123456789012", "a1b2c3d4-e5f6-7890-abcd-ef1234567890"


def payload(**changes):
    """The contract's own example; a change to None leaves the member out."""
    example = {
        "job_id": JOB,
        "user_id": USER,
        "portal_schema": {"id": "schema-001", "name": "NEET 2026", "version": 1, "schema_definition": {
            "target_width": 200, "target_height": 230, "target_dpi": 200, "max_kb": 100,
            "filename_pattern": "{job_id}", "output_format": "jpeg", "quality": 85}},
        "input": {"artifact_url": "", "mime_type": "image/jpeg", "original_filename": "passport_photo.jpg"},
        "storage": {"bucket": "rythmiq-dev", "region": "nyc3", "endpoint": "https://nyc3.digitaloceanspaces.com"},
    }
    example.update(changes)
    return {name: value for name, value in example.items() if value is not None}


def definition(**changes):
    schema = payload()["portal_schema"]
    schema["schema_definition"].update(changes)
    return schema


def contract(given, store=None, status=0, **settings):
    """The answer: exactly one JSON object, exit status 0."""
    environment = {f"FILEMILL_{name.upper()}": str(value) for name, value in settings.items()}
    if store is not None:
        environment.update(SPACES_ENDPOINT=store.endpoint, SPACES_REGION=REGION, SPACES_BUCKET=BUCKET,
                           SPACES_KEY=ACCESS_KEY, SPACES_SECRET=SECRET_KEY)
    text = given if isinstance(given, bytes) else json.dumps(given).encode()
    done = run("--contract", document=text, environment=environment)
    assert done.returncode == status, done.stderr
    assert done.stdout.count(b"\n") == 1 and done.stdout.endswith(b"\n")
    return json.loads(done.stdout)


def check_failure(answer, code, stage, retryable=False, job=JOB):
    assert set(answer) == {"status", "job_id", "error"} and answer["status"] == "failed" and answer["job_id"] == job
    assert set(answer["error"]) == {"code", "stage", "message", "retryable"}, answer
    assert (answer["error"]["code"], answer["error"]["stage"], answer["error"]["retryable"]) == (code, stage, retryable), \
        answer
    assert answer["error"]["message"]


def check_success(answer, store, user=USER, job=JOB):
    assert set(answer) == {"status", "job_id", "quality_score", "warnings", "artifacts", "metrics"}, answer
    assert answer["status"] == "success" and answer["job_id"] == job
    assert answer["artifacts"] == {"master_path": f"master/{user}/{job}/{job}.enc",
                                   "preview_path": f"output/{user}/{job}/preview.jpg"}
    assert 0 <= answer["quality_score"] <= 1 and 0 <= answer["metrics"]["ocr_confidence"] <= 1
    assert answer["metrics"]["processing_ms"] > 0 and all(isinstance(text, str) for text in answer["warnings"])
    s3 = store.client()
    return [s3.get_object(Bucket=BUCKET, Key=answer["artifacts"][name])["Body"].read()
            for name in ("master_path", "preview_path")]


def put(store, key, body):
    store.client().put_object(Bucket=BUCKET, Key=key, Body=body)
    return store.client().generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": key}, ExpiresIn=300)


def test_contract_by_url(store):
    url = put(store, "incoming/photo.jpg", PHOTO)
    answer = contract(payload(input={"artifact_url": url, "mime_type": "image/jpeg"}), store)
    master, preview = check_success(answer, store)
    photo = Image.open(io.BytesIO(master))
    assert (photo.format, photo.size, photo.info["dpi"]) == ("JPEG", (200, 230), (200, 200))
    assert len(master) <= 100_000 and preview == master
    confidence = answer["metrics"]["ocr_confidence"]
    assert f"Low OCR confidence: {confidence:.2f}" in answer["warnings"]


def test_contract_by_path(store):
    user, job = str(uuid.uuid4()), str(uuid.uuid4())
    path = f"raw/{user}/{job}/1769400000_photo.jpg.enc"
    put(store, path, PHOTO)
    answer = contract(payload(job_id=job, user_id=user, input={"raw_path": path, "artifact_url": None}), store)
    check_success(answer, store, user, job)
    again = contract(payload(job_id=job, user_id=user, input={"raw_path": path}), store)
    assert again["artifacts"] == answer["artifacts"] and again["quality_score"] == answer["quality_score"]


def test_contract_png_has_a_jpeg_for_a_preview(store):
    url = put(store, "incoming/photo.jpg", PHOTO)
    answer = contract(payload(input={"artifact_url": url}, portal_schema=definition(output_format="png")), store)
    master, preview = (Image.open(io.BytesIO(data)) for data in check_success(answer, store))
    assert (master.format, preview.format) == ("PNG", "JPEG") and master.size == preview.size == (200, 230)


def test_contract_takes_the_store_from_the_payload_where_the_environment_is_silent(store):
    url = put(store, "incoming/photo.jpg", PHOTO)
    given = payload(input={"artifact_url": url}, storage={"bucket": BUCKET, "region": REGION, "endpoint": store.endpoint})
    keys = {"storage_access_key": ACCESS_KEY, "storage_secret_key": SECRET_KEY}
    check_success(contract(given, run_private_addresses="on", **keys), store)
    refused = contract(given, **keys)
    check_failure(refused, "FETCH_FAILED", "fetch")
    assert "not public" in refused["error"]["message"]


@pytest.mark.parametrize("text,code", [
    (b"", "PAYLOAD_MISSING"), (b" \n\t ", "PAYLOAD_MISSING"), (b"{", "PAYLOAD_INVALID"), (b"[]", "PAYLOAD_INVALID"),
    (b"null", "PAYLOAD_INVALID"), (b"{} {}", "PAYLOAD_INVALID"), (b'{"a":1,"a":2}', "PAYLOAD_INVALID"),
    (b"\xff\xfe{}", "PAYLOAD_INVALID"), (b"[" * 100000, "PAYLOAD_INVALID"), (b" " * (1 << 20) + b"{}", "PAYLOAD_INVALID"),
    (b"\0", "PAYLOAD_INVALID"),
])
def test_contract_payloads_that_are_none(text, code):
    check_failure(contract(text), code, "init", job=None)


RAW = f"raw/{USER}/{JOB}/1_a.jpg.enc"


@pytest.mark.parametrize("changes,job", [
    ({"job_id": None}, None), ({"job_id": "job"}, None), ({"job_id": 7}, None), ({"user_id": None}, JOB),
    ({"user_id": "../../x"}, JOB), ({"portal_schema": None}, JOB), ({"portal_schema": []}, JOB), ({"input": None}, JOB),
    ({"input": {}}, JOB), ({"input": {"artifact_url": "http://a.example/", "raw_path": RAW}}, JOB),
    ({"input": {"artifact_url": None, "raw_path": None}}, JOB), ({"input": {"artifact_url": "", "raw_path": ""}}, JOB),
    ({"input": {"artifact_url": "file:///etc/passwd"}}, JOB), ({"input": {"artifact_url": 7}}, JOB),
    ({"input": {"raw_path": "/" + RAW}}, JOB), ({"input": {"raw_path": "raw/../" + RAW}}, JOB),
    ({"input": {"raw_path": RAW.replace("1_a", "\0")}}, JOB), ({"input": {"raw_path": f"master/{USER}/{JOB}/{JOB}.enc"}}, JOB),
    ({"input": {"raw_path": RAW.replace(USER, str(uuid.uuid4()))}}, JOB), ({"storage": "s3"}, JOB),
])
def test_contract_payloads_that_are_wrong(changes, job):
    check_failure(contract(payload(**{"input": {"raw_path": RAW}, **changes})), "PAYLOAD_INVALID", "init", job=job)


def test_contract_schemas_that_are_wrong(store):
    url = put(store, "incoming/photo.jpg", PHOTO)
    for schema in (definition(target_width=0), definition(output_format="tiff"), {"name": "no such portal"}):
        check_failure(contract(payload(input={"artifact_url": url}, portal_schema=schema), store), "PAYLOAD_INVALID", "init")


@pytest.mark.parametrize("path,code,retryable", [
    ("/status/404", "FETCH_FAILED", False), ("/status/403", "FETCH_FAILED", False), ("/status/500", "FETCH_FAILED", False),
    ("/redirect", "FETCH_FAILED", False), ("/cut", "FETCH_FAILED", False), ("/empty", "FETCH_FAILED", False),
    ("/slow", "FETCH_TIMEOUT", True),
])
def test_contract_fetches_that_fail(web, store, path, code, retryable):
    limit = {"transfer_timeout_ms": 1000} if code == "FETCH_TIMEOUT" else {}
    answer = contract(payload(input={"artifact_url": web.base + path}), store, run_private_addresses="on", **limit)
    check_failure(answer, code, "fetch", retryable)


def test_contract_addresses_and_sizes_are_limited(web, store):
    given = payload(input={"artifact_url": web.base + "/photo.jpg"})
    assert "not public" in contract(given, store)["error"]["message"]
    check_success(contract(given, store, run_private_addresses="on"), store)
    small = contract(given, store, run_private_addresses="on", run_max_input_bytes=1000)
    check_failure(small, "FETCH_FAILED", "fetch")
    assert "larger than 1000" in small["error"]["message"]
    nobody = payload(input={"artifact_url": "http://127.0.0.1:1/photo.jpg"})
    check_failure(contract(nobody, store, run_private_addresses="on"), "FETCH_FAILED", "fetch")


@pytest.mark.parametrize("path", ["/corrupt.jpg", "/text", "/mill.pdf"])
def test_contract_pictures_that_are_none(web, store, path):
    answer = contract(payload(input={"artifact_url": web.base + path}), store, run_private_addresses="on")
    check_failure(answer, "DECODE_FAILED", "decode")


def test_contract_pictures_that_are_too_large(web, store):
    answer = contract(payload(input={"artifact_url": web.base + "/photo.jpg"}), store, run_private_addresses="on",
                      limit_pixels=1000)
    check_failure(answer, "DECODE_FAILED", "decode")
    assert "too_many_pixels" in answer["error"]["message"]


def test_contract_sizes_that_cannot_be_met(web, store):
    noise = io.BytesIO()
    Image.frombytes("RGB", (600, 600), os.urandom(600 * 600 * 3)).save(noise, "PNG")
    web.files["/noise.png"] = noise.getvalue()
    given = payload(input={"artifact_url": web.base + "/noise.png"},
                    portal_schema=definition(max_kb=1, target_width=1000, target_height=1000))
    check_failure(contract(given, store, run_private_addresses="on"), "SIZE_EXCEEDED", "schema")


def test_contract_schemas_that_this_machine_cannot_meet(web, store):
    """The photo asked for is larger than the memory that a document may have; a smaller one is made."""
    if INSTRUMENTED:
        pytest.skip("AddressSanitizer reserves terabytes: no limit holds")
    encoded = io.BytesIO()
    Image.linear_gradient("L").resize((120, 150)).convert("RGB").save(encoded, "JPEG")
    web.files["/small.jpg"] = encoded.getvalue()
    given = payload(input={"artifact_url": web.base + "/small.jpg"})
    settings = {"run_private_addresses": "on", "limit_memory_bytes": "72M"}
    check_success(contract(given, store, **settings), store)
    large = definition(target_width=3000, target_height=3000)
    answer = contract({**given, "portal_schema": large}, store, **settings)
    check_failure(answer, "SCHEMA_FAILED", "schema")
    assert answer["error"]["message"].startswith("memory_limit: schema: "), answer


def test_contract_text_that_cannot_be_read(web, store, tmp_path):
    """No language data: the engine fails."""
    given = payload(input={"artifact_url": web.base + "/photo.jpg"})
    answer = contract(given, store, run_private_addresses="on", ocr_data=tmp_path)
    check_failure(answer, "OCR_FAILED", "ocr")


def test_contract_text_that_takes_too_long(web, store):
    page, encoded = Image.new("L", (1000, 1000), 255), io.BytesIO()
    draw = ImageDraw.Draw(page)
    for line in range(90):
        draw.text((5, 11 * line), " ".join(f"word{line * n}" for n in range(20)), fill=0)
    page.resize((2000, 2000)).save(encoded, "PNG")
    web.files["/page.png"] = encoded.getvalue()
    given = payload(input={"artifact_url": web.base + "/page.png"})
    answer = contract(given, store, run_private_addresses="on", limit_cpu_seconds=1)
    check_failure(answer, "OCR_TIMEOUT", "ocr", True)


def test_contract_uploads_that_fail(web, store):
    given = payload(input={"artifact_url": web.base + "/photo.jpg"})
    environment = {"run_private_addresses": "on", "storage_endpoint": "http://127.0.0.1:1", "storage_bucket": BUCKET,
                   "storage_access_key": ACCESS_KEY, "storage_secret_key": SECRET_KEY}
    check_failure(contract(given, **environment), "UPLOAD_FAILED", "upload", True)
    environment.update(storage_endpoint=store.endpoint, storage_secret_key="wrong")
    check_failure(contract(given, **environment), "UPLOAD_FAILED", "upload", True)
    check_failure(contract(given, run_private_addresses="on"), "UPLOAD_FAILED", "upload", True)
    no_store = contract(payload(input={"raw_path": RAW}))
    check_failure(no_store, "FETCH_FAILED", "fetch")


def test_contract_declared_types_are_compared(store):
    url = put(store, "incoming/photo.jpg", PHOTO)
    answer = contract(payload(input={"artifact_url": url, "mime_type": "image/png"}), store)
    check_success(answer, store)
    assert "Declared as image/png, is image/jpeg" in answer["warnings"]


def test_contract_configurations_and_words_that_are_wrong():
    given = json.dumps(payload()).encode()
    check_failure(contract(given, limit_pages="many"), "PAYLOAD_INVALID", "init")
    done = run("--contract", "--nothing", document=given)
    assert done.returncode == 0
    check_failure(json.loads(done.stdout), "PAYLOAD_INVALID", "init")


def test_contract_without_a_sandbox(tmp_path, store):
    url = put(store, "incoming/photo.jpg", PHOTO)
    (tmp_path / "filemill-run").write_bytes((BUILD / "filemill-run").read_bytes())
    (tmp_path / "filemill-run").chmod(0o755)
    (tmp_path / "filemill-nursery").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "filemill-nursery").chmod(0o755)
    done = subprocess.run([tmp_path / "filemill-run", "--contract"], capture_output=True, timeout=60,
                          input=json.dumps(payload(input={"artifact_url": url})).encode(),
                          env={"PATH": os.environ["PATH"], **INSTRUMENTED})
    assert done.returncode == 0
    check_failure(json.loads(done.stdout), "DECODE_FAILED", "decode")


def test_contract_stopped_by_a_signal(web, store):
    line, variables = command("--contract", environment={"FILEMILL_RUN_PRIVATE_ADDRESSES": "on"})
    web.asked.clear()
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=variables) as process:
        process.stdin.write(json.dumps(payload(input={"artifact_url": web.base + "/slow"})).encode())
        process.stdin.close()
        assert web.asked.wait(60), "a signal before it waits for the artifact ends it as it does any program"
        process.send_signal(signal.SIGTERM)
        answer = json.loads(process.stdout.read())
        assert process.wait(60) == 0
    check_failure(answer, "FETCH_FAILED", "fetch")
