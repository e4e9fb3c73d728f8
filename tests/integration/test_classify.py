# SPDX-License-Identifier: MIT
"""Classification, step by step as its document has it; see docs/classify.md."""
import json
import socket
import uuid

import pytest

import documents
from system import System, eventually, fetch, one_page_pdf

BOUNDARY = "----filemill7MA4YWxkTrZu0gW"


def form(*files, fields=(), boundary=BOUNDARY):
    """multipart/form-data of (filename, type, bytes)."""
    out = b""
    for name, value in fields:
        out += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    for name, mime, data in files:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
        out += head.encode() + (f"Content-Type: {mime}\r\n" if mime else "").encode() + b"\r\n" + data + b"\r\n"
    return out + f"--{boundary}--\r\n".encode()


def post(user, body, headers=None, query="", boundary=BOUNDARY):
    return user.call("POST", "/classify-documents-async" + query, body,
                     {"Content-Type": f"multipart/form-data; boundary={boundary}", **(headers or {})})


def job(user, job_id):
    answer = user.call("GET", f"/job/{job_id}")
    assert answer.status == 200, answer
    return answer.json


def finished(user, job_id, seconds=60):
    def check():
        now = job(user, job_id)
        return now if now["status"] in ("completed", "failed") else None
    return eventually(check, seconds, what=f"job {job_id}")


def accepted(answer):
    assert answer.status == 202, answer
    assert answer.json["status"] == "pending" and set(answer.json) == {"job_id", "status"}
    return answer.json["job_id"]


@pytest.fixture(scope="module")
def system():
    with System(max_upload_bytes=300000, form_parts=8, backoff_unit_ms=100) as running:
        yield running


@pytest.fixture(scope="module")
def user(system):
    return system.user().bootstrap()


INVOICE = "Invoice number 4711\nBill to Acme\nSubtotal 80.00\nVAT 16.00\nAmount due 96.00, payment terms 30 days\n"
LETTER = "Dear Anna,\nthank you for your letter.\nWith kind regards,\nYours sincerely, Tom\n"


def test_two_files_are_uploaded_and_classified(system, user):
    system.command("pause", "classify")
    job_id = accepted(post(user, form(("bill.pdf", "application/pdf", one_page_pdf("Invoice number 4711, bill to Acme, "
                                                                                  "subtotal, VAT, amount due")),
                                      ("letter.txt", "text/plain", LETTER.encode()))))
    assert job(user, job_id)["status"] in ("pending", "processing"), "the id comes before the work"
    system.command("resume", "classify")
    done = finished(user, job_id)
    assert done["status"] == "completed" and done["progress"] == 100 and done["total_files"] == 2
    first, second = done["results"]
    assert (first["filename"], first["label"], first["backend"]) == ("bill.pdf", "invoice", "embedded"), done
    assert (second["filename"], second["label"]) == ("letter.txt", "letter"), done
    for result in done["results"]:
        assert result["error"] is None and 0.35 <= result["confidence"] <= 1
        assert abs(sum(result["scores"].values()) - 1) < 0.01
        assert max(result["scores"], key=result["scores"].get) == result["label"]
        file = user.wait(result["file_id"])
        assert file["status"] == "ready" and not any(work["ordered"] for work in file["jobs"])
        told = json.loads(user.derivative(result["file_id"], "classification"))
        assert told["label"] == result["label"] and told["confidence"] == pytest.approx(result["confidence"], abs=1e-3)
    row = system.sql("select * from inbox_jobs where id = %s", job_id)[0]
    assert (row["status"], row["progress"], row["total_files"]) == ("completed", 100, 2)
    assert [r["label"] for r in row["result"]["results"]] == ["invoice", "letter"]
    assert row["created_at"] and row["completed_at"] and row["error"] is None and row["endpoint_type"] == "classify"
    eventually(lambda: system.log().count(" type=classify state=done ") >= 2, what="the worker's lines")


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body, error", [
    (form(), "files"),
    (form(("a.txt", "text/plain", b"x"))[:-30], "form"),
    (b"nothing of the kind", "form"),
    (form(fields=[("colour", "blue")]), "form"),
    (form(fields=[("files", "not a file")]), "files"),
    (form(fields=[("tenant_id", "mine")]), "tenant_id"),
    (form(*[(f"{n}.txt", "text/plain", b"x") for n in range(9)]), "form"),
], ids=["none", "cut", "no-form", "unknown-field", "field", "bad-tenant", "too-many"])
def test_bad_forms_are_refused_and_leave_nothing(system, user, body, error):
    answer = post(user, body)
    assert answer.status == 400 and error in answer.json["details"]["fieldErrors"], answer
    eventually(lambda: system.sql("select count(*) as n from files where status = 'uploading' and upload_expires_at > now()"
                                  )[0]["n"] == 0, what="no uploads are left")


