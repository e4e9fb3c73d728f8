"""The file API's own test kit, step by step, against real processes, a real Postgres and the real store."""
import signal
import time

import pytest
from system import SAMPLES, eventually, fetch, one_page_pdf, sha256, strike

PDF = one_page_pdf("hello pdf")


@pytest.fixture(scope="module")
def sent(system, user):
    """Steps 2 to 4, checked on the way."""
    init = user.init("test.pdf", "application/pdf", len(PDF), visibility="private")
    assert init.status == 200, init
    body = init.json
    assert set(body) >= {"file_id", "r2_key", "upload_url", "required_headers", "expires_in_seconds"}
    assert body["r2_key"] == f"t/{user.tenant}/u/{user.id}/{body['file_id']}.pdf"
    assert body["required_headers"]["Content-Type"] == "application/pdf"
    assert body["expires_in_seconds"] == 300
    row, = system.sql("select status, r2_key_original from files where id = %s", body["file_id"])
    assert row == {"status": "uploading", "r2_key_original": body["r2_key"]}

    stored = fetch("PUT", body["upload_url"], {"Content-Type": "application/pdf"}, PDF)
    assert stored.status in (200, 204), stored

    final = user.finalize(body["file_id"])
    assert final.status == 200 and final.json["ok"] is True, final
    assert {job["type"] for job in final.json["jobs"]} == {"extract_pdf", "thumbnail"}
    assert all(job["status"] == "queued" for job in final.json["jobs"])
    return body["file_id"], final.json["jobs"]


def test_1_bootstrap_in_sql(system):
    """The kit's own statement works for an operator; the user is then the tenant's owner."""
    somebody = system.user()
    row, = system.sql("with t as (insert into tenants (name) values ('Test Tenant') returning id) "
                      "insert into tenant_members (tenant_id, user_id, role) select t.id, %s, 'owner' from t "
                      "returning tenant_id", somebody.id)
    somebody.tenant = row["tenant_id"]
    assert somebody.init("a.pdf", "application/pdf", 10).status == 200


def test_4_finalize_twice_gives_the_same_jobs(user, sent):
    file_id, jobs = sent
    again = user.finalize(file_id)
    assert again.status == 200
    assert sorted(job["id"] for job in again.json["jobs"]) == sorted(job["id"] for job in jobs)


def test_5_jobs_run_and_derivatives_appear(system, user, sent):
    file_id, _ = sent
    file = user.wait(file_id)
    assert file["status"] == "ready"
    assert {job["status"] for job in file["jobs"]} == {"done"}
    keys = {row["kind"]: row["r2_key"] for row in
            system.sql("select kind, r2_key from file_derivatives where file_id = %s", file_id)}
    base = f"t/{user.tenant}/derived/{file_id}"
    assert keys["pdf_text"] == f"{base}/pdf_text.txt"
    assert keys["thumbnail"] == f"{base}/thumbnail.webp"
    assert user.derivative(file_id, "pdf_text").decode().strip() == "hello pdf"
    assert user.derivative(file_id, "thumbnail")[8:12] == b"WEBP"


def test_5_objects_are_in_storage_and_match(system, user, sent):
    file_id, _ = sent
    user.wait(file_id)
    s3 = system.s3()
    for row in system.sql("select r2_key, size_bytes, sha256 from file_derivatives where file_id = %s", file_id):
        body = s3.get_object(Bucket=system.bucket, Key=row["r2_key"])["Body"].read()
        assert (len(body), sha256(body)) == (row["size_bytes"], row["sha256"])
    row, = system.sql("select sha256 from files where id = %s", file_id)
    assert row["sha256"] == sha256(PDF)


def test_6_download_original(user, sent):
    answer = user.call("GET", f"/v1/files/{sent[0]}/download")
    assert answer.status == 200 and answer.json["expires_in_seconds"] == 600
    assert fetch("GET", answer.json["download_url"]).body == PDF


