# SPDX-License-Identifier: MIT
"""What an order leaves of its file's status: nothing. The plan alone decides it, whatever becomes of jobs that somebody
orders beside it. Where a status must not change, the file's events say whether it ever did."""
import contextlib
import hashlib
import json
import shutil
import uuid

import pytest

import scans
from receiver import Receiver
from system import System, eventually, one_page_pdf

BROKEN = b"%PDF-1.4\nnothing of a PDF follows\n"
NO_SUCH_PAGE = {"type": "page_images", "parameters": {"first": 9}}  # of a document with one


@pytest.fixture(scope="module")
def system():
    with System(backoff_unit_ms=200, range_pages=2, webhook_allow_http="on", webhook_allow_networks="127.0.0.0/8") as running:
        yield running


@pytest.fixture(scope="module")
def user(system):
    """Of a tenant whose PDFs get a thumbnail, and nothing else."""
    user = system.user().bootstrap()
    plan(user, {"type": "thumbnail"})
    return user


def plan(user, *jobs):
    answer = user.call("PUT", f"/v1/tenants/{user.tenant}/plan", {"plan": [{"media_type": "application/pdf", "jobs": list(jobs)}]})
    assert answer.status == 200, answer


def pdf(user):
    return user.send("page.pdf", "application/pdf", one_page_pdf(f"beside {uuid.uuid4()}"))


def ready(user):
    file_id = pdf(user)
    assert user.wait(file_id)["status"] == "ready"
    return file_id


@contextlib.contextmanager
def paused(system, kind):
    system.command("pause", kind)
    try:
        yield
    finally:
        system.command("resume", kind)


def order(user, file_id, wanted):
    answer = user.call("POST", f"/v1/files/{file_id}/jobs", wanted)
    assert answer.status == 202, answer
    return answer.json


def ended(user, job):
    def look():
        now = user.call("GET", f"/v1/jobs/{job['id']}").json
        return now if now["status"] in ("done", "failed", "cancelled") else None
    return eventually(look, 60, what=f"job {job['id']}")


def history(system, file_id):
    """Each status that the file ever took after its upload."""
    return [row["status"] for row in system.sql("select data->>'status' as status from file_events where file_id = %s and kind = "
                                                "'file.status' order by id", file_id)]


def test_one_that_fails_leaves_a_ready_file_ready(system, user):
    file_id = ready(user)
    ordered = order(user, file_id, NO_SUCH_PAGE)
    assert ordered["ordered"] is True
    failed = ended(user, ordered)
    assert (failed["status"], failed["error_code"], failed["ordered"]) == ("failed", "bad_parameters", True)
    told = user.file(file_id)
    assert told["status"] == "ready"
    assert {job["type"]: (job["status"], job["ordered"]) for job in told["jobs"]} == {
        "thumbnail": ("done", False), "page_images": ("failed", True)}
    retried = user.call("POST", f"/v1/tenants/{user.tenant}/jobs/retry", {"job_id": ordered["id"]})
    assert retried.json["retried"] == 1, retried
    assert ended(user, ordered)["status"] == "failed"
    assert ended(user, order(user, file_id, {"type": "page_images"}))["status"] == "done"
    assert ended(user, order(user, file_id, {"type": "thumbnail"}))["ordered"] is True  # the plan's own is done
    cancelled = order(user, file_id, {"type": "page_images", "run_after": "2099-01-01T00:00:00Z"})
    assert user.call("POST", f"/v1/jobs/{cancelled['id']}/cancel").status == 200
    assert user.file(file_id)["status"] == "ready" and history(system, file_id) == ["processing", "ready"]


def test_a_file_without_a_plan_is_ready_all_the_time(system):
    user = system.user().bootstrap()
    plan(user)
    file_id = pdf(user)
    assert ended(user, order(user, file_id, NO_SUCH_PAGE))["status"] == "failed"
    assert user.file(file_id)["status"] == "ready" and history(system, file_id) == ["ready"]


