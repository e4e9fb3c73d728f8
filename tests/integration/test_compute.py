# SPDX-License-Identifier: MIT
"""Compute outside, several services: jobs are sent, asked for and heard of; whichever tells first ends a job, once. The
stand-in service is slow, silent, talks twice, talks nonsense, refuses and fails; schedulers and workers die in between."""
import http.server
import io
import json
import threading
import time
import uuid
import zipfile

import pytest
from system import System, eventually, fetch

pytest.importorskip("PIL", reason="python3-pil is not installed")
from PIL import Image  # noqa: E402

SECRET = "webhook-secret-of-the-tests"
DEFINITION = {"target_width": 120, "target_height": 150, "target_dpi": 150, "max_kb": 40, "output_format": "jpeg",
              "quality": 80}


def picture():
    image = Image.linear_gradient("L").resize((300, 350))
    out = io.BytesIO()
    Image.merge("RGB", (image, image.rotate(90), image)).save(out, "JPEG", quality=90)
    return out.getvalue()


def name_of(order):
    return order["portal_schema"]["name"]


class Service(http.server.ThreadingHTTPServer):
    """Does with each job what its schema's name says. `script` has what a question is answered with: (status, headers,
    body) in turn, the last one for ever."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name):
        super().__init__(("127.0.0.1", 0), Handler)
        self.name, self.system, self.orders, self.scripts, self.asked, self.lock = name, None, {}, {}, {}, threading.Lock()
        self.sent = []
        self.url = f"http://127.0.0.1:{self.server_port}/api"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def result(self, order, **more):
        job, user = order["job_id"], order["user_id"]
        return {"status": "success", "job_id": job, "quality_score": 0.75, "warnings": ["Low OCR confidence: 0.65"],
                "artifacts": {"master_path": f"master/{user}/{job}/{job}.enc",
                              "preview_path": f"output/{user}/{job}/preview.jpg"},
                "metrics": {"ocr_confidence": 0.65, "processing_ms": 2340}, **more}

    def success(self, order, **more):
        return {"camber_job_id": f"ext-{order['job_id']}", "job_id": order["job_id"], "status": "success",
                "result": self.result(order, **more)}

    def failure(self, order):
        return {"job_id": order["job_id"], "status": "failed", "result": {"status": "failed", "error": {
            "code": "DECODE_FAILED", "stage": "decode", "message": "no picture", "retryable": False}}}

    def put(self, order):
        for path in self.result(order)["artifacts"].values():
            self.system.s3().put_object(Bucket=self.system.bucket, Key=path, Body=picture())

    def call_back(self, order, body):
        return fetch("POST", f"{self.system.base}/internal/webhooks/{self.name}",
                     {"Content-Type": "application/json", "X-Webhook-Secret": SECRET}, json.dumps(body).encode())

    def script(self, order):
        """The answers to questions about this job."""
        said, pending = self.success(order), {"status": "running", "job_id": order["job_id"]}
        other, stranger = {**pending, "job_id": str(uuid.uuid4())}, str(uuid.uuid4())
        scripts = {
            "slow": [pending, {"status": "queued"}, pending, said],
            "failing": [pending, self.failure(order)],
            "nonsense": ["", "<html>", "[1]", {}, other, {"status": "well"}, {"status": "success", "result": {}},
                         self.success(order, quality_score=7), self.success(order, artifacts={"master_path": "../x"}),
                         self.success(order, artifacts={"master_path": f"master/{stranger}/{stranger}/{stranger}.enc"}),
                         {"status": "success", "result": "x" * 20000}, said],
            "busy": [(503, {"Retry-After": "1"}, ""), said],
            "resting": [(429, {"Retry-After": "2"}, ""), said],
            "unknown": [(404, {}, "")],
            "broken": [(500, {}, ""), (302, {"Location": "http://127.0.0.1:1/"}, ""), (400, {}, ""), said],
            "silent": [pending],
            "lost": [said], "full": [said], "race": [said], "missing": [said], "taken": [said],
        }
        return [line if isinstance(line, tuple) else (200, {}, line if isinstance(line, str) else json.dumps(line))
                for line in scripts.get(name_of(order), [pending])]

    def work(self, order):
        what = name_of(order)
        if what not in ("missing", "failing", "taken"):
            self.put(order)
        with self.lock:
            self.scripts[order["job_id"]] = self.script(order)
        if what == "race":
            for _ in range(2):
                threading.Thread(target=self.call_back, args=(order, self.success(order)), daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self):
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        job = order["job_id"]
        with self.server.lock:
            orders = self.server.orders.setdefault(job, [])
            orders.append((self.path, self.headers["Authorization"], order))
            self.server.sent.append((job, time.monotonic()))
        if name_of(order) == "full" and len(orders) == 1:
            self.answer(503, {"Retry-After": "2"}, "")
            return
        self.server.work(order)
        self.answer(202, {}, json.dumps({"camber_job_id": f"ext-{job}"}))

    def do_GET(self):
        job = self.path.rpartition("/ext-")[2]
        with self.server.lock:
            asked = self.server.asked.setdefault(job, [])
            asked.append((time.monotonic(), self.path, self.headers["Authorization"]))
            script = self.server.scripts.get(job, [(404, {}, "")])
            line = script[min(len(asked), len(script)) - 1]
        self.answer(*line)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def services():
    with Service("camber") as first, Service("second") as second:
        yield first, second
        first.shutdown()
        second.shutdown()


@pytest.fixture(scope="module")
def system(services):
    first, second = services
    running = System(backoff_unit_ms="50", max_attempts="3", poll_ms="100", service_attempts="2", service_breaker_failures="50",
                     service_retry_after_ms="1500", webhook_allow_http="on", webhook_allow_networks="127.0.0.0/8",
                     compute_keys=f"http://10.9.9.9=other-key,http://127.0.0.1:{second.server_port}=second-key",
                     webhook_secret=SECRET, encryption_key="5e" * 32)
    running.environment.update({"CAMBER_API_URL": first.url, "CAMBER_API_KEY": "camber-key"})
    with running:
        first.system = second.system = running
        yield running


@pytest.fixture(scope="module")
def admin(system):
    user, = [row["user_id"] for row in system.sql("select user_id::text from service_admins")]
    return system.user(user)


@pytest.fixture(scope="module")
def user(system):
    return system.user().bootstrap()


@pytest.fixture(scope="module")
def upload(user):
    return user.send("photo.jpg", "image/jpeg", picture())


@pytest.fixture
def camber(services, admin):
    change(admin, "camber", enabled=True, poll_ms=100, poll_max_ms=200, deadline_ms=60000)
    yield services[0]
    change(admin, "camber", enabled=False)


def change(admin, name, **wish):
    answer = admin.call("PUT", f"/v1/admin/compute-backends/{name}", wish)
    assert answer.status == 200, answer


def send_out(user, upload, name):
    answer = user.call("POST", "/jobs", {"portal_schema": {"name": name, "schema_definition": DEFINITION},
                                         "input": {"file_id": upload}})
    assert answer.status == 202, answer
    return answer.json["job_id"]


def settled(user, job, seconds=60):
    def look():
        told = user.call("GET", f"/jobs/{job}").json
        return told if told["status"] in ("completed", "failed") else None
    return eventually(look, seconds, what=f"job {job}")


def asked(service, job):
    with service.lock:
        return list(service.asked.get(job, []))


def run_out(system, service, job):
    """The job's deadline, brought forward once the service has been asked a few times."""
    eventually(lambda: len(asked(service, job)) > 2, what="questions")
    system.sql("update jobs set run_after = now() where parent = %s and type = 'compute_deadline' and status = 'queued'", job)


