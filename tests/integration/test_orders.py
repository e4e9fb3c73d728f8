# SPDX-License-Identifier: MIT
"""Many orders in one request, by members and by those who run the service, from a shell too; and the first band of the
queue that clients' jobs may be in."""
import io
import json
import subprocess
import time
import uuid

import pytest
from PIL import Image
from system import eventually

MANY = 1000


@pytest.fixture(scope="module", autouse=True)
def paused(system):
    for kind in ("thumbnail", "image_variants"):
        system.command("pause", kind)


@pytest.fixture(scope="module")
def admin(system):
    return system.user(system.sql("select user_id::text from service_admins")[0]["user_id"])


def pictures(system, user, count):
    """Files that are there, as finalize leaves them; their bytes are never read here."""
    return [row["id"] for row in system.sql(
        "insert into files (tenant_id, owner_user_id, r2_key_original, mime, detected_mime, status, finalized_at) select %s, %s,"
        " 't/' || gen_random_uuid(), 'image/png', 'image/png', 'ready', now() from generate_series(1, %s)"
        " returning id::text", user.tenant, user.id, count)]


def jobs_of(system, *files):
    return system.sql("select id::text, file_id::text as file, type, status::text, priority, payload, unique_key,"
                      " run_after > now() + interval '1 hour' as later, user_id::text as asker, trace from jobs"
                      " where file_id = any (%s::uuid[]) order by created_at, id", list(files))


def order(user, orders, path="/v1/jobs", **more):
    return user.call("POST", path, {"jobs": orders}, **more)


def faults(answer):
    assert (answer.status, answer.json["error"]) == (422, "bad_orders"), answer
    return {path: words[0] for path, words in answer.json["details"]["fieldErrors"].items()}


def texts(user, count):
    files = [user.send(f"{number}.txt", "text/plain", f"order {number} {uuid.uuid4()}".encode()) for number in range(count)]
    for file in files:
        user.wait(file)
    return files


def test_one_waits_for_others(system, user):
    last, *first = texts(user, 3)
    office = [{"file_id": file, "type": "extract_office"} for file in first]
    answer = order(user, [{"file_id": last, "type": "extract_office", "waits_for": [2, 1]}, *office])
    assert answer.status == 202 and answer.json["created"] == 3, answer
    parent, *awaited = [job["id"] for job in answer.json["jobs"]]
    rows = eventually(lambda: (rows := system.sql(
        "select id::text, parent::text, status::text, finished_at from jobs where id = any (%s::uuid[])",
        [parent, *awaited])) and {row["status"] for row in rows} == {"done"} and {row["id"]: row for row in rows})
    assert [rows[job]["parent"] for job in awaited] == [parent, parent] and rows[parent]["parent"] is None
    assert rows[parent]["finished_at"] > max(rows[job]["finished_at"] for job in awaited)
    assert user.derivative(last, "office_text").startswith(b"order 0 ")  # an ordinary run, that joins nothing
    assert user.wait(last)["status"] == "ready"


def test_one_waits_for_what_is_cancelled(system, user):
    picture, text = pictures(system, user, 1)[0], texts(user, 1)[0]
    answer = order(user, [{"file_id": picture, "type": "thumbnail"},
                          {"file_id": text, "type": "extract_office", "waits_for": [0]}])
    awaited, parent = [job["id"] for job in answer.json["jobs"]]
    assert user.call("GET", f"/v1/jobs/{parent}").json["status"] == "waiting"
    assert user.call("GET", f"/v1/jobs/{awaited}").json["parent"] == parent
    assert user.call("POST", f"/v1/jobs/{awaited}/cancel").status == 200
    ended = eventually(lambda: (job := user.call("GET", f"/v1/jobs/{parent}").json)["status"] == "failed" and job)
    assert ended["error_code"] == "child_failed"