def test_one_beside_a_plan_under_way(system, user):
    with paused(system, "thumbnail"):
        file_id = pdf(user)
        assert ended(user, order(user, file_id, NO_SUCH_PAGE))["status"] == "failed"
        assert ended(user, order(user, file_id, {"type": "extract_pdf"}))["status"] == "done"
        assert history(system, file_id) == ["processing"]
    assert user.wait(file_id)["status"] == "ready" and history(system, file_id) == ["processing", "ready"]


def test_one_that_takes_the_place_of_the_plans_own_is_the_plans(system, user):
    with paused(system, "thumbnail"):
        file_id = pdf(user)
        planned, = user.file(file_id)["jobs"]
        first, second = (order(user, file_id, {"type": "thumbnail"}) for _ in range(2))
        assert (planned["ordered"], first["ordered"], second["ordered"]) == (False, False, False)
        assert [ended(user, job)["status"] for job in (planned, first)] == ["cancelled", "cancelled"]
        assert history(system, file_id) == ["processing"]
    assert ended(user, second)["status"] == "done"
    assert user.wait(file_id)["status"] == "ready" and history(system, file_id) == ["processing", "ready"]
    broken = user.send("broken.pdf", "application/pdf", BROKEN)
    order(user, broken, {"type": "thumbnail", "unique_key": str(uuid.uuid4())})
    assert user.wait(broken)["status"] == "failed"


def test_a_failed_file_is_mended_by_a_retry_of_its_plan_alone(system):
    user = system.user().bootstrap()
    words = f"mended {uuid.uuid4()}".encode()
    sha256 = hashlib.sha256(words).hexdigest()
    system.sql("insert into quarantine (tenant_id, sha256, type, crashes, reason) values (%s, %s, 'extract_office', 2, 'crash')",
               user.tenant, sha256)
    file_id = user.send("a.txt", "text/plain", words, sha256=sha256)
    assert user.wait(file_id)["status"] == "failed"
    assert ended(user, order(user, file_id, {"type": "ping"}))["status"] == "done"
    assert history(system, file_id) == ["processing", "failed"]
    job, = [job for job in user.file(file_id)["jobs"] if job["status"] == "failed"]
    assert (job["error_code"], job["ordered"]) == ("quarantined", False)
    assert system.command("admin", "retry", job["id"]).stdout == "1 queued again\n"
    eventually(lambda: history(system, file_id) == ["processing", "failed", "processing", "ready"], 30, what="the mended file")
    assert user.wait(file_id)["status"] == "ready"


def test_a_reprocess_plans_anew(system, user):
    file_id = ready(user)
    assert ended(user, order(user, file_id, NO_SUCH_PAGE))["status"] == "failed"
    later = order(user, file_id, {"type": "ping", "run_after": "2099-01-01T00:00:00Z"})
    answer = user.call("POST", f"/v1/internal/files/{file_id}/reprocess", {})
    assert answer.status == 200 and [job["type"] for job in answer.json["jobs"]] == ["thumbnail"], answer
    assert ended(user, later)["status"] == "cancelled"
    told = user.wait(file_id)
    assert (told["status"], [job["ordered"] for job in told["jobs"]]) == ("ready", [False])
    assert history(system, file_id) == ["processing", "ready", "processing", "ready"]


def test_those_that_wait_for_others(system, user):
    first, second = ready(user), ready(user)
    answer = user.call("POST", "/v1/jobs", {"jobs": [{"file_id": first, "type": "ping", "waits_for": [1]},
                                                     {"file_id": second, **NO_SUCH_PAGE}]})
    waiting = ended(user, answer.json["jobs"][0])
    assert (waiting["status"], waiting["error_code"], waiting["ordered"]) == ("failed", "child_failed", True)
    for file_id in (first, second):
        assert user.file(file_id)["status"] == "ready" and history(system, file_id) == ["processing", "ready"]


