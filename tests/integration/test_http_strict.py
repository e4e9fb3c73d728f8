# SPDX-License-Identifier: MIT
"""What the HTTP server does with bytes that a strict server must not repair, and with clients that are slow, rude or
gone. Raw sockets against tests/integration/echo_server.c; no row depends on another."""
import contextlib
import hashlib
import json
import os
import resource
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("FILEMILL_BUILD", ROOT / "build"))
ECHO = BUILD / "tests" / "integration" / "echo_server"
HEAD_TIMEOUT_S = 2  # of the server that cuts who is slow
PATIENT_S = 30      # of the one where a machine under load may be slow


class Echo:
    def __init__(self, *arguments):
        self.process = subprocess.Popen([ECHO, *map(str, arguments)], stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def exchange(self, data, half_close=False):
        """Sends everything, reads to the end; returns what came."""
        with self.connect() as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(data)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
            return read_all(connection)

    def get(self, path):
        with self.connect() as connection:
            connection.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode())
            return json.loads(split_responses(read_all(connection))[0][2])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def read_all(connection):
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while block := connection.recv(65536):
            received += block
    return received


def split_responses(data, heads=False):
    """[(status, {header: value}, body)] of a stream of responses."""
    responses = []
    while data:
        head, separator, data = data.partition(b"\r\n\r\n")
        assert separator, f"broken response {head!r}"
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
        size = 0 if heads else int(headers.get("content-length", 0))
        responses.append((int(lines[0].split(" ")[1]), headers, data[:size]))
        data = data[size:]
    return responses


def served(timeout_s):
    if not ECHO.exists():
        pytest.skip("echo_server is not built (set FILEMILL_BUILD)")
    running = Echo(timeout_s)
    yield running
    # It fails when a request was begun and never closed.
    assert running.stop() == 0


@pytest.fixture(scope="module", autouse=True)
def many_open_files():
    """For a thousand clients and their server: shells give 1024, and other tests of this process hold some."""
    usual, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(usual, min(most, 4096)), most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (usual, most))


@pytest.fixture(scope="module")
def echo():
    yield from served(PATIENT_S)


@pytest.fixture(scope="module")
def hasty():
    yield from served(HEAD_TIMEOUT_S)


HOST = b"Host: x\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def get(fields=HOST, line=b"GET / HTTP/1.1"):
    return line + b"\r\n" + fields + b"\r\n"


def post(fields, body=b"hello"):
    return b"POST / HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n" + body


