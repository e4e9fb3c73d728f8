# SPDX-License-Identifier: MIT
"""`filemill doctor`: a sound node has no FAIL; a store that enforces nothing has one for each thing that it lets through."""
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from system import System

SECRET = "a-secret-that-nobody-may-see"


class Anything(BaseHTTPRequestHandler):
    """A store that takes all, keeps it by path, and gives it to everybody for ever."""
    protocol_version = "HTTP/1.1"
    objects = {}

    def date_time_string(self, timestamp=None):
        return "Sun, 06 Nov 1994 08:49:37 GMT"

    def do_PUT(self):
        self.objects[self.path.split("?")[0]] = self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(200, b"")

    def do_GET(self):
        self.reply(200, self.objects.get(self.path.split("?")[0], b""))

    def do_DELETE(self):
        self.objects.pop(self.path.split("?")[0], None)
        self.reply(204, b"")

    def do_OPTIONS(self):
        self.reply(403, b"")

    def reply(self, status, body):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def system():
    with System() as running:
        yield running


@pytest.fixture
def anything():
    Anything.objects.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Anything)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def examine(system, **more):
    answer = system.command("doctor", "--json", check=False, **more)
    report = json.loads(answer.stdout)
    results = {row["check"]: row["result"] for row in report["checks"]}
    assert len(results) == len(report["checks"]), "a check twice"
    assert answer.returncode == (0 if report["ok"] else 1) and report["ok"] == ("FAIL" not in results.values())
    assert all(row["remedy"].endswith((".", "`")) for row in report["checks"] if row["result"] != "ok")
    return report, results


def test_a_sound_node_is_found_sound(system):
    report, results = examine(system)
    assert report["ok"], report
    for group in ("machine.kernel", "machine.files", "engine.languages", "engine.ocr", "engine.speech", "database.pooler",
                  "database.clock", "bucket.clock", "sandbox.layers", "sandbox.socket_inet", "sandbox.execve", "database.reachable",
                  "database.durable", "database.schema", "bucket.upload", "bucket.length", "bucket.type", "bucket.checksum",
                  "bucket.create_only", "bucket.expiry", "bucket.private", "bucket.cors", "bucket.delete"):
        assert results[group] == "ok", (group, report)
    keys = [entry["Key"] for entry in system.s3().list_objects_v2(Bucket=system.bucket, Prefix="doctor/").get("Contents", [])]
    assert keys == []
    for name in ("AWS_SECRET_ACCESS_KEY", "PSQL_URL"):
        assert system.shell[name] not in json.dumps(report)


def test_people_read_lines_and_a_schema_that_is_not_ours_is_found(system):
    system.sql("alter table quarantine disable row level security")
    try:
        answer = system.command("doctor", check=False)
    finally:
        system.sql("alter table quarantine enable row level security")
    assert answer.returncode == 1 and "1 failed" in answer.stdout.splitlines()[-1]
    assert "FAIL  database.schema" in answer.stdout and "filemill migrate" in answer.stdout


def test_what_engines_lack_is_named(tmp_path):
    (tmp_path / "deu.traineddata").write_bytes(b"")
    tmp_path.chmod(0o755)
    alone = System(ocr_data=tmp_path, ocr_languages="deu+tlh", transcribe_data=tmp_path / "none")
    report, results = examine(alone)
    alone.close()
    rows = {row["check"]: row for row in report["checks"]}
    assert results["engine.languages"] == results["engine.ocr"] == "FAIL" and results["engine.speech"] == "warn"
    assert rows["engine.languages"]["seen"].startswith("deu installed") and "tesseract-ocr-" in rows["engine.languages"]["remedy"]
    assert "unsupported_language" in rows["engine.ocr"]["seen"]


@pytest.mark.parametrize("verb", ["doctor", "serve"])
def test_a_service_without_its_url_is_named(verb):
    alone = System(classify_backend="chat")
    answer = alone.command(verb, check=False)
    alone.close()
    assert answer.returncode != 0 and answer.stdout == ""
    assert answer.stderr.count("\n") == 1 and "chat-url: needed where classify-backend is chat" in answer.stderr


def test_what_is_not_understood_is_refused(system):
    wrong = system.command("doctor", "--nonsense", check=False)
    assert wrong.returncode == 2 and "usage" in wrong.stderr


def test_a_store_that_enforces_nothing_is_named(anything, tmp_path):
    alone = System(storage_endpoint=f"http://127.0.0.1:{anything.server_port}", storage_bucket="files", storage_provider="filemill",
                   storage_access_key="key", storage_secret_key=SECRET, cors_origins="https://app.example.org",
                   database_url="postgresql://nobody:" + SECRET + "@127.0.0.1:1/none",
                   publish_endpoint=f"http://127.0.0.1:{anything.server_port}", publish_bucket="media", publish_access_key="key",
                   publish_secret_key=SECRET, cdn_base_url=f"http://127.0.0.1:{anything.server_port}/media/")
    try:
        report, results = examine(alone)
    finally:
        alone.close()
    assert results["publish.upload"] == results["publish.cdn"] == results["publish.delete"] == "ok"
    assert results["bucket.clock"] == "FAIL", "a store that lives in 1994"
    failed = {name for name, result in results.items() if result == "FAIL"}
    assert failed >= {"bucket.length", "bucket.type", "bucket.expiry", "bucket.private", "database.reachable"}
    assert results["bucket.checksum"] == results["bucket.create_only"] == results["bucket.cors"] == "warn" and results["bucket.upload"] == results["bucket.download"] == "ok"
    assert SECRET not in json.dumps(report)
    assert Anything.objects == {}
