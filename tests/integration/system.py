"""A whole Filemill of its own: `filemill serve` on embedded defaults, in a temporary state directory, on free ports.

Everything a test needs to look at it from outside: the REST API, SQL, an S3 client, the processes, the stats socket.
"""
import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

from ports import free_port

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("FILEMILL_BUILD", ROOT / "build")).resolve()
CORPUS = Path(os.environ.get("FILEMILL_CORPUS", ROOT.parent / "shared" / "corpus"))
SAMPLES = ROOT / "samples"
# Instrumented builds are slower: every limit in time is multiplied by this.
PATIENCE = float(os.environ.get("FILEMILL_TEST_PATIENCE", "1"))


s3_lock = threading.Lock()  # boto3's own session is not for several threads at once


def eventually(check, seconds=60, what="condition", every=0.05):
    """Calls check until it returns something true; fails after so many seconds."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {seconds * PATIENCE:.0f} s (last: {value!r})"
        time.sleep(every)


def strike(pids, number):
    """A signal to each; one that has ended meanwhile needs none."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


def fetch(method, url, headers=None, body=None, timeout=30):
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=timeout * PATIENCE) as reply:
            return Answer(reply.status, reply.headers, reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


class System:
    def __init__(self, programs=BUILD, **settings):
        self.programs = programs
        self.directory = Path(tempfile.mkdtemp(prefix="fm-"))
        self.port = free_port()
        self.store_port = free_port()
        self.environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "FILEMILL_STATE_DIRECTORY": str(self.directory / "state"),
            "FILEMILL_GATEWAY_PORT": str(self.port),
            "FILEMILL_STORE_PORT": str(self.store_port),
            "FILEMILL_LOG_LEVEL": "info",
            "FILEMILL_RATE_PER_MINUTE": "0",
            "FILEMILL_PLAN": "lean",
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                self.environment[name] = os.environ[name]
        self.environment.update({f"FILEMILL_{key.upper()}": str(value) for key, value in settings.items()})
        if os.geteuid() == 0:  # children run as another user, who must get through
            self.directory.chmod(0o755)
        self.process = None
        self.log_path = self.directory / "log"
        self.shell = {}

    # -- life ---------------------------------------------------------------------------------------------------

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([self.programs / "filemill", "serve"], env=self.environment, stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, cwd=self.directory)
        eventually(self.is_ready, 120, what="ready")
        self.shell = self.read_shell()
        return self

    def is_ready(self):
        assert self.process.poll() is None, f"serve exited {self.process.returncode}:\n{self.log()[-4000:]}"
        try:
            return fetch("GET", f"{self.base}/ready", timeout=2).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def terminate(self, timeout=60):
        """SIGTERM; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout * PATIENCE)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            try:
                self.terminate()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if not os.environ.get("FILEMILL_TEST_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, trace):
        if error is not None:
            print(self.log()[-6000:])
        self.close()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def command(self, *arguments, check=True, **more):
        result = subprocess.run([self.programs / "filemill", *map(str, arguments)], env={**self.environment, **more},
                                capture_output=True, text=True, timeout=60 * PATIENCE, cwd=self.directory)
        assert not check or result.returncode == 0, f"{arguments}: {result.returncode} {result.stderr}"
        return result

    def read_shell(self):
        """What `filemill env` exports for people's shells."""
        pairs = re.findall(r"^export (\w+)=(.*)$", self.command("env").stdout, re.M)
        return {name: value.strip("'\"") for name, value in pairs}

    # -- looking in ---------------------------------------------------------------------------------------------

    @property
    def base(self):
        return f"http://127.0.0.1:{self.port}"

    def stats(self):
        return json.loads(self.command("stats").stdout)

    def pids(self, service):
        """Live processes of a service, by the name of their program, among our descendants."""
        return [pid for pid, name in self.descendants() if name == service]

    def kill(self, *services, signal=signal.SIGKILL):
        """A signal to all processes of these services, but those that are gone by then: a parent's death ends others."""
        strike([pid for service in services for pid in self.pids(service)], signal)

    def descendants(self):
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    stat = (entry / "stat").read_text()
                    name = os.path.basename((entry / "cmdline").read_bytes().split(b"\0")[0].decode())
                    state, parent = stat.rsplit(")", 1)[1].split()[:2]
                    if state != "Z":
                        parents.setdefault(int(parent), []).append((int(entry.name), name))
        found, todo = [], [self.process.pid]
        while todo:
            for pid, name in parents.get(todo.pop(), []):
                found.append((pid, name))
                todo.append(pid)
        return found

    def sql(self, query, *values):
        """Rows of a query by the operator, over a connection of its own."""
        import psycopg2
        import psycopg2.extras
        connection = psycopg2.connect(self.shell["PSQL_URL"])
        try:
            connection.autocommit = True
            with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
                cursor.execute(query, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def s3(self):
        import boto3
        from botocore.config import Config
        with s3_lock:
            return boto3.client("s3", endpoint_url=self.shell["AWS_ENDPOINT_URL"],
                                aws_access_key_id=self.shell["AWS_ACCESS_KEY_ID"],
                                aws_secret_access_key=self.shell["AWS_SECRET_ACCESS_KEY"],
                                region_name=self.shell.get("AWS_REGION", "us-east-1"),
                                config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}))

    @property
    def bucket(self):
        return self.shell["AWS_BUCKET"]

    # -- the API ------------------------------------------------------------------------------------------------

    def user(self, user_id=None):
        return User(self, user_id or str(uuid.uuid4()))