# name, bytes, status of the one answer before the connection closes
REFUSED = [
    # B1, B2, B3: lengths
    ("length and coding", post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    ("coding and length", post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"), 400),
    ("two lengths", post(b"Content-Length: 5\r\nContent-Length: 6\r\n"), 400),
    ("same length twice", post(b"Content-Length: 5\r\nContent-Length: 5\r\n"), 400),
    *[(f"length {value!r}", post(b"Content-Length: " + value + b"\r\n"), 400)
      for value in (b"5, 5", b"+5", b"-0", b"-5", b"0x5", b"5_0", b"05", b"", b"5 5", b"5\t5", b"18446744073709551616",
                    b"99999999999999999999999", b"five", b"\xb2", b"5.0", b"5;")],
    *[(f"blanks around {field!r}", post(field + b"\r\n"), 400)
      for field in (b"Content-Length: 5 ", b"Content-Length: 5\t", b"Content-Length:  5", b"Content-Length:\t5",
                    b"Transfer-Encoding: chunked ", b"Transfer-Encoding:\tchunked")],
    ("length of 60 bits", post(b"Content-Length: 9999999999999999999\r\n"), 413),
    # B4: transfer codings
    *[(f"coding {value!r}", post(b"Transfer-Encoding: " + value + b"\r\n", b"0\r\n\r\n"), 400)
      for value in (b",chunked", b"chunked,", b"chunked, chunked", b"chunked, gzip", b"", b"chunked;x=1", b"chun ked",
                    b"\x0bchunked", b"chunked\x00", b"\"chunked\"")],
    ("coding twice", post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    *[(f"unknown coding {value!r}", post(b"Transfer-Encoding: " + value + b"\r\n", b"0\r\n\r\n"), 501)
      for value in (b"gzip, chunked", b"gzip", b"identity", b"xchunked")],
    ("coding with a blank before the colon", post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"), 400),
    ("coding in HTTP/1.0",
     b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),  # B9
    # B5: chunks
    *[(f"chunk {chunk!r}", CHUNKED + chunk, 400)
      for chunk in (b"0x5\r\nhello\r\n0\r\n\r\n", b"+5\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n",
                    b"_5\r\nhello\r\n0\r\n\r\n", b"5_\r\nhello\r\n0\r\n\r\n", b"\r\nhello\r\n0\r\n\r\n",
                    b"5 \r\nhello\r\n0\r\n\r\n", b" 5\r\nhello\r\n0\r\n\r\n", b"5\nhello\r\n0\r\n\r\n",
                    b"5\rhello\r\n0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n", b"5\r\nhello0\r\n\r\n",
                    b"5\r\nhello\r\r\n0\r\n\r\n", b"5\r\nhello!\r\n0\r\n\r\n", b"ffffffffffffffff\r\nhello",
                    b"10000000000000005\r\nhello", b"5\x00\r\nhello", b"5g\r\nhello", b"5;a\nhello\r\n0\r\n\r\n",
                    b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n", b"0\n\n", b"0\r\n\n", b"0\r\n\r", b"0\r\n\rX",
                    b"0\r\nbad trailer: 1\r\n\r\n", b"0\r\nX: a\nY: b\r\n\r\n", b"0\r\nContent-Length: 5\r\n\r\n",
                    b"0\r\nHost: y\r\n\r\n", b"0\r\n folded\r\n\r\n", b"0\r\nX: " + b"a" * 5000 + b"\r\n\r\n")
      if chunk != b"0\r\n\r"],
    # B6: fields
    *[(f"field {field!r}", get(HOST + field), 400)
      for field in (b"A : b\r\n", b"A\t: b\r\n", b": b\r\n", b"no colon\r\n", b"A: b\r\n folded\r\n", b"A: b\r\n\tfolded\r\n",
                    b"A: \x00\r\n", b"A: b\x00c\r\n", b"A\x00: b\r\n", b"A: b\rc\r\n", b"A: b\nC: d\r\n", b"A: b\n\r\n",
                    b"A: b\r\r\n", b"A(: b\r\n", b"A@: b\r\n", b"\xc3\xa9: b\r\n", b"A: b\x01\r\n", b"A: b\x7f\r\n",
                    b"A: b\x0bc\r\n", b"A B: c\r\n", b"\"A\": c\r\n", b" A: b\r\n")],
    ("folded first field", b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400),
    ("bare LF everywhere", b"GET / HTTP/1.1\nHost: x\n\n", 400),
    ("bare LF after the request line", b"GET / HTTP/1.1\nHost: x\r\n\r\n", 400),
    ("bare CR everywhere", b"GET / HTTP/1.1\rHost: x\r\r", 400),
    ("two Authorizations", get(HOST + b"Authorization: a\r\nauthorization: b\r\n"), 400),
    # B7: Host
    ("no Host", get(b""), 400),
    ("two Hosts", get(b"Host: x\r\nHost: x\r\n"), 400),
    *[(f"Host {value!r}", get(b"Host: " + value + b"\r\n"), 400)
      for value in (b"", b"x y", b"x/y", b"x@y", b"x:port", b"x:99999", b"x:", b"a,b:1:2", b"[::1", b"[]", b"x#", b"x?y",
                    b"http://x", b"x\\y", b"[::1]x", b"a" * 300)],
    # B8: versions and request lines
    *[(f"request line {line!r}", get(line=line), status)
      for line, status in ((b"GET / HTTP/1.2", 505), (b"GET / HTTP/2.0", 505), (b"GET / HTTP/0.9", 505),
                           (b"GET / http/1.1", 400), (b"GET / HTTP/1.1 ", 400), (b"GET / HTTP/1", 400),
                           (b"GET / HTTP/11.1", 400), (b"GET / HTTP/1.1x", 400), (b"GET / HTTP", 400),
                           (b"GET /", 400), (b"GET  / HTTP/1.1", 400), (b"GET /  HTTP/1.1", 400), (b" GET / HTTP/1.1", 400),
                           (b"GET\t/ HTTP/1.1", 400), (b"GET / x HTTP/1.1", 400), (b"G(T / HTTP/1.1", 400),
                           (b"GET", 400), (b"\x16\x03\x01\x02", 400), (b"G\x00T / HTTP/1.1", 400))],
    ("HTTP/0.9", b"GET /\r\n", 400),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("empty line first", b"\r\n" + get(), 400),
    # B11: sizes
    ("target of 9 kB", get(line=b"GET /" + b"a" * 9000 + b" HTTP/1.1"), 414),
    ("target of 1 MB", get(line=b"GET /" + b"a" * 1000000 + b" HTTP/1.1"), 414),
    ("200 query parameters", get(line=b"GET /?" + b"&".join([b"a"] * 200) + b" HTTP/1.1"), 414),
    ("101 fields", get(HOST + b"".join(b"A%d: b\r\n" % i for i in range(100))), 431),
    ("one field of 17 kB", get(HOST + b"A: " + b"b" * 17000 + b"\r\n"), 431),
    ("fields of 1 MB", get(HOST + b"A: b\r\n" * 170000), 431),
    ("method of 100 bytes", get(line=b"A" * 100 + b" / HTTP/1.1"), 501),
    ("method of 1 MB", get(line=b"A" * 1000000 + b" / HTTP/1.1"), 501),
    ("body over the route's limit",
     b"POST /limit HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\n" + b"a" * 17, 413),
    ("body over the route's limit, not sent", b"POST /limit HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\n", 413),
    ("body over the limit, expected",
     b"POST /limit HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\nExpect: 100-continue\r\n\r\n", 413),
    ("chunks over the route's limit",
     b"POST /limit HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"8\r\naaaaaaaa\r\n" * 3 +
     b"0\r\n\r\n", 413),
    # B14, B16, B17
    ("CONNECT", get(line=b"CONNECT x:443 HTTP/1.1"), 405),
    ("unknown expectation", post(b"Content-Length: 5\r\nExpect: magic\r\n"), 417),
    ("refused before its body", b"POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n", 401),
    *[(f"target {target!r}", get(line=b"GET " + target + b" HTTP/1.1"), 400)
      for target in (b"http://x/", b"//x" + b"\\", b"/%", b"/%4", b"/%zz", b"/%00", b"/a%00b", b"/?a=%00", b"/?a=%f", b"/a\\b",
                     b"/a#b", b"/\xc3\xa9", b"/\x7f", b"a", b"*", b"?a", b"/<", b"/a\tb")],
]


@pytest.mark.parametrize("data,status", [row[1:] for row in REFUSED], ids=[row[0][:60] for row in REFUSED])
def test_refused_and_closed(echo, data, status):
    """One answer, in the form of problem details, then the end; what follows is not read as a request."""
    for sent in (data, data + get(line=b"GET /smuggled HTTP/1.1")):
        responses = split_responses(echo.exchange(sent))
        assert [response[0] for response in responses] == [status]
        assert responses[0][1].get("connection", "").lower() == "close"
        assert b"smuggled" not in responses[0][2]
        if status not in (401,):
            problem = json.loads(responses[0][2])
            assert problem["status"] == status and problem["error"] and problem["type"] == "about:blank"
            assert responses[0][1]["content-type"] == "application/problem+json"
        if status == 405:
            assert "allow" in responses[0][1]


@pytest.mark.parametrize("cut", [-1, -2, -3, 0.25, 0.5, 0.75])
def test_refused_the_same_in_two_pieces(echo, cut):
    """libmicrohttpd has the first piece when the second is refused, and must not answer by itself."""
    for name, data, status in REFUSED:
        if len(data) > 400 or len(data) < 8:
            continue
        at = cut if cut < 0 else int(len(data) * cut)
        with echo.connect() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(data[:at])
                time.sleep(0.002)
                connection.sendall(data[at:])
            responses = split_responses(read_all(connection))
        assert [row[0] for row in responses] == [status], name
        assert status == 401 or responses[0][1]["content-type"] == "application/problem+json", name


# name, bytes, what the echo must say
ACCEPTED = [
    ("plain", get(), {"method": "GET", "path": "/", "body_size": 0}),
    ("unknown method", get(line=b"FROBNICATE / HTTP/1.1"), {"method": "FROBNICATE"}),
    ("longest method", get(line=b"A" * 64 + b" / HTTP/1.1"), {"method": "A" * 64}),
    ("TRACE is the router's", get(line=b"TRACE / HTTP/1.1"), {"method": "TRACE"}),
    ("OPTIONS *", get(line=b"OPTIONS * HTTP/1.1"), {"method": "OPTIONS", "raw_path": "*"}),
    ("length", post(b"Content-Length: 5\r\n"), {"body_size": 5}),
    ("length 0", post(b"Content-Length: 0\r\n", b""), {"body_size": 0}),
    ("length without a blank", post(b"Content-Length:5\r\n"), {"body_size": 5}),
    ("chunks", CHUNKED + b"5\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n", {"body_size": 15}),
    ("chunk extensions", CHUNKED + b"5;a=\"b;c\";d\r\nhello\r\n0;x\r\n\r\n", {"body_size": 5}),
    ("trailer", CHUNKED + b"5\r\nhello\r\n0\r\nX-Sum: abc\r\n\r\n", {"body_size": 5}),
    ("coding in capitals", post(b"TRANSFER-ENCODING: CHUNKED\r\n", b"5\r\nhello\r\n0\r\n\r\n"), {"body_size": 5}),
    ("expectation", post(b"Content-Length: 5\r\nExpect: 100-Continue\r\n"), {"body_size": 5}),
    ("body on GET is not the next request",
     b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 28\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n12", {"body_size": 28}),
    ("body on DELETE", b"DELETE / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", {"body_size": 5}),
    ("escapes", get(line=b"GET /a%20b%2fc%2e%2e?x=1+2&y=%26 HTTP/1.1"),
     {"path": "/a b/c..", "raw_path": "/a%20b%2fc%2e%2e", "raw_query": "x=1+2&y=%26", "queries": [["x", "1 2"], ["y", "&"]]}),
    ("nothing is normalised", get(line=b"GET //a/../b/./c HTTP/1.1"), {"path": "//a/../b/./c"}),
    ("second question mark", get(line=b"GET /a?b?c=d HTTP/1.1"), {"raw_query": "b?c=d", "path": "/a"}),
    ("empty query", get(line=b"GET /a? HTTP/1.1"), {"raw_query": "", "queries": []}),
    ("odd query", get(line=b"GET /a?&&b&=c&d==e HTTP/1.1"), {"queries": [["b", ""], ["", "c"], ["d", "=e"]]}),
    ("target of 8 kB", get(line=b"GET /" + b"a" * 8191 + b" HTTP/1.1"), {"raw_path": "/" + "a" * 8191}),
    ("repeated field, in order", get(HOST + b"X: 1\r\nY: 2\r\nx: 3\r\n"),
     {"headers": [["Host", "x"], ["X", "1"], ["Y", "2"], ["x", "3"]]}),
    ("empty field, bytes over 127", get(HOST + b"X:\r\nY: \xc3\xa9\r\n"),
     {"headers": [["Host", "x"], ["X", ""], ["Y", "\xc3\xa9"]]}),
    ("blanks around values", get(b"Host:  x \r\nX: \t1 2 \t \r\nAuthorization:\ta b \r\nY: \t \r\n"),
     {"headers": [["Host", "x"], ["X", "1 2"], ["Authorization", "a b"], ["Y", ""]]}),
    ("blanks around an expectation", post(b"Content-Length: 5\r\nExpect: 100-continue \r\n"), {"body_size": 5}),
    ("100 fields", get(HOST + b"".join(b"A%d: b\r\n" % i for i in range(99))), {"method": "GET"}),
    ("fields of 16 kB", get(HOST + b"A: " + b"b" * 16000 + b"\r\n"), {"method": "GET"}),
    ("as much as there may be of everything",
     get(HOST + b"".join(b"A%02d: %s\r\n" % (i, b"b" * 155) for i in range(99)),
         b"A" * 64 + b" /?" + (b"&".join([b"a=b"] * 127)).ljust(8190, b"c") + b" HTTP/1.1"), {"method": "A" * 64}),
    ("127 parameters", get(line=b"GET /?" + b"&".join([b"a=b"] * 127) + b" HTTP/1.1"), {"method": "GET"}),
    ("Host with port", get(b"Host: example.com:8080\r\n"), {"method": "GET"}),
    ("Host in brackets", get(b"Host: [2001:db8::1]:8080\r\n"), {"method": "GET"}),
    ("HTTP/1.0 without Host", b"GET / HTTP/1.0\r\n\r\n", {"method": "GET"}),
]


@pytest.mark.parametrize("data,expected", [row[1:] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
@pytest.mark.parametrize("bytewise", [False, True], ids=["at once", "bytewise"])
def test_accepted(echo, data, expected, bytewise):
    """The same answer whether the request comes at once or byte by byte, and the next request is read right."""
    with echo.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if bytewise and len(data) < 400:
            for i in range(len(data)):
                connection.sendall(data[i:i + 1])
                if i % 16 == 0:
                    time.sleep(0.001)
        else:
            connection.sendall(data)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # HTTP/1.0 closes
            connection.sendall(get(b"Host: x\r\nConnection: close\r\n", b"GET /next HTTP/1.1"))
        responses = [row for row in split_responses(read_all(connection)) if row[0] != 100]
    assert responses[0][0] == 200
    answer = json.loads(responses[0][2])
    assert {name: answer[name] for name in expected} == expected
    if b"HTTP/1.0" not in data:
        assert len(responses) == 2 and json.loads(responses[1][2])["path"] == "/next"


def test_pipeline_of_1000(echo):
    requests = b"".join(get(line=b"GET /%d HTTP/1.1" % i) if i % 3 else
                        b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello" % i for i in range(1000))
    with echo.connect() as connection:
        sender = threading.Thread(target=connection.sendall, args=(requests + get(b"Host: x\r\nConnection: close\r\n"),))
        sender.start()
        responses = split_responses(read_all(connection))
        sender.join()
    assert len(responses) == 1001
    assert [json.loads(body)["path"] for _, _, body in responses[:1000]] == [f"/{i}" for i in range(1000)]


def test_refusal_keeps_the_order_of_answers(echo):
    """Good requests before a bad one in the same packet are answered first, also slow ones."""
    data = get(line=b"GET /later?ms=200 HTTP/1.1") + get(line=b"GET /second HTTP/1.1") + get(b"Host: x\r\nHost: y\r\n")
    responses = split_responses(echo.exchange(data + get() * 3))
    assert [row[0] for row in responses] == [200, 200, 400]
    assert json.loads(responses[0][2]) == {"later": True}


def test_bad_chunk_after_a_begun_body(echo):
    before = wait_for_counts(echo, 0)
    with echo.connect() as connection:
        connection.sendall(CHUNKED.replace(b"/ ", b"/stream ") + b"5\r\nhello\r\n")
        time.sleep(0.1)
        connection.sendall(b"0x5\r\n")
        assert [row[0] for row in split_responses(read_all(connection))] == [400]
    assert wait_for_counts(echo, 0)["begun"] - before["begun"] >= 2


def test_head_has_the_length_and_no_body(echo):
    data = echo.exchange(b"HEAD /file HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    responses = split_responses(data, heads=True)
    assert [(row[0], int(row[1]["content-length"]) > 0) for row in responses] == [(206, True), (200, True)]
    assert responses[0][1]["content-length"] == str(1 << 20)


def test_file_ranges(echo):
    whole = bytes(i % 251 for i in range(1 << 20))
    for offset, size in ((0, 1 << 20), (5, 1), (1000, 70000), ((1 << 20) - 1, 1), (7, 0)):
        line = b"GET /file?offset=%d&size=%d HTTP/1.1" % (offset, size)
        [(status, _, body)] = split_responses(echo.exchange(get(b"Host: x\r\nConnection: close\r\n", line)))
        assert status == 206
        assert hashlib.sha256(body).digest() == hashlib.sha256(whole[offset:offset + size]).digest()


def test_half_closed_client_gets_its_answer(echo):
    responses = split_responses(echo.exchange(get(line=b"GET /later?ms=300 HTTP/1.1"), half_close=True))
    assert [row[0] for row in responses] == [200]


@pytest.mark.parametrize("data,statuses", [
    (get(), [200]), (get() * 3, [200] * 3), (post(b"Content-Length: 5\r\n"), [200]), (b"GET / HT", []),
    (post(b"Content-Length: 50\r\n"), []), (CHUNKED + b"5\r\nhel", []),
], ids=["one", "three", "body", "half a head", "half a body", "half a chunk"])
def test_half_closed_connection_ends_at_once(echo, data, statuses):
    start = time.monotonic()
    assert [row[0] for row in split_responses(echo.exchange(data, half_close=True))] == statuses
    assert time.monotonic() - start < PATIENT_S / 2


def test_continue_is_sent_only_when_wanted(echo):
    with echo.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"hello")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_large_upload_is_streamed_and_held_back(echo):
    size = 6_000_000
    head = b"PUT /pause HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size
    [(status, _, body)] = split_responses(echo.exchange(head + b"a" * size))
    assert status == 200 and json.loads(body)["bytes"] == size and json.loads(body)["parts"] > 20


@pytest.mark.parametrize("path,status", [(b"/stop", 422), (b"/limit", 413), (b"/refuse", 401)])
def test_answer_reaches_a_client_that_is_still_sending(echo, path, status):
    """20 MB are on their way when the answer comes; a reset would destroy it."""
    head = b"PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n" % path
    responses = split_responses(echo.exchange(head + b"a" * 20_000_000))
    assert [row[0] for row in responses] == [status]


def test_stream_of_events(echo):
    def listen():
        with echo.connect() as connection:
            connection.sendall(get(line=b"GET /events?count=3&ms=300 HTTP/1.1"))
            received, moments = b"", []
            while not received.endswith(b"0\r\n\r\n"):
                received += connection.recv(65536)
                moments.append(time.monotonic())
        assert [b"data: %d\n\n" % i in received for i in range(3)] == [True] * 3
        return moments[-1] - moments[0]
    assert any(listen() > 0.5 for _ in range(5))  # they came one by one, unless we ourselves were late


def wait_for_counts(echo, missing):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        counts = echo.get("/counts")
        if counts["begun"] - counts["closed"] == missing + 1:  # /counts itself is open
            return counts
        time.sleep(0.05)
    raise AssertionError(counts)


def test_listener_that_leaves_is_noticed(echo):
    with echo.connect() as connection:
        connection.sendall(get(line=b"GET /events?count=100&ms=60000 HTTP/1.1"))
        connection.recv(65536)
        wait_for_counts(echo, 1)
    wait_for_counts(echo, 0)


def test_client_that_resets_while_waiting_is_noticed(echo):
    with echo.connect() as connection:
        connection.sendall(get(line=b"GET /never HTTP/1.1"))
        wait_for_counts(echo, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wait_for_counts(echo, 0)


def test_listener_that_does_not_read_is_dropped(echo):
    with echo.connect() as connection:
        connection.sendall(get(line=b"GET /flood HTTP/1.1"))
        wait_for_counts(echo, 0)
        received = read_all(connection)
    assert not received.endswith(b"0\r\n\r\n")  # a cut, not an end


def test_client_that_leaves_in_its_body(echo):
    before = echo.get("/counts")
    for path in (b"/", b"/stream", b"/pause"):
        with echo.connect() as connection:
            connection.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nhello" % path)
            time.sleep(0.1)
    assert wait_for_counts(echo, 0)["begun"] - before["begun"] >= 4


@pytest.mark.parametrize("data,status", [
    (b"", None), (b"GET", 408), (b"GET / HTTP/1.1\r\nHost: x\r\n", 408),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc", 408),
], ids=["nothing", "method", "head", "body"])
@pytest.mark.parametrize("trickle", [False, True], ids=["silent", "trickling"])
def test_slow_client_is_cut(hasty, data, status, trickle):
    """Total time counts, not the time since the last byte."""
    start = time.monotonic()
    with hasty.connect() as connection:
        connection.sendall(data)
        for _ in range(14 if trickle and data else 0):
            time.sleep(0.2)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                if status == 408 and data.endswith(b"\r\n"):
                    connection.sendall(b"X: y\r\n")
                elif data == b"GET":
                    connection.sendall(b"T")
        responses = split_responses(read_all(connection))
    assert time.monotonic() - start < HEAD_TIMEOUT_S + 20
    assert [row[0] for row in responses] == ([status] if status else [])


def test_idle_keep_alive_is_cut_without_an_answer(hasty):
    with hasty.connect() as connection:
        connection.sendall(get())
        responses = split_responses(read_all(connection))
    assert [row[0] for row in responses] == [200]


def test_1000_idle_connections_do_not_stop_others(echo):
    with contextlib.ExitStack() as stack:
        for i in range(1000):
            connection = stack.enter_context(echo.connect())
            if i % 2:
                connection.sendall(b"GET / HTTP/1.1\r\nHost")
        times = []
        for _ in range(50):
            start = time.monotonic()
            assert echo.get("/")["path"] == "/"
            times.append(time.monotonic() - start)
    assert max(times) < PATIENT_S / 2


def test_connections_over_the_limit_wait():
    running = Echo(HEAD_TIMEOUT_S, 10)
    try:
        with contextlib.ExitStack() as stack:
            start = time.monotonic()
            for _ in range(10):
                stack.enter_context(running.connect())
            assert running.get("/")["path"] == "/"  # when the idle ones have been cut
            assert HEAD_TIMEOUT_S / 2 < time.monotonic() - start < HEAD_TIMEOUT_S + 20
    finally:
        assert running.stop() == 0


def test_drain_finishes_what_is_in_flight():
    running = Echo(20)
    try:
        with running.connect() as slow, running.connect() as idle, running.connect() as listener:
            slow.sendall(get(line=b"GET /later?ms=2500 HTTP/1.1"))
            listener.sendall(get(line=b"GET /events?count=5&ms=500 HTTP/1.1"))
            idle.sendall(get())
            assert idle.recv(65536).startswith(b"HTTP/1.1 200 ")
            assert running.get("/drain") == {"draining": True}
            with pytest.raises(ConnectionRefusedError):
                running.connect()
            assert read_all(idle) == b""
            [(status, headers, _)] = split_responses(read_all(slow))
            assert status == 200 and headers["connection"].lower() == "close"
            assert read_all(listener).endswith(b"0\r\n\r\n")
    finally:
        assert running.stop() == 0


def test_drain_lets_a_fresh_connection_bring_its_first_request():
    """Its client could not know whether to send that request again."""
    running = Echo(20)
    try:
        with running.connect() as fresh, running.connect() as begun:
            begun.sendall(get()[:20])
            time.sleep(0.1)
            assert running.get("/drain") == {"draining": True}
            time.sleep(0.1)
            fresh.sendall(get())
            begun.sendall(get()[20:])
            for connection in (fresh, begun):
                [(status, headers, _)] = split_responses(read_all(connection))
                assert status == 200 and headers["connection"].lower() == "close"
    finally:
        assert running.stop() == 0


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_waiting_is_not_cut_and_costs_no_processor(hasty):
    """Handlers and streams may take longer than a client may; nobody spins meanwhile."""
    with contextlib.ExitStack() as stack:
        later, events, never, half = (stack.enter_context(hasty.connect()) for _ in range(4))
        later.sendall(get(b"Host: x\r\nConnection: close\r\n", b"GET /later?ms=5000 HTTP/1.1"))
        events.sendall(get(line=b"GET /events?count=2&ms=2500 HTTP/1.1"))
        never.sendall(get(line=b"GET /never HTTP/1.1"))
        half.sendall(get(line=b"GET /later?ms=5000 HTTP/1.1"))
        half.shutdown(socket.SHUT_WR)
        time.sleep(0.2)
        before = cpu_seconds(hasty.process.pid)
        time.sleep(4)
        assert cpu_seconds(hasty.process.pid) - before < 0.2
        assert [row[0] for row in split_responses(read_all(later))] == [200]
        assert [row[0] for row in split_responses(read_all(half))] == [200]
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += events.recv(65536)
        assert received.count(b"data: ") == 2
        never.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a plain close only ends its half
    wait_for_counts(hasty, 0)


def test_no_descriptor_is_left(echo, hasty):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        left = [len(list(Path(f"/proc/{server.process.pid}/fd").iterdir())) for server in (echo, hasty)]
        if max(left) <= 14:
            return
        time.sleep(0.2)
    raise AssertionError(left)


def test_stop_with_requests_in_every_state():
    """Every begun request is closed, or the server's own count makes it fail."""
    running = Echo(20)
    with contextlib.ExitStack() as stack:
        for line in (b"GET /never HTTP/1.1", b"GET /events?count=9&ms=60000 HTTP/1.1", b"GET /flood HTTP/1.1"):
            stack.enter_context(running.connect()).sendall(get(line=line))
        for path in (b"/stream", b"/pause", b"/"):
            stack.enter_context(running.connect()).sendall(
                b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhello" % path)
        stack.enter_context(running.connect()).sendall(b"GET / HT")
        time.sleep(0.3)
        assert running.stop() == 0
