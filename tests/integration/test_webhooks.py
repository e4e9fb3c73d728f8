"""Webhooks out, as an app sees them: signed, at least once, retried, never to the inside, one tenant's never
another's."""
import os
import signal
import ssl
import subprocess
import threading
import time
import uuid

import psycopg2
import pytest
from receiver import Receiver, Refused, verify
from system import System, eventually

TEXT = b"The mill grinds slowly, but it grinds.\n" * 4


@pytest.fixture(scope="module")
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


def certificate(folder, name):
    """One of a private authority, which is itself; its key lies beside it."""
    key, path = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", path, "-days", "2",
                    "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1", "-batch"], check=True, capture_output=True)
    path.chmod(0o644)
    return path


@pytest.fixture(scope="module")
def system():
    running = System(backoff_unit_ms=200, webhook_allow_http="on", webhook_allow_networks="127.0.0.0/8",
                     webhook_retry_unit_ms=10, webhook_timeout_ms=4000, worker_slots=2)
    running.environment["SSL_CERT_FILE"] = str(certificate(running.directory, "authority"))
    with running:
        yield running


@pytest.fixture
def owner(system):
    return system.user().bootstrap()


def hooks(user):
    return f"/v1/tenants/{user.tenant}/webhooks"


def listen(receiver, owner, path, **more):
    """An endpoint of the owner's tenant at a path of the receiver."""
    answer = owner.call("POST", hooks(owner), {"url": receiver.url(path), **more})
    assert answer.status == 201, answer
    return answer.json


def fire(owner, hook):
    answer = owner.call("POST", f"{hooks(owner)}/{hook['id']}/test")
    assert answer.status == 202, answer
    return answer.json


def log(owner, hook, **query):
    filters = "&".join(f"{name}={value}" for name, value in query.items())
    answer = owner.call("GET", f"{hooks(owner)}/{hook['id']}/deliveries?{filters}")
    assert answer.status == 200, answer
    return answer.json["deliveries"]


def settled(owner, hook, sent, status, seconds=60):
    def look():
        row = next(row for row in log(owner, hook) if row["id"] == sent["delivery_id"])
        return row if row["status"] == status else None
    return eventually(look, seconds, what=f"delivery {status}")


def path_of():
    return f"/{uuid.uuid4().hex}"


def test_a_file_tells_its_story_once_and_signed(system, owner, receiver):
    path = path_of()
    hook = listen(receiver, owner, path, description="all of it")
    assert hook["secret"].startswith("whsec_") and hook["enabled"] and hook["event_types"] == []
    file_id = owner.send("a.txt", "text/plain", TEXT)
    owner.wait(file_id)
    assert owner.call("DELETE", f"/v1/files/{file_id}").status == 200
    eventually(lambda: {"file.ready", "job.done", "file.deleted"} <= {request.json["type"] for request in receiver.got(path)},
               what="all events")
    came = receiver.got(path)
    events = [verify(hook["secret"], request.headers, request.body) for request in came]
    kinds = sorted(event["type"] for event in events)
    assert kinds.count("file.ready") == 1 and kinds.count("file.deleted") == 1 and "job.done" in kinds
    assert len({request.headers["webhook-id"] for request in came}) == len(came)
    ready = next(event for event in events if event["type"] == "file.ready")
    assert ready["data"]["file_id"] == file_id and ready["data"]["tenant_id"] == owner.tenant
    assert ready["data"]["filename"] == "a.txt" and ready["data"]["size_bytes"] == len(TEXT)
    of_file = [event["data"]["sequence"] for event in events if event["type"].startswith("file.")]
    assert len(set(of_file)) == len(of_file) and all(of_file)
    deleted = next(event for event in events if event["type"] == "file.deleted")
    assert deleted["data"]["sequence"] > ready["data"]["sequence"]
    assert all(request.headers["Content-Type"] == "application/json" for request in came)