def check_completed(system, user, job_id):
    job = settled(user, job_id)
    row, = system.sql("select f.status::text, j.ordered from jobs j join files f on f.id = j.file_id where j.id = %s", job_id)
    assert (row["status"], row["ordered"]) == ("ready", None), "packing is the plan of the document that came"
    assert job["status"] == "completed" and job["error"] is None, job
    assert (job["quality_score"], job["metrics"]["ocr_confidence"]) == (0.75, 0.65)
    with zipfile.ZipFile(io.BytesIO(fetch("GET", job["download_url"]).body)) as package:
        assert package.read(f"{job_id}.jpg") == picture()
    rows = system.sql("select d.id, a.size_bytes from documents d join document_artifacts a on a.job_id = d.job_id and "
                      "a.kind = 'master' where d.job_id = %s", job_id)
    assert [row["size_bytes"] for row in rows] == [len(picture())]
    eventually(lambda: system.sql("select count(*) as n from jobs where parent = %s and status::text in ('queued', 'retry', "
                                  "'running', 'waiting')", job_id)[0]["n"] == 0, what="an end of the questions")
    return job


# ---- asking ----

def test_a_lost_call_is_made_good_by_asking(system, user, upload, camber):
    job_id = send_out(user, upload, "lost")
    check_completed(system, user, job_id)
    row, = system.sql("select backend, external_id from portal_jobs where job_id = %s", job_id)
    assert row == {"backend": "camber", "external_id": f"ext-{job_id}"}
    (_, path, key), = asked(camber, job_id)
    assert (path, key) == (f"/api/jobs/ext-{job_id}", "Bearer camber-key")