def test_a_file_that_is_too_large_is_refused(system, user):
    answer = post(user, form(("big.txt", "text/plain", b"long\n" * 70000)))
    assert answer.status == 413 and answer.json["error"] == "payload_too_large"


def test_other_bodies_and_callers_are_refused(system, user):
    assert user.call("POST", "/classify-documents-async", {"files": []}).status == 415
    assert fetch("POST", system.base + "/classify-documents-async", {"Content-Type": "multipart/form-data; boundary=b"},
                 b"--b--").status == 401
    assert post(user, form(), boundary="\x7f").status == 400
    stranger = system.user()
    assert post(stranger, form(("a.txt", "text/plain", b"x"))).json["error"] == "not_a_member"
    assert post(user, form(("a.txt", "text/plain", b"x")), query=f"?tenant_id={uuid.uuid4()}").status == 403


def test_bad_files_are_told_each_by_itself(system, user):
    job_id = accepted(post(user, form(("empty.txt", "text/plain", b""), ("liar.png", "image/png", b"%PDF-1.4 no picture"),
                                      ("tool.exe", "application/octet-stream", b"MZ" + bytes(200)),
                                      ("locked.pdf", "application/pdf", b"%PDF-1.4 broken from here on"),
                                      ("../../etc/fine.txt", None, INVOICE.encode()))))
    done = finished(user, job_id)
    errors = [result["error"] for result in done["results"]]
    assert done["status"] == "completed" and errors[:3] == ["empty_file", "type_mismatch", "type_not_applicable"], done
    assert errors[3] == "bad_input" and done["results"][3]["status"] == "failed", done
    assert (done["results"][4]["filename"], done["results"][4]["label"]) == ("fine.txt", "invoice"), done
    job_id = accepted(post(user, form(("empty.txt", "text/plain", b""))))
    assert (job(user, job_id)["status"], job(user, job_id)["error"]) == ("failed", "empty_file")


def test_a_text_without_a_known_word_is_unclassified(system, user):
    done = finished(user, accepted(post(user, form(("x.txt", "text/plain", b"zzyzx qwrtk plmnb\n")))))
    assert done["status"] == "completed" and done["results"][0]["label"] == "unclassified"
    assert done["results"][0]["confidence"] == 0


def test_a_client_that_leaves_leaves_nothing_behind(system, user):
    whole = form(("left 1.txt", "text/plain", INVOICE.encode()), ("left 2.txt", "text/plain", LETTER.encode() * 100))
    with socket.create_connection(("127.0.0.1", system.port)) as link:
        link.sendall(f"POST /classify-documents-async HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {user.token}\r\n"
                     f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {len(whole)}\r\n\r\n".encode()
                     + whole[:-400])
        eventually(lambda: system.sql("select id from files where filename = 'left 1.txt' and status = 'uploading'"),
                   what="the first file is stored")
    eventually(lambda: not system.sql("select id from files where status = 'uploading' and upload_expires_at > now()"),
               what="the upload is given up")
    assert not system.sql("select id from files where filename like 'left %' and status in ('ready', 'processing')")


def test_a_form_that_comes_byte_by_byte(system, user):
    whole = form(("slow.txt", "text/plain", INVOICE.encode()))
    with socket.create_connection(("127.0.0.1", system.port)) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.sendall(f"POST /classify-documents-async HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {user.token}\r\n"
                     f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nTransfer-Encoding: chunked\r\n"
                     "Connection: close\r\n\r\n".encode())
        for at in range(len(whole)):
            link.sendall(b"1\r\n" + whole[at:at + 1] + b"\r\n")
        link.sendall(b"0\r\n\r\n")
        reply = b""
        while chunk := link.recv(65536):
            reply += chunk
    assert b" 202 " in reply.split(b"\r\n")[0], reply
    job_id = json.loads(reply.split(b"\r\n\r\n", 1)[1])["job_id"]
    assert finished(user, job_id)["results"][0]["label"] == "invoice"