def test_what_is_changed_on_the_way_is_refused_by_a_receiver(owner, receiver):
    path = path_of()
    hook = listen(receiver, owner, path)
    fire(owner, hook)
    request = eventually(lambda: receiver.got(path), what="test event")[0]
    assert verify(hook["secret"], request.headers, request.body)["type"] == "webhook.test"
    for headers, body, secret in (
            (request.headers, request.body + b" ", hook["secret"]),
            ({**request.headers, "webhook-id": "msg_other"}, request.body, hook["secret"]),
            ({**request.headers, "webhook-timestamp": str(int(request.headers["webhook-timestamp"]) + 1)},
             request.body, hook["secret"]),
            (request.headers, request.body, "whsec_" + "A" * 44)):
        with pytest.raises(Refused):
            verify(secret, headers, body)


def test_only_the_events_that_were_asked_for(owner, receiver):
    some, none = path_of(), path_of()
    listen(receiver, owner, some, event_types=["file.ready"])
    listen(receiver, owner, none, event_types=["file.failed", "job.cancelled"])
    owner.wait(owner.send("a.txt", "text/plain", TEXT))
    eventually(lambda: receiver.got(some), what="file.ready")
    assert {request.json["type"] for request in receiver.got(some)} == {"file.ready"}
    assert receiver.got(none) == []


def test_retries_keep_the_id_and_the_log_says_what_happened(owner, receiver):
    path = path_of()
    receiver.answers[path] = [(500, {}, b"not\x00 now\x1b[31m" + b"\xff" * 3000), 502, 204]
    hook = listen(receiver, owner, path)
    sent = fire(owner, hook)
    row = settled(owner, hook, sent, "delivered")
    came = receiver.got(path)
    assert [request.headers["webhook-id"] for request in came] == [sent["message_id"]] * 3
    stamps = [request.headers["webhook-timestamp"] for request in came]
    assert stamps == sorted(stamps)
    assert row["attempts"] == 3 and [one["status"] for one in row["history"]] == [500, 502, 204]
    assert row["response_status"] == 204 and row["latency_ms"] >= 0 and row["finished_at"]
    health = owner.call("GET", f"{hooks(owner)}/{hook['id']}").json
    assert health["failures"] == 0 and health["last_success_at"] and health["failing_since"] is None


def test_an_excerpt_of_a_failure_is_short_and_harmless(owner, receiver):
    path = path_of()
    receiver.answers[path] = [(422, {}, b"no\x00pe\x1b[31m" + b"x" * 200000)]
    hook = listen(receiver, owner, path)
    sent = fire(owner, hook)
    row = eventually(lambda: [row for row in log(owner, hook) if row["attempts"]], what="first attempt")[0]
    assert row["id"] == sent["delivery_id"] and row["response_status"] == 422
    assert row["response_excerpt"].startswith("no pe [31mx") and len(row["response_excerpt"]) <= 1024


def test_it_is_given_up_after_the_last_attempt_and_replayed(system, owner, receiver):
    path = path_of()
    receiver.answers[path] = [500]
    hook = listen(receiver, owner, path)
    sent = fire(owner, hook)
    eventually(lambda: receiver.got(path), what="first attempt")
    eventually(lambda: system.sql("update webhook_deliveries set attempts = 13, next_at = now() where id = %s and state ="
                                  " 'pending' returning 1", sent["delivery_id"]), what="between two attempts")
    row = settled(owner, hook, sent, "failed")
    assert row["attempts"] == 14
    receiver.answers[path] = [204]
    base = f"{hooks(owner)}/{hook['id']}/replay"
    assert owner.call("POST", base, {"since": "2020-01-01T00:00:00Z"}).json == {"ok": True, "replayed": 1}
    assert settled(owner, hook, sent, "delivered")["attempts"] == 1
    before = len(receiver.got(path))
    assert owner.call("POST", base, {"delivery_id": sent["delivery_id"]}).json["replayed"] == 1
    eventually(lambda: len(receiver.got(path)) == before + 1, what="replay of a delivered one")
    assert receiver.got(path)[-1].headers["webhook-id"] == sent["message_id"]
    assert owner.call("POST", base, {}).status == 400
    assert owner.call("POST", base, {"delivery_id": str(uuid.uuid4())}).status == 404


