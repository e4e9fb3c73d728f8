# SPDX-License-Identifier: MIT
"""HTTP servers that tests play for those whom a node asks or tells: they keep what came, and answer as they are told."""
import contextlib
import http.server
import json
import sys
import threading
import time


class Request:
    def __init__(self, path, headers, body):
        self.path, self.headers, self.body, self.at = path, dict(headers), body, time.monotonic()

    @property
    def json(self):
        return json.loads(self.body)


class Played:
    """What a request gets is taken, by `take`, as it comes; `reply` makes status, headers and body of that, or None to
    hang up without a word. While `gate` is cleared nobody gets an answer."""

    def __init__(self, port=0, address="127.0.0.1", context=None):
        played = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = played.answer(Request(self.path, self.headers, body))
                if answer is None:
                    self.close_connection = True
                    return
                with contextlib.suppress(OSError):  # an answer that nobody wants to read to its end
                    self.send(*answer)

            do_GET = do_PUT = do_POST

            def send(self, status, headers, body):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.requests, self.now, self.most = [], 0, 0
        self.lock, self.gate = threading.Lock(), threading.Event()
        self.gate.set()
        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128  # five by default: what comes sixth would be tried again a second later

            def handle_error(self, *arguments):
                if not isinstance(sys.exc_info()[1], OSError):  # the other side has hung up
                    super().handle_error(*arguments)

        self.server = Server((address, port), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def url(self, path="", host="127.0.0.1"):
        return f"http://{host}:{self.port}{path}"

    def answer(self, request):
        with self.lock:
            self.requests.append(request)
            self.now += 1
            self.most = max(self.most, self.now)
            taken = self.take(request)
        self.gate.wait(60)
        try:
            return self.reply(taken, request)
        finally:
            with self.lock:
                self.now -= 1

    def got(self, path):
        with self.lock:
            return [request for request in self.requests if request.path == path]

    def close(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()
