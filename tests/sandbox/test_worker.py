# SPDX-License-Identifier: MIT
"""A real worker between a scheduler played here (a ROUTER that speaks MessagePack) and a storage played here (HTTP)."""
import hashlib
import http.server
import json
import os
import signal
import subprocess
import threading
import time
import uuid

import msgpack
import pytest

from driver import BUILD, CORPUS, INSTRUMENTED, is_alive, kill, wait_until_gone

zmq = pytest.importorskip("zmq")

HELLO, WELCOME, CREDIT, TASK, PROGRESS, RESULT, RELEASE, CANCEL, DRAIN = range(1, 10)
DELETE, DELETED, PING, PONG = 12, 13, 14, 15
DONE, FAILED = 1, 2


class Storage(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects, self.statuses, self.types, self.hang = {}, {}, {}, threading.Event()
        self.hanging, self.asked = set(), set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body=b""):
        name = self.path[1:]
        self.server.asked.add(name)
        if name in self.server.hanging:
            self.server.hang.wait(120)
        status = self.server.statuses.get(name, 200 if self.command != "GET" or name in self.server.objects else 404)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if status == 200 else 0))
        self.end_headers()
        if status == 200:
            self.wfile.write(body)

    def do_GET(self):
        self.answer(self.server.objects.get(self.path[1:], b""))

    def do_PUT(self):
        self.server.objects[self.path[1:]] = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.types[self.path[1:]] = self.headers["Content-Type"]
        self.answer()

    def do_DELETE(self):
        self.server.objects.pop(self.path[1:], None)
        self.answer()

    def log_message(self, *_):
        pass