def test_410_ends_an_endpoint_and_says_why(system, owner, receiver):
    path = path_of()
    receiver.answers[path] = [410]
    hook = listen(receiver, owner, path)
    sent = fire(owner, hook)
    settled(owner, hook, sent, "failed")
    state = owner.call("GET", f"{hooks(owner)}/{hook['id']}").json
    assert (state["enabled"], state["disabled_reason"]) == (False, "gone")
    assert owner.call("POST", f"{hooks(owner)}/{hook['id']}/test").json["error"] == "webhook_disabled"
    assert owner.call("POST", f"{hooks(owner)}/{hook['id']}/replay",
                      {"delivery_id": sent["delivery_id"]}).json["error"] == "webhook_disabled"
    owner.wait(owner.send("a.txt", "text/plain", TEXT))
    assert len(log(owner, hook)) == 1, "nothing is written for an endpoint that is disabled"
    receiver.answers[path] = [204]
    again = owner.call("PATCH", f"{hooks(owner)}/{hook['id']}", {"enabled": True}).json
    assert again["enabled"] and again["disabled_reason"] is None
    settled(owner, hook, fire(owner, hook), "delivered")


def test_many_days_of_failing_end_an_endpoint(system, owner, receiver):
    path = path_of()
    receiver.answers[path] = [500]
    hook = listen(receiver, owner, path)
    system.sql("update webhook_endpoints set failing_since = now() - interval '6 days', failures = 9 where id = %s",
               hook["id"])
    fire(owner, hook)
    state = eventually(lambda: (lambda s: s if not s["enabled"] else None)(
        owner.call("GET", f"{hooks(owner)}/{hook['id']}").json), what="disabled")
    assert state["disabled_reason"] == "failing" and state["failures"] == 10


def test_retry_after_rests_the_whole_endpoint(owner, receiver):
    path = path_of()
    receiver.answers[path] = [(429, {"Retry-After": "2"}, b""), 204]
    hook = listen(receiver, owner, path)
    first = fire(owner, hook)
    eventually(lambda: receiver.got(path), what="first attempt")
    eventually(lambda: owner.call("GET", f"{hooks(owner)}/{hook['id']}").json["resume_at"] or len(receiver.got(path)) > 1,
               what="rest")
    second = fire(owner, hook)
    settled(owner, hook, first, "delivered")
    settled(owner, hook, second, "delivered")
    came = receiver.got(path)
    assert len(came) == 3 and min(request.at for request in came[1:]) - came[0].at >= 1.9


def test_a_rotated_secret_signs_beside_the_old_one_for_a_day(system, owner, receiver):
    path = path_of()
    hook = listen(receiver, owner, path)
    fresh = owner.call("POST", f"{hooks(owner)}/{hook['id']}/rotate").json
    assert fresh["secret"] != hook["secret"] and fresh["old_secret_until"]
    settled(owner, hook, fire(owner, hook), "delivered")
    request = receiver.got(path)[-1]
    assert len(request.headers["webhook-signature"].split(" ")) == 2
    for secret in (hook["secret"], fresh["secret"]):
        verify(secret, request.headers, request.body)
    system.sql("update webhook_endpoints set previous_secret_until = now() where id = %s", hook["id"])
    settled(owner, hook, fire(owner, hook), "delivered")
    request = receiver.got(path)[-1]
    verify(fresh["secret"], request.headers, request.body)
    with pytest.raises(Refused):
        verify(hook["secret"], request.headers, request.body)