@pytest.mark.parametrize("good", [True, False])
def test_one_that_waits_for_a_job_of_the_plan(system, user, good):
    """The list takes the place of the plan's thumbnail, which the file needs, and has another wait for it."""
    with paused(system, "thumbnail"):
        file_id = pdf(user) if good else user.send("broken.pdf", "application/pdf", BROKEN)
        answer = user.call("POST", "/v1/jobs", {"jobs": [{"file_id": file_id, "type": "ping", "waits_for": [1]},
                                                         {"file_id": file_id, "type": "thumbnail"}]})
        assert answer.status == 202, answer
        waiting, awaited = (user.call("GET", f"/v1/jobs/{job['id']}").json for job in answer.json["jobs"])
        assert (waiting["status"], waiting["ordered"], awaited["ordered"]) == ("waiting", True, False)
        assert history(system, file_id) == ["processing"]
    assert ended(user, waiting)["status"] == ("done" if good else "failed")
    assert user.wait(file_id)["status"] == ("ready" if good else "failed")
    assert history(system, file_id) == ["processing", "ready" if good else "failed"]


@pytest.mark.skipif(shutil.which("pdftoppm") is None, reason="pdftoppm is not installed")
def test_what_an_order_brings_with_it_is_ordered_too(system, user):
    """Ranges of a long document, and the reading of its pages that have no text."""
    file_id = user.send("scan.pdf", "application/pdf", scans.scan_pdf(5))
    assert user.wait(file_id)["status"] == "ready"
    system.sql("update files set followers = null where id = %s", file_id)  # the plan says nothing about them
    assert ended(user, order(user, file_id, {"type": "extract_pdf"}))["status"] == "done"
    jobs = user.wait(file_id, 90)["jobs"]
    reading = [job for job in jobs if job["type"] == "ocr" and job["parent"] is None]
    ranges = [job for job in jobs if reading and job["parent"] == reading[0]["id"]]
    assert [(job["status"], job["ordered"]) for job in reading] == [("done", True)], jobs
    assert len(ranges) > 1 and all(job["ordered"] for job in ranges), jobs
    assert history(system, file_id) == ["processing", "ready"]


def test_in_sql_too(system, user):
    def enqueue(**wanted):
        return {"id": system.sql("select job::text from jobs_enqueue(%s)", json.dumps([wanted]))[0]["job"]}
    file_id = ready(user)
    with paused(system, "noop"):
        beside = enqueue(file_id=file_id, type="noop", unique_key="beside")
        assert user.file(file_id)["status"] == "ready"
        part = enqueue(file_id=file_id, type="noop", ordered=False)
        assert user.file(file_id)["status"] == "processing"
        for job in (beside, part):
            assert user.call("POST", f"/v1/jobs/{job['id']}/cancel").status == 200
    assert history(system, file_id) == ["processing", "ready", "processing", "ready"]
    # a row as older programs write it
    row, = system.sql("insert into jobs (tenant_id, file_id, type, status, finished_at) values (%s, %s, 'noop', 'failed', now())"
                      " returning id::text", user.tenant, file_id)
    system.sql("select files_refresh(array[%s::uuid])", file_id)
    assert user.file(file_id)["status"] == "failed" and user.call("GET", f"/v1/jobs/{row['id']}").json["ordered"] is False


def test_webhooks_tell_of_the_job_and_not_of_the_file(system):
    user = system.user().bootstrap()
    plan(user, {"type": "thumbnail"})
    receiver = Receiver()
    try:
        answer = user.call("POST", f"/v1/tenants/{user.tenant}/webhooks", {"url": receiver.url("/beside")})
        assert answer.status == 201, answer
        file_id = ready(user)
        for wanted, status in ((NO_SUCH_PAGE, "failed"), ({"type": "page_images"}, "done")):
            assert ended(user, order(user, file_id, wanted))["status"] == status
        sent = system.sql("select type, payload::jsonb->'data'->>'type' as job from webhook_deliveries where "
                          "payload::jsonb->'data'->>'file_id' = %s order by sequence", file_id)
    finally:
        receiver.close()
    assert sorted((row["type"], row["job"]) for row in sent) == [
        ("file.ready", None), ("job.done", "page_images"), ("job.done", "thumbnail"), ("job.failed", "page_images")]