def test_a_slow_service_is_asked_more_and_more_rarely(system, user, upload, camber, admin):
    change(admin, "camber", poll_ms=150, poll_max_ms=5000)
    job_id = send_out(user, upload, "slow")
    check_completed(system, user, job_id)
    times = [at for at, _, _ in asked(camber, job_id)]
    gaps = [later - before for before, later in zip(times, times[1:])]
    assert len(times) == 4 and gaps[0] > 0.25 and gaps[1] > 0.5 and gaps[2] > 1, gaps


def test_a_failure_is_told_by_an_answer_too(user, upload, camber):
    job = settled(user, send_out(user, upload, "failing"))
    assert job["status"] == "failed" and job["error"] == {"code": "DECODE_FAILED", "stage": "decode", "message": "no picture",
                                                          "retryable": False}
    eventually(lambda: user.file(upload)["status"] == "ready", what="the upload is what it was")


def test_nonsense_is_asked_for_again(system, user, upload, camber):
    job_id = send_out(user, upload, "nonsense")
    check_completed(system, user, job_id)
    assert len(asked(camber, job_id)) == 12


def test_a_document_of_another_job_is_not_taken(system, user, upload, camber):
    """The service says what no row can hold: that must not hold up the transaction that ends other jobs."""
    first = send_out(user, upload, "lost")
    check_completed(system, user, first)
    order = {"user_id": user.id, "job_id": first}
    camber.script, script = (lambda o: [(200, {}, json.dumps({**camber.success(o), "result": {
        **camber.result(order), "job_id": o["job_id"],
        "artifacts": {"master_path": camber.result(order)["artifacts"]["master_path"]}}}))]), camber.script
    try:
        job_id = send_out(user, upload, "taken")
        eventually(lambda: len(asked(camber, job_id)) > 2, what="questions")
    finally:
        camber.script = script
    check_completed(system, user, send_out(user, upload, "lost"))
    run_out(system, camber, job_id)
    job = settled(user, job_id)
    assert job["status"] == "failed" and job["error"]["code"] == "OCR_TIMEOUT", job
    assert len(system.sql("select id from documents where master_path = %s",
                          camber.result(order)["artifacts"]["master_path"])) == 1


def test_a_document_that_is_not_there_is_no_success(system, user, upload, camber):
    job = settled(user, send_out(user, upload, "missing"))
    assert job["status"] == "failed" and job["error"]["code"] == "FETCH_FAILED", job


def test_a_service_that_wants_rest_gets_it(system, user, upload, camber):
    short, long = send_out(user, upload, "busy"), send_out(user, upload, "resting")
    for job_id, least in ((short, 1), (long, 2)):
        check_completed(system, user, job_id)
        times = [at for at, _, _ in asked(camber, job_id)]
        assert len(times) == 2 and times[1] - times[0] >= least, times