def test_secrets_are_shown_once_and_nowhere_else(system, owner, receiver):
    hook = listen(receiver, owner, path_of())
    answers = [owner.call("GET", hooks(owner)), owner.call("GET", f"{hooks(owner)}/{hook['id']}"),
               owner.call("PATCH", f"{hooks(owner)}/{hook['id']}", {"description": "x"})]
    settled(owner, hook, fire(owner, hook), "delivered")
    assert all(b"whsec_" not in answer.body for answer in answers)
    assert hook["secret"] not in system.log() and "whsec_" not in system.log()
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        connection = psycopg2.connect(system.shell["PSQL_URL"])
        try:
            with connection.cursor() as cursor:
                cursor.execute("set role filemill_gateway; select secret from webhook_endpoints")
        finally:
            connection.close()


def test_a_redirect_is_a_failure_and_not_followed(owner, receiver):
    path, target = path_of(), path_of()
    receiver.answers[path] = [(302, {"Location": receiver.url(target)}, b""), (307, {"Location": target}, b""), 204]
    hook = listen(receiver, owner, path)
    row = settled(owner, hook, fire(owner, hook), "delivered")
    assert [one["status"] for one in row["history"]] == [302, 307, 204] and receiver.got(target) == []


@pytest.mark.parametrize("url", [
    "http://10.0.0.1/", "http://169.254.169.254/latest/meta-data", "http://[::1]/", "http://0.0.0.0/",
    "http://[::ffff:10.0.0.1]/", "http://[::ffff:a00:1]/", "http://[64:ff9b::a00:1]/", "http://[2002:a00:1::]/",
    "http://[fd00::1]/", "http://[fe80::1]/", "http://[ff02::1]/", "http://100.64.0.1/", "http://224.0.0.1/",
    "http://0x0a000001/", "http://167772161/", "http://012.1/", "http://10.1/", "http://192.168.0.1.:80/",
    "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "https://good@example.com/",
    "https://a:b@example.com/", "https://example.com/ x", "https://example.com/\r\nX: y", "https://", "example.com",
    "https://example.com/#f", "https://ex%61mple.com\\@10.0.0.1/", "https://bücher.example/",
])
def test_urls_that_lead_inside_or_nowhere_are_refused(owner, url):
    answer = owner.call("POST", hooks(owner), {"url": url})
    assert (answer.status, answer.json["error"]) == (422, "webhook_url_refused"), answer


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "0x7f000001", "2130706433",
                                  "[::ffff:127.0.0.1]", "[::1]", "10.255.255.1"])
def test_what_a_name_leads_to_is_judged_when_it_is_dialled(system, owner, receiver, host):
    """The row goes past the check of the API, as a name that resolves otherwise later would."""
    path = path_of()
    hook = listen(receiver, owner, path)
    # The allowed network is 127.0.0.0/8: loopback by IPv4 is open here, and closed in the next test.
    system.sql("update webhook_endpoints set url = %s where id = %s", receiver.url(path, host), hook["id"])
    fire(owner, hook)
    row = eventually(lambda: [row for row in log(owner, hook) if row["attempts"]], what="first attempt")[0]
    if host in ("[::1]", "10.255.255.1"):
        assert row["error"] == "blocked" and row["response_status"] is None
    else:
        assert row["response_status"] == 204, row


def test_a_slow_endpoint_delays_nobody_and_gets_no_more_than_its_share(owner, receiver):
    slow, quick, go_on = path_of(), path_of(), threading.Event()
    receiver.answers[slow] = [lambda request: (go_on.wait(3), 204)[1]]
    hook = listen(receiver, owner, slow, concurrency=2)
    other = listen(receiver, owner, quick)
    for _ in range(6):
        fire(owner, hook)
    eventually(lambda: receiver.open.get(slow) == 2, what="slow ones under way")
    for _ in range(5):
        settled(owner, other, fire(owner, other), "delivered")
    assert len(receiver.got(slow)) < 6, "the quick ones came amid the slow ones"
    go_on.set()
    eventually(lambda: len(receiver.got(slow)) == 6 and not receiver.open[slow], what="the slow ones")
    assert receiver.most_open[slow] == 2
    assert owner.call("DELETE", f"{hooks(owner)}/{hook['id']}").json == {"ok": True}


