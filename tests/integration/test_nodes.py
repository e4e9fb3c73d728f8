# SPDX-License-Identifier: MIT
"""One Filemill spread over nodes: a store, a gateway and processors, each its own `filemill serve` with a state
directory of its own. They share Postgres and the object store and nothing else: no socket, no folder, no channel."""
import concurrent.futures
import os
import signal
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

from cut import Line
from postgres import Postgres
from receiver import Receiver, verify
from system import BUILD, System, eventually, fetch, free_port, one_page_pdf, strike
import test_kit as kit

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fault"))
from invariants import violations  # noqa: E402

FILES = int(os.environ.get("FILEMILL_TEST_FILES", "200"))
POLL_MS = 10000  # so rarely that it is seen what goes by notices
CUT_SECONDS = float(os.environ.get("FILEMILL_TEST_CUT_SECONDS", "8"))  # longer than a lease


class Node(System):
    """A part of a Filemill. `settings` are those of the whole; `roles` says which part."""

    def __init__(self, name, roles, **settings):
        super().__init__(roles=roles, node=name, **settings)
        self.name, self.roles = name, roles

    def is_ready(self):
        assert self.process.poll() is None, f"serve exited {self.process.returncode}:\n{self.log()[-4000:]}"
        return self.command("health", check=False).returncode == 0

    def kill(self):
        """As a machine that loses its power: everything of it at once."""
        strike([self.process.pid, *(pid for pid, _ in self.descendants())], signal.SIGKILL)
        self.process.wait()


class Nodes:
    """Speaks like one System: the API is the gateway's, SQL and S3 are everybody's."""

    def __init__(self, **settings):
        self.settings = settings
        self.postgres = Postgres(settings=["log_statement = 'mod'"])
        self.nodes = []

    def __enter__(self):
        self.postgres.start()
        self.postgres.migrate("--login-passwords", environment={"FILEMILL_GATEWAY_PASSWORD": "gateway",
                                                                "FILEMILL_SCHEDULER_PASSWORD": "scheduler"})
        try:
            self.start_all()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def start_all(self):
        store_port = free_port()
        self.endpoint = f"http://127.0.0.1:{store_port}"
        self.settings.update(storage_provider="filemill", storage_endpoint=self.endpoint, storage_bucket="shared",
                             storage_access_key="one-key", storage_secret_key=uuid.uuid4().hex,
                             jwt_secret=uuid.uuid4().hex)
        self.store = self.add("store", "store", store_port=store_port)
        self.gateway = self.add("front", "gateway", gateway_database_url=self.postgres.url("filemill_gateway"))
        self.processors = [self.add_processor(f"processor-{number}") for number in (1, 2)]

    def add(self, name, roles, **more):
        node = Node(name, roles, **{**self.settings, **more})
        self.nodes.append(node)
        return node.start()

    def add_processor(self, name):
        return self.add(name, "scheduler,worker", scheduler_database_url=self.postgres.url("filemill_scheduler"))

    def __exit__(self, kind, error, trace):
        for node in reversed(self.nodes):
            if error is not None:
                print(f"--- {node.name}\n{node.log()[-3000:]}")
            node.close()
        self.postgres.close()

    @property
    def base(self):
        return self.gateway.base

    @property
    def bucket(self):
        return self.settings["storage_bucket"]

    def command(self, *arguments, **more):
        return self.gateway.command(*arguments, **more)

    def sql(self, query, *values):
        return self.postgres.query(query, values or None)

    def s3(self):
        self.gateway.shell = {"AWS_ENDPOINT_URL": self.endpoint,
                              "AWS_ACCESS_KEY_ID": self.settings["storage_access_key"],
                              "AWS_SECRET_ACCESS_KEY": self.settings["storage_secret_key"]}
        return self.gateway.s3()

    def pids(self, program):
        return [pid for node in self.processors for pid in node.pids(program)]

    user = System.user


@pytest.fixture(scope="module")
def system():
    with Nodes(backoff_unit_ms=200, lease_ms=5000, worker_slots=2, webhook_allow_http="on", webhook_timeout_ms=5000,
               webhook_allow_networks="127.0.0.0/8", poll_ms=POLL_MS) as running:
        yield running


@pytest.fixture(scope="module")
def user(system):
    return system.user().bootstrap()


# The test kit, against the whole.
sent = kit.sent
for _name in [name for name in dir(kit) if name.startswith("test_")]:
    globals()[_name] = getattr(kit, _name)