def test_waiting_that_cannot_be(system, user, admin):
    files = pictures(system, user, 3)
    stranger = pictures(system, system.user().bootstrap(), 1)[0]

    def told(*more, files=files, who=user, path="/v1/jobs"):
        return faults(order(who, [{"file_id": file, "type": "thumbnail", **extra} for file, extra in zip(files, more)], path))
    circle = "Waits, in the end, for itself"
    assert told({"waits_for": [0]}) == {"jobs[0].waits_for": circle}
    assert told({"waits_for": [2]}, {"waits_for": [0]}, {"waits_for": [1]}) == {
        f"jobs[{place}].waits_for": circle for place in range(3)}
    for member in (3, -1, "1", None, 1.0, [1], 2**62):
        assert "no place" in told({"waits_for": [member]}, {}, {})["jobs[0].waits_for"], member
    assert told({"waits_for": []}) == {"jobs[0].waits_for": "Too few"}
    assert "already" in told({}, {"waits_for": [0]}, {"waits_for": [0]})["jobs[2].waits_for"]
    assert "already" in told({}, {"waits_for": [0, 0]})["jobs[1].waits_for"]
    assert "unique_key" in told({"waits_for": [1], "unique_key": "k"}, {})["jobs[0].waits_for"]
    assert "unique_key" in told({"waits_for": [1]}, {"unique_key": "k"})["jobs[0].waits_for"]
    assert "run_after" in told({"waits_for": [1], "run_after": "2100-01-01T00:00:00Z"}, {})["jobs[0].waits_for"]
    assert told({}, {"waits_for": [0]}, files=[files[0], stranger], who=admin, path="/v1/admin/jobs") == {
        "jobs[1].waits_for": "Names a job of another tenant"}
    answer = admin.call("PUT", "/v1/admin/schedules/flow", {"cron": "@daily", "jobs": [
        {"file_id": files[0], "type": "thumbnail"}, {"file_id": files[1], "type": "thumbnail", "waits_for": [0]}]})
    assert "waits for nothing" in faults(answer)["jobs[1].waits_for"]
    assert jobs_of(system, *files) == []


def test_a_thousand_in_one_call(system, user):
    files = pictures(system, user, MANY)
    wanted = [{"file_id": file, "type": "thumbnail", "unique_key": f"many-{place}", "priority": place % 2 + 2}
              for place, file in enumerate(files)]
    begun = time.monotonic()
    answer = order(user, wanted)
    took = time.monotonic() - begun
    assert answer.status == 202 and answer.json["created"] == MANY, answer
    ids = [job["id"] for job in answer.json["jobs"]]  # in the order of the list
    rows = {row["id"]: row for row in jobs_of(system, *files)}
    assert len(rows) == MANY and [rows[job]["file"] for job in ids] == files
    assert [rows[job]["priority"] for job in ids] == [place % 2 + 2 for place in range(MANY)]
    assert {(row["status"], row["asker"], len(row["trace"])) for row in rows.values()} == {("queued", user.id, 32)}
    assert {row["status"] for row in system.sql("select status::text from files where id = any (%s::uuid[])", files)} == {"ready"}
    times = []
    for _ in range(3):
        begun = time.monotonic()
        again = order(user, wanted)
        times.append(time.monotonic() - begun)
    assert min(times) < 4 * took + 1, (times, took)  # each key is looked up, not the tenant's jobs for each key
    assert again.status == 202 and again.json["created"] == 0
    assert [job["id"] for job in again.json["jobs"]] == ids and not any(job["created"] for job in again.json["jobs"])
    assert len(jobs_of(system, *files)) == MANY
    assert order(user, wanted + wanted[:1]).json["error"] == "bad_request"
    assert order(user, []).json["error"] == "bad_request"


def test_each_has_what_was_asked_for(system, user):
    first, second = pictures(system, user, 2)
    answer = order(user, [
        {"file_id": first.upper(), "type": "image_variants", "parameters": {"sizes": [64]}, "run_after": "2100-01-01T00:00:00Z"},
        {"file_id": second, "type": "thumbnail", "unique_key": "k"}, {"file_id": second, "type": "thumbnail", "unique_key": "k"},
        {"file_id": second, "type": "image_variants"}])
    assert answer.status == 202 and [job["created"] for job in answer.json["jobs"]] == [True, True, False, True], answer
    assert answer.json["jobs"][1]["id"] == answer.json["jobs"][2]["id"] and answer.json["created"] == 3
    row, = jobs_of(system, first)
    assert (row["payload"], row["later"], row["priority"]) == ({"sizes": [64]}, True, 1)
    events = [event["data"]["status"] for event in
              system.sql("select data from file_events where file_id = %s order by id", second)]
    assert events == ["queued", "queued"]


