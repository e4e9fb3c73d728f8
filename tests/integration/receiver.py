"""A stand-in for an app that receives webhooks: it keeps what came and answers as each path was told to.

The signature check is written from the specification (Standard Webhooks 1.0) and shares nothing with the sender.
"""
import base64
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Refused(Exception):
    """The signature, the timestamp or a header is wrong."""


def verify(secret, headers, body, tolerance_s=300, now=None):
    """The event in a request, if one of its signatures fits."""
    names = {name.lower(): value for name, value in headers.items()}
    try:
        identity, stamp, signatures = (names[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as missing:
        raise Refused(f"no {missing}") from None
    if "." in identity or not stamp.isdigit() or abs((now or time.time()) - int(stamp)) > tolerance_s:
        raise Refused("id or timestamp")
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    assert 24 <= len(key) <= 64
    wanted = hmac.new(key, f"{identity}.{stamp}.".encode() + body, hashlib.sha256).digest()
    for signature in signatures.split(" "):
        version, _, text = signature.partition(",")
        if version == "v1" and hmac.compare_digest(base64.b64decode(text, validate=True), wanted):
            return json.loads(body)
    raise Refused("no signature fits")


class Request:
    def __init__(self, path, headers, body):
        self.path, self.headers, self.body, self.at = path, dict(headers), body, time.monotonic()

    @property
    def id(self):
        return self.headers["webhook-id"]

    @property
    def event(self):
        return json.loads(self.body)


class Receiver:
    """Answers 204, or what `answers[path]` holds: a list taken one by one (its last stays), each a status, a
    (status, headers, body), or a function of the request that gives one of those."""

    def __init__(self, address="127.0.0.1", context=None):
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(self.path, self.headers, body)
                with receiver.lock:
                    receiver.requests.append(request)
                    receiver.open[self.path] = receiver.open.get(self.path, 0) + 1
                    receiver.most[self.path] = max(receiver.most.get(self.path, 0), receiver.open[self.path])
                try:
                    self.answer(receiver.take(self.path), request)
                except OSError:
                    pass  # the sender has hung up
                finally:
                    with receiver.lock:
                        receiver.open[self.path] -= 1

            do_GET = do_PUT = do_POST

            def answer(self, what, request):
                if callable(what):
                    what = what(request)
                status, headers, body = what if isinstance(what, tuple) else (what, {}, b"")
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.lock = threading.Lock()
        self.requests, self.answers, self.open, self.most = [], {}, {}, {}
        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128  # five by default: what comes sixth would be tried again a second later

        self.server = Server((address, 0), Handler)
        self.server.handle_error = lambda *arguments: None  # the sender has hung up
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def take(self, path):
        with self.lock:
            answers = self.answers.get(path, [204])
            return answers.pop(0) if len(answers) > 1 else answers[0]

    def url(self, path, host="127.0.0.1"):
        return f"http://{host}:{self.port}{path}"

    def got(self, path):
        with self.lock:
            return [request for request in self.requests if request.path == path]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