def test_7_other_users_are_refused(system, user, sent):
    file_id, _ = sent
    member = system.user()
    added = user.call("POST", f"/v1/tenants/{user.tenant}/members", {"user_id": member.id, "role": "member"})
    assert added.status in (200, 201), added
    refused = member.call("GET", f"/v1/files/{file_id}/download")
    assert (refused.status, refused.json["error"]) == (403, "forbidden")

    stranger = system.user().bootstrap()
    known = stranger.call("GET", f"/v1/files/{file_id}/download")
    random = stranger.call("GET", "/v1/files/3b241101-e2bb-4255-8caf-4136c566a962/download")
    assert known.status == random.status == 404
    drop = ("instance", "request_id")
    assert {k: v for k, v in known.json.items() if k not in drop} == \
           {k: v for k, v in random.json.items() if k not in drop}

    for token, code in (("", "missing_token"), ("Bearer nonsense", "invalid_token")):
        bare = fetch("GET", f"{system.base}/v1/files/{file_id}/download", {"Authorization": token} if token else {})
        assert (bare.status, bare.json["error"]) == (401, code)


def test_8_reprocess(system, user, sent):
    file_id, jobs = sent
    user.wait(file_id)
    answer = user.call("POST", f"/v1/internal/files/{file_id}/reprocess", {})
    assert answer.status == 200 and answer.json["ok"] is True
    assert {job["id"] for job in answer.json["jobs"]}.isdisjoint(job["id"] for job in jobs)
    assert user.wait(file_id)["status"] == "ready"
    kinds = system.sql("select kind, count(*) as n from file_derivatives where file_id = %s group by kind", file_id)
    assert kinds and all(row["n"] == 1 for row in kinds)
    assert user.derivative(file_id, "pdf_text").decode().strip() == "hello pdf"


def test_8_reprocess_needs_a_role(system, user, sent):
    member = system.user()
    user.call("POST", f"/v1/tenants/{user.tenant}/members", {"user_id": member.id, "role": "member"})
    refused = member.call("POST", f"/v1/internal/files/{sent[0]}/reprocess", {})
    assert (refused.status, refused.json["error"]) == (403, "forbidden")


def test_9_worker_killed_mid_job_is_retried(system, user):
    """Kill -9 of the worker while a document is being parsed: retry is visible, attempts rise, the job resumes."""
    pdf = (SAMPLES / "mill.pdf").read_bytes()
    strike(system.pids("filemill-nursery"), signal.SIGSTOP)  # hold the document in the runner: stop before it is forked
    file_id = user.send("mill.pdf", "application/pdf", pdf)
    eventually(lambda: system.sql("select 1 from jobs where file_id = %s and status = 'running'", file_id),
               what="a running job")
    time.sleep(0.2)
    strike(system.pids("filemill-worker"), signal.SIGKILL)
    retried = eventually(lambda: system.sql("select id, status, attempts from jobs where file_id = %s and attempts > 0",
                                            file_id), what="attempts raised")
    assert all(row["attempts"] == 1 for row in retried)
    file = user.wait(file_id)
    assert file["status"] == "ready", file
    assert b"The mill" in user.derivative(file_id, "pdf_text")


def test_bytes_decide_not_names(user):
    wrong = user.upload("photo.jpg", "image/jpeg", PDF)
    answer = user.finalize(wrong)
    assert (answer.status, answer.json["error"]) == (422, "type_mismatch")


def test_object_must_be_there(user):
    init = user.init("never.pdf", "application/pdf", 100).json
    answer = user.finalize(init["file_id"])
    assert (answer.status, answer.json["error"]) == (400, "object_not_found_in_storage")


def test_rotated_phone_picture_comes_upright_and_clean(user):
    data = (SAMPLES / "phone.jpg").read_bytes()
    file = user.wait(user.send("phone.jpg", "image/jpeg", data))
    assert file["status"] == "ready", file
    thumbnail = user.derivative(file["file_id"], "thumbnail")
    width, height = webp_size(thumbnail)
    assert height > width, "the picture is portrait once its orientation tag is obeyed"
    assert b"GPS" not in thumbnail and b"Drawn camera" not in thumbnail


def webp_size(data):
    """Width and height from the first frame header (RFC 9649 §2.5–2.7)."""
    assert data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8 ":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    bits = int.from_bytes(data[21:25], "little")
    return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)


def test_corrupt_pdf_fails_with_a_reason_while_others_finish(user):
    good = user.send("good.pdf", "application/pdf", PDF)
    bad = user.send("bad.pdf", "application/pdf", b"%PDF-1.4\n" + b"garbage " * 400)
    failed = user.wait(bad)
    assert failed["status"] == "failed"
    reasons = {job["type"]: job["error_code"] for job in failed["jobs"]}
    assert reasons["extract_pdf"] == "bad_input"
    assert user.wait(good)["status"] == "ready"