class User:
    """Somebody with a token."""

    def __init__(self, system, user_id):
        self.system, self.id = system, user_id
        self.token = system.command("token", "--user", user_id).stdout.strip()
        self.tenant = None

    def call(self, method, path, body=None, headers=None, timeout=30):
        send = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            send.setdefault("Content-Type", "application/json")
        return fetch(method, self.system.base + path, send, data, timeout)

    def bootstrap(self, name="Test Tenant"):
        answer = self.call("POST", "/v1/tenants/bootstrap", {"name": name})
        assert answer.status in (200, 201), answer
        self.tenant = answer.json["tenant_id"]
        return self

    def init(self, filename, mime, size, **more):
        return self.call("POST", "/v1/files/init-upload",
                         {"tenant_id": self.tenant, "filename": filename, "mime": mime, "size_bytes": size, **more})

    def put(self, init, data):
        return fetch("PUT", init["upload_url"], init["required_headers"], data)

    def upload(self, filename, mime, data, **more):
        """init-upload and PUT; returns the file's id."""
        init = self.init(filename, mime, len(data), **more)
        assert init.status in (200, 201), init
        stored = self.put(init.json, data)
        assert stored.status in (200, 204), stored
        return init.json["file_id"]

    def finalize(self, file_id):
        return self.call("POST", "/v1/files/finalize", {"file_id": file_id})

    def send(self, filename, mime, data, **more):
        """All the way to finalize; returns the file's id."""
        file_id = self.upload(filename, mime, data, **more)
        answer = self.finalize(file_id)
        assert answer.status == 200, answer
        return file_id

    def file(self, file_id):
        answer = self.call("GET", f"/v1/files/{file_id}")
        assert answer.status == 200, answer
        return answer.json

    def settled(self, file_id):
        """The file, if it is ready or failed and none of its jobs is under way; else None."""
        file = self.file(file_id)
        ended = all(job["status"] in ("done", "failed", "cancelled") for job in file["jobs"])
        return file if ended and file["status"] in ("ready", "failed") else None

    def wait(self, file_id, seconds=60):
        """The file once it is settled."""
        return eventually(lambda: self.settled(file_id), seconds, what=f"file {file_id}")

    def derivative(self, file_id, kind):
        answer = self.call("GET", f"/v1/files/{file_id}/derivatives/{kind}")
        assert answer.status == 200, answer
        reply = fetch("GET", answer.json["download_url"])
        assert reply.status == 200, reply
        return reply.body


def pdf_of(objects):
    """A PDF of these objects, numbered from 1, the catalog first."""
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj%s endobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return out + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)


def one_page_pdf(text):
    """A small, valid PDF that shows one line of text."""
    escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    stream = f"BT /F1 18 Tf 72 720 Td ({escaped}) Tj ET".encode()
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
               b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
               b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
               b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    return pdf_of(objects)


def sha256(data):
    return hashlib.sha256(data).hexdigest()
