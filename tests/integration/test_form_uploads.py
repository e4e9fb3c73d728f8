# SPDX-License-Identifier: MIT
"""Forms stored as they come: large files in parts, what becomes of them when client, store or gateway fail, and how much
memory it takes. A gateway of its own; between it and the store a stand-in that can refuse and counts."""
import concurrent.futures
import contextlib
import http.client
import http.server
import json
import os
import random
import signal
import socket
import threading
import time
import urllib.parse

import pytest

from gateway_process import Gateway, World, token
from system import eventually

BOUNDARY = "----filemill7MA4YWxkTrZu0gW"
MIB = 1 << 20
LINE = b"Invoice number 4711 to Acme. The subtotal is 80.00 and the amount due 96.00.\n"
TEXT = LINE * (MIB // len(LINE) + 1)


class Front:
    """Passes requests to the store, but for those that `refuse` says a status of."""

    def __init__(self, store):
        front = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query, keep_blank_values=True))
                front.seen.append((self.command, query.get("partNumber"), len(body)))
                status = front.refuse(self.command, query)
                if status is not None:
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                link = http.client.HTTPConnection("127.0.0.1", store.port, timeout=30)
                with contextlib.closing(link):
                    link.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                    for name, value in self.headers.items():
                        link.putheader(name, value)
                    link.endheaders(body)
                    reply = link.getresponse()
                    data = reply.read()
                    self.send_response(reply.status)
                    for name, value in reply.getheaders():
                        if name.lower() not in ("connection", "date", "server"):
                            self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(data)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = any

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.reset()

    def reset(self):
        self.seen = []
        self.refuse = lambda method, query: None

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def world():
    with World() as running:
        running.front = Front(running.store)
        running.through = Gateway(running.postgres, running.front, max_upload_bytes=40 * MIB, rate_per_minute=0).start()
        yield running
        status = running.through.stop()
        running.through.close()
        assert status == 0
        running.front.close()


@pytest.fixture
def user(world):
    # forms that the test before has left are being given up: their transactions would wait for the truncation's, and it for them
    eventually(lambda: not any(row["open"] for row in rows(world, "uploading")), what="an end of the test before")
    world.front.reset()
    world.postgres.execute("truncate tenants cascade")
    return world.through.user().bootstrap()


def head(filename, mime="text/plain"):
    return (f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{filename}"\r\n'
            f"Content-Type: {mime}\r\n\r\n").encode()


def pieces(*files):
    """The form of (filename, size or bytes), in pieces of at most 1 MiB."""
    for name, content in files:
        yield head(name)
        if isinstance(content, bytes):
            yield content
        else:
            for at in range(0, content, MIB):
                yield TEXT[:min(MIB, content - at)]
        yield b"\r\n"
    yield f"--{BOUNDARY}--\r\n".encode()


@contextlib.contextmanager
def begun(gateway, user, length=None):
    """A connection with the head of a form's request sent: chunked, or so long."""
    link = socket.create_connection(("127.0.0.1", gateway.port), timeout=60)
    with link:
        framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        link.sendall(f"POST /classify-documents-async HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(user.id)}\r\n"
                     f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nConnection: close\r\n"
                     f"{framing}\r\n\r\n".encode())
        yield link


def send(link, stream):
    for piece in stream:
        link.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))


def answer(link):
    reply = http.client.HTTPResponse(link)
    reply.begin()
    return reply.status, json.loads(reply.read())


def post(gateway, user, stream):
    with begun(gateway, user) as link:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            send(link, stream)
            link.sendall(b"0\r\n\r\n")
        return answer(link)


def objects(world):
    return {item["Key"]: item["Size"] for item in world.store.client().list_objects_v2(Bucket="user-files").get("Contents", [])}


def open_uploads(world):
    return world.store.client().list_multipart_uploads(Bucket="user-files").get("Uploads", [])


def rows(world, status):
    return world.postgres.query("select filename, size_bytes, r2_key_original as key, etag, upload_expires_at > now() as open"
                                " from files where status = %s order by filename", (status,))


def nothing_is_left(world):
    eventually(lambda: not open_uploads(world), what="the upload is aborted")
    eventually(lambda: not any(row["open"] for row in rows(world, "uploading")), what="its row is given up")
    assert not rows(world, "processing")


