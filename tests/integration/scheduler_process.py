# SPDX-License-Identifier: MIT
"""A scheduler of its own against a private Postgres, and peers that speak PROTOCOL.md to it."""
import itertools
import os
import queue
import re
import subprocess
import tempfile
import threading
import time
import uuid

import msgpack
import zmq
from postgres import INSTRUMENTED, ROOT, program
from system import PATIENCE, eventually

TYPES = {name: number for number, name in enumerate(
    "hello welcome credit task progress result release cancel drain poke event delete deleted ping pong pause".split(), 1)}
NAMES = {number: name for name, number in TYPES.items()}
FIELDS = {
    "hello": {1: "version", 2: "role", 3: "node", 4: "name", 5: "generation", 6: "pid", 7: "slots", 8: "memory_bytes",
              9: "sandbox"},
    "welcome": {1: "version", 2: "scheduler"},
    "credit": {1: "tasks", 2: "memory_bytes", 3: "light"},
    "task": {1: "job", 2: "epoch", 3: "type", 4: "file", 5: "tenant", 6: "trace", 7: "attempt", 8: "input_url",
             9: "input_bytes", 10: "input_mime", 11: "input_etag", 12: "input_sha256", 13: "parameters", 14: "wall_ms",
             15: "no_progress_ms", 16: "cpu_seconds", 17: "memory_bytes", 18: "output_bytes", 19: "pages",
             20: "pixels", 21: "outputs", 22: "range_pages", 23: "ranges", 24: "joins", 25: "parts"},
    "progress": {1: "job", 2: "epoch", 3: "done", 4: "total"},
    "result": {1: "job", 2: "epoch", 3: "outcome", 4: "error", 5: "detail", 6: "stage", 7: "retryable", 8: "crash",
               9: "input_sha256", 10: "input_bytes", 11: "cpu_ms", 12: "peak_rss_bytes", 13: "fetch_ms",
               14: "parse_ms", 15: "store_ms", 16: "pages", 17: "metrics", 18: "outputs", 19: "split"},
    "release": {1: "job", 2: "epoch", 3: "reason"},
    "cancel": {1: "job", 2: "epoch"},
    "drain": {1: "deadline_ms"},
    "poke": {1: "jobs"},
    "event": {1: "file", 2: "tenant", 3: "event"},
    "delete": {1: "batch", 2: "objects"},
    "deleted": {1: "batch", 2: "objects"},
    "ping": {1: "nonce"},
    "pong": {1: "nonce"},
    "pause": {1: "type", 2: "resume"},
}
ITEMS = {"outputs": {1: "kind", 2: "key", 3: "mime", 4: "url", 5: "size_bytes", 6: "sha256", 7: "metadata"},
         "objects": {1: "key", 2: "url"},
         "parts": {1: "url", 2: "size_bytes", 3: "sha256"}}


def named(names, value):
    return {names.get(number, number): [named(ITEMS[names[number]], item) for item in field]
            if isinstance(field, list) else field for number, field in value.items()}


def numbered(names, value):
    numbers = {name: number for number, name in names.items()}
    return {numbers[name]: [numbered(ITEMS[name], item) for item in field] if isinstance(field, list) else field
            for name, field in value.items()}


