# SPDX-License-Identifier: MIT
"""Hostile clients at every route of the gateway's own table (openapi.json is made of it): whatever is sent, by whomever,
is refused by a typed problem or does what it says; nothing of another tenant is ever told, and nothing fails inside.

A new route is walked at once, with a body made of its schema. The walk leads deeper where `World.make_bodies` has a body
that is as described, and `World.fill` the ids of things that are there."""
import copy
import http.client
import json
import re
import urllib.parse
import uuid

import pytest

from system import System, eventually

ADMIN = "0a11ce00-1d1d-4d1d-8d1d-0123456789ab"
SECRET = "secret-of-services-outside"
MARK = "zanzibar"  # stands in every text of the owner's, and in nobody else's
TEXT = (f"The {MARK} mill grinds slowly, but it grinds. The miller sleeps beside the river.\n" * 20).encode()
# Refusals of the path, the method and the size.
GENERAL = {"bad_request", "not_found", "method_not_allowed", "payload_too_large"}

# What JSON can hold, whatever was asked for.
VALUES = [None, True, 0, -1, 2**31, 2**63 - 1, -2**63, 1e308, -0.5, "", " ", "x" * 5000, "\u0000", "a\u0000b", "\ud83d\ude00" * 70,
          "'; drop table files; --", "../../etc/passwd", "%00", "{}", "\u202e\ufeff\uffff", "NaN", "infinity", "-infinity",
          "00000000-0000-0000-0000-000000000000", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", [], {}, [[]],
          [None], [{}], {"": {}}, {"a": "\u0000"}, ["\u0000"], ["x" * 300] * 50, {"a\u0001": [1e308, {"b": None}]}]
# Bodies that are no JSON object, or not one that may be sent.
BODIES = [b"", b"{", b"null", b"[]", b"0", b'"x"', b"\xff\xfe", b"\x00", b"{}\x00", b'{"a":1,"a":2}', b'{"\\u0000":1}',
          b'{"a":1e999}', b'{"a":-99999999999999999999}', b'{"a":"\\ud800"}', b'{"a":"\xc0\x80"}', b"\xef\xbb\xbf{}",
          b'{"no_such_member":1}', b"[" * 100000, b'{"a":' * 100000, b'{"a":[' + b"[]," * 300000 + b"[]]}", b"{" + b" " * 3000000 + b"}"]