def test_each_node_runs_its_own_part(system):
    parts = {node.name: {entry["name"] for entry in node.stats()["services"]} for node in system.nodes}
    assert parts == {"store": {"store"}, "front": {"gateway"}, "processor-1": {"scheduler", "worker"},
                     "processor-2": {"scheduler", "worker"}}


def test_a_job_is_taken_up_before_anybody_polls(system, user):
    """The gateway has no scheduler to poke; it wakes the others through Postgres, after its commit."""
    delays = []
    for number in range(12):
        file_id = user.send(f"{number}.pdf", "application/pdf", one_page_pdf(f"wake {number}"))
        user.wait(file_id)
        row, = system.sql("select extract(epoch from min(started_at) - min(created_at))::float as delay from jobs "
                          "where file_id = %s", file_id)
        delays.append(row["delay"])
    # Of two nodes that only poll, half the jobs would wait longer than this.
    assert sorted(delays)[-2] < POLL_MS / 1000 * 0.3, delays


def test_pokes_are_one_notice_in_a_transaction_of_its_own(system, user):
    """None in the inserting transaction, and not one for each file."""
    connection = system.postgres.connect()
    with connection.cursor() as cursor:
        cursor.execute("listen filemill_jobs")

    def heard():
        connection.poll()
        return [notice for notice in connection.notifies if notice.payload == "gateway"]
    files = [user.upload(f"{n}.pdf", "application/pdf", one_page_pdf(f"burst {n}")) for n in range(40)]
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        assert all(answer.status == 200 for answer in clients.map(user.finalize, files))
    seconds = time.monotonic() - started
    eventually(heard, what="a notice")
    for file_id in files:
        assert user.wait(file_id)["status"] == "ready"
    ours = heard()
    connection.close()
    assert len(ours) <= seconds / 0.05 + 2, (len(ours), seconds)


def test_events_of_another_node_reach_a_stream(system, user):
    import urllib.request
    file_id = user.upload("stream.pdf", "application/pdf", one_page_pdf("stream"))
    request = urllib.request.Request(f"{system.base}/v1/files/{file_id}/events",
                                     headers={"Authorization": f"Bearer {user.token}"})
    with urllib.request.urlopen(request, timeout=60) as stream:
        assert user.finalize(file_id).status == 200
        deadline, text = time.monotonic() + 60, b""
        while time.monotonic() < deadline and b'"ready"' not in text:
            line = stream.readline()
            if not line:
                break
            text += line
    assert b'"ready"' in text, text


def test_a_running_job_is_cancelled_on_another_node(system, user):
    strike(system.pids("filemill-nursery"), signal.SIGSTOP)
    try:
        file_id = user.send("stop.pdf", "application/pdf", one_page_pdf("stop"))
        jobs = eventually(lambda: system.sql("select id::text from jobs where file_id = %s and status = 'running'",
                                             file_id), what="a running job")
        for job in jobs:
            assert user.call("POST", f"/v1/jobs/{job['id']}/cancel").status in (200, 202)
    finally:
        strike(system.pids("filemill-nursery"), signal.SIGCONT)
    eventually(lambda: not system.sql("select 1 from jobs where file_id = %s and status in "
                                      "('queued', 'running', 'retry')", file_id), what="no open job")
    states = {row["id"]: row["status"] for row in
              system.sql("select id::text, status::text from jobs where file_id = %s", file_id)}
    assert all(states[job["id"]] == "cancelled" for job in jobs)


def test_a_lost_processor_loses_nothing(system, user):
    """One of two machines dies mid-load. The other takes over what it held; a third joins and helps."""
    def one(number):
        return user.send(f"{number}.pdf", "application/pdf", one_page_pdf(f"load {number}"))

    first, second = system.processors
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        files = clients.map(one, range(FILES))
        held = eventually(lambda: system.sql("select id from jobs where status = 'running' and locked_by like %s",
                                             f"{first.name}%"), every=0.01, what="a job on the first node")
        first.kill()
        assert held
        system.processors[0] = system.add_processor("processor-3")
        files = list(files)
    eventually(lambda: not system.sql("select 1 from jobs where status not in ('done', 'failed', 'cancelled') limit 1"),
               120, every=0.25, what="all jobs finished")
    states = {row["id"]: row["status"] for row in system.sql("select id::text, status::text from files")}
    assert {states[file_id] for file_id in files} == {"ready"}
    assert violations(system) == []
    assert second.process.poll() is None