def test_a_service_that_is_full_gets_its_order_later(system, user, upload, camber):
    job_id = send_out(user, upload, "full")
    check_completed(system, user, job_id)
    times = [at for job, at in camber.sent if job == job_id]
    assert len(times) == 2 and times[1] - times[0] >= 2, times


def test_errors_are_no_end(system, user, upload, camber):
    job_id = send_out(user, upload, "broken")
    check_completed(system, user, job_id)
    assert len(asked(camber, job_id)) >= 4


def test_a_service_that_cannot_be_asked_may_still_call(system, user, upload, camber):
    job_id = send_out(user, upload, "unknown")
    eventually(lambda: len(asked(camber, job_id)) > 2, what="questions")
    order, = [order for _, _, order in camber.orders[job_id]]
    assert camber.call_back(order, camber.success(order)).json["replayed"] is False
    check_completed(system, user, job_id)
    assert camber.call_back(order, camber.failure(order)).json["replayed"] is True


def test_who_tells_first_wins(system, user, upload, camber):
    jobs = [send_out(user, upload, "race") for _ in range(6)]
    for job_id in jobs:
        check_completed(system, user, job_id)


def test_a_silent_service_runs_out_and_is_left_alone(system, user, upload, camber):
    job_id = send_out(user, upload, "silent")
    run_out(system, camber, job_id)
    job = settled(user, job_id)
    assert job["error"]["code"] == "OCR_TIMEOUT" and job["error"]["retryable"] is True, job
    count = len(asked(camber, job_id))
    assert count > 2
    rows = system.sql("select type, status::text as status from jobs where parent = %s order by type", job_id)
    assert [(r["type"], r["status"]) for r in rows] == [("compute_deadline", "failed"), ("compute_poll", "cancelled"),
                                                        ("compute_submit", "done")]
    order, = [order for _, _, order in camber.orders[job_id]]
    assert camber.call_back(order, camber.success(order)).json["replayed"] is True
    assert len(asked(camber, job_id)) <= count + 1


def test_a_service_that_is_not_to_be_asked_is_not(user, upload, camber, admin):
    change(admin, "camber", poll_ms=0, deadline_ms=1500)
    job_id = send_out(user, upload, "lost")
    assert settled(user, job_id)["error"]["code"] == "OCR_TIMEOUT"
    assert asked(camber, job_id) == []


# ---- what else may happen to a job that is out ----

@pytest.mark.parametrize("what", ["cancel", "reprocess", "delete"])
def test_a_job_that_is_taken_back_is_asked_for_no_more(system, user, camber, what):
    file_id = user.send("photo.jpg", "image/jpeg", picture())
    job_id = send_out(user, file_id, "silent")
    eventually(lambda: asked(camber, job_id), what="a question")
    method, path = {"cancel": ("POST", f"/v1/jobs/{job_id}/cancel"), "delete": ("DELETE", f"/v1/files/{file_id}"),
                    "reprocess": ("POST", f"/v1/internal/files/{file_id}/reprocess")}[what]
    assert user.call(method, path, {} if method == "POST" else None).status in (200, 202, 204)
    order, = [order for _, _, order in camber.orders[job_id]]
    assert camber.call_back(order, camber.success(order)).json["replayed"] is True
    states = {r["s"] for r in system.sql("select status::text as s from jobs where id = %s or parent = %s", job_id, job_id)}
    assert states <= {"cancelled", "done"}, states
    if what != "delete":
        assert user.call("GET", f"/jobs/{job_id}").json["error"]["code"] == "CANCELLED"


def orders_of(system, job_id):
    """What a job was known by outside, in order."""
    return [row["id"] for row in system.sql("select id::text from compute_orders where job_id = %s order by created_at", job_id)]


def sent(service, order_id):
    (_, _, order), = eventually(lambda: service.orders.get(order_id), what="an order")
    return order


