# SPDX-License-Identifier: MIT
"""Starts a filemill-store of its own on a free port and a directory of its own, and makes clients for it."""
import datetime
import hashlib
import hmac
import http.client
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.parse
from pathlib import Path

import boto3
import botocore.config

from ports import free_port

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("FILEMILL_BUILD", ROOT / "build"))
ACCESS_KEY = "AKIATESTTESTTEST"
SECRET_KEY = "secret/with+odd=characters"
REGION = "us-east-1"
BUCKET = "user-files"


def program(name, folder):
    """A built program, wherever the build puts it."""
    for path in (BUILD / name, BUILD / folder / name):
        if path.exists():
            return path
    raise FileNotFoundError(f"{name} is not built in {BUILD}; set FILEMILL_BUILD")


class Store:
    def __init__(self, directory=None, **settings):
        self.own_directory = directory is None
        self.directory = Path(directory or tempfile.mkdtemp(prefix="filemill-store-"))
        self.settings = settings
        self.process, self.port = None, free_port()
        self.start()

    def start(self):
        """The listening socket is made here and inherited: whoever connects from now on is heard."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        ready, ready_child = os.pipe()
        environment = {
            "PATH": os.environ["PATH"],
            "FILEMILL_STATE_DIRECTORY": str(self.directory),
            "FILEMILL_STORE_PORT": str(self.port),
            "FILEMILL_STORAGE_BUCKET": BUCKET,
            "FILEMILL_STORAGE_ACCESS_KEY": ACCESS_KEY,
            "FILEMILL_STORAGE_SECRET_KEY": SECRET_KEY,
            "FILEMILL_CORS_ORIGINS": "https://app.example, http://localhost:3000",
            "FILEMILL_LISTEN_FD": str(listener.fileno()),
            "FILEMILL_READY_FD": str(ready_child),
            "FILEMILL_LOG_LEVEL": "warn",
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        environment.update({f"FILEMILL_{name.upper()}": str(value) for name, value in self.settings.items()})
        self.process = subprocess.Popen(
            [program("filemill-store", "storage")], env=environment, pass_fds=(listener.fileno(), ready_child)
        )
        os.close(ready_child)
        listener.close()
        with os.fdopen(ready, "rb") as stream:
            assert stream.readline(), "the store did not say that it is ready"

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def stop(self):
        """SIGTERM; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        return status

    def close(self):
        try:
            return self.stop()
        finally:
            if self.own_directory:
                shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def client(self, secret_key=SECRET_KEY, **config):
        """A boto3 client that does not retry: each answer is the store's first."""
        options = {"retries": {"max_attempts": 0}, "s3": {"addressing_style": "path"}, "read_timeout": 60,
                   "signature_version": "s3v4"}  # for its presigned URLs too
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=secret_key,
            region_name=REGION,
            config=botocore.config.Config(**{**options, **config}),
        )

    def temporaries(self):
        return list((self.directory / "store" / "tmp").iterdir())

    def request(self, method, target, headers=None, body=None):
        """Status, headers and body of a request sent as it is given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            headers = dict(headers or {})
            given = {name.lower() for name in headers}
            if "host" not in given:
                headers["Host"] = f"127.0.0.1:{self.port}"
            if body is not None and not given & {"content-length", "transfer-encoding"}:
                headers["Content-Length"] = str(len(body))
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            if body is not None:
                try:
                    connection.send(body)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # refused before the end; the answer is there
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def signer(self, **changes):
        return Signer(self, **changes)


def sha256_hex(data):
    return hashlib.sha256(data).hexdigest()


class Signer:
    """SigV4 for S3 written a second time, so that each step of it can be done wrong on purpose."""

    def __init__(self, store, **changes):
        self.store = store
        self.access_key = ACCESS_KEY
        self.secret_key = SECRET_KEY
        self.region = REGION
        self.service = "s3"
        self.terminator = "aws4_request"
        self.shift_seconds = 0
        self.scope_date = None
        for name, value in changes.items():
            setattr(self, name, value)
        now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.shift_seconds)
        self.date = now.strftime("%Y%m%dT%H%M%SZ")

    @property
    def scope(self):
        return f"{self.scope_date or self.date[:8]}/{self.region}/{self.service}/{self.terminator}"

    def key(self):
        key = ("AWS4" + self.secret_key).encode()
        for part in self.scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key

    def hmac(self, text):
        return hmac.new(self.key(), text.encode(), hashlib.sha256).hexdigest()

    def signature(self, method, path, query, headers, payload_hash):
        quote = urllib.parse.quote
        pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query)
        lines = [
            method,
            quote(path, safe="/-_.~"),
            "&".join(f"{name}={value}" for name, value in pairs),
            *(f"{name}:{' '.join(value.split())}" for name, value in sorted(headers.items())),
            "",
            ";".join(sorted(headers)),
            payload_hash,
        ]
        canonical = "\n".join(lines)
        return self.hmac("\n".join(["AWS4-HMAC-SHA256", self.date, self.scope, sha256_hex(canonical.encode())]))

    def header_request(self, method, path, query=(), headers=None, payload_hash=None, body=b"", unsigned=()):
        """(target, headers) of a request signed in the Authorization header."""
        headers = {name.lower(): value for name, value in (headers or {}).items()}
        payload_hash = payload_hash or sha256_hex(body)
        headers.update({
            "host": f"127.0.0.1:{self.store.port}",
            "x-amz-date": self.date,
            "x-amz-content-sha256": payload_hash,
        })
        covered = {name: value for name, value in headers.items() if name not in unsigned}
        signature = self.signature(method, path, query, covered, payload_hash)
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key}/{self.scope}, "
            f"SignedHeaders={';'.join(sorted(covered))}, Signature={signature}"
        )
        self.seed = signature
        target = urllib.parse.quote(path, safe="/-_.~")
        if query:
            target += "?" + urllib.parse.urlencode(list(query), quote_via=urllib.parse.quote)
        return target, headers

    def presigned(self, method, path, expires=60, headers=None, query=()):
        """Target of a presigned request; `headers` are those that it binds."""
        covered = {"host": f"127.0.0.1:{self.store.port}"}
        covered.update({name.lower(): value for name, value in (headers or {}).items()})
        query = list(query) + [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", f"{self.access_key}/{self.scope}"),
            ("X-Amz-Date", self.date),
            ("X-Amz-Expires", str(expires)),
            ("X-Amz-SignedHeaders", ";".join(sorted(covered))),
        ]
        query.append(("X-Amz-Signature", self.signature(method, path, query, covered, "UNSIGNED-PAYLOAD")))
        return urllib.parse.quote(path, safe="/-_.~") + "?" + urllib.parse.urlencode(
            query, quote_via=urllib.parse.quote
        )

    def chunks(self, data, size, trailer=None, signed=True):
        """An aws-chunked body; `header_request` came first and left the seed signature."""
        previous = self.seed
        body = b""
        for start in list(range(0, len(data), size)) + [len(data)]:
            chunk = data[start:start + size]
            line = f"{len(chunk):x}"
            if signed:
                previous = self.hmac("\n".join(["AWS4-HMAC-SHA256-PAYLOAD", self.date, self.scope, previous,
                                                sha256_hex(b""), sha256_hex(chunk)]))
                line += f";chunk-signature={previous}"
            body += line.encode() + b"\r\n"
            if chunk:
                body += chunk + b"\r\n"
        if trailer:
            name, value = trailer
            body += f"{name}:{value}\r\n".encode()
            if signed:
                last = self.hmac("\n".join(["AWS4-HMAC-SHA256-TRAILER", self.date, self.scope, previous,
                                            sha256_hex(f"{name}:{value}\n".encode())]))
                body += f"x-amz-trailer-signature:{last}\r\n".encode()
        return body + b"\r\n"
