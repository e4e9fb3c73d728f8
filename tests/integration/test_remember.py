"""Results carry where they come from, and are copied where the same was made before."""
import pytest
from system import System, eventually, one_page_pdf, sha256


@pytest.fixture(scope="module")
def system():
    with System(backoff_unit_ms=200, ocr_when_needed="off") as running:
        yield running


def send(user, data, **more):
    """The file once it has ended; its hash is told beforehand, as a client may."""
    return user.wait(user.send("a.pdf", "application/pdf", data, sha256=sha256(data), **more))


def job(file, job_type="extract_pdf"):
    return next(job for job in file["jobs"] if job["type"] == job_type)


def copied_from(file, job_type="extract_pdf"):
    return job(file, job_type)["provenance"].get("copied_from")


def test_a_result_says_what_it_comes_from(user):
    data = one_page_pdf("provenance")
    file = send(user, data)
    made = job(file)["provenance"]
    assert made["input_sha256"] == sha256(data) and made["processor"] == "extract_pdf" and made["version"] >= 1
    assert made["engines"].startswith("poppler/") and made["parameters"] == {} and made["copied_from"] is None
    assert made["peak_memory_bytes"] > 1_000_000 and made["cpu_ms"] >= 0 and made["outputs"] == 2
    for derivative in file["derivatives"]:
        shown = derivative["metadata"]["provenance"]
        assert shown["output_sha256"] == derivative["sha256"] and shown["input_sha256"] == sha256(data)
        assert shown["processor"] in ("extract_pdf", "thumbnail")
    assert user.call("GET", f"/v1/jobs/{job(file)['id']}").json["provenance"] == made
    assert file["extension"] == "pdf"


def test_the_same_bytes_are_not_worked_on_twice(system, user):
    data = one_page_pdf("twice")
    first, second = send(user, data), send(user, data)
    assert copied_from(first) is None
    assert copied_from(second) == job(first)["id"]
    assert copied_from(second, "thumbnail") == job(first, "thumbnail")["id"]
    old, new = ({each["kind"]: each for each in file["derivatives"]} for file in (first, second))
    assert old.keys() == new.keys()
    for kind in old:
        assert old[kind]["r2_key"] != new[kind]["r2_key"] and old[kind]["sha256"] == new[kind]["sha256"]
        assert sha256(user.derivative(second["file_id"], kind)) == new[kind]["sha256"]
        same, like = ({**each[kind]["metadata"], "provenance": None} for each in (old, new))
        assert same == like
    third = send(user, data)  # a copy is as good as what it was made from
    assert copied_from(third) in (job(first)["id"], job(second)["id"])


def test_what_differs_is_made(system, user):
    data = one_page_pdf("differs")
    file = send(user, data)
    for parameters in ({"dpi": 100}, {"dpi": 101}):
        answer = user.call("POST", f"/v1/files/{file['file_id']}/jobs", {"type": "ocr", "parameters": parameters})
        assert answer.status == 202
        file = user.wait(file["file_id"])
    orders = [each for each in file["jobs"] if each["type"] == "ocr"]
    assert [each["provenance"].get("copied_from") for each in orders] == [None, None]
    answer = user.call("POST", f"/v1/files/{file['file_id']}/jobs", {"type": "ocr", "parameters": {"dpi": 101}})
    again = eventually(lambda: (lambda j: j if j["status"] == "done" else None)(
        user.call("GET", f"/v1/jobs/{answer.json['id']}").json), what="the third order")
    assert again["provenance"]["copied_from"] == orders[1]["id"]

    stranger = system.user().bootstrap()
    assert copied_from(send(stranger, data)) is None, "another tenant's results are not there"
    assert copied_from(send(user, one_page_pdf("differs!"))) is None


def test_a_reprocess_makes_anew(user):
    data = one_page_pdf("reprocess")
    file = send(user, data)
    assert user.call("POST", f"/v1/internal/files/{file['file_id']}/reprocess", {}).status == 200
    assert copied_from(user.wait(file["file_id"])) is None


def test_a_hash_alone_proves_nothing(system, user):
    """Whoever knows the hash of another's bytes gets nothing for it: the store's own word must agree."""
    data = one_page_pdf("proof")
    send(user, data)
    file_id = user.upload("a.pdf", "application/pdf", data, sha256=sha256(data))
    system.sql("with f as (update files set status = 'processing', etag = '\"other\"', finalized_at = now(), detected_mime = mime"
               " where id = %s returning id, tenant_id)"
               " insert into jobs (tenant_id, file_id, type) select tenant_id, id, 'extract_pdf' from f", file_id)
    file = eventually(lambda: (lambda f: f if f["jobs"][0]["status"] not in ("queued", "running") else None)(
        user.file(file_id)), what="its job")
    assert file["jobs"][0]["status"] in ("failed", "retry"), file  # the object is not the one that was looked at
    system.sql("update jobs set status = 'cancelled' where file_id = %s", file_id)


def test_objects_that_are_gone_are_made_again(system, user):
    data = one_page_pdf("gone")
    first = send(user, data)
    s3 = system.s3()
    for derivative in first["derivatives"]:
        s3.delete_object(Bucket=system.bucket, Key=derivative["r2_key"])
    second = send(user, data)
    assert second["status"] == "ready" and copied_from(second) is None, second
    assert job(second)["attempts"] == 0
    assert user.derivative(second["file_id"], "pdf_text").decode().strip() == "gone"
    assert "state=forgotten" in system.log()
    assert copied_from(send(user, data)) == job(second)["id"]


def test_a_deleted_file_is_forgotten(user):
    data = one_page_pdf("deleted")
    first = send(user, data)
    assert user.call("DELETE", f"/v1/files/{first['file_id']}").status == 200
    assert copied_from(send(user, data)) is None


def test_off_means_off():
    with System(remember_results="off", ocr_when_needed="off") as other:
        user = other.user().bootstrap()
        data = one_page_pdf("off")
        send(user, data)
        assert copied_from(send(user, data)) is None