def test_a_lost_processor_loses_no_webhook(system, user):
    """Both machines tell of 200 events; one of them dies amid that, and comes back. Each event is told, under one id."""
    receiver, events, killed = Receiver(), 200, threading.Event()
    receiver.answers["/storm"] = [204] * (events // 10) + [lambda request: (killed.wait(1), 204)[1]]
    hooks = f"/v1/tenants/{user.tenant}/webhooks"
    hook = user.call("POST", hooks, {"url": receiver.url("/storm"), "event_types": ["file.failed"], "concurrency": 8}).json
    file_id = user.upload("storm.txt", "text/plain", b"told of")

    def teller():
        held = system.sql("select locked_by from webhook_deliveries where state = 'sending' limit 1")
        return next((node for node in system.processors for row in held if row["locked_by"].startswith(node.name)), None)

    system.sql("insert into file_events (tenant_id, file_id, kind, data) select %s, %s, 'file.status', "
               "'{\"status\": \"failed\"}' from generate_series(1, %s)", user.tenant, file_id, events)
    eventually(lambda: len(receiver.got("/storm")) > events // 10, every=0.01, what="a storm")
    victim = eventually(teller, every=0.01, what="a node that is telling")
    victim.kill()
    before = len(receiver.got("/storm"))
    killed.set()
    victim.start()
    eventually(lambda: not system.sql("select 1 from webhook_deliveries where endpoint_id = %s and state <> 'delivered'",
                                      hook["id"]), what="all told")
    told = receiver.got("/storm")
    assert before < events, "the fault came too late"
    assert len({request.headers["webhook-id"] for request in told}) == events <= len(told) <= events + 8
    assert all(verify(hook["secret"], request.headers, request.body)["type"] == "file.failed" for request in told)
    assert user.call("DELETE", f"{hooks}/{hook['id']}").status == 200
    receiver.close()


def test_a_processor_cut_off_from_postgres_loses_nothing(system, user):
    """Nothing is refused, nothing arrives: the others take over what it held, it throws away what it did meanwhile, and
    it joins in again by itself."""
    line = Line(system.postgres.directory)
    url = system.postgres.url("filemill_scheduler").replace(str(system.postgres.directory), str(line.directory))
    lone = system.add("cut-off", "scheduler,worker", scheduler_database_url=url)
    files = [user.send(f"cut {number}.pdf", "application/pdf", one_page_pdf(f"cut {number}")) for number in range(20)]

    def held():
        return system.sql("select id::text from jobs where status = 'running' and locked_by like 'cut-off%%'")

    def send_until_held():
        files.append(user.send("more.pdf", "application/pdf", one_page_pdf(f"more {len(files)}")))
        line.cut()
        if held():
            return True
        line.mend()
        return False

    eventually(send_until_held, every=0, what="a job in the hands of the node that is cut off")
    time.sleep(CUT_SECONDS)
    for file_id in files:
        user.wait(file_id)
    assert not held()
    line.mend()
    eventually(lambda: lone.command("health", check=False).returncode == 0, what="the node serves again")

    def claimed():
        return sum(entry["counters"].get("filemill_jobs_claimed_total", 0) for entry in lone.stats()["services"])

    before = claimed()

    def helps():
        user.wait(user.send("again.pdf", "application/pdf", one_page_pdf(f"again {time.monotonic()}")))
        return claimed() > before

    eventually(helps, every=0, what="the node claims jobs again")
    states = {row["id"]: row["status"] for row in system.sql("select id::text, status::text from files")}
    assert {states[file_id] for file_id in files} == {"ready"}
    assert lone.terminate() == 0
    line.close()
    assert violations(system) == []


def test_a_gateway_may_come_and_go(system, user):
    """Gateways keep nothing: another one, elsewhere, answers for the same files."""
    other = system.add("front-2", "gateway", gateway_database_url=system.postgres.url("filemill_gateway"))
    file_id = user.send("two.pdf", "application/pdf", one_page_pdf("two gateways"))
    answer = fetch("GET", f"{other.base}/v1/files/{file_id}", {"Authorization": f"Bearer {user.token}"})
    assert answer.status == 200
    assert other.terminate() == 0
    assert user.wait(file_id)["status"] == "ready"


def test_nobody_holds_what_it_does_not_need(system):
    """The gateway's node never hears the owner's URL, the processors' workers neither a key nor a database."""
    secret = system.settings["storage_secret_key"].encode()
    for node, program, given in ((system.processors[1], "filemill-worker", False),
                                 (system.processors[1], "filemill-scheduler", True), (system.gateway, "filemill-gateway",
                                                                                    True)):
        pid, *_ = node.pids(program)
        assert (secret in Path(f"/proc/{pid}/environ").read_bytes()) == given, program
    assert BUILD.exists()
