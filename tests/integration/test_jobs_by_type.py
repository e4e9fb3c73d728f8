"""Jobs ordered by their type: what may be ordered, what is refused and with which words, and what comes of it."""
import io
import json
import time
import uuid
import wave

import pytest
from PIL import Image, ImageDraw
from system import eventually, one_page_pdf

PDF = one_page_pdf("by type")


def picture():
    image = Image.new("RGB", (640, 480), "#dddddd")
    ImageDraw.Draw(image).text((100, 200), "FILEMILL", fill="black")
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


def sound():
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(range(256)) * 40)
    return out.getvalue()


@pytest.fixture(scope="module")
def files(user):
    return {"pdf": user.send("a.pdf", "application/pdf", PDF),
            "picture": user.send("a.jpg", "image/jpeg", picture()),
            "sound": user.send("a.wav", "audio/wav", sound()),
            "text": user.send("a.txt", "text/plain", b"some words\n")}


def order(user, file_id, job_type, parameters=None, **more):
    body = {"type": job_type, **({} if parameters is None else {"parameters": parameters}), **more}
    return user.call("POST", f"/v1/files/{file_id}/jobs", body)


def finished(user, job_id):
    def look():
        job = user.call("GET", f"/v1/jobs/{job_id}").json
        return job if job["status"] in ("done", "failed", "cancelled") else None
    return eventually(look, 120, what=f"job {job_id}")


def test_the_list_describes_every_type(user):
    answer = user.call("GET", "/v1/processors")
    assert answer.status == 200, answer
    rows = {row["type"]: row for row in answer.json["processors"]}
    assert {"extract_pdf", "thumbnail", "image_variants", "portal_photo", "ocr", "waveform", "extract_office",
            "ping"} <= set(rows)
    assert not {"noop", "selftest", "selftest_data"} & set(rows)
    for row in rows.values():
        assert row["version"] >= 1 and row["media_types"] and row["summary"], row
        assert row["parameters"]["type"] == "object" and row["limits"]["wall_ms"] > 0, row
    dpi = rows["ocr"]["parameters"]["properties"]["dpi"]
    assert (dpi["minimum"], dpi["maximum"], dpi["default"]) == (70, 600, 300)
    assert {output["kind"] for output in rows["waveform"]["outputs"]} == {"waveform", "waveform_dat", "waveform_png"}


def test_what_the_list_says_the_processors_take(user, files):
    """Each type with the default of every parameter spelled out: no name and no value is unknown to its processor."""
    where = {"extract_pdf": "pdf", "page_images": "pdf", "extract_office": "text", "waveform": "sound",
             "transcribe": "sound"}
    jobs = {}
    for row in user.call("GET", "/v1/processors").json["processors"]:
        properties = row["parameters"]["properties"]
        parameters = {name: rule["default"] for name, rule in properties.items() if "default" in rule}
        if row["type"] == "portal_photo":
            parameters["schema"] = {name: rule["default"] for name, rule in properties["schema"]["properties"].items()
                                    if "default" in rule}
            parameters["preset"] = "NEET 2026"
        file_id = files.get(where.get(row["type"], "picture"))
        if file_id is None or row["media_types"] == ["none"]:
            continue
        answer = order(user, file_id, row["type"], parameters)
        assert answer.status == 202, (row["type"], answer)
        assert answer.json["parameters"] == parameters and answer.json["status"] == "queued"
        jobs[row["type"]] = answer.json["id"]
    for job_type, job_id in jobs.items():
        job = finished(user, job_id)
        assert job["status"] == "done", (job_type, job)


def test_an_order_makes_its_derivatives(user, files):
    answer = order(user, files["picture"], "image_variants", {"sizes": [100], "formats": ["png"]}, priority=0)
    assert answer.status == 202 and answer.json["priority"] == 1, answer
    assert finished(user, answer.json["id"])["status"] == "done"
    assert user.derivative(files["picture"], "variant_1_png")[1:4] == b"PNG"
    assert user.wait(files["picture"])["status"] == "ready"


def test_an_order_overwrites_no_object(system, user, files):
    """Until its row points elsewhere, what it points to stays as it is."""
    def row():
        return system.sql("select r2_key, sha256 from file_derivatives where file_id = %s and kind = 'waveform'",
                          files["sound"])[0]
    user.wait(files["sound"])
    before = row()
    assert finished(user, order(user, files["sound"], "waveform", {"bits": 8}).json["id"])["status"] == "done"
    after = row()
    assert after["r2_key"] != before["r2_key"] and after["sha256"] != before["sha256"]


