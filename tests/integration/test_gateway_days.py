# SPDX-License-Identifier: MIT
"""Bad days of the gateway: repeated and racing requests, too many of them, Postgres or the store away, stopping in the
middle, listeners that come back, and what must never be in a log."""
import http.client
import json
import os
import re
import signal
import socket
import struct
import threading
import time
import uuid

import pytest

from gateway_process import SECRET, Gateway, World, token
from postgres import ROOT
from store_process import SECRET_KEY, Store
from system import eventually

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("gateway") / "log"


@pytest.fixture(scope="module")
def world(log):
    with open(log, "wb") as file, World(log=file) as running:
        yield running


@pytest.fixture(scope="module")
def user(world):
    return world.gateway.user().bootstrap()


def at_once(count, work):
    """Runs work(i) in so many threads that start together; the results in order."""
    results, barrier = [None] * count, threading.Barrier(count)

    def run(i):
        barrier.wait()
        results[i] = work(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# -- idempotency ---------------------------------------------------------------------------------------------------

def test_same_key_same_answer(world, user):
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    first = user.init(headers=headers)
    again = user.init(headers=headers)
    assert first.status == again.status == 200 and first.body == again.body
    assert "idempotency-replayed" not in first.headers and again.headers["idempotency-replayed"] == "true"
    other = user.init(size=4321, headers=headers)
    assert (other.status, other.error) == (422, "idempotency_key_reused")
    elsewhere = user.call("POST", "/v1/tenants/bootstrap", {"name": "x"}, headers)
    assert (elsewhere.status, elsewhere.error) == (422, "idempotency_key_reused")


def test_keys_are_of_one_user(world, user):
    headers = {"Idempotency-Key": "shared"}
    stranger = world.gateway.user().bootstrap()
    mine, theirs = user.init(headers=headers), stranger.init(headers=headers)
    assert mine.status == theirs.status == 200 and mine.json["file_id"] != theirs.json["file_id"]
    assert "idempotency-replayed" not in theirs.headers


@pytest.mark.parametrize("key", ["a b", "x" * 256, "\u00e4".encode().decode("latin-1")])
def test_malformed_keys(user, key):
    assert user.init(headers={"Idempotency-Key": key}).status == 400


def test_race_of_fifty_init_uploads(world, user):
    headers = {"Idempotency-Key": "race-" + str(uuid.uuid4())}
    before = world.postgres.value("select count(*) from files where tenant_id = %s", (user.tenant,))
    answers = at_once(50, lambda _: user.init(headers=headers))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert world.postgres.value("select count(*) from files where tenant_id = %s", (user.tenant,)) == before + 1


def test_race_of_fifty_bootstraps(world):
    user = world.gateway.user()
    answers = at_once(50, lambda _: user.call("POST", "/v1/tenants/bootstrap", {"name": "one"}, {"Idempotency-Key": "b"}))
    assert {answer.status for answer in answers} == {201} and len({answer.body for answer in answers}) == 1
    assert len(user.call("GET", "/v1/tenants").json["tenants"]) == 1


def test_race_of_fifty_reprocesses(world, user):
    file_id = user.send(PDF)
    answers = at_once(50, lambda _: user.call("POST", f"/v1/internal/files/{file_id}/reprocess", None,
                                              {"Idempotency-Key": "r-" + file_id}))
    assert {answer.status for answer in answers} == {200} and len({answer.body for answer in answers}) == 1
    assert world.postgres.value("select generation from files where id = %s", (file_id,)) == 1


@pytest.mark.parametrize("key", [None, "f"])
def test_race_of_fifty_finalizes(world, user, key):
    file_id = user.upload(PDF)
    answers = at_once(50, lambda _: user.finalize(file_id, {"Idempotency-Key": key + file_id} if key else None))
    assert {answer.status for answer in answers} == {200}
    assert len({json.dumps(answer.json, sort_keys=True) for answer in answers}) == 1
    assert world.postgres.value("select count(*) from jobs where file_id = %s", (file_id,)) == 2
    assert world.postgres.value("select count(*) from file_events where file_id = %s and kind = 'file.status'", (file_id,)) == 1


def test_refusals_are_kept_where_something_was_tried(world, user):
    """not_a_member was decided in the transaction; the key tells the same again even after the user has joined."""
    joiner = world.gateway.user(user.tenant)
    headers = {"Idempotency-Key": "join"}
    first = joiner.init(headers=headers)
    assert (first.status, first.error) == (403, "not_a_member")
    user.call("POST", f"/v1/tenants/{user.tenant}/members", {"user_id": joiner.id})
    again = joiner.init(headers=headers)
    assert again.status == 403 and again.headers["idempotency-replayed"] == "true"
    assert joiner.init(headers={"Idempotency-Key": "join-2"}).status == 200


def test_refused_bodies_use_up_no_key(user):
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    assert user.init(size=-1, headers=headers).status == 400
    assert user.init(headers=headers).status == 200


def test_a_key_whose_gateway_died_is_free_again(world, user):
    """The effect of a finalize is committed with its key but the answer was never stored."""
    file_id = user.upload(PDF)
    headers = {"Idempotency-Key": "died-" + file_id}
    first = user.finalize(file_id, headers)
    world.postgres.query("update idempotency_keys set status = null, body = null, created_at = now() - interval '31 seconds' "
                         "where key = %s", (headers["Idempotency-Key"],))
    again = user.finalize(file_id, headers)
    assert again.status == 200 and again.json == first.json


def test_what_was_made_is_not_made_again(world, user):
    """The gateway died before it kept the answer of an order."""
    file_id = user.upload(PDF)
    assert user.finalize(file_id).status == 200
    headers = {"Idempotency-Key": "made-" + file_id}

    def order():
        return user.call("POST", f"/v1/files/{file_id}/jobs", {"type": "thumbnail"}, headers)

    first = order()
    count = "select count(*) from jobs where file_id = %s"
    before = world.postgres.value(count, (file_id,))
    world.postgres.query("update idempotency_keys set status = null, body = null, created_at = now() - interval '31 seconds' "
                         "where key = %s", (headers["Idempotency-Key"],))
    again = order()
    assert first.status == 202 and (again.status, again.error) == (409, "idempotency_answer_lost")
    assert world.postgres.value(count, (file_id,)) == before


def test_a_day_later_the_key_is_new(world, user):
    headers = {"Idempotency-Key": "old-" + str(uuid.uuid4())}
    first = user.init(headers=headers).json["file_id"]
    world.postgres.query("update idempotency_keys set created_at = now() - interval '25 hours' where key = %s",
                         (headers["Idempotency-Key"],))
    assert user.init(headers=headers).json["file_id"] != first
    world.postgres.query("update idempotency_keys set created_at = now() - interval '25 hours'")
    assert world.postgres.value("select idempotency_expire()") > 0


# -- rate ----------------------------------------------------------------------------------------------------------

def test_rate_limit_is_per_user(world):
    gateway = Gateway(world.postgres, world.store, rate_per_minute=30).start()
    try:
        greedy, modest = gateway.user(), gateway.user()
        began, passed = time.monotonic(), 0
        while (refused := greedy.call("GET", "/v1/tenants")).status == 200:
            passed += 1
        assert 30 <= passed <= 31 + (time.monotonic() - began) / 2  # while it is asked there comes more room
        assert refused.status == 429 and refused.error == "rate_limited" and 1 <= int(refused.headers["retry-after"]) <= 3
        assert modest.call("GET", "/v1/tenants").status == 200
        assert gateway.call("GET", "/health").status == 200
        time.sleep(int(refused.headers["retry-after"]) + 0.2)
        assert greedy.call("GET", "/v1/tenants").status == 200
    finally:
        gateway.close()


# -- events --------------------------------------------------------------------------------------------------------

class Listener:
    def __init__(self, user, file_id, after=None, query=""):
        headers = {"Authorization": "Bearer " + token(user.id)}
        if after is not None:
            headers["Last-Event-ID"] = str(after)
        self.connection = http.client.HTTPConnection("127.0.0.1", user.gateway.port, timeout=60)
        self.connection.request("GET", f"/v1/files/{file_id}/events{query}", headers=headers)
        self.reply = self.connection.getresponse()
        self.first = self.reply.readline() if self.reply.status == 200 else None

    def next(self):
        """The next event as (id, kind, data); None at the end."""
        fields = {}
        while True:
            line = self.reply.readline().decode()
            if line == "":
                return None
            name, _, value = line.rstrip("\n").partition(": ")
            if line == "\n":
                if "data" in fields:
                    return int(fields["id"]), fields["event"], json.loads(fields["data"])
                fields = {}
            else:
                fields[name] = value

    def close(self):
        self.connection.close()


def test_events_replay_and_follow(world, user):
    file_id = user.upload(PDF)
    listener = Listener(user, file_id)
    assert listener.reply.status == 200 and listener.reply.getheader("Content-Type") == "text/event-stream"
    assert listener.first == b"retry: 1000\n"
    user.finalize(file_id)
    events = [listener.next() for _ in range(3)]
    assert sorted((kind, data["status"]) for _, kind, data in events) == \
        [("file.status", "processing"), ("job.status", "queued"), ("job.status", "queued")]
    assert all(data["file_id"] == file_id and data["created_at"].endswith("Z") for _, _, data in events)
    ids = [event[0] for event in events]
    assert ids == sorted(ids)

    for after, expected in ((None, ids), (ids[0], ids[1:]), (ids[1], ids[2:])):
        late = Listener(user, file_id, after)
        assert [late.next()[0] for _ in expected] == expected
        late.close()
    by_query = Listener(user, file_id, query=f"?last_event_id={ids[1]}")
    assert by_query.next()[0] == ids[2]
    by_query.close()

    # another program writes an event; the poll finds it
    world.postgres.query("insert into file_events (tenant_id, file_id, kind, data) values (%s, %s, 'job.progress', "
                         "'{\"done\": 1, \"total\": 2}')", (user.tenant, file_id))
    event = listener.next()
    assert event[1] == "job.progress" and event[2]["done"] == 1

    user.call("DELETE", f"/v1/files/{file_id}")
    rest = []
    while (event := listener.next()) is not None:
        rest.append((event[1], event[2]["status"]))
    assert rest[-1] == ("file.status", "deleted") and rest.count(("job.status", "cancelled")) == 2


def test_events_refuse_nonsense(user):
    file_id = user.upload(PDF)
    for after in ("x", "-1", "99999999999999999999", "1 2"):
        listener = Listener(user, file_id, after)
        assert listener.reply.status == 400, after
    assert user.call("HEAD", f"/v1/files/{file_id}/events").status == 405


def test_a_long_history_comes_whole(world, user):
    file_id = user.upload(PDF)
    world.postgres.query("insert into file_events (tenant_id, file_id, kind, data) select %s, %s, 'job.progress', "
                         "jsonb_build_object('done', n) from generate_series(1, 1000) n", (user.tenant, file_id))
    listener = Listener(user, file_id)
    assert [listener.next()[2]["done"] for _ in range(1000)] == list(range(1, 1001))
    listener.close()


def test_a_stream_ends_with_its_token(world, user):
    file_id = user.upload(PDF)
    for seconds in (2, 5, 20):  # it must be there while the token is good
        headers = {"Authorization": "Bearer " + token(user.id, exp=int(time.time()) + seconds)}
        connection = http.client.HTTPConnection("127.0.0.1", world.gateway.port, timeout=60)
        connection.request("GET", f"/v1/files/{file_id}/events", headers=headers)
        reply = connection.getresponse()
        text = reply.read()
        if reply.status == 200:
            break
    assert reply.status == 200 and b"expired" in text, text


def test_no_listener_no_query(world):
    """An idle gateway leaves the database alone."""
    def newest():
        return world.postgres.value("select max(query_start) from pg_stat_activity where application_name = 'filemill-gateway'")

    def idle():
        before = newest()
        time.sleep(3)
        return before is not None and newest() == before
    eventually(idle, what="three seconds without a query, once all connections of the tests before are known to be closed")


# -- Postgres and the store away -----------------------------------------------------------------------------------

def test_postgres_stopped_and_started(world, user):
    file_id = user.upload(PDF)
    world.postgres.stop()
    try:
        for method, path, body in (("GET", "/v1/tenants", None), ("GET", f"/v1/files/{file_id}", None),
                                   ("POST", "/v1/tenants/bootstrap", {"name": "x"}),
                                   ("POST", "/v1/files/finalize", {"file_id": file_id})):
            answer = user.call(method, path, body)
            assert (answer.status, answer.error) == (503, "database_unavailable"), (path, answer)
            assert answer.headers["retry-after"] == "1"
        assert world.gateway.call("GET", "/health").status == 200
        ready = world.gateway.call("GET", "/ready")
        assert (ready.status, ready.error) == (503, "not_ready")
        assert ready.json["details"]["database"] is False and ready.json["details"]["storage"] is True
    finally:
        world.postgres.start()
    eventually(lambda: user.call("GET", "/v1/tenants").status == 200, 30, "recovery")
    eventually(lambda: world.gateway.call("GET", "/ready").status == 200, what="ready again")
    assert user.finalize(file_id).status == 200


def test_postgres_killed_under_load_loses_no_acknowledged_upload(world, user):
    acknowledged, codes, stop = [], set(), threading.Event()

    def work():
        while not stop.is_set():
            try:
                answer = user.init()
            except (OSError, http.client.HTTPException):
                continue
            codes.add(answer.status)
            if answer.status == 200:
                acknowledged.append(answer.json["file_id"])
            else:
                time.sleep(0.01)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    world.postgres.restart(down_seconds=0.5)
    count = len(acknowledged)
    eventually(lambda: len(acknowledged) > count + 20, 60, "new uploads")
    stop.set()
    for thread in threads:
        thread.join()
    assert codes <= {200, 503}
    found = world.postgres.value("select count(*) from files where id = any (%s::uuid[])", (acknowledged,))
    assert found == len(acknowledged)


def counters():
    """A segment as the supervisor makes it, and where each number lies."""
    names = []
    for kind, name in re.findall(r"^(COUNTER|HISTOGRAM)\((\w+),", (ROOT / "lib" / "counters.def").read_text(), re.M):
        names += [name] if kind == "COUNTER" else [name] * 17  # 15 bounds, sum, count
    fd = os.memfd_create("counters")
    os.truncate(fd, len(names) * 8 + 8 + 256)  # lib/counters.c: the numbers first, then the note and its version
    return fd, {name: at * 8 for at, name in enumerate(names)}


def test_the_store_away(world, user):
    store = Store()
    fd, rows = counters()
    gateway = Gateway(world.postgres, store, rate_per_minute=0).start(pass_fds={"FILEMILL_COUNTERS_FD": fd})
    try:
        author = gateway.user().bootstrap()
        file_id = author.upload(PDF)
        store.kill()
        answer = author.finalize(file_id)
        assert (answer.status, answer.error) == (503, "storage_unavailable") and answer.headers["retry-after"] == "1"
        errors = {name: struct.unpack("=Q", os.pread(fd, 8, at))[0] for name, at in rows.items() if "STORAGE_ERRORS" in name}
        assert len(errors) == 6 and sorted(errors.values()) == [0, 0, 0, 0, 0, 1], "counted by its provider"
        assert author.call("GET", f"/v1/files/{file_id}").json["status"] == "uploading"
        time.sleep(2.1)
        assert gateway.call("GET", "/ready").json["details"]["storage"] is False
        store.start()
        eventually(lambda: author.finalize(file_id).status == 200, what="finalize")
    finally:
        gateway.close()
        store.kill()
        os.close(fd)


def test_ready_listens_to_the_supervisor(world):
    """A service that the supervisor gave up makes the node not ready: it says so in its own counters."""
    fd, rows = counters()
    gateway = Gateway(world.postgres, world.store, rate_per_minute=0)
    try:
        gateway.start(pass_fds={"FILEMILL_HEALTH_FD": fd})
        assert gateway.call("GET", "/ready").status == 200
        os.pwrite(fd, struct.pack("=Q", 1), rows["SUPERVISOR_FAILED"])
        answer = gateway.call("GET", "/ready")
        assert answer.error == "not_ready" and answer.json["details"]["services"] is False
        assert answer.json["details"]["database"] is True
        assert gateway.user().call("GET", "/v1/tenants").status == 200, "the rest goes on"
    finally:
        gateway.close()
        os.close(fd)


# -- stopping ------------------------------------------------------------------------------------------------------

def test_drain(world):
    """Started by a supervisor, the first SIGTERM refuses writes and answers reads; the second ends it."""
    gateway = Gateway(world.postgres, world.store, rate_per_minute=0)
    health = os.memfd_create("health")
    os.truncate(health, 1 << 16)
    try:
        gateway.start(pass_fds={"FILEMILL_HEALTH_FD": health})
        author = gateway.user().bootstrap()
        file_id = author.upload(PDF)
        listener = Listener(author, file_id)
        gateway.process.send_signal(signal.SIGTERM)
        text = listener.reply.read()
        assert b"retry: 1000" in text, "the listener is told to come back"
        assert gateway.call("GET", "/ready").error == "draining"
        assert gateway.call("GET", "/health").status == 200
        for answer in (author.init(), author.finalize(file_id), author.call("DELETE", f"/v1/files/{file_id}")):
            assert (answer.status, answer.error) == (503, "draining") and answer.headers["retry-after"] == "1"
        assert author.call("GET", f"/v1/files/{file_id}").status == 200
        assert author.call("GET", f"/v1/files/{file_id}/events").error == "draining"
        started = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(60) == 0 and time.monotonic() - started < 15, "the deadline is at half a minute"
    finally:
        gateway.close()
        os.close(health)


def load(user, stop, outcomes):
    while not stop.is_set():
        try:
            outcomes.append(user.init().status)
        except (OSError, http.client.HTTPException):
            outcomes.append(None)
            time.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_under_load_loses_nothing(world, number):
    gateway = Gateway(world.postgres, world.store, rate_per_minute=0).start()
    author = gateway.user().bootstrap()
    stop, outcomes = threading.Event(), []
    threads = [threading.Thread(target=load, args=(author, stop, outcomes)) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: outcomes.count(200) > 20, 60, "load")
    gateway.process.send_signal(number)
    status = gateway.process.wait(60)
    stop.set()
    gateway.listener.close()
    for thread in threads:
        thread.join()
    assert status == 0
    count = world.postgres.value("select count(*) from files where tenant_id = %s", (author.tenant,))
    assert count == outcomes.count(200) and set(outcomes) <= {200, 503, None}


def test_retiring_beside_a_successor(world):
    """SIGUSR2: a newer gateway has the same socket already; not one request fails."""
    gateway = Gateway(world.postgres, world.store, rate_per_minute=0).start()
    author = gateway.user().bootstrap()
    old = gateway.process
    stop, outcomes = threading.Event(), []
    threads = [threading.Thread(target=load, args=(author, stop, outcomes)) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        gateway.start()
        eventually(lambda: len(outcomes) > 20, 60, "load")
        old.send_signal(signal.SIGUSR2)
        assert old.wait(60) == 0
        count = len(outcomes)
        eventually(lambda: len(outcomes) > count + 20, 60, "load on the successor alone")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        if old.poll() is None:
            old.kill()
        gateway.close()
    assert set(outcomes) == {200}


def test_killed_again_and_again(world):
    """kill -9 in the middle of keyed uploads: whoever repeats until it is answered has made one file per key."""
    gateway = Gateway(world.postgres, world.store, rate_per_minute=0).start()
    author = gateway.user().bootstrap()
    answers, stop = {}, threading.Event()

    def work(number):
        turn = 0
        while not stop.is_set():
            turn += 1
            key = f"kill-{number}-{turn}"
            while key not in answers:
                try:
                    answer = author.init(headers={"Idempotency-Key": key}, timeout=5)
                except (OSError, http.client.HTTPException):
                    time.sleep(0.01)
                    continue
                assert answer.status in (200, 503), answer
                if answer.status == 200:
                    answers[key] = answer.json["file_id"]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(12):
            count = len(answers)
            eventually(lambda: len(answers) > count + 4, 60, "uploads")
            gateway.process.kill()
            gateway.process.wait(10)
            gateway.start()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        gateway.close()
    files = [str(row["id"]) for row in world.postgres.query("select id from files where tenant_id = %s", (author.tenant,))]
    assert len(answers) > 50
    assert sorted(files) == sorted(answers.values())


# -- clients that go, or crawl -------------------------------------------------------------------------------------

def test_clients_that_vanish_leave_nothing_behind(world, user):
    file_id = user.upload(PDF)
    descriptors = lambda: len(os.listdir(f"/proc/{world.gateway.process.pid}/fd"))
    user.call("GET", "/v1/tenants")
    before = descriptors()
    bearer = token(user.id)
    for path in (f"/v1/files/{file_id}/events", "/v1/tenants", f"/v1/files/{file_id}", f"/v1/files?tenant_id={user.tenant}"):
        for _ in range(100):
            client = socket.create_connection(("127.0.0.1", world.gateway.port))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\n\r\n".encode())
            client.close()
    body = json.dumps({"file_id": file_id})
    for _ in range(100):
        client = socket.create_connection(("127.0.0.1", world.gateway.port))
        client.sendall(f"POST /v1/files/finalize HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\nContent-Type: "
                       f"application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        client.close()
    eventually(lambda: descriptors() <= before + 80, 60, "closed connections")  # pools may grow: 64 + 8
    assert user.call("GET", "/v1/tenants").status == 200


def test_many_listeners_cost_little(world, user):
    file_id = user.upload(PDF)
    listeners = [Listener(user, file_id) for _ in range(100)]
    user.finalize(file_id)
    for listener in listeners:
        assert len([listener.next() for _ in range(3)]) == 3
        listener.close()


# -- logs ----------------------------------------------------------------------------------------------------------

def test_no_secret_is_ever_logged(world, user, log):
    canary = "canary-" + uuid.uuid4().hex
    bearer = token(user.id)
    world.gateway.raw("GET", "/v1/tenants?token=" + canary, headers={"Authorization": "Bearer " + canary})
    world.gateway.raw("GET", f"/v1/files?x={canary}", headers={"Authorization": "Bearer " + bearer})
    user.init(filename=canary + "\n\x1b[31mlevel=error forged=1", headers={"Idempotency-Key": canary})
    user.call("POST", "/v1/files/finalize", ('{"file_id":"' + canary).encode())
    user.call("POST", "/v1/tenants/bootstrap", {"name": canary})
    world.gateway.raw("GET", "/" + canary + "%0aforged=1")
    link = user.call("GET", f"/v1/files/{user.send(PDF)}/download").json["download_url"]
    signature = link.partition("X-Amz-Signature=")[2][:64]
    text = log.read_text()
    assert "state=serving" in text
    for secret in (SECRET, SECRET_KEY, bearer, bearer.split(".")[2], signature, world.postgres.url()):
        assert secret not in text
    assert text.count(canary) == 1, "the path alone"
    assert "\nforged" not in text and "\x1b" not in text
    assert all(line.startswith("ts=") for line in text.splitlines())
    with open(f"/proc/{world.gateway.process.pid}/cmdline", "rb") as file:
        assert SECRET.encode() not in file.read()


def test_access_lines_carry_the_request(world, user, log):
    answer = user.call("GET", "/v1/tenants")
    line, = eventually(lambda: [line for line in log.read_text().splitlines() if answer.headers["x-request-id"] in line],
                       what="a line: it is written after the answer")
    assert "method=GET path=/v1/tenants status=200" in line and f"user={user.id}" in line