def test_large_and_small_files_are_stored_whole(world, user):
    sizes = {"a.txt": 12 * MIB + 345, "b.txt": 5 * MIB, "c.txt": 1000, "d.txt": 10 * MIB}
    status, body = post(world.through, user, pieces(*sizes.items()))
    assert status == 202, body
    found = rows(world, "processing")
    assert {row["filename"]: row["size_bytes"] for row in found} == sizes
    stored = objects(world)
    s3 = world.store.client()
    for row in found:
        assert stored[row["key"]] == sizes[row["filename"]]
        whole = s3.get_object(Bucket="user-files", Key=row["key"])
        assert whole["ETag"] == row["etag"] and whole["ContentType"] == "text/plain"
        data = b"".join(pieces((row["filename"], sizes[row["filename"]])))
        assert whole["Body"].read() == data[len(head(row["filename"])):-len(f"\r\n--{BOUNDARY}--\r\n")]
    parts = [(part, size) for method, part, size in world.front.seen if method == "PUT"]
    assert parts == [("1", 5 * MIB), ("2", 5 * MIB), ("3", 2 * MIB + 345), (None, 5 * MIB), (None, 1000),
                     ("1", 5 * MIB), ("2", 5 * MIB)], "what fits into memory is one request"
    assert not open_uploads(world)


def peak_kib(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field))


@pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="a sanitizer's memory is not the program's")
def test_memory_stays_at_a_part(world, user):
    """200 MiB in five files, straight to the store."""
    author = world.gateway.user().bootstrap()
    pid = world.gateway.process.pid
    before = peak_kib(pid, "VmRSS:")
    began = time.monotonic()
    status, body = post(world.gateway, author, pieces(*((f"{n}.txt", 40 * MIB) for n in range(5))))
    assert status == 202, body
    grown = peak_kib(pid, "VmHWM:") - before
    print(f"200 MiB in {time.monotonic() - began:.1f} s, peak grew by {grown} KiB")
    assert grown < 24 * 1024, f"{grown} KiB"


def test_a_client_that_vanishes_midway_leaves_nothing(world, user):
    with begun(world.through, user) as link:
        send(link, [b"".join(pieces(("a.txt", 12 * MIB)))[:11 * MIB]])
        eventually(lambda: len(open_uploads(world)) == 1, what="parts are stored")
    nothing_is_left(world)


def test_a_file_that_is_too_large_is_aborted(world, user):
    status, body = post(world.through, user, pieces(("big.txt", 41 * MIB)))
    assert (status, body["error"]) == (413, "payload_too_large")
    nothing_is_left(world)


def test_a_store_that_is_busy_for_a_moment_is_asked_again(world, user):
    refusals = iter([503, None, 429, None] * 100)
    world.front.refuse = lambda method, query: next(refusals)
    status, body = post(world.through, user, pieces(("a.txt", 11 * MIB)))
    assert status == 202, body
    assert [row["size_bytes"] for row in rows(world, "processing")] == [11 * MIB]


@pytest.mark.parametrize("what", ["create", "part", "complete"])
def test_a_store_that_fails_midway_is_told(world, user, what):
    def refuse(method, query):
        step = "part" if query.get("partNumber") == "2" else "create" if "uploads" in query else \
            "complete" if method == "POST" else None
        return 503 if step == what else None

    world.front.refuse = refuse
    status, body = post(world.through, user, pieces(("small.txt", 10), ("a.txt", 11 * MIB)))
    assert (status, body["error"]) == (503, "storage_unavailable")
    nothing_is_left(world)


def test_an_error_with_status_200_is_one(world, user):
    """As S3 may answer the end of an upload."""
    world.front.refuse = lambda method, query: 200 if method == "POST" and "uploadId" in query else None
    status, body = post(world.through, user, pieces(("a.txt", 6 * MIB)))
    assert (status, body["error"]) == (503, "storage_unavailable")
    nothing_is_left(world)


def test_a_large_file_of_no_use_is_given_up_alone(world, user):
    noise = random.Random(7).randbytes(6 * MIB)
    status, body = post(world.through, user, [head("x.pdf", "application/pdf"), noise, b"\r\n", *pieces(("a.txt", 100))])
    assert status == 202, body
    assert [row["filename"] for row in rows(world, "processing")] == ["a.txt"]
    refused = world.postgres.query("select filename, error from classify_files where error is not null")
    assert refused == [{"filename": "x.pdf", "error": "type_mismatch"}]
    eventually(lambda: not open_uploads(world) and not any(row["open"] for row in rows(world, "uploading")),
               what="its upload is given up")