def test_of_many_with_one_key_all_hear_of_one_job(system, user):
    from concurrent.futures import ThreadPoolExecutor
    files = pictures(system, user, 24)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda file: order(user, [{"file_id": file, "type": "thumbnail", "unique_key": "race"}]), files))
    jobs = [answer.json["jobs"][0] for answer in answers]
    assert sum(job["created"] for job in jobs) == 1 and len({job["id"] for job in jobs}) == 1 and jobs[0]["id"], jobs


def test_one_that_cannot_be_stops_all(system, user):
    files = pictures(system, user, 9)
    stranger = system.user().bootstrap("Another tenant")
    foreign, = pictures(system, stranger, 1)
    uploading, = [row["id"] for row in system.sql(
        "insert into files (tenant_id, owner_user_id, r2_key_original, mime, status) values (%s, %s, 'u', 'image/png', "
        "'uploading') returning id::text", user.tenant, user.id)]
    good = [{"file_id": file, "type": "thumbnail"} for file in files]
    for bad, path, words in (
            ({"file_id": foreign, "type": "thumbnail"}, "jobs[4].file_id", "There is no such file"),
            ({"file_id": str(uuid.uuid4()), "type": "thumbnail"}, "jobs[4].file_id", "There is no such file"),
            ({"file_id": uploading, "type": "thumbnail"}, "jobs[4].file_id", "The upload was not finalized"),
            ({"file_id": files[4], "type": "nothing"}, "jobs[4].type", "There is no such type of job; see /v1/processors"),
            ({"file_id": files[4], "type": "extract_pdf"}, "jobs[4].type", "This type of job takes no such bytes"),
            ({"file_id": files[4], "type": "image_variants", "parameters": {"sizes": [1]}}, "jobs[4].parameters.sizes", None),
            ({"file_id": files[4], "type": "thumbnail", "priority": 4}, "jobs[4].priority", "Too large"),
            ({"file_id": files[4], "type": "thumbnail", "status": "done"}, "jobs[4]", "Unrecognized member"),
            ({"file_id": files[4]}, "jobs[4].type", "Required"), ("text", "jobs[4]", "Expected an object"),
            ({"file_id": files[3], "type": "thumbnail"}, "jobs[4].type", "Ordered before in this list, for the same file")):
        found = faults(order(user, good[:4] + [bad] + good[5:]))
        assert list(found) == [path] and words in (None, found[path]), found
    several = faults(order(user, [{"type": "thumbnail"}, good[0], {"file_id": files[1], "type": "x"}]))
    assert set(several) == {"jobs[0].file_id", "jobs[2].type"}
    assert jobs_of(system, *files, foreign, uploading) == []


def test_rights_are_those_of_one_order(system, user):
    own, = pictures(system, user, 1)
    member = system.user()
    assert user.call("POST", f"/v1/tenants/{user.tenant}/members", {"user_id": member.id, "role": "member"}).status == 201
    member.tenant = user.tenant
    theirs, = pictures(system, member, 1)
    wanted = [{"file_id": theirs, "type": "thumbnail"}, {"file_id": own, "type": "thumbnail"}]
    assert faults(order(member, wanted)) == {"jobs[1].file_id": "You may not order jobs of this file"}
    assert order(member, wanted[:1]).status == 202
    assert order(user, wanted).status == 202
    assert order(member, wanted[:1], "/v1/admin/jobs").status == 403
    assert order(system.user(), wanted[:1]).status == 422


def test_the_newest_order_counts(system, user):
    file, = pictures(system, user, 1)
    first = order(user, [{"file_id": file, "type": "thumbnail"}]).json["jobs"][0]["id"]
    second = order(user, [{"file_id": file, "type": "thumbnail"}]).json["jobs"][0]["id"]
    assert {row["id"]: row["status"] for row in jobs_of(system, file)} == {first: "cancelled", second: "queued"}
    third = user.call("POST", f"/v1/files/{file}/jobs", {"type": "thumbnail", "unique_key": "one"}).json["id"]
    again = order(user, [{"file_id": file, "type": "thumbnail", "unique_key": "one"}]).json["jobs"][0]
    assert again == {"id": third, "created": False}
    assert user.file(file)["status"] == "ready"  # as it was (test_orders_beside.py)