@pytest.mark.parametrize("kind, job_type, parameters, code", [
    ("pdf", "no_such_type", {}, "unknown_job_type"),
    ("pdf", "selftest", {}, "unknown_job_type"),
    ("pdf", "noop", {}, "unknown_job_type"),
    ("text", "ocr", {}, "type_not_applicable"),
    ("sound", "thumbnail", {}, "type_not_applicable"),
    ("pdf", "extract_pdf", {"surprise": 1}, "bad_parameters"),
    ("pdf", "ocr", {"dpi": 69}, "bad_parameters"),
    ("pdf", "ocr", {"dpi": "300"}, "bad_parameters"),
    ("pdf", "ocr", {"pages": "5-3"}, "bad_parameters"),
    ("pdf", "ocr", {"pages": "0"}, "bad_parameters"),
    ("pdf", "ocr", {"pages": "1,"}, "bad_parameters"),
    ("pdf", "ocr", {"languages": "../eng"}, "bad_parameters"),
    ("pdf", "ocr", {"outputs": []}, "bad_parameters"),
    ("picture", "image_variants", {"sizes": [1, 2, 3]}, "bad_parameters"),
    ("picture", "image_variants", {"quality": {"webp": 0}}, "bad_parameters"),
    ("picture", "image_variants", {"quality": {"gif": 10}}, "bad_parameters"),
    ("picture", "image_variants", {"background": "red"}, "bad_parameters"),
    ("picture", "portal_photo", {"crop": {"left": 2}}, "bad_parameters"),
    ("sound", "waveform", {"bits": 12}, "bad_parameters"),
])
def test_what_does_not_fit_is_refused(system, user, files, kind, job_type, parameters, code):
    user.wait(files[kind])
    before = system.sql("select count(*) as n from jobs where file_id = %s", files[kind])
    answer = order(user, files[kind], job_type, parameters)
    assert (answer.status, answer.json["error"]) == (422, code), answer
    if code == "bad_parameters":
        (path, words), = answer.json["details"]["fieldErrors"].items()
        assert path.split(".")[0] in {*parameters, "parameters"} and words, answer
    assert system.sql("select count(*) as n from jobs where file_id = %s", files[kind]) == before


@pytest.mark.parametrize("body", [
    {}, {"type": 1}, {"type": "ocr", "parameters": []}, {"type": "ocr", "priority": 4},
    {"type": "ocr", "run_after": "tomorrow"}, {"type": "ocr", "run_after": "2026-02-30T00:00:00Z"},
    {"type": "ocr", "attempts": 7}])
def test_bodies_are_checked(user, files, body):
    answer = user.call("POST", f"/v1/files/{files['pdf']}/jobs", body)
    assert (answer.status, answer.json["error"]) == (400, "bad_request"), answer


def test_who_may_order(system, user, files):
    member = system.user()
    assert user.call("POST", f"/v1/tenants/{user.tenant}/members", {"user_id": member.id}).status == 201
    assert order(member, files["pdf"], "thumbnail").status == 403
    assert order(system.user(), files["pdf"], "thumbnail").status == 404
    assert order(user, uuid.uuid4(), "thumbnail").status == 404


def test_files_that_are_not_there_yet_or_no_more(user):
    waiting = user.upload("w.pdf", "application/pdf", PDF)
    answer = order(user, waiting, "thumbnail")
    assert (answer.status, answer.json["error"]) == (409, "not_finalized")
    assert user.finalize(waiting).status == 200
    user.call("DELETE", f"/v1/files/{waiting}")
    assert order(user, waiting, "thumbnail").status == 404


def test_a_time_to_come_is_waited_for(user, files):
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    answer = order(user, files["pdf"], "ping", run_after=later)
    assert answer.status == 202 and answer.json["run_after"].startswith(later[:-1]), answer
    eventually(lambda: user.file(files["pdf"])["status"] == "ready", 60, what="a file that waits for no order")
    assert user.call("GET", f"/v1/jobs/{answer.json['id']}").json["status"] == "queued"
    assert user.call("POST", f"/v1/jobs/{answer.json['id']}/cancel", {}).status == 200


def test_the_newest_order_of_a_type_counts(user, files):
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    first = order(user, files["sound"], "waveform", {"bits": 8}, run_after=later).json["id"]
    second = order(user, files["sound"], "waveform", {"bits": 16, "samples_per_pixel": 512}).json["id"]
    assert finished(user, second)["status"] == "done"
    assert user.call("GET", f"/v1/jobs/{first}").json["status"] == "cancelled"
    assert json.loads(user.derivative(files["sound"], "waveform"))["samples_per_pixel"] == 512


def test_a_unique_key_is_one_unfinished_job(user, files):
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    first = order(user, files["text"], "ping", run_after=later, unique_key="once")
    again = order(user, files["text"], "ping", unique_key="once")
    other = order(user, files["pdf"], "ping", unique_key="once")  # of another file, but of the tenant
    assert [each.status for each in (first, again, other)] == [202, 202, 202], (first, again, other)
    assert first.json["id"] == again.json["id"] == other.json["id"] and again.json["status"] == "queued"
    user.call("POST", f"/v1/jobs/{first.json['id']}/cancel", {})
    third = order(user, files["text"], "ping", unique_key="once")
    assert third.json["id"] != first.json["id"]
    assert finished(user, third.json["id"])["status"] == "done"


def test_one_key_one_order(user, files):
    body = {"type": "ping"}
    answers = [user.call("POST", f"/v1/files/{files['pdf']}/jobs", body, {"Idempotency-Key": f"k-{files['pdf']}"})
               for _ in range(2)]
    assert [answer.status for answer in answers] == [202, 202]
    assert answers[0].json["id"] == answers[1].json["id"]