def test_no_answer_in_time_is_a_failure(owner, receiver):
    path = path_of()
    receiver.answers[path] = [lambda request: time.sleep(8) or 204, 204]
    hook = listen(receiver, owner, path)
    row = settled(owner, hook, fire(owner, hook), "delivered")
    assert [one["error"] for one in row["history"]] == ["timeout", None]


def test_only_certificates_of_the_known_authorities_are_trusted(system, owner):
    authority, foreign = system.directory / "authority.pem", certificate(system.directory, "foreign")
    for own, status in ((authority, "delivered"), (foreign, "pending")):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own, own.with_suffix(".key"))
        secure = Receiver(context=context)
        answer = owner.call("POST", hooks(owner), {"url": f"https://127.0.0.1:{secure.port}/"})
        sent = fire(owner, answer.json)
        row = eventually(lambda: next((row for row in log(owner, answer.json)
                                       if row["id"] == sent["delivery_id"] and row["history"]), None), what="an attempt")
        assert (row["history"][0]["error"] is None) == (status == "delivered") == (len(secure.got("/")) == 1), row
        assert status == "delivered" or "tls" in row["history"][0]["error"], row
        assert owner.call("DELETE", f"{hooks(owner)}/{answer.json['id']}").status == 200
        secure.close()


@pytest.mark.parametrize("program", ["filemill-worker", "filemill-scheduler"])
def test_a_kill_in_the_middle_loses_nothing(system, owner, receiver, program):
    path = path_of()
    receiver.answers[path] = [lambda request: time.sleep(1) or 500, 204]
    hook = listen(receiver, owner, path)
    sent = fire(owner, hook)
    eventually(lambda: receiver.got(path), what="it is under way")
    for pid in system.pids(program):
        os.kill(pid, signal.SIGKILL)
    row = settled(owner, hook, sent, "delivered")
    came = receiver.got(path)
    assert len(came) >= 2 and {request.headers["webhook-id"] for request in came} == {sent["message_id"]} and row["status"] == "delivered"


def test_the_outbox_is_of_the_transaction(system, owner, receiver):
    """Rolled back with the change; written with it."""
    hook = listen(receiver, owner, path_of())
    file_id = owner.upload("a.txt", "text/plain", TEXT)
    connection = psycopg2.connect(system.shell["PSQL_URL"])
    try:
        with connection.cursor() as cursor:
            for commit in (False, True):
                cursor.execute("insert into file_events (tenant_id, file_id, kind, data) values (%s, %s, 'file.status',"
                               " '{\"status\": \"failed\"}')", (owner.tenant, file_id))
                cursor.execute("select count(*) from webhook_deliveries where endpoint_id = %s", (hook["id"],))
                assert cursor.fetchone()[0] == 1
                connection.commit() if commit else connection.rollback()
                assert len(log(owner, hook)) == commit
    finally:
        connection.close()


def test_tenants_and_roles_are_kept_apart(system, owner, receiver):
    hook = listen(receiver, owner, path_of())
    sent = fire(owner, hook)
    stranger, member = system.user().bootstrap(), system.user()
    assert owner.call("POST", f"/v1/tenants/{owner.tenant}/members", {"user_id": member.id}).status == 201
    one = f"{hooks(owner)}/{hook['id']}"
    calls = [("POST", hooks(owner), {"url": "https://example.com/"}), ("GET", hooks(owner), None), ("GET", one, None),
             ("PATCH", one, {"enabled": False}), ("DELETE", one, None), ("POST", f"{one}/rotate", None),
             ("POST", f"{one}/test", None), ("GET", f"{one}/deliveries", None),
             ("POST", f"{one}/replay", {"delivery_id": sent["delivery_id"]})]
    for method, path, body in calls:
        assert stranger.call(method, path, body).status == 404, (method, path)
        answer = member.call(method, path, body)
        assert (answer.status, answer.json["error"]) == (403, "insufficient_role"), (method, path)
    own = f"{hooks(stranger)}/{hook['id']}"  # another's endpoint under one's own tenant
    for method, path, body in [("GET", own, None), ("PATCH", own, {"enabled": False}), ("DELETE", own, None),
                               ("POST", f"{own}/rotate", None), ("POST", f"{own}/test", None),
                               ("GET", f"{own}/deliveries", None),
                               ("POST", f"{own}/replay", {"since": "2020-01-01T00:00:00Z"})]:
        assert stranger.call(method, path, body).status == 404, (method, path)
    assert owner.call("GET", one).json["enabled"]
    theirs = path_of()
    listen(receiver, stranger, theirs)
    owner.wait(owner.send("a.txt", "text/plain", TEXT))
    settled(owner, hook, fire(owner, hook), "delivered")
    assert receiver.got(theirs) == []