# ---- whose ----------------------------------------------------------------------------------------------------------


def test_the_tenant_is_told_where_there_are_several(system):
    both = system.user().bootstrap("One")
    first = both.tenant
    both.bootstrap("Two")
    one = ("a.txt", "text/plain", INVOICE.encode())
    assert "tenant_id" in post(both, form(one)).json["details"]["fieldErrors"]
    for answer in (post(both, form(one), query=f"?tenant_id={first}"), post(both, form(one), {"X-Tenant-Id": first}),
                   post(both, form(one, fields=[("tenant_id", first)]))):
        done = finished(both, accepted(answer))
        assert both.file(done["results"][0]["file_id"])["tenant_id"] == first


def test_a_stranger_sees_nothing(system, user):
    job_id = accepted(post(user, form(("a.txt", "text/plain", INVOICE.encode()))))
    stranger = system.user().bootstrap()
    assert stranger.call("GET", f"/job/{job_id}").status == 404
    assert stranger.call("GET", f"/v1/tenants/{user.tenant}/labels").status == 404
    assert stranger.call("GET", f"/v1/tenants/{user.tenant}/classifier").status == 404
    assert stranger.call("PUT", f"/v1/tenants/{user.tenant}/labels", {"labels": documents.labels()}).status == 404
    file_id = finished(user, job_id)["results"][0]["file_id"]
    assert stranger.call("POST", f"/v1/files/{file_id}/label", {"label": "invoice"}).status == 404


# ---- labels and learning --------------------------------------------------------------------------------------------


def test_labels_are_put_and_read(system, user):
    answer = user.call("GET", f"/v1/tenants/{user.tenant}/labels").json
    assert answer["default"] and len(answer["labels"]) > 5
    for bad in ([{"name": "one"}], [{"name": "a"}, {"name": "a"}], [{"name": ""}, {"name": "b"}], ["a", "b"],
                [{"name": "a", "colour": 1}, {"name": "b"}], [{"name": "unclassified"}, {"name": "b"}],
                [{"name": f"{n}", "description": "x" * 900} for n in range(20)]):
        answer = user.call("PUT", f"/v1/tenants/{user.tenant}/labels", {"labels": bad})
        assert answer.status == 400, (bad, answer)


def test_it_learns_from_examples(system):
    """The same documents, before and after: labels whose descriptions say nothing, then examples."""
    user = system.user().bootstrap()
    names = list(documents.SENTENCES)
    put = user.call("PUT", f"/v1/tenants/{user.tenant}/labels",
                    {"labels": [{"name": name, "description": f"pile {n}"} for n, name in enumerate(names)]})
    assert put.status == 200 and put.json["trained"] is False and put.json["accuracy"] is None, put
    texts = documents.collection(7, 2, foreign=0, common=1)
    examples, asked = texts[:5], texts[5:]
    jobs = [finished(user, accepted(post(user, form(*[(f"{n}.txt", "text/plain", text.encode())
                                                      for n, (_, text) in enumerate(part)])))) for part in (examples, asked)]
    files = [result["file_id"] for result in jobs[0]["results"]]
    assert user.call("POST", f"/v1/files/{files[0]}/label", {"label": "novel"}).json["error"] == "unknown_label"
    for (kind, _), file_id in zip(examples, files):
        answer = user.call("POST", f"/v1/files/{file_id}/label", {"label": kind})
        assert answer.status == 200, answer
    state = user.call("GET", f"/v1/tenants/{user.tenant}/classifier").json
    assert state["trained"] and state["examples"] == 5 and 0 <= state["accuracy"] <= 1
    assert {row["label"]: row["examples"] for row in state["labels"]} == {name: 1 for name in names}
    again = [user.call("POST", f"/v1/files/{result['file_id']}/classify") for result in jobs[1]["results"]]
    labels = [finished(user, accepted(answer))["results"][0] for answer in again]
    right = sum(result["label"] == kind for (kind, _), result in zip(asked, labels))
    assert right >= 4, labels
    works = user.file(labels[0]["file_id"])["jobs"]
    assert {work["ordered"] for work in works if work["type"] == "classify"} == {False, True}, works
    key = {"Idempotency-Key": "label"}
    told = [user.call("POST", f"/v1/files/{files[0]}/label", {"label": names[1]}, key) for _ in range(2)]
    assert told[0].status == told[1].status == 200 and told[0].body == told[1].body, told
    assert told[0].json["examples"] == 5, "a file is one example, with its newest label"
    for data, mime in ((b"...\n", "text/plain"), (one_page_pdf(""), "application/pdf")):
        silent = user.send("silent", mime, data)
        user.wait(silent)
        assert user.call("POST", f"/v1/files/{silent}/label", {"label": names[0]}).json["error"] == "no_text"
    never = user.send("plain.txt", "text/plain", b"a text that nobody has classified\n")
    user.wait(never)
    assert user.call("POST", f"/v1/files/{never}/label", {"label": names[0]}).json["examples"] == 6