QUERIES = ["\x00", "\xff", "", " ", "-1", "0", "99999999999999999999", "1e9", "x" * 3000, "'", "{}", "NaN", "infinity",
           "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "00000000-0000-0000-0000-000000000000", "%", "\u202e", "a\tb"]
SEGMENTS = ["", "x", "%00", "..", "%2e%2e", "%2f", "0", "-1", "x" * 64, "x" * 300, "*", "'", "\u00e9", "no_such-thing",
            "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]

HEADERS = {"Idempotency-Key": ["", "x" * 300, "a b", "\xe4", "k"], "Last-Event-ID": ["-1", "99999999999999999999", "x"],
           "Range": ["bytes=-0", "bytes=9-1", "bytes=0-99999999999999999999", "bytes=0-1,3-4", "bytes=x", "items=0-1", "x"],
           "If-Range": ["x", '"', "W/"], "If-Match": ["*", "x", '"' + "x" * 500 + '"'], "If-None-Match": ["*", ",,,", "\xff"],
           "traceparent": ["x", "00-" + "0" * 32 + "-" + "0" * 16 + "-00", "ff-" + "a" * 32 + "-" + "b" * 16 + "-01"],
           "X-Request-Id": ["x" * 300, "\xff"], "X-Tenant-Id": ["x", "'"], "Origin": ["null", "http://x\xff"],
           "Authorization": ["Bearer", "Bearer ", "Bearer a.b.c", "Basic eDp5", "Bearer " + "x" * 5000, "Bearer .."]}


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Client:
    """Requests one after the other over a connection that is kept; nothing is tidied."""

    def __init__(self, system, token=None):
        self.port, self.token, self.line = system.port, token, None

    def call(self, method, path, body=None, headers=None):
        send = {"X-Webhook-Secret": SECRET, **({"Content-Type": "application/json"} if body is not None else {})}
        if self.token is not None:
            send["Authorization"] = f"Bearer {self.token}"
        send.update(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        send = {name: value for name, value in send.items() if value is not None}
        for attempt in (0, 1):
            fresh = self.line is None
            if fresh:
                self.line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            try:
                self.line.request(method, path, body, send)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused by its head while the body was still being sent: the answer is there
            try:
                reply = self.line.getresponse()
            except (http.client.RemoteDisconnected, ConnectionResetError, http.client.CannotSendRequest,
                    http.client.ResponseNotReady):
                self.close()
                assert attempt == 0 and not (fresh and len(body or b"") < 65536), (method, path, (body or b"")[:200])
                continue
            streams = reply.headers.get("Content-Type", "").startswith("text/event-stream")
            answer = Reply(reply.status, reply.headers, b"" if streams else reply.read())
            if streams or reply.will_close:
                self.close()
            return answer

    def close(self):
        if self.line is not None:
            self.line.close()
        self.line = None


def form(*parts, boundary="b"):
    out = b""
    for name, filename, data in parts:
        file = f'; filename="{filename}"' if filename is not None else ""
        out += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + data + b"\r\n"
    return out + f"--{boundary}--\r\n".encode()


class World:
    """A tenant with one of everything."""

    def __init__(self, system):
        self.system = system
        self.owner = system.user(ADMIN).bootstrap(f"Tenant {MARK}")
        self.stranger = system.user().bootstrap("Strangers")
        self.member = system.user()
        tenant = self.owner.tenant
        self.post(f"/v1/tenants/{tenant}/members", {"user_id": self.member.id, "role": "member"})
        self.file = self.owner.send(f"{MARK}.txt", "text/plain", TEXT)
        self.fresh = self.owner.upload(f"{MARK}2.txt", "text/plain", TEXT)
        assert self.owner.wait(self.file)["status"] == "ready"
        self.job = self.owner.file(self.file)["jobs"][0]["id"]
        self.inbox = self.post(f"/v1/files/{self.file}/classify", None)["job_id"]
        definition = {"target_width": 100, "target_height": 100}
        self.schema = self.post("/v1/portal-schemas", {"tenant_id": tenant, "name": f"Schema {MARK}",
                                                       "schema_definition": definition})
        self.everybodys = self.post("/v1/admin/portal-schemas", {"name": "Everybody's", "schema_definition": definition})["id"]
        self.hook = self.post(f"/v1/tenants/{tenant}/webhooks", {"url": f"https://{MARK}.example.com/"})["id"]
        self.delivery = self.post(f"/v1/tenants/{tenant}/webhooks/{self.hook}/test", None)["delivery_id"]
        self.portal = self.post("/jobs", {"portal_schema": {"name": MARK, "schema_definition": definition},
                                          "input": {"file_id": self.file}})["job_id"]
        self.words = self.post("/v1/wordlists/jobs", {"file_id": self.file, "source_language": "en",
                                                      "target_language": "de"})["job_id"]
        self.list = self.post("/v1/wordlists", {"tenant_id": tenant, "name": f"List {MARK}", "source_language": "en",
                                                "target_language": "de", "word_pairs": [{"source": MARK, "target": "b"}]})["id"]
        self.export = self.post(f"/v1/wordlists/{self.list}/export", {"format": "csv"})["export_id"]
        assert self.owner.call("PUT", "/v1/admin/limits/hostile", {"type": "noop", "max_running": 5}).status == 200
        self.bodies = self.make_bodies()
        answer = self.owner.call("PUT", "/v1/admin/schedules/hostile", self.bodies["PUT", "/v1/admin/schedules/{name}"])
        assert answer.status in (200, 201), answer

    def post(self, path, body):
        answer = self.owner.call("POST", path, body)
        assert answer.status in (200, 201, 202), (path, answer)
        return answer.json

    def fill(self, pattern):
        """The path of a pattern with the owner's things in it."""
        tenant, zero = self.owner.tenant, str(uuid.UUID(int=0))
        ids = [("/v1/tenants/{id}", tenant), ("/v1/admin/tenants/{id}", tenant), ("/v1/internal/files/{id}", self.file),
               ("/v1/files/{id}", self.file), ("/v1/jobs/{id}/artifacts", self.portal), ("/v1/jobs/{id}", self.job),
               ("/v1/admin/jobs/{id}", self.job), ("/v1/admin/portal-schemas/{id}", self.everybodys),
                ("/jobs/{id}", self.portal), ("/job/{id}", self.inbox),
               ("/v1/documents/{id}", zero), ("/v1/wordlists/jobs/{id}", self.words), ("/v1/wordlists/{id}", self.list),
               ("/v1/wordlists/exports/{id}", self.export)]
        names = {"webhook_id": self.hook, "user_id": self.member.id}
        names["kind"] = "output" if "artifacts" in pattern else "office_text"
        names["name"] = {"/internal/webhooks": "camber", "/v1/admin/compute-backends": "camber", "/v1/admin/schedules": "hostile", "/v1/admin/limits": "hostile"}.get(
            pattern.rpartition("/")[0], "x")
        if "{id}" in pattern:
            names["id"] = next((value for prefix, value in ids if pattern.startswith(prefix)), zero)
        return re.sub(r"\{(\w+)\}", lambda match: names[match[1]], pattern)

    def make_bodies(self):
        """A body that is as described, for every route that takes one."""
        tenant, member = self.owner.tenant, self.member.id
        schema = {"target_width": 100, "target_height": 100, "target_dpi": 100, "min_kb": 1, "max_kb": 100, "quality": 80,
                  "output_format": "jpeg", "background": "#ffffff", "filename_pattern": "{job_id}"}
        retry = {"job_id": self.job, "type": "noop", "error": "x", "since": "2026-01-01T00:00:00Z"}
        hook = {"url": f"https://{MARK}.example.com/", "description": "d", "event_types": ["file.ready"], "concurrency": 2}
        order = {"type": "ocr", "parameters": {"pages": "1", "outputs": ["text"], "dpi": 200}, "priority": 1,
                 "unique_key": "k", "run_after": "2030-01-01T00:00:00Z"}
        orders = {"jobs": [{"file_id": self.file, **order},
                           {"file_id": self.file, "type": "thumbnail", "waits_for": [0]}]}
        return {
            ("POST", "/v1/tenants/bootstrap"): {"name": "n"},
            ("POST", "/v1/tenants/{id}/members"): {"user_id": str(uuid.uuid4()), "role": "member"},
            ("PATCH", "/v1/tenants/{id}/members/{user_id}"): {"role": "member"},
            ("POST", "/v1/files/init-upload"): {
                "tenant_id": tenant, "filename": "a.txt", "mime": "text/plain", "visibility": "private", "size_bytes": 5,
                "sha256": "0" * 64, "encryption": {"algorithm": "AES-256-GCM-STREAM", "wrapped_key": "A" * 107}, "layout": "raw",
                "retention_class": "document-uploads"},
            ("POST", "/v1/files/finalize"): {"file_id": self.fresh},
            ("POST", "/v1/files/{id}/jobs"): order,
            ("POST", "/v1/jobs"): orders,
            ("POST", "/v1/admin/jobs"): orders,
            ("PUT", "/v1/admin/tenants/{id}/priority"): {"first_priority": 1},
            ("PUT", "/v1/tenants/{id}/plan"): {"plan": [{"media_type": "image/*", "jobs": [
                {"type": "ocr", "parameters": {"dpi": 200}, "priority": 2}]}]},
            ("POST", "/v1/tenants/{id}/webhooks"): hook,
            ("PATCH", "/v1/tenants/{id}/webhooks/{webhook_id}"): {**hook, "enabled": True},
            ("POST", "/v1/tenants/{id}/webhooks/{webhook_id}/replay"): {"delivery_id": self.delivery,
                                                                        "since": "2030-01-01T00:00:00Z"},
            ("POST", "/v1/credits/grants"): {"user_id": member, "amount": 5, "note": "n"},
            ("POST", "/jobs"): {"portal_schema": {"id": self.schema["id"], "name": "n", "version": 1,
                                                  "schema_definition": schema},
                                "input": {"file_id": self.file, "raw_path": "raw/a", "mime_type": "image/jpeg",
                                          "original_filename": "a.jpg"}},
            ("POST", "/v1/portal-schemas"): {"tenant_id": tenant, "name": "Hostile", "schema_definition": schema},
            ("POST", "/v1/admin/portal-schemas"): {"name": "Hostile", "schema_definition": schema, "active": True},
            ("PUT", "/v1/admin/portal-schemas/{id}"): {"active": True},
            ("PUT", "/v1/admin/compute-backends/{name}"): {
                "enabled": False, "url": "https://x.example.com", "share": 1, "webhook_secret": SECRET, "deadline_ms": 1000,
                "poll_ms": 0, "poll_max_ms": 1000},
            ("POST", "/internal/webhooks/{name}"): {
                "job_id": self.portal, "camber_job_id": "c", "external_job_id": "e", "status": "success", "result": {
                    "job_id": self.portal, "status": "success", "quality_score": 0.5, "warnings": ["w"], "metrics": {"m": 1},
                    "error": {"code": "C", "stage": "s", "message": "m", "retryable": False},
                    "artifacts": {"master_path": f"master/{ADMIN}/{self.portal}/{self.portal}.enc",
                                  "preview_path": f"output/{ADMIN}/{self.portal}/preview.jpg"}}},
            ("POST", "/v1/files/{id}/label"): {"label": "Invoice"},
            ("PUT", "/v1/tenants/{id}/labels"): {"labels": [{"name": "a", "description": "b"}, {"name": "c"}]},
            ("POST", "/v1/admin/jobs/retry"): {**retry, "tenant_id": tenant},
            ("POST", "/v1/tenants/{id}/jobs/retry"): retry,
            ("POST", "/v1/admin/pause"): {"type": "noop"},
            ("POST", "/v1/admin/resume"): {"type": "noop"},
            ("PUT", "/v1/admin/schedules/{name}"): {
                "jobs": [{"file_id": self.file, "type": "extract_office"}], "cron": "5 4 * * *", "time_zone": "UTC",
                "enabled": False},
            ("POST", "/v1/admin/schedules/{name}"): {
                "run_now": True, "enabled": True, "cron": "5 4 * * *", "every_seconds": 3600, "time_zone": "Europe/Berlin"},
            ("PUT", "/v1/admin/limits/{name}"): {
                "max_running": 5, "max_per_minute": 5, "type": "noop", "tenant_id": tenant, "user_id": member,
                "per_type": True, "per_tenant": True, "per_user": True},
            ("PUT", "/v1/admin/model-prices"): {
                "model": "m", "prompt_per_million": 0.5, "completion_per_million": 1, "valid_from": "2030-01-01T00:00:00Z"},
            ("POST", "/v1/console/session"): {"code": "x"},
            ("POST", "/v1/wordlists/jobs"): {"file_id": self.file, "source_language": "en", "target_language": "de",
                                             "max_words": 5},
            ("POST", "/v1/wordlists"): {"job_id": self.words, "tenant_id": tenant, "name": "n", "source_language": "en",
                                        "target_language": "de", "word_pairs": [{"source": "a", "target": "b"}]},
            ("PATCH", "/v1/wordlists/{id}"): {"name": f"List {MARK}", "word_pairs": [{"source": MARK, "target": "b"}]},
            ("POST", "/v1/wordlists/{id}/export"): {"format": "xlsx"},
        }


@pytest.fixture(scope="module")
def system():
    with System(wordlist_cooldown_seconds=0, admins=ADMIN, credit_admins=ADMIN, webhook_secret=SECRET,
                webhook_endpoints=1000, encryption_key="5" * 64,
                encrypt_outputs="portal", webhook_retry_unit_ms=60000) as running:
        yield running


@pytest.fixture(scope="module")
def world(system):
    return World(system)


@pytest.fixture(scope="module")
def owner(system, world):
    client = Client(system, world.owner.token)
    yield client
    client.close()


@pytest.fixture(scope="module")
def routes(owner):
    """(method, pattern, operation) of all."""
    document = json.loads(owner.call("GET", "/openapi.json").body)
    rows = [(method.upper(), pattern, operation) for pattern, methods in document["paths"].items()
            for method, operation in methods.items()]
    assert len(rows) > 60
    return rows


def json_schema(operation):
    return operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")


def body_of(world, method, pattern, operation):
    """One that is as described, or at least of the right types; None where there is none."""
    plain = {"string": "x", "integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}}
    schema = json_schema(operation)
    if schema is None:
        return None
    made = {name: row.get("enum", [world.owner.tenant if row.get("format") == "uuid" else plain[row["type"]]])[0]
            for name, row in schema["properties"].items()}
    return world.bodies.get((method, pattern), made)


def check(answer, operation, what, refused=False):
    """Nothing fails inside; a refusal is a problem, one of those that the route names (or any may give)."""
    assert answer.status < 500, (what, answer)
    if answer.status >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json", (what, answer)
        document = json.loads(answer.body)
        assert document["status"] == answer.status and document["error"] in GENERAL | codes(operation), (what, answer)
    assert answer.status >= 400 or not refused, (what, answer)


def codes(operation):
    return set(re.findall(r"`([a-z_]+)`", json.dumps(operation["responses"])))


def mutants(value, path=()):
    """(path, copy) of a JSON value, each with something else at one place, or without it."""
    for other in VALUES:
        yield path, other
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        for where, changed in mutants(member, (*path, key)):
            whole = copy.copy(value)
            whole[key] = changed
            yield where, whole
        without = copy.copy(value)
        del without[key]
        yield (*path, key), without
    if isinstance(value, dict):
        yield path, {**value, "a\u0001\"b": {}}


def test_bodies_that_are_none(world, owner, routes):
    for method, pattern, operation in routes:
        path, schema = world.fill(pattern), json_schema(operation)
        if schema is None:
            continue
        optional = not operation["requestBody"]["required"]
        for body in BODIES:
            if not (optional and body == b""):
                check(owner.call(method, path, body), operation, (method, path, body[:40]), refused=True)
        for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "application/jsonp"}, {"Content-Type": None},
                        {"Content-Encoding": "gzip"}, {"Content-Type": "multipart/form-data; boundary=b"}):
            answer = owner.call(method, path, b"{}", headers)
            assert answer.status == 415, (method, path, headers, answer)


def test_members_that_are_wrong(world, owner, routes):
    for method, pattern, operation in routes:
        if json_schema(operation) is None or not json_schema(operation)["properties"]:
            continue
        path, body = world.fill(pattern), body_of(world, method, pattern, operation)
        assert set(body) <= set(json_schema(operation)["properties"]), (method, pattern)
        for where, changed in mutants(body):
            check(owner.call(method, path, changed), operation, (method, path, where, changed))


def test_queries_that_are_wrong(world, owner, routes):
    for method, pattern, operation in routes:
        path, body = world.fill(pattern), b"{}" if json_schema(operation) is not None else None
        names = [row["name"] for row in operation["parameters"] if row["in"] == "query"]
        tenant = f"tenant_id={world.owner.tenant}" if pattern == "/v1/files" else "a=b"
        for name in names:
            for value in QUERIES:
                text = f"{path}?{urllib.parse.urlencode({name: value}, encoding='latin-1', errors='replace')}"
                check(owner.call(method, text, body), operation, text)
                if tenant != "a=b":
                    check(owner.call(method, f"{text}&{tenant}", body), operation, text)
            check(owner.call(method, f"{path}?{name}=1&{name}=1", body), operation, (method, path, name), refused=True)
        for query in ("?no_such=1", "?%zz=1", "?a=%", "?" + "&".join(f"a{i}=1" for i in range(100)), "?\"=<"):
            check(owner.call(method, path + query, body), operation, (method, path, query), refused=True)


def test_paths_that_are_wrong(world, owner, routes):
    for method, pattern, operation in routes:
        body = body_of(world, method, pattern, operation)
        for index, part in enumerate(pattern.split("/")):
            if part.startswith("{"):
                filled = world.fill(pattern).split("/")
                for segment in SEGMENTS:
                    path = urllib.parse.quote("/".join([*filled[:index], segment, *filled[index + 1:]]), safe="/%*'.")
                    check(owner.call(method, path, body), operation, (method, path))
        for path in (world.fill(pattern) + "/", "/" + world.fill(pattern), world.fill(pattern) + "%00"):
            check(owner.call(method, path, body), operation, (method, path), refused=True)


def test_methods_that_are_none(world, owner, routes):
    for pattern in {pattern for _, pattern, _ in routes}:
        path = world.fill(pattern)
        allowed = {method for method, other, _ in routes if other == pattern}
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - allowed:
            answer = owner.call(method, path, b"{}" if method in ("POST", "PUT", "PATCH") else None)
            if answer.status != 405:  # a literal and a parameter share the place
                assert answer.status < 500, (method, path, answer)
                continue
            assert allowed <= set(answer.headers["Allow"].split(", ")), (method, path, answer.headers["Allow"])
        for method in ("TRACE", "CONNECT", "PROPFIND", "get"):
            answer = owner.call(method, path)
            assert answer.status in (400, 404, 405, 501), (method, path, answer)


def test_headers_that_are_wrong(world, owner, routes):
    for method, pattern, operation in routes:
        keyed = any(row["name"] == "Idempotency-Key" for row in operation["parameters"])
        path, body = world.fill(pattern), body_of(world, method, pattern, operation) if keyed else None
        names = ["Authorization"] + (["Idempotency-Key"] if keyed else [name for name in HEADERS if method == "GET"])
        for name, value in [(name, value) for name in names for value in HEADERS[name]]:
            answer = owner.call(method, path, body, {name: value.encode("latin-1")})
            check(answer, operation, (method, path, name, value))
            assert name != "Authorization" or answer.status == 401 or "security" in operation, (method, path, value)


def test_forms_that_are_none(world, owner, routes):
    forms = [(pattern, operation) for _, pattern, operation in routes
             if "multipart/form-data" in operation.get("requestBody", {}).get("content", {})]
    assert forms
    tenant = world.owner.tenant.encode()
    bodies = [b"", b"--b", b"--b--", b"--b\r\n\r\n\r\n--b--\r\n", form(), form(("tenant_id", None, tenant)),
              form(("files", "", b"")), form(("files", None, b"x")), form(("files", "a" * 2000, b"x")),
              form(("files", "\x01\x02", b"x")), form(("files", "..", b"x")), form(("tenant_id", None, b"\xff" * 5000)),
              form(("tenant_id", None, b"\x00"), ("files", "a.txt", b"x")), form(*[("x", None, b"y")] * 3000),
              form(("tenant_id", None, tenant), ("tenant_id", None, tenant), ("files", "a.txt", b"x")),
              b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\nContent-Type: \xff/\xfe\r\n\r\nx\r\n--b--',
              b'--b\r\nContent-Disposition: form-data; name="\xff"; filename="\xff.\x01\xed\xa0\x80"\r\n\r\nx\r\n--b--',
              b'--b\r\nContent-Disposition: form-data; name="files"; filename="\xff"\r\nContent-Type: a/b;c="\x01\r\n\r\nx\r\n--b--',
              form(("files", "a.txt", b"x"))[:-4], b"x" * 100000, form(("files", "a.txt", b"x"))[:30]]
    for path, operation in forms:
        for body in bodies:
            answer = owner.call("POST", path, body, {"Content-Type": "multipart/form-data; boundary=b"})
            check(answer, operation, (path, body[:80]))
        for kind in ("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=b; boundary=b",
                     'multipart/form-data; boundary="', "multipart/form-datax; boundary=b", "multipart/mixed; boundary=b",
                     "multipart/form-data; boundary=" + "b" * 71):
            answer = owner.call("POST", path, form(("files", "a.txt", b"x")), {"Content-Type": kind})
            check(answer, operation, (path, kind), refused=True)


# What strangers could have changed.
STATE = """select (select jsonb_agg(f order by id) from (select id, filename, deleted_at from files) f) as files,
    (select jsonb_agg(m order by m) from tenant_members m where tenant_id = %s) as members, (select jsonb_agg(s order by s) from paused_types s)
    as paused, (select jsonb_agg(w order by id) from (select id, name, word_pairs from wordlists) w) as lists,
    (select jsonb_agg(e order by id) from (select id, url, enabled from webhook_endpoints) e) as hooks,
    (select jsonb_agg(l order by l) from tenant_labels l) as labels, (select jsonb_agg(p order by p) from portal_schemas p)
    as schemas, (select sum(granted) from user_credits) as credits, (select count(*) from jobs where status = 'cancelled')
    as cancelled, (select jsonb_agg(l order by l) from job_limits l) as limits"""
OPEN = {"/health", "/ready", "/openapi.json"}


def test_strangers_see_and_change_nothing(system, world, routes):
    """Those without a token, with a bad one, and those of another tenant."""
    own = {value for name, value in vars(world).items() if isinstance(value, str) and name != "everybodys"} | {
        world.owner.tenant, world.schema["id"]}
    before = system.sql(STATE, world.owner.tenant)
    for method, pattern, operation in routes:
        path, is_open = world.fill(pattern), "security" in operation
        body = body_of(world, method, pattern, operation)
        for token in (None, "x", world.owner.token[:-6] + "AAAAAA", world.stranger.token):
            if pattern in OPEN:
                continue
            client = Client(system, token)
            answer = client.call(method, path, body, {"X-Webhook-Secret": "wrong"})
            client.close()
            check(answer, operation, (method, path, token))
            if not is_open and token != world.stranger.token:
                assert answer.status == 401, (method, path, answer)
            elif not is_open and "{" in pattern:
                assert answer.status in (400, 403, 404, 422), (method, path, answer)
            told, asked = answer.body.decode(), path + json.dumps(body)
            assert MARK not in told and not [one for one in own if one in told and one not in asked], (path, told)
    after = system.sql(STATE, world.owner.tenant)
    assert {name: after[0][name] for name in after[0] if after[0][name] != before[0][name]} == {}


def test_members_have_no_more_than_their_role(system, world, routes):
    client = Client(system, world.member.token)
    for method, pattern, operation in routes:
        path = world.fill(pattern)
        body = body_of(world, method, pattern, operation)
        answer = client.call(method, path, body, {"X-Webhook-Secret": "wrong"})
        check(answer, operation, (method, path))
        if pattern.startswith("/v1/admin/") or "/webhooks" in pattern and is_guarded(operation):
            assert answer.status in (400, 403, 422), (method, path, answer)
    client.close()


def is_guarded(operation):
    return "insufficient_role" in codes(operation)


def test_nothing_failed_inside(system, world):
    """Last: all that served is still the same, and none of it was in trouble."""
    assert not [line for line in system.log().splitlines() if re.search(r"level=error|signal=(?!15)|AddressSan", line)]
    file = world.owner.send("after.txt", "text/plain", b"words after all of that")
    assert eventually(lambda: world.owner.file(file)["status"] in ("ready", "failed"), what="ended")