def test_an_idempotency_key_covers_the_list(system, user):
    file, = pictures(system, user, 1)
    answers = [order(user, [{"file_id": file, "type": "thumbnail"}], headers={"Idempotency-Key": "list"}) for _ in range(2)]
    assert answers[0].json == answers[1].json and len(jobs_of(system, file)) == 1


def shell(system, text, *verb):
    return subprocess.run([system.programs / "filemill", "admin", *(verb or ["enqueue"])], env=system.environment, input=text,
                          capture_output=True, text=True, timeout=60, cwd=system.directory)


def test_a_shell_orders_by_the_line(system, user):
    other = system.user().bootstrap("Of the shell")
    files = pictures(system, user, 700) + pictures(system, other, 700)
    lines = [json.dumps({"file_id": file, "type": "thumbnail", "unique_key": file, "priority": 0}) for file in files]
    done = shell(system, "\n".join(lines))
    assert (done.returncode, done.stdout) == (0, "1000 queued, 0 were there\n400 queued, 0 were there\n"), done
    assert {row["priority"] for row in jobs_of(system, *files)} == {0}
    done = shell(system, "\n\n".join(lines[:3]) + "\n")
    assert (done.returncode, done.stdout) == (0, "0 queued, 3 were there\n"), done
    file, = pictures(system, user, 1)
    good = json.dumps({"file_id": file, "type": "thumbnail"})
    bad = json.dumps({"file_id": str(uuid.uuid4()), "type": "thumbnail"})
    done = shell(system, f"{good}\n\n{bad}\n")
    assert done.returncode == 1 and "filemill: line 3: file_id: There is no such file\n" in done.stderr, done
    for text, said in ((good + "\n[1]\n", "line 2 is no object"), ("{", "line 1 is not JSON"),
                       (good + "\n" + '"' + "x" * 70000, "line 2 is too long")):
        done = shell(system, text)
        assert (done.returncode, done.stderr) == (1, f"filemill: {said}\n"), done
    assert jobs_of(system, file) == [] and shell(system, "").returncode == 0


def test_clients_do_not_go_before_everybody(system, user, admin):
    file, other, third = pictures(system, user, 3)
    def got(who, wish, path="/v1/jobs", of=file):
        job, = order(who, [{"file_id": of, "type": "thumbnail", "priority": wish}], path).json["jobs"]
        return system.sql("select priority from jobs where id = %s", job["id"])[0]["priority"]
    assert [got(user, wish) for wish in (0, 1, 3)] == [1, 1, 3]
    answer = user.call("POST", f"/v1/files/{file}/jobs", {"type": "thumbnail", "priority": 0})
    assert answer.status == 202 and answer.json["priority"] == 1
    assert got(admin, 0, "/v1/admin/jobs") == 0
    assert system.command("admin", "priority", user.tenant, "--first", "2").stdout == "ok\n"
    assert [got(user, wish) for wish in (0, 1, 2, 3)] == [2, 2, 2, 3]
    row, = [row for row in admin.call("GET", "/v1/admin/limits").json["priorities"] if row["tenant_id"] == user.tenant]
    assert row["first_priority"] == 2
    assert f"{user.tenant}  2" in system.command("admin", "priorities").stdout
    # an order without a wish, and a plan's, are bound alike
    assert user.call("POST", f"/v1/files/{other}/jobs", {"type": "thumbnail"}).json["priority"] == 2
    plan = [{"media_type": "image/*", "jobs": [{"type": "thumbnail", "priority": 0}]}]
    assert user.call("PUT", f"/v1/tenants/{user.tenant}/plan", {"plan": plan}).status == 200
    assert user.call("POST", f"/v1/internal/files/{third}/reprocess", {}).status in (200, 202)
    assert {row["priority"] for row in jobs_of(system, third)} == {2}
    assert user.call("PUT", f"/v1/admin/tenants/{user.tenant}/priority", {"first_priority": 0}).status == 403
    assert admin.call("PUT", f"/v1/admin/tenants/{user.tenant}/priority", {"first_priority": 4}).status == 400
    assert admin.call("PUT", f"/v1/admin/tenants/{uuid.uuid4()}/priority", {"first_priority": 1}).status == 400
    assert admin.call("PUT", f"/v1/admin/tenants/{user.tenant}/priority", {"first_priority": 0}).status == 200
    assert got(user, 0) == 0
    assert system.command("admin", "priority", user.tenant).stdout == "ok\n"
    assert got(user, 0) == 1