class Scheduler:
    """One filemill-scheduler on the node `node`."""

    def __init__(self, database_url, directory, node="node-a", **settings):
        self.endpoint = f"ipc://{directory}/{node}.sock"
        self.node = node
        self.log_path = f"{directory}/{node}.log"
        self.environment = {
            "PATH": os.environ["PATH"],
            **INSTRUMENTED,
            "FILEMILL_NODE": node,
            "FILEMILL_DATABASE_URL": database_url,
            "FILEMILL_CHANNEL_ENDPOINT": self.endpoint,
            "FILEMILL_LOG_LEVEL": "debug",
            "FILEMILL_STORAGE_ENDPOINT": "http://127.0.0.1:9",
            "FILEMILL_STORAGE_BUCKET": "bucket",
            "FILEMILL_STORAGE_ACCESS_KEY": "key",
            "FILEMILL_STORAGE_SECRET_KEY": "secret-of-the-store",
            "FILEMILL_STORAGE_REGION": "us-east-1",
            "FILEMILL_STORAGE_PROVIDER": "filemill",
            "FILEMILL_BACKOFF_UNIT_MS": "300",
            "FILEMILL_BACKOFF_JITTER_PERCENT": "0",
            **{f"FILEMILL_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.process = None
        self.start()

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([program("filemill-scheduler")], env=self.environment,
                                            stdin=subprocess.DEVNULL, stderr=log, stdout=log)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def kill(self):
        self.process.kill()
        return self.process.wait()

    def terminate(self, seconds=60):
        self.process.terminate()
        return self.process.wait(timeout=seconds * PATIENCE)

    def close(self):
        if self.process.poll() is None:
            self.kill()


class Wire(threading.Thread):
    """The socket of a peer, and the thread that owns it: it answers pings whatever the test is busy with."""

    def __init__(self, endpoint):
        super().__init__(daemon=True)
        context, own = zmq.Context.instance(), f"inproc://peer-{uuid.uuid4()}"
        self.inbox, self.is_silent = queue.SimpleQueue(), False
        self.outside, self.inside, self.socket = (context.socket(kind) for kind in (zmq.PAIR, zmq.PAIR, zmq.DEALER))
        self.outside.bind(own)
        self.inside.connect(own)
        self.socket.setsockopt(zmq.LINGER, 200)
        self.socket.setsockopt(zmq.RECONNECT_IVL, 50)
        self.cuts = self.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self.socket.connect(endpoint)
        self.start()

    def run(self):
        poller = zmq.Poller()
        poller.register(self.inside, zmq.POLLIN)
        poller.register(self.socket, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if self.inside in ready:
                action, data = self.inside.recv_multipart()
                if action == b"close":
                    break
                self.socket.send(data)
            if self.socket in ready:
                self.take(msgpack.unpackb(self.socket.recv(), strict_map_key=False))
        self.socket.disable_monitor()
        self.socket.close()
        self.inside.close()

    def take(self, value):
        kind = NAMES[value.pop(0)]
        if kind != "ping":
            self.inbox.put({"message": kind, **named(FIELDS[kind], value)})
        elif not self.is_silent:
            self.socket.send(msgpack.packb({0: TYPES["pong"], **value}))

    def send(self, data):
        self.outside.send_multipart([b"send", data])

    def wait_until_cut(self, seconds=30):
        assert self.cuts.poll(int(seconds * 1000 * PATIENCE)), "the connection stays"

    def close(self):
        self.outside.send_multipart([b"close", b""])
        self.join()
        self.outside.close()


class Peer:
    """A worker or gateway played by the test."""

    numbers = itertools.count(1)

    def __init__(self, scheduler, role="worker", name=None, generation=None, node=None):
        self.role, self.node = role, node or scheduler.node
        self.name = name or f"{role}-{next(self.numbers)}"
        self.generation = generation or str(uuid.uuid4())
        self.wire = Wire(scheduler.endpoint)
        self.kept = []
        self.hello()

    def hello(self):
        """Said again where no answer comes, as workers do: what was sent to a scheduler that has just died is lost."""
        for attempt in range(4):
            self.send("hello", version=1, role=self.role, node=self.node, name=self.name, generation=self.generation,
                      pid=os.getpid(), slots=4, sandbox="none")
            try:
                self.scheduler = self.expect("welcome", 5)["scheduler"]
                return
            except AssertionError:
                if attempt == 3:
                    raise

    def send(self, kind, **fields):
        self.wire.send(msgpack.packb({0: TYPES[kind], **numbered(FIELDS[kind], fields)}))

    def send_bytes(self, data):
        self.wire.send(data)

    def be_silent(self):
        """Answers no pings any more."""
        self.wire.is_silent = True

    def wait_until_heard(self):
        """Waits until the scheduler has read what was sent before."""
        self.send("ping", nonce=7)
        self.expect("pong", nonce=7)

    def receive(self, seconds):
        """Next message as a dict with its name under "message"; None after so many seconds."""
        try:
            return self.wire.inbox.get(timeout=max(0, seconds))
        except queue.Empty:
            return None

    def expect(self, kind, seconds=60, **wanted):
        """The next message of this kind (and with these fields); others are kept for later."""
        deadline = time.monotonic() + seconds * PATIENCE
        waiting, self.kept = self.kept, []
        while True:
            message = waiting.pop(0) if waiting else self.receive(max(0, deadline - time.monotonic()))
            assert message is not None, f"no {kind} {wanted} within {seconds} s; there were {self.kept}"
            if message["message"] == kind and all(message.get(name) == value for name, value in wanted.items()):
                self.kept += waiting
                return message
            self.kept.append(message)

    def nothing(self, kind, seconds=0.5):
        """No such message comes within so many seconds."""
        deadline = time.monotonic() + seconds
        while True:
            assert not [message for message in self.kept if message["message"] == kind], self.kept
            message = self.receive(max(0, deadline - time.monotonic()))
            if message is None:
                return
            self.kept.append(message)

    def credit(self, tasks):
        self.send("credit", tasks=tasks, memory_bytes=1 << 30)

    def done(self, task, sha256="", **more):
        outputs = [{"kind": output["kind"], "key": output["key"], "size_bytes": 7, "sha256": "ab" * 32,
                    "metadata": '{"pages": 1}'} for output in task.get("outputs", [])]
        fields = {"job": task["job"], "epoch": task["epoch"], "outcome": 1, "cpu_ms": 5, "peak_rss_bytes": 1000,
                  "outputs": outputs, "metrics": '{"words": 3}', **more}
        if sha256:
            fields["input_sha256"] = sha256
        if not outputs:
            del fields["outputs"]
        self.send("result", **fields)

    def failed(self, task, error="bad_input", retryable=False, **more):
        self.send("result", job=task["job"], epoch=task["epoch"], outcome=2, error=error, retryable=retryable,
                  detail="it said no", stage="parse", **more)

    def close(self):
        self.wire.close()


class Queue:
    """Rows for tests, and looks at them."""

    def __init__(self, postgres):
        self.postgres = postgres
        self.tenant = postgres.value("insert into tenants (name) values ('t') returning id::text")
        self.owner = str(uuid.uuid4())

    def file(self, size=100, sha256=None, etag='"tag"'):
        return self.postgres.value(
            "insert into files (id, tenant_id, owner_user_id, r2_key_original, mime, size_bytes, sha256, status, etag)"
            " select id, %s, %s, 't/' || %s || '/u/' || %s || '/' || id || '.pdf', 'application/pdf', %s, %s,"
            "        'processing', %s from (select gen_random_uuid() as id) x returning id::text",
            (self.tenant, self.owner, self.tenant, self.owner, size, sha256, etag))

    def job(self, file=None, kind="extract_pdf", **columns):
        file = file or self.file()
        names = "".join(f", {name}" for name in columns)
        marks = ", %s" * len(columns)
        return self.postgres.value(
            f"insert into jobs (tenant_id, file_id, type{names}) values (%s, %s, %s{marks}) returning id::text",
            (self.tenant, file, kind, *columns.values()))

    def jobs(self, count, kind="extract_pdf", priority=1, user=None, age_s=0, per_file=1):
        """So many jobs at once, due since age_s seconds; their ids in the order in which they are due."""
        rows = self.postgres.query(
            "with f as (insert into files (id, tenant_id, owner_user_id, r2_key_original, mime, size_bytes, status)"
            "           select id, %s, %s, 't/' || %s || '/u/' || %s || '/' || id || '.pdf', 'application/pdf', 100,"
            "                  'processing'"
            "             from (select gen_random_uuid() as id from generate_series(1, (%s + %s - 1) / %s)) x returning id),"
            "     n as (select id, row_number() over () - 1 as number from f)"
            " insert into jobs (tenant_id, file_id, type, priority, user_id, run_after)"
            " select %s, n.id, %s, %s, %s, now() - %s * interval '1 s' - (%s - i) * interval '1 us'"
            "   from generate_series(0, %s - 1) i join n on n.number = i / %s returning id::text, run_after",
            (self.tenant, self.owner, self.tenant, self.owner, count, per_file, per_file,
             self.tenant, kind, priority, user, age_s, count, count, per_file))
        return [row["id"] for row in sorted(rows, key=lambda row: row["run_after"])]

    def row(self, job):
        return self.postgres.query("select *, id::text as id, file_id::text as file_id, status::text as status,"
                                   " extract(epoch from run_after - updated_at)::float as due_s"
                                   " from jobs where id = %s", (job,))[0]

    def status(self, job):
        return self.row(job)["status"]

    def file_status(self, file):
        return self.postgres.value("select status::text from files where id = %s", (file,))

    def wait(self, job, *wanted, seconds=60):
        return eventually(lambda: (row := self.row(job))["status"] in wanted and row, seconds,
                          f"job {job} in {wanted}")


class Stage:
    """Starts schedulers and peers, and ends them with the test. Then no scheduler may have logged what is forbidden."""

    def __init__(self, postgres):
        self.postgres, self.things = postgres, []
        self.directory = tempfile.TemporaryDirectory(prefix="fms-")
        self.forbidden = ["Sanitizer", "runtime error", "unknown_column", "secret-of"]

    def scheduler(self, url=None, **settings):
        self.things.append(Scheduler(url or self.postgres.url(), self.directory.name, **settings))
        return self.things[-1]

    def peer(self, scheduler, **more):
        self.things.append(Peer(scheduler, **more))
        return self.things[-1]

    def close(self):
        with self.directory:
            for thing in reversed(self.things):
                thing.close()
            logs = [thing.log() for thing in self.things if isinstance(thing, Scheduler)]
        lines = [line for log in logs for line in log.splitlines()]
        assert not [line for line in lines if any(words in line for words in self.forbidden)]


# What the planner may believe of tables of jobs: what there is; or what autovacuum saw while a transaction that filled them
# went on, or when there were few rows in many pages.
STATISTICS = {"analyzed": "analyze jobs; analyze files",
              "of no row": "update pg_class set reltuples = 0, relpages = 2000 where relname in ('jobs', 'files')",
              "of few rows": "update pg_class set reltuples = 100, relpages = 2000 where relname in ('jobs', 'files')"}


def statement_texts(*expressions):
    """The scheduler's own statements by C expressions, and the settings that it runs them with."""
    source = ROOT / "scheduler" / "statements.c"
    prints = "".join(f"puts({expression});" for expression in expressions)
    with tempfile.TemporaryDirectory(prefix="fms-") as directory:
        subprocess.run(["cc", "-xc", "-", "-xnone", str(source),
                        *(str(ROOT / "lib" / f"{name}.c") for name in ("buffer", "text", "text_code", "log", "log_json",
                                                                       "memory", "clock")),
                        "-D_GNU_SOURCE", f"-I{ROOT}", "-I/usr/include/postgresql", "-o", f"{directory}/probe"],
                       input=f'#include "scheduler/statements.h"\n#include <stdio.h>\nint main(void){{{prints}return 0;}}\n',
                       text=True, check=True)
        texts = subprocess.run([f"{directory}/probe"], capture_output=True, text=True, check=True).stdout
    return texts, re.findall(r'{"(\w+)", "(\w+)"}', source.read_text())