def test_what_goes_takes_its_deliveries_along(system, receiver):
    owner = system.user().bootstrap()
    hook = listen(receiver, owner, path_of())
    settled(owner, hook, fire(owner, hook), "delivered")
    system.sql("delete from tenants where id = %s", owner.tenant)
    assert system.sql("select count(*) as n from webhook_deliveries where tenant_id = %s", owner.tenant)[0]["n"] == 0


def test_pages_filters_and_limits(system, owner, receiver):
    path = path_of()
    hook = listen(receiver, owner, path)
    for _ in range(5):
        settled(owner, hook, fire(owner, hook), "delivered")
    url = f"{hooks(owner)}/{hook['id']}/deliveries"
    first = owner.call("GET", f"{url}?limit=3").json
    rest = owner.call("GET", f"{url}?limit=3&before={first['next_before']}").json
    ids = [row["id"] for row in first["deliveries"] + rest["deliveries"]]
    assert len(ids) == len(set(ids)) == 5 and rest["next_before"] is None
    assert log(owner, hook, status="failed") == [] and log(owner, hook, type="file.ready") == []
    assert len(log(owner, hook, since="2020-01-01T00:00:00Z", status="delivered")) == 5
    assert owner.call("GET", f"{url}?status=lost").status == 400
    assert owner.call("POST", hooks(owner), {"url": "https://example.com/", "event_types": ["file.lost"]}).status == 400
    assert owner.call("POST", hooks(owner), {"url": "https://example.com/", "secret": "x"}).status == 400
    for _ in range(15):
        assert owner.call("POST", hooks(owner), {"url": "https://example.com/"}).status == 201
    assert owner.call("POST", hooks(owner), {"url": "https://example.com/"}).json["error"] == "webhook_limit"


def test_by_default_only_https_to_the_outside():
    """One with its defaults: plain HTTP and loopback are refused when made and when dialled."""
    inside = Receiver()
    with System(webhook_retry_unit_ms=1) as system:
        owner = system.user().bootstrap()
        for url in (inside.url("/"), f"https://127.0.0.1:{inside.port}/", f"https://localhost:{inside.port}/",
                    f"https://a.localhost:{inside.port}/"):
            assert owner.call("POST", hooks(owner), {"url": url}).json["error"] == "webhook_url_refused", url
        hook = owner.call("POST", hooks(owner), {"url": "https://example.com/"}).json
        for url in (f"https://localhost:{inside.port}/", f"http://localhost:{inside.port}/",
                    f"https://[::ffff:127.0.0.1]:{inside.port}/"):
            system.sql("update webhook_endpoints set url = %s, failures = 0 where id = %s", url, hook["id"])
            sent = fire(owner, hook)
            row = eventually(lambda: (lambda row: row if row["attempts"] else None)(log(owner, hook)[0]), what=url)
            assert row["id"] == sent["delivery_id"]
            assert row["error"] == "blocked" and row["response_status"] is None, (url, row)
            system.sql("delete from webhook_deliveries")
    assert inside.requests == []
    inside.close()