def fail_and_try_again(system, user, upload, service, name):
    """A job that failed outside and was sent back by its tenant's owner: its id, and its two orders."""
    job_id = send_out(user, upload, name)
    if name == "silent":
        eventually(lambda: asked(service, job_id), what="a question")
        system.sql("update jobs set run_after = now() where parent = %s and type = 'compute_deadline'", job_id)
    assert settled(user, job_id)["error"]["code"] == {"silent": "OCR_TIMEOUT", "failing": "DECODE_FAILED"}[name]
    assert user.call("POST", f"/v1/tenants/{user.tenant}/jobs/retry", {"job_id": job_id}).json["retried"] == 1
    first, second = orders_of(system, job_id)
    assert first == job_id != second
    return job_id, sent(service, first), sent(service, second)


@pytest.mark.parametrize("name", ["failing", "silent"])
def test_a_job_that_failed_outside_goes_outside_again(system, user, upload, camber, name):
    known, script = [], camber.script

    def first_as_ever_then_well(order):
        known.extend([order] * (name_of(order) == name))
        return script(order) if len(known) <= 1 else camber.put(order) or [(200, {}, json.dumps(camber.success(order)))]
    camber.script = first_as_ever_then_well
    try:
        job_id, first, second = fail_and_try_again(system, user, upload, camber, name)
        job = check_completed(system, user, job_id)
    finally:
        camber.script = script
    assert job["artifacts"]["master_path"] == camber.result(second)["artifacts"]["master_path"]
    assert {**second, "job_id": job_id, "input": None} == {**first, "input": None}
    row, = system.sql("select o.external_id as old, p.external_id as new from compute_orders o join portal_jobs p using (job_id) "
                      "where o.id = %s", job_id)
    assert row == {"old": f"ext-{job_id}", "new": f"ext-{second['job_id']}"}


def test_what_is_said_of_an_older_order_counts_no_more(system, user, upload, camber):
    job_id, first, second = fail_and_try_again(system, user, upload, camber, "silent")
    camber.put(first)
    for _ in range(2):
        for told in (camber.success(first), camber.failure(first)):
            answer = camber.call_back(first, told)
            assert (answer.status, answer.json["replayed"]) == (200, True), answer
    eventually(lambda: asked(camber, second["job_id"]), what="a question about the newer order")
    assert user.call("GET", f"/jobs/{job_id}").json["status"] == "processing"
    types = [row["type"] for row in system.sql("select type from jobs where parent = %s and type <> 'compute_poll' order by type",
                                               job_id)]
    assert types == ["compute_deadline", "compute_submit"]
    camber.put(second)
    assert camber.call_back(second, camber.success(second)).json["replayed"] is False
    check_completed(system, user, job_id)
    for order in (first, second):
        assert camber.call_back(order, camber.failure(order)).json["replayed"] is True


def test_an_order_that_is_sent_again_has_a_fresh_link(system, user, upload, camber, admin):
    job_id = send_out(user, upload, "failing")
    assert settled(user, job_id)["status"] == "failed"
    system.sql("update compute_orders set body = jsonb_set(body, '{input,artifact_url}', '\"http://127.0.0.1:1/gone\"') "
               "where job_id = %s", job_id)
    assert admin.call("POST", "/v1/admin/jobs/retry", {"job_id": job_id}).json["retried"] == 1
    order = sent(camber, orders_of(system, job_id)[1])
    assert fetch("GET", order["input"]["artifact_url"]).body == picture()
    assert settled(user, job_id)["error"]["code"] == "DECODE_FAILED"


def test_a_fresh_link_to_an_encrypted_upload_is_its_owners(system, user, camber, admin):
    file_id = user.send("photo.jpg", "image/jpeg", picture())
    job_id = send_out(user, file_id, "failing")
    assert settled(user, job_id)["status"] == "failed"
    system.sql("update files set sealed = true where id = %s", file_id)
    assert admin.call("POST", "/v1/admin/jobs/retry", {"job_id": job_id}).json["retried"] == 1
    link = system.sql("select body->'input'->>'artifact_url' as link from compute_orders where job_id = %s order by created_at",
                      job_id)[1]["link"]
    assert f"/v1/content?of=file&id={file_id}&kind=original&user={user.id}&" in link
    assert fetch("GET", link).json["error"] == "decrypt_failed", "the link is good; there is no seal to open it by"
    assert settled(user, job_id)["status"] == "failed"