def test_a_reprocess_classifies_anew(system, user):
    own = system.user().bootstrap()
    job_id = accepted(post(own, form(("bill.pdf", "application/pdf", one_page_pdf("Invoice number 4711, bill to Acme, amount "
                                                                                  "due")))))
    first = finished(own, job_id)["results"][0]
    own.call("PUT", f"/v1/tenants/{own.tenant}/labels", {"labels": [
        {"name": "to pay", "description": "invoice, amount due"}, {"name": "other", "description": "dear, regards"}]})
    answer = own.call("POST", f"/v1/internal/files/{first['file_id']}/reprocess")
    assert answer.status == 200 and "classify" in [row["type"] for row in answer.json["jobs"]], answer
    assert own.wait(first["file_id"])["status"] == "ready"
    assert json.loads(own.derivative(first["file_id"], "classification"))["label"] == "to pay"
    assert job(own, job_id)["results"][0]["label"] == "invoice", "what was answered stays"
    other = own.send("note.txt", "text/plain", LETTER.encode())
    own.wait(other)
    assert "classify" not in [row["type"] for row in own.call("POST", f"/v1/internal/files/{other}/reprocess").json["jobs"]]
    system.command("pause", "classify")
    job_id = accepted(own.call("POST", f"/v1/files/{first['file_id']}/classify"))
    assert own.call("POST", f"/v1/internal/files/{first['file_id']}/reprocess").status == 200
    assert job(own, job_id)["status"] in ("pending", "processing"), "the request waits for the new job"
    system.command("resume", "classify")
    assert finished(own, job_id)["results"][0]["label"] == "to pay"


# ---- restarts -------------------------------------------------------------------------------------------------------


def test_jobs_survive_kills_of_everything(system, user):
    system.command("pause", "classify")
    job_id = accepted(post(user, form(("bill.txt", "text/plain", INVOICE.encode()),
                                      ("letter.txt", "text/plain", LETTER.encode() + b"again\n"))))
    eventually(lambda: job(user, job_id)["status"] == "processing" and job(user, job_id)["progress"] >= 50, 60,
               what="the texts are made")
    assert 0 < job(user, job_id)["progress"] < 100 and job(user, job_id)["results"][0]["label"] is None
    system.kill("filemill-gateway", "filemill-scheduler", "filemill-worker")
    eventually(system.is_ready, 60, what="ready again")
    assert job(user, job_id)["status"] == "processing"
    system.terminate()
    system.start()
    assert job(user, job_id)["status"] == "processing"
    system.command("resume", "classify")
    done = finished(user, job_id, 60)
    assert [result["label"] for result in done["results"]] == ["invoice", "letter"], done


# ---- how well -------------------------------------------------------------------------------------------------------


def test_it_sorts_as_well_as_it_is_said_to():
    """What docs/classify.md says of the documents that bench/quality/classify.py makes."""
    import importlib.util

    from system import ROOT
    spec = importlib.util.spec_from_file_location("measure", ROOT / "bench" / "quality" / "classify.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    accuracy = {(foreign, each): right for foreign, each, right, _, _ in module.measure()}
    assert accuracy[0, 0] >= 0.9 and accuracy[0, 3] >= 0.98 and accuracy[0, 10] >= 0.98
    assert accuracy[2, 10] >= 0.9 and accuracy[2, 40] >= 0.94
    assert accuracy[4, 40] > accuracy[4, 10] > accuracy[4, 1]