class Scheduler:
    def __init__(self, path):
        self.path, self.generation, self.peer, self.inbox = path, str(uuid.uuid4()), None, []
        self.bind()

    def bind(self):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.bind(f"ipc://{self.path}")

    def restart(self):
        self.context.destroy(linger=0)
        self.generation, self.inbox = str(uuid.uuid4()), []
        self.path.unlink(missing_ok=True)
        self.bind()

    def send(self, kind, **fields):
        self.socket.send_multipart([self.peer, msgpack.packb({0: kind, **{int(k[1:]): v for k, v in fields.items()}})])

    def pump(self, milliseconds=100):
        if not self.socket.poll(milliseconds):
            return
        self.peer, body = self.socket.recv_multipart()
        message = msgpack.unpackb(body, strict_map_key=False)
        if message[0] == HELLO or not self.inbox:
            self.send(WELCOME, f1=1, f2=self.generation)
        if message[0] == PING:
            self.send(PONG, f1=message[1])
        self.inbox.append(message)

    def wait(self, kind, check=lambda m: True, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for index, message in enumerate(self.inbox):
                if message[0] == kind and check(message):
                    return self.inbox.pop(index)
            self.pump()
        raise AssertionError(f"no message {kind} in {self.inbox}")

    def task(self, kind, job=None, epoch=1, **fields):
        job = job or str(uuid.uuid4())
        self.send(TASK, f1=job, f2=epoch, f3=kind, f7=1, **fields)
        return job

    def result(self, job, seconds=60):
        return self.wait(RESULT, lambda m: m[1] == job, seconds)

    def wait_for_any(self, kinds, job, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for index, message in enumerate(self.inbox):
                if message[0] in kinds and message[1] == job:
                    return self.inbox.pop(index)
            self.pump()
        raise AssertionError(f"no word of {job} in {self.inbox}")

    def release(self, job):
        return self.wait(RELEASE, lambda m: m[1] == job)


@pytest.fixture
def storage():
    server = Storage()
    yield server
    server.hang.set()
    server.shutdown()


@pytest.fixture
def scheduler(tmp_path):
    played = Scheduler(tmp_path / "channel")
    yield played
    played.context.destroy(linger=0)


@pytest.fixture
def worker(scheduler):
    process = start_worker(scheduler)
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()


def start_worker(scheduler, **settings):
    environment = {"PATH": os.environ["PATH"], "FILEMILL_CHANNEL_ENDPOINT": f"ipc://{scheduler.path}",
                   "FILEMILL_WORKER_SLOTS": "2", "FILEMILL_NODE": "test", **INSTRUMENTED,
                   **{f"FILEMILL_{k.upper()}": str(v) for k, v in settings.items()}}
    process = subprocess.Popen([BUILD / "filemill-worker", "0"], env=environment)
    scheduler.hello = scheduler.wait(HELLO)
    scheduler.credit = scheduler.wait(CREDIT)
    return process


def output(storage, kind, name, mime):
    return {1: kind, 2: f"key/{name}", 3: mime, 4: storage.url(name)}


def sleeper(scheduler, ms=20000, **fields):
    return scheduler.task("selftest", f13=json.dumps({"act": "sleep", "amount": ms}), f15=60000, **fields)


def children(pid):
    return [int(p) for p in open(f"/proc/{pid}/task/{pid}/children").read().split()]


def wait_for(scheduler, check):
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline
        scheduler.pump(20)


def wait_for_runners(scheduler, worker, count):
    def runners():
        return [pid for nursery in children(worker.pid) for pid in children(nursery)
                if open(f"/proc/{pid}/comm").read() == "filemill-runner\n"]
    wait_for(scheduler, lambda: len(runners()) == count)


def wait_for_the_drain(scheduler):
    """From here on it takes nothing more."""
    while True:
        job = scheduler.task("ping")
        if scheduler.wait_for_any((RESULT, RELEASE), job)[0] == RELEASE:
            return


def test_hello_and_credit(scheduler, worker):
    assert (scheduler.hello[2], scheduler.hello[3], scheduler.hello[4]) == ("worker", "test", "worker-0")
    assert scheduler.hello[9].startswith("seccomp,landlock")
    assert scheduler.credit[1] == 4  # two slots, and as many to fetch ahead


def test_worker_is_locked_down(scheduler, worker):
    for task in os.listdir(f"/proc/{worker.pid}/task"):
        status = dict(line.split(":", 1) for line in open(f"/proc/{worker.pid}/task/{task}/status").read().splitlines())
        assert (status["Seccomp"].strip(), status["NoNewPrivs"].strip()) == ("2", "1")


@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus: set FILEMILL_CORPUS")
def test_pdf_goes_all_the_way(scheduler, worker, storage):
    source = (CORPUS / "pdf" / "opf_lorem-ipsum.pdf").read_bytes()
    storage.objects["in.pdf"] = source
    job = scheduler.task("extract_pdf", f8=storage.url("in.pdf"), f9=len(source), f10="application/pdf",
                         f12=hashlib.sha256(source).hexdigest(),
                         f21=[output(storage, "pdf_text", "out.txt", "text/plain; charset=utf-8"),
                              output(storage, "pdf_pages", "out.json", "application/json")])
    result = scheduler.result(job)
    assert result[3] == DONE, result
    assert result[9] == hashlib.sha256(source).hexdigest()
    for made in result[18]:
        stored = storage.objects[made[2].removeprefix("key/")]
        assert (made[5], made[6]) == (len(stored), hashlib.sha256(stored).hexdigest())
    assert storage.types["out.txt"] == "text/plain; charset=utf-8"
    assert storage.objects["out.txt"].endswith(b"\f")


def test_without_a_runner(scheduler, worker):
    jobs = [scheduler.task("ping") for _ in range(200)]
    assert {scheduler.result(job)[3] for job in jobs} == {DONE}


@pytest.mark.parametrize("status,code,retryable", [
    (404, "input_missing", False), (403, "storage_refused", True), (503, "storage_unavailable", True),
    (412, "input_changed", False)])
def test_fetch_that_fails(scheduler, worker, storage, status, code, retryable):
    storage.statuses["in"] = status
    job = scheduler.task("thumbnail", f8=storage.url("in"), f9=10, f10="image/png")
    result = scheduler.result(job)
    assert (result[3], result[4], result[6], result.get(7, False)) == (FAILED, code, "fetch", retryable)


def test_input_that_changed(scheduler, worker, storage):
    storage.objects["in"] = b"twelve bytes"
    for fields in ({"f9": 5}, {"f9": 13}, {"f9": 12, "f12": "0" * 64}):
        result = scheduler.result(scheduler.task("thumbnail", f8=storage.url("in"), f10="image/png", **fields))
        assert result[4] in ("input_changed", "storage_unavailable"), result


def test_store_that_fails(scheduler, worker, storage):
    storage.statuses["out"] = 500
    job = scheduler.task("selftest", f13='{"inventory":true}', f21=[output(storage, "selftest", "out", "application/json")])
    result = scheduler.result(job)
    assert (result[4], result[6], result[7]) == ("storage_unavailable", "store", True)


def test_death_is_typed(scheduler, worker):
    for parameters, code, crash in (('{"act":"crash"}', "crash", True), ('{"probe":"socket_inet"}', "sandbox_violation", True),
                                    ('{"act":"garbage_result"}', "bad_result", True)):
        result = scheduler.result(scheduler.task("selftest", f13=parameters))
        assert (result[3], result[4], result[6], result.get(8, False)) == (FAILED, code, "parse", crash)


def test_unknown_type(scheduler, worker):
    assert scheduler.result(scheduler.task("no_such_type"))[4] == "unknown_type"


def test_cancel(scheduler, worker):
    job = sleeper(scheduler, 60000, epoch=3)
    wait_for_runners(scheduler, worker, 1)
    scheduler.send(CANCEL, f1=job, f2=2)  # another lease's
    with pytest.raises(AssertionError):
        scheduler.wait(RELEASE, seconds=1)
    scheduler.send(CANCEL, f1=job, f2=3)
    assert scheduler.release(job)[3] == "cancelled"


def test_next_input_is_fetched_meanwhile(scheduler, worker, storage):
    storage.objects["in"] = b"x" * 100
    running = [sleeper(scheduler, 1500) for _ in range(2)]
    time.sleep(0.3)
    storage.hanging.add("never")
    waiting = scheduler.task("thumbnail", f8=storage.url("in"), f9=100, f10="image/png")
    assert scheduler.result(waiting)[4] == "bad_input"
    assert all(scheduler.result(job)[3] == DONE for job in running)


def test_delete(scheduler, worker, storage):
    storage.objects["a"] = b"1"
    storage.statuses.update(missing=404, broken=500)
    scheduler.send(DELETE, f1=7, f2=[{1: f"key/{n}", 2: storage.url(n)} for n in ("a", "missing", "broken")])
    answer = scheduler.wait(DELETED)
    assert answer[1] == 7
    assert {o[1] for o in answer[2]} == {"key/a", "key/missing"}
    assert "a" not in storage.objects


def test_drain_releases_what_has_not_begun(scheduler, worker, storage):
    storage.hanging.add("slow")
    running = [sleeper(scheduler, 4000) for _ in range(2)]
    fetching = scheduler.task("thumbnail", f8=storage.url("slow"), f9=10, f10="image/png")
    wait_for_runners(scheduler, worker, 2)
    wait_for(scheduler, lambda: "slow" in storage.asked)
    began = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert scheduler.release(fetching)[3] == "drain"
    assert time.monotonic() - began < 4, "before those that run have ended"
    late = scheduler.task("ping")
    assert scheduler.release(late)[3] == "drain"
    assert all(scheduler.result(job)[3] == DONE for job in running)
    assert worker.wait(timeout=60) == 0


def test_second_signal_jumps_to_the_deadline(scheduler, worker):
    job = sleeper(scheduler, 60000)
    wait_for_runners(scheduler, worker, 1)
    nursery = children(worker.pid)
    worker.send_signal(signal.SIGTERM)
    wait_for_the_drain(scheduler)
    assert worker.poll() is None
    worker.send_signal(signal.SIGTERM)
    assert scheduler.release(job)[3] == "drain"
    assert worker.wait(timeout=60) == 0
    assert all(wait_until_gone(pid) for pid in nursery)


def test_deadline_of_a_drain(scheduler):
    process = start_worker(scheduler, drain_ms=800)
    try:
        job = sleeper(scheduler, 60000)
        wait_for_runners(scheduler, process, 1)
        process.send_signal(signal.SIGTERM)
        assert scheduler.release(job)[3] == "drain"
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()


def test_nursery_death_ends_the_worker(scheduler, worker):
    (nursery,) = children(worker.pid)
    assert is_alive(nursery)
    kill(nursery)
    assert worker.wait(timeout=60) == 1


def test_new_scheduler_hears_hello_and_what_is_owed(scheduler, worker):
    generation = scheduler.hello[5]
    job = sleeper(scheduler, 3000)
    wait_for_runners(scheduler, worker, 1)
    scheduler.restart()
    hello = scheduler.wait(HELLO)
    assert hello[5] == generation  # the same life: its leases stay
    assert scheduler.result(job)[3] == DONE


def test_no_endpoint_is_refused():
    done = subprocess.run([BUILD / "filemill-worker", "0"], env={"PATH": os.environ["PATH"], **INSTRUMENTED},
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "FILEMILL_CHANNEL_ENDPOINT" in done.stderr