def test_without_a_service_a_job_that_failed_outside_is_done_here(system, user, upload, camber, admin):
    job_id = send_out(user, upload, "failing")
    assert settled(user, job_id)["status"] == "failed"
    change(admin, "camber", enabled=False)
    assert admin.call("POST", "/v1/admin/jobs/retry", {"tenant_id": user.tenant}).json["retried"] >= 1
    job = eventually(lambda: (lambda told: told if told["status"] == "completed" else None)(
        user.call("GET", f"/jobs/{job_id}").json), what="a second try")
    assert job["error"] is None and (job["quality_score"], job["metrics"]["processing_ms"]) != (0.75, 2340), job
    assert orders_of(system, job_id) == [job_id], "it is not sent again"
    assert zipfile.ZipFile(io.BytesIO(fetch("GET", job["download_url"]).body)).testzip() is None
    order = sent(camber, job_id)
    assert camber.call_back(order, camber.success(order)).json["replayed"] is True


# ---- deaths ----

def kill(system, program, jobs):
    """Once the program lives, and no job's last attempt is at stake: a death would rightly end that."""
    eventually(lambda: system.pids(program), 60, what=program)
    eventually(lambda: not system.sql(
        "select 1 from jobs where (parent::text = any (%s) or id::text = any (%s)) and attempts + 1 >= max_attempts and "
        "status::text in ('queued', 'retry', 'running') and type <> 'compute_deadline'", jobs, jobs), what="another attempt")
    system.kill(program)


@pytest.mark.parametrize("program", ["filemill-scheduler", "filemill-worker"])
def test_deaths_in_between_lose_nothing(system, user, upload, camber, program):
    """While jobs are sent, asked for and packed."""
    jobs = []
    for name in ("slow", "lost", "race", "slow"):
        jobs.append(send_out(user, upload, name))
        kill(system, program, jobs)
    for job_id in jobs:
        job = settled(user, job_id, 60)
        assert job["status"] == "completed", job
        check_completed(system, user, job_id)


@pytest.mark.parametrize("outside", [True, False])
def test_between_the_document_and_its_zip_nothing_is_lost(system, user, upload, camber, admin, outside):
    """A document of a service waits for its packing in the queue; one made here comes with its ZIP, or not at all."""
    if not outside:
        change(admin, "camber", enabled=False)
    kind = "portal_package" if outside else "portal_document"
    assert admin.call("POST", "/v1/admin/pause", {"type": kind}).status == 200
    job_id = send_out(user, upload, "race")
    if outside:
        eventually(lambda: system.sql("select 1 from jobs where id = %s and type = 'portal_package'", job_id), what="a call")
    kill(system, "filemill-scheduler", [job_id])
    assert admin.call("POST", "/v1/admin/resume", {"type": kind}).status == 200
    eventually(lambda: system.sql("select 1 from jobs where id = %s and status = 'running'", job_id) or
               user.call("GET", f"/jobs/{job_id}").json["download_url"], 60, every=0.005, what="a start")
    kill(system, "filemill-worker", [job_id])

    def look():
        told = user.call("GET", f"/jobs/{job_id}").json
        assert (told["download_url"] is not None) == (told["status"] == "completed"), told
        return told["download_url"]
    eventually(look, 60, what=f"job {job_id}")
    if outside:
        check_completed(system, user, job_id)
    job = settled(user, job_id, 60)
    assert job["status"] == "completed", job
    assert zipfile.ZipFile(io.BytesIO(fetch("GET", job["download_url"]).body)).testzip() is None
    rows = system.sql("select kind from document_artifacts where job_id = %s order by kind", job_id)
    assert [r["kind"] for r in rows] == (["master", "output", "preview"] if outside else ["master", "output", "preview", "proof"])


# ---- several services ----