def test_a_slow_store_holds_the_client_back(world, user):
    """While a part is being stored nothing is read: what the gateway took is bounded by parts, not by what was sent."""
    go = threading.Event()

    def wait(method, query):
        if query.get("partNumber") == "1":
            go.wait(30)

    world.front.refuse = wait
    sent = [0]
    with begun(world.through, user) as link:
        def work():
            for piece in pieces(("a.txt", 35 * MIB)):
                link.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
                sent[0] += len(piece)
            link.sendall(b"0\r\n\r\n")

        sender = threading.Thread(target=work)
        sender.start()
        eventually(lambda: any(part == "1" for _, part, _ in world.front.seen), what="the first part")
        before, still = -1, sent[0]
        while still != before:
            time.sleep(0.3)
            before, still = still, sent[0]
        assert still < 25 * MIB, "a part, and what the sockets hold"
        go.set()
        sender.join()
        assert answer(link)[0] == 202


def test_a_slow_client_is_waited_for(world, user):
    with begun(world.through, user) as link:
        send(link, [head("a.txt")])
        for _ in range(6):
            send(link, [TEXT[:MIB]])
            time.sleep(0.1)
        send(link, [f"\r\n--{BOUNDARY}--\r\n".encode()])
        link.sendall(b"0\r\n\r\n")
        assert answer(link)[0] == 202
    assert [row["size_bytes"] for row in rows(world, "processing")] == [6 * MIB]


def test_clients_that_send_no_more_get_their_answers(world, user):
    """They close their sending halves behind the form, whenever that is heard of."""
    gateway = Gateway(world.postgres, world.front, rate_per_minute=0, form_requests=8)

    def post_and_close(size):
        with begun(gateway, user) as link:
            send(link, pieces(("a.txt", size)))
            link.sendall(b"0\r\n\r\n")
            link.shutdown(socket.SHUT_WR)
            return answer(link)[0]

    with contextlib.closing(gateway.start()), concurrent.futures.ThreadPoolExecutor(4) as clients:
        assert set(clients.map(post_and_close, [MIB, 6 * MIB] * 8)) == {202}


def test_more_forms_than_may_be_read_are_told_to_come_again(world, user):
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            link = stack.enter_context(begun(world.through, user))
            send(link, [head("a.txt") + TEXT[:100]])
        eventually(lambda: post(world.through, user, pieces(("b.txt", 10)))[1].get("error") == "uploads_busy", what="full")
    eventually(lambda: post(world.through, user, pieces(("b.txt", 10)))[0] == 202, what="room again")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_gateway_whose_time_is_over_ends_in_the_middle_of_a_form(world, user, number):
    """Stopped, or retired beside a successor; what was stored stays until its row expires."""
    gateway = Gateway(world.postgres, world.front, rate_per_minute=0, drain_ms=1000)
    environment = {**gateway.environment(), "MALLOC_PERTURB_": "165"}  # what is freed can't be used by luck
    gateway.environment = lambda: environment
    with contextlib.closing(gateway.start()), begun(gateway, user) as link:
        send(link, [b"".join(pieces(("a.txt", 12 * MIB)))[:11 * MIB]])
        upload = eventually(lambda: open_uploads(world), 60, what="parts are stored")[0]
        gateway.process.send_signal(number)
        assert gateway.process.wait(60) == 0
    world.store.client().abort_multipart_upload(Bucket="user-files", Key=upload["Key"], UploadId=upload["UploadId"])
    world.postgres.execute("update files set upload_expires_at = now()")


def test_a_killed_gateway_leaves_the_id_behind(world, user):
    """What aborts it then is tested in test_scheduler.py."""
    gateway = Gateway(world.postgres, world.front, rate_per_minute=0)
    with contextlib.closing(gateway.start()), begun(gateway, user) as link:
        send(link, [b"".join(pieces(("a.txt", 12 * MIB)))[:11 * MIB]])
        upload = eventually(lambda: open_uploads(world), what="parts are stored")[0]
        eventually(lambda: world.postgres.value("select store_upload from files where status = 'uploading'"), what="noted")
        os.kill(gateway.process.pid, signal.SIGKILL)
    row = world.postgres.query("select r2_key_original as key, store_upload as id from files")[0]
    assert row == {"key": upload["Key"], "id": upload["UploadId"]}
    world.store.client().abort_multipart_upload(Bucket="user-files", Key=row["key"], UploadId=row["id"])
    world.postgres.execute("update files set upload_expires_at = now()")
