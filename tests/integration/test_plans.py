"""Which jobs a file gets: the defaults, a tenant's own plan, and who may put one."""
import io

import pytest
from PIL import Image
from system import System, one_page_pdf

PDF = one_page_pdf("planned")


@pytest.fixture(scope="module")
def system():
    with System(backoff_unit_ms=200, plan="full") as running:
        yield running


def picture():
    out = io.BytesIO()
    Image.new("RGB", (64, 48), "#dddddd").save(out, "PNG")
    return out.getvalue()


def jobs_of(user, filename, mime, data):
    answer = user.finalize(user.upload(filename, mime, data))
    assert answer.status == 200, answer
    return [job["type"] for job in answer.json["jobs"]]


def put(user, plan, tenant=None):
    return user.call("PUT", f"/v1/tenants/{tenant or user.tenant}/plan", {"plan": plan})


def test_the_defaults(system, user):
    answer = user.call("GET", f"/v1/tenants/{user.tenant}/plan")
    assert answer.status == 200 and answer.json["plan"] == [], answer
    rows = {row["media_type"]: row["jobs"] for row in answer.json["defaults"]}
    assert [job["type"] for job in rows["application/pdf"]] == ["extract_pdf", "thumbnail", "ocr"]
    assert rows["application/pdf"][2]["parameters"] == {"pages": "needed"}
    assert jobs_of(user, "a.pdf", "application/pdf", PDF) == ["extract_pdf", "thumbnail"]
    file_id = user.send("a.png", "image/png", picture())
    file = user.wait(file_id)
    assert [(job["type"], job["priority"], job["status"]) for job in file["jobs"]] == \
        [("thumbnail", 1, "done"), ("image_variants", 2, "done"), ("ocr", 2, "done")], file
    assert {"thumbnail", "display", "variant_1", "ocr_text"} <= {each["kind"] for each in file["derivatives"]}


def test_a_plan_of_ones_own(system):
    user = system.user().bootstrap()
    plan = [{"media_type": "image/*", "jobs": [{"type": "thumbnail", "priority": 3},
                                               {"type": "image_variants", "parameters": {"sizes": [32]}}]},
            {"media_type": "IMAGE/gif", "jobs": []},
            {"media_type": "application/pdf",
             "jobs": [{"type": "extract_pdf"}, {"type": "ocr", "parameters": {"pages": "needed", "dpi": 200}}]}]
    answer = put(user, plan)
    assert answer.status == 200, answer
    assert answer.json["plan"][0]["jobs"][0] == {"type": "thumbnail", "parameters": {}, "priority": 3}
    assert answer.json["plan"][1]["media_type"] == "image/gif"
    shown = user.call("GET", f"/v1/tenants/{user.tenant}/plan").json["plan"]
    assert sorted(shown, key=str) == sorted(answer.json["plan"], key=str)

    file_id = user.send("a.png", "image/png", picture())
    jobs = user.wait(file_id)["jobs"]
    assert [(job["type"], job["priority"], job["parameters"]) for job in jobs] == \
        [("thumbnail", 3, {}), ("image_variants", 1, {"sizes": [32]})]
    assert Image.open(io.BytesIO(user.derivative(file_id, "variant_1"))).size == (32, 24)

    gif = io.BytesIO()
    Image.new("P", (8, 8)).save(gif, "GIF")
    assert jobs_of(user, "a.gif", "image/gif", gif.getvalue()) == []
    assert jobs_of(user, "a.txt", "text/plain", b"words\n") == ["extract_office"]  # the default, as no row matches
    assert jobs_of(user, "a.pdf", "application/pdf", PDF) == ["extract_pdf"]
    row, = system.sql("select followers from files where tenant_id = %s and mime = 'application/pdf'", user.tenant)
    assert row["followers"] == {"ocr": {"parameters": {"pages": "needed", "dpi": 200}, "priority": 1}}

    assert put(user, [{"media_type": "image/png", "jobs": [{"type": "thumbnail"}]}]).status == 200
    again = user.call("POST", f"/v1/internal/files/{file_id}/reprocess", {})
    assert [job["type"] for job in again.json["jobs"]] == ["thumbnail"]
    assert put(user, []).json["plan"] == []


@pytest.mark.parametrize("row, where", [
    ({"media_type": "image/png"}, "plan[0]"),
    ({"media_type": "image", "jobs": []}, "plan[0]"),
    ({"media_type": "*/png", "jobs": []}, "plan[0]"),
    ({"media_type": "image/png; x=y", "jobs": []}, "plan[0]"),
    ({"media_type": "image/png", "jobs": [], "more": 1}, "plan[0]"),
    ({"media_type": "image/png", "jobs": [{"type": "thumbnail"}] * 9}, "plan[0]"),
    ({"media_type": "image/png", "jobs": [{"type": "thumbnail"}] * 2}, "plan[0].jobs[1]"),
    ({"media_type": "image/png", "jobs": ["thumbnail"]}, "plan[0].jobs[0]"),
    ({"media_type": "image/png", "jobs": [{"type": "selftest"}]}, "plan[0].jobs[0]"),
    ({"media_type": "image/png", "jobs": [{"type": "extract_pdf"}]}, "plan[0].jobs[0]"),
    ({"media_type": "text/*", "jobs": [{"type": "thumbnail"}]}, "plan[0].jobs[0]"),
    ({"media_type": "image/png", "jobs": [{"type": "thumbnail", "priority": 4}]}, "plan[0].jobs[0]"),
    ({"media_type": "image/png", "jobs": [{"type": "ocr", "parameters": {"dpi": 1}}]},
     "plan[0].jobs[0].parameters.dpi"),
])
def test_a_plan_that_could_not_work_is_refused(user, row, where):
    answer = put(user, [row])
    assert (answer.status, answer.json["error"]) == (422, "bad_plan"), answer
    assert list(answer.json["details"]["fieldErrors"]) == [where], answer
    assert user.call("GET", f"/v1/tenants/{user.tenant}/plan").json["plan"] == []


def test_twice_and_too_many(user):
    row = {"media_type": "image/png", "jobs": []}
    assert put(user, [row, {**row, "media_type": "image/PNG"}]).json["error"] == "bad_plan"
    assert put(user, [{**row, "media_type": f"a/b{i}"} for i in range(65)]).status == 400
    assert user.call("PUT", f"/v1/tenants/{user.tenant}/plan", {}).status == 400


def test_who_may(system, user):
    member, stranger = system.user(), system.user().bootstrap()
    assert user.call("POST", f"/v1/tenants/{user.tenant}/members", {"user_id": member.id}).status == 201
    for plan in ([], [{"media_type": "image/png", "jobs": []}]):
        answer = put(member, plan, user.tenant)
        assert (answer.status, answer.json["error"]) == (403, "insufficient_role"), answer
        assert put(stranger, plan, user.tenant).status == 404
    assert member.call("GET", f"/v1/tenants/{user.tenant}/plan").status == 200
    assert stranger.call("GET", f"/v1/tenants/{user.tenant}/plan").status == 404
    assert user.call("GET", f"/v1/tenants/{user.tenant}/plan").json["plan"] == []