def test_services_share_the_jobs_each_with_its_key(system, user, upload, services, camber, admin):
    first, second = services
    # alike, so that both are drawn soon
    change(admin, "second", url=second.url, enabled=True, share=1, poll_ms=100, poll_max_ms=200)
    try:
        jobs, taken = [], set()
        while len(jobs) < 16 or len(taken) < 2:  # which service takes a job is drawn
            assert len(jobs) < 200, taken
            jobs.append(send_out(user, upload, "lost"))
            taken |= {row["backend"] for row in system.sql("select backend from portal_jobs where job_id = %s", jobs[-1])}
        for job_id in jobs:
            check_completed(system, user, job_id)
    finally:
        change(admin, "second", enabled=False, share=3)
    sent = [sum(job_id in service.orders for job_id in jobs) for service in services]
    assert sum(sent) == len(jobs) and min(sent) >= 1, sent
    for service, key in ((first, "camber-key"), (second, "second-key")):
        for job_id in jobs:
            for entry in service.orders.get(job_id, []):
                assert entry[:2] == ("/api/jobs", f"Bearer {key}")
            assert {at[2] for at in asked(service, job_id)} <= {f"Bearer {key}"}
    names = {r["backend"] for r in system.sql("select distinct backend from portal_jobs where job_id::text = any (%s)", jobs)}
    assert names == {"camber", "second"}
    listed = {b["name"]: b for b in admin.call("GET", "/v1/admin/compute-backends").json["backends"]}
    assert listed["second"] == {"name": "second", "type": "portal_document", "enabled": False, "url": second.url, "share": 3,
                                "own_secret": False, "deadline_ms": 900000, "poll_ms": 100, "poll_max_ms": 200, "jobs_out": 0}
    assert listed["camber"]["url"] is None
    text = json.dumps(system.sql("select * from compute_backends"), default=str) + system.log() + json.dumps(
        system.sql("select payload, result from jobs where parent::text = any (%s)", jobs))
    assert "second-key" not in text and "camber-key" not in text


def test_services_are_the_admins_and_only_where_something_may_be_sent(system, user, upload, admin, services):
    for method, path, body in (("GET", "", None), ("PUT", "/x", {"enabled": True})):
        answer = user.call(method, f"/v1/admin/compute-backends{path}", body)
        assert answer.status == 403 and answer.json["error"] == "forbidden", answer
    for url in ("http://10.1.2.3/", "ftp://127.0.0.1/", "http://user:word@127.0.0.1/", "nothing"):
        answer = admin.call("PUT", "/v1/admin/compute-backends/elsewhere", {"url": url})
        assert answer.status == 422 and answer.json["error"] == "webhook_url_refused", answer
    assert admin.call("PUT", "/v1/admin/compute-backends/Capital", {"enabled": False}).status == 404
    assert admin.call("PUT", "/v1/admin/compute-backends/elsewhere", {"share": 0}).status == 400
    change(admin, "elsewhere", poll_ms=100, webhook_secret="a secret of its own")
    row, = system.sql("select url, secret_sha256 from compute_backends where name = 'elsewhere'")
    assert row["url"] is None and len(row["secret_sha256"]) == 64
    change(admin, "elsewhere", webhook_secret="")
    system.sql("update compute_backends set url = 'http://10.1.2.3:9/', enabled = true where name = 'elsewhere'")
    job = settled(user, send_out(user, upload, "lost"))
    assert job["error"]["code"] == "WORKER_FAILED" and "nothing may be sent" in job["error"]["message"], job
    system.sql("update compute_backends set enabled = false where name = 'elsewhere'")


def test_the_shell_has_words_for_it(system, admin):
    assert system.command("admin", "compute-backend", "shell", "--url", "http://127.0.0.1:9/", "--share", "2", "--poll", "50",
                          "--enabled", "no").stdout == "ok\n"
    lines = system.command("admin", "compute-backends").stdout.splitlines()
    assert lines[0].split()[:3] == ["NAME", "ON", "URL"]
    row, = [line.split() for line in lines if line.startswith("shell")]
    assert row[:4] == ["shell", "no", "http://127.0.0.1:9/", "2"]
