# SPDX-License-Identifier: MIT
"""A gateway of its own, over a private Postgres and a filemill-store of its own; no scheduler, no worker."""
import base64
import hashlib
import hmac
import http.client
import json
import os
import signal
import socket
import subprocess
import time
import uuid

from postgres import Postgres, program
from store_process import ACCESS_KEY, BUCKET, SECRET_KEY, Store
from system import eventually

SECRET = "an integration test's secret of more than 32 bytes"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(user, secret=SECRET, header=None, **claims):
    """An HS256 token; claims set to None are left out."""
    now = int(time.time())
    payload = {"sub": user, "aud": "authenticated", "role": "authenticated", "iat": now, "exp": now + 3600, **claims}
    payload = {name: value for name, value in payload.items() if value is not None}
    head = {"alg": "HS256", "typ": "JWT"} if header is None else header
    signed = b64(json.dumps(head).encode()) + "." + b64(json.dumps(payload).encode())
    return signed + "." + b64(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())


class Answer:
    def __init__(self, reply):
        self.status = reply.status
        self.headers = {name.lower(): value for name, value in reply.getheaders()}
        self.body = reply.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        assert self.headers["content-type"] == "application/problem+json", self
        assert self.json["status"] == self.status, self
        return self.json["error"]

    def __repr__(self):
        return f"<{self.status} {self.body[:400]!r}>"


class Gateway:
    def __init__(self, postgres, store, log=None, secret=SECRET, **settings):
        self.postgres, self.store = postgres, store
        self.log = log
        self.settings = {"jwt_secret": secret, **settings}
        self.process = None
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(256)
        self.port = listener.getsockname()[1]
        self.listener = listener

    def environment(self):
        environment = {
            "PATH": os.environ["PATH"],
            "FILEMILL_DATABASE_URL": self.postgres.url(),
            "FILEMILL_STORAGE_PROVIDER": "filemill",
            "FILEMILL_STORAGE_ENDPOINT": self.store.endpoint,
            "FILEMILL_STORAGE_BUCKET": BUCKET,
            "FILEMILL_STORAGE_ACCESS_KEY": ACCESS_KEY,
            "FILEMILL_STORAGE_SECRET_KEY": SECRET_KEY,
            "FILEMILL_LOG_LEVEL": "info",
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        environment.update({f"FILEMILL_{name.upper()}": str(value) for name, value in self.settings.items()
                            if value is not None})
        return environment

    def start(self, pass_fds=None):
        ready, ready_child = os.pipe()
        fds = {"FILEMILL_LISTEN_FD": self.listener.fileno(), "FILEMILL_READY_FD": ready_child, **(pass_fds or {})}
        environment = {**self.environment(), **{name: str(fd) for name, fd in fds.items()}}
        self.process = subprocess.Popen([program("filemill-gateway")], env=environment, stdin=subprocess.DEVNULL,
                                        stderr=self.log, pass_fds=tuple(fds.values()))
        os.close(ready_child)
        with os.fdopen(ready, "rb") as stream:
            assert stream.readline(), "the gateway did not say that it is ready"
        eventually(lambda: self.raw("GET", "/ready").status == 200, what="a gateway with database and store")
        return self

    def stop(self):
        """SIGTERM; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self.listener.close()

    def raw(self, method, path, body=None, headers=None, timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def call(self, method, path, body=None, as_user=None, headers=None, timeout=30):
        send = dict(headers or {})
        if as_user is not None:
            send["Authorization"] = "Bearer " + token(as_user)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            send.setdefault("Content-Type", "application/json")
        return self.raw(method, path, body, send, timeout)

    def user(self, tenant=None):
        return User(self, tenant)


class User:
    def __init__(self, gateway, tenant=None):
        self.gateway, self.id, self.tenant = gateway, str(uuid.uuid4()), tenant

    def call(self, method, path, body=None, headers=None, timeout=30):
        return self.gateway.call(method, path, body, self.id, headers, timeout)

    def bootstrap(self, name="Test Tenant"):
        answer = self.call("POST", "/v1/tenants/bootstrap", {"name": name})
        assert answer.status == 201, answer
        self.tenant = answer.json["tenant_id"]
        return self

    def member(self, role="member"):
        """Another user of this tenant."""
        other = User(self.gateway, self.tenant)
        answer = self.call("POST", f"/v1/tenants/{self.tenant}/members", {"user_id": other.id, "role": role})
        assert answer.status == 201, answer
        return other

    def init(self, filename="test.pdf", mime="application/pdf", size=1234, headers=None, timeout=30, **more):
        return self.call("POST", "/v1/files/init-upload",
                         {"tenant_id": self.tenant, "filename": filename, "mime": mime, "size_bytes": size, **more},
                         headers, timeout)

    def put(self, init, data, headers=None):
        host, _, path = init["upload_url"].removeprefix("http://").partition("/")
        connection = http.client.HTTPConnection(host, timeout=30)
        try:
            connection.request("PUT", "/" + path, body=data, headers=headers or init["required_headers"])
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def upload(self, data, filename="test.pdf", mime="application/pdf", **more):
        init = self.init(filename, mime, len(data), **more)
        assert init.status == 200, init
        stored = self.put(init.json, data)
        assert stored.status in (200, 204), stored
        return init.json["file_id"]

    def finalize(self, file_id, headers=None):
        return self.call("POST", "/v1/files/finalize", {"file_id": file_id}, headers)

    def send(self, data, **more):
        file_id = self.upload(data, **more)
        answer = self.finalize(file_id)
        assert answer.status == 200, answer
        return file_id


class World:
    """Postgres, store and gateway together."""

    def __init__(self, log=None, **settings):
        self.postgres = Postgres()
        self.store = None
        self.gateway = None
        self.log, self.settings = log, settings

    def __enter__(self):
        try:
            self.postgres.start()
            self.postgres.migrate()
            self.store = Store()
            self.gateway = Gateway(self.postgres, self.store, self.log, rate_per_minute=0, **self.settings).start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.gateway is not None:
            self.gateway.close()
        if self.store is not None:
            self.store.kill()
        self.postgres.close()