def test_what_the_scheduler_adds_is_bound_too(system):
    """The row for a scan's `ocr` is inserted by the scheduler, as the tenant's plan says."""
    user = system.user().bootstrap("Scans")
    plan = [{"media_type": "application/pdf", "jobs": [{"type": "extract_pdf"}, {
        "type": "ocr", "parameters": {"pages": "needed"}, "priority": 0}]}]
    assert user.call("PUT", f"/v1/tenants/{user.tenant}/plan", {"plan": plan}).status == 200
    system.command("pause", "ocr")
    out = io.BytesIO()
    Image.new("RGB", (200, 200), "#dddddd").save(out, "PDF")
    file = user.send("scan.pdf", "application/pdf", out.getvalue())
    row = eventually(lambda: next((row for row in jobs_of(system, file) if row["type"] == "ocr"), None), what="ocr")
    assert row["priority"] == 1


def test_a_schedule_of_jobs(system, user, admin):
    first, second = pictures(system, user, 2)
    path = "/v1/admin/schedules/nightly"
    jobs = [{"file_id": first, "type": "thumbnail"}, {"file_id": second, "type": "thumbnail", "unique_key": "own"}]
    answer = admin.call("PUT", path, {"jobs": jobs, "cron": "0 4 1 1 *", "time_zone": "Europe/Berlin"})
    assert answer.status == 200 and answer.json["next_run"].endswith("-01-01T03:00:00.000Z"), answer
    for body, error in (({"jobs": jobs}, "bad_schedule"), ({"jobs": jobs, "cron": "x"}, "bad_schedule"),
                        ({"jobs": [{"file_id": first, "type": "x"}], "cron": "@daily"}, "bad_orders"),
                        ({"jobs": [{"file_id": str(uuid.uuid4()), "type": "thumbnail"}], "cron": "@daily"}, "bad_orders"),
                        ({"jobs": [], "cron": "@daily"}, "bad_request")):
        assert admin.call("PUT", path, body).json["error"] == error
    assert user.call("PUT", path, {"jobs": jobs, "cron": "@daily"}).status == 403
    assert user.call("DELETE", path).status == 403
    assert admin.call("PUT", "/v1/admin/schedules/9", {"jobs": jobs, "cron": "@daily"}).status == 400
    for method, body in (("PUT", {"jobs": jobs, "cron": "@daily"}), ("DELETE", None)):
        answer = admin.call(method, "/v1/admin/schedules/idempotency-expire", body)
        assert (answer.status, answer.json["error"]) == (422, "bad_schedule"), answer

    def has_run():  # by us, or by the scheduler, which looks once a minute
        system.sql("select schedules_run(100)")
        return system.sql("select 1 from schedules where name = 'nightly' and next_run > now()")
    for _ in range(2):  # what is still under way is not queued again
        assert admin.call("POST", path, {"run_now": True}).status == 200
        eventually(has_run, what="the schedule's run")
    rows = jobs_of(system, first, second)
    assert sorted((row["file"], row["unique_key"], row["status"]) for row in rows) == sorted(
        [(first, f"schedule nightly {first}", "queued"), (second, "own", "queued")])
    lines = "\n".join(json.dumps(job) for job in jobs)
    done = shell(system, lines, "put-schedule", "hourly", "--every", "3600")
    assert done.returncode == 0 and done.stdout.startswith("next run 20"), done
    done = shell(system, lines + "\n{}", "put-schedule", "hourly", "--every", "3600")
    assert done.returncode == 1 and "line 3: type: Required" in done.stderr, done
    done = shell(system, (lines + "\n") * 501, "put-schedule", "hourly", "--every", "3600")
    assert (done.returncode, done.stderr) == (1, "filemill: more than 1000 orders\n"), done
    assert shell(system, "", "put-schedule", "hourly", "--every", "3600").returncode == 1
    assert system.command("admin", "drop-schedule", "hourly").stdout == "ok\n"
    assert admin.call("DELETE", path).status == 200 and admin.call("DELETE", path).status == 404
