# SPDX-License-Identifier: MIT
"""Word lists from beginning to end, as docs/wordlists.md has them: buckets with limits and an end, the queue as the
document shows it, lists, exports, metrics, and who may see what."""
import csv
import io
import json
import uuid
import zipfile
from pathlib import Path

import pytest
from system import System, eventually, fetch, one_page_pdf

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
HAS_DICTIONARY = Path("/usr/share/dictd/freedict-eng-deu.index").exists()
ADMIN = str(uuid.uuid4())
TEXT = ("The house stands by the water. Old houses and new houses need water. A miller built the house; the mill "
        "turns when the water is high. The horse drinks water, and the horse sleeps near the house.\n") * 3


@pytest.fixture(scope="module")
def system():
    with System(wordlist_cooldown_seconds=0, admins=ADMIN) as running:
        yield running


@pytest.fixture(scope="module")
def user(system):
    return system.user().bootstrap()


def begin(user, filename, mime, size):
    return user.init(filename, mime, size, retention_class="document-uploads")


def send(user, filename="story.txt", mime="text/plain", data=TEXT.encode()):
    return user.send(filename, mime, data, retention_class="document-uploads")


def submit(user, file_id, **more):
    return user.call("POST", "/v1/wordlists/jobs",
                     {"file_id": file_id, "source_language": "en", "target_language": "de", **more})


def finished(user, job):
    def look():
        answer = user.call("GET", f"/v1/wordlists/jobs/{job}")
        assert answer.status == 200, answer
        return answer.json if answer.json["status"] in ("completed", "failed", "cancelled") else None
    return eventually(look, what=f"job {job}")


def make(user, **more):
    """A document's list, kept; returns its id."""
    answer = submit(user, send(user), **more)
    assert answer.status == 202, answer
    state = finished(user, answer.json["job_id"])
    assert state["status"] == "completed", state
    kept = user.call("POST", "/v1/wordlists", {"job_id": answer.json["job_id"], "name": "My story"})
    assert kept.status == 201, kept
    return kept.json["id"], answer.json["job_id"]


@pytest.fixture(scope="module")
def made(user):
    return make(user)


# ---- buckets ----

def test_uploads_lie_in_the_users_folder(system, user):
    answer = begin(user, "Lesson 1.PDF", "application/pdf", 1000)
    assert answer.status == 200, answer
    assert answer.json["r2_key"] == f"document-uploads/{user.id}/{answer.json['file_id']}.pdf"


@pytest.mark.parametrize("filename, mime, size, status, error", [
    ("a.pdf", "application/pdf", 50 * 1024 * 1024, 200, None),
    ("a.pdf", "application/pdf", 50 * 1024 * 1024 + 1, 413, "too_large_for_class"),
    ("a.txt", "text/plain; charset=utf-8", 10, 200, None),
    ("a.docx", DOCX, 10, 200, None),
    ("a.xlsx", XLSX, 10, 200, None),
    ("a.csv", "text/csv", 10, 422, "type_not_of_class"),
    ("a.png", "image/png", 10, 422, "type_not_of_class"),
    ("a.png", "image/png", 0, 422, "type_not_of_class"),
])
def test_the_uploads_bucket_keeps_to_its_limits(user, filename, mime, size, status, error):
    answer = begin(user, filename, mime, size)
    assert answer.status == status, answer
    assert error is None or answer.json["error"] == error


def test_nobody_uploads_into_the_exports_bucket(user):
    answer = user.init("a.csv", "text/csv", 10, retention_class="wordlist-exports")
    assert answer.status == 400, answer


# ---- jobs ----

def test_a_text_becomes_a_list(system, user, made):
    listing, job = made
    state = finished(user, job)
    assert state["progress"] == 100 and state["retry_count"] == 0 and state["queue_position"] is None
    assert state["stage"] is None and state["started_at"] and state["completed_at"]
    kept = user.call("GET", f"/v1/wordlists/{listing}").json
    words = {pair["source"]: pair["target"] for pair in kept["word_pairs"]}
    assert kept["name"] == "My story" and kept["source_language"] == "en" and kept["target_language"] == "de"
    assert kept["job_id"] == job and len(kept["word_pairs"]) <= 40
    assert list(words)[0] in ("water", "house") and "the" not in words and "horse" in words
    assert len([word for word in words if word.startswith("house")]) == 1  # one stem, one row
    if HAS_DICTIONARY:
        assert words["water"] == "Wasser" and words["horse"] == "Pferd", words


@pytest.mark.parametrize("filename, mime, data", [
    ("one.pdf", "application/pdf", one_page_pdf("Children carry wooden lanterns. Lanterns shine; children sing.")),
])
def test_other_documents_too(user, filename, mime, data):
    answer = submit(user, send(user, filename, mime, data), max_words=3)
    assert answer.status == 202, answer
    assert finished(user, answer.json["job_id"])["status"] == "completed"
    kept = user.call("POST", "/v1/wordlists", {"job_id": answer.json["job_id"]}).json["id"]
    pairs = user.call("GET", f"/v1/wordlists/{kept}").json["word_pairs"]
    assert len(pairs) == 3 and {"children", "child", "lanterns", "lantern"} & {pair["source"] for pair in pairs}


def test_languages_without_a_dictionary_leave_the_column_empty(user):
    answer = submit(user, send(user), target_language="tlh")
    assert finished(user, answer.json["job_id"])["status"] == "completed"
    kept = user.call("POST", "/v1/wordlists", {"job_id": answer.json["job_id"]}).json["id"]
    pairs = user.call("GET", f"/v1/wordlists/{kept}").json["word_pairs"]
    assert pairs and all(pair["target"] == "" for pair in pairs)


def test_what_is_not_a_job_is_refused(system, user):
    assert submit(user, str(uuid.uuid4())).status == 404
    assert submit(system.user().bootstrap(), send(user)).status == 404
    assert submit(user, send(user), source_language="e1").json["error"] == "bad_request"
    assert submit(user, send(user), max_words=41).status == 400
    init = begin(user, "a.txt", "text/plain", 3).json
    assert submit(user, init["file_id"]).json["error"] == "not_finalized"
    other = submit(user, user.send("a.txt", "text/plain", b"ab,c\n"))
    assert other.status == 202 and finished(user, other.json["job_id"])["status"] == "completed"


def test_the_place_in_the_queue_is_exact(system, user):
    """Update of positions: no trigger, a view; so it is right at every moment."""
    eventually(lambda: not system.sql("select 1 from jobs where finished_at is null"), what="an empty queue")
    system.sql("insert into paused_types values ('wordlist'), ('extract_office') on conflict do nothing")
    files = [send(user, data=(TEXT + str(i)).encode()) for i in range(3)]
    try:
        jobs = [submit(user, file).json["job_id"] for file in files]
        places = [user.call("GET", f"/v1/wordlists/jobs/{job}").json for job in jobs]
        first = places[0]["queue_position"]  # behind the plans' own jobs
        assert [place["queue_position"] for place in places] == [first, first + 1, first + 2], places
        assert all(place["status"] == "queued" and place["stage"] == "cleaning" for place in places)
        cancelled = user.call("POST", f"/v1/jobs/{jobs[0]}/cancel")
        assert cancelled.status in (200, 202), cancelled
        assert user.call("GET", f"/v1/wordlists/jobs/{jobs[1]}").json["queue_position"] == first
        assert user.call("GET", f"/v1/wordlists/jobs/{jobs[0]}").json["status"] == "cancelled"
    finally:
        system.sql("delete from paused_types")
    assert all(finished(user, job)["status"] == "completed" for job in jobs[1:])


def test_at_most_five_at_once(system, made):  # the first job makes the limit
    rows = system.sql("select max_running, type from job_limits where name = 'wordlists'")
    assert rows == [{"max_running": 5, "type": "wordlist"}]
    assert system.sql("select get_active_job_count() as n")[0]["n"] == 0


def test_a_document_then_a_rest(system):
    """Cooldown: 429 with Retry-After, for the next job and for the next upload; gone when it is over."""
    user = system.user().bootstrap()
    file_id = send(user)
    system.sql("insert into upload_cooldowns (user_id, cooldown_until) values (%s, now() + interval '1 hour')", user.id)
    for answer in (begin(user, "a.pdf", "application/pdf", 10),):
        assert answer.status == 429 and answer.json["error"] == "cooldown", answer
        assert 3000 <= int(answer.headers["Retry-After"]) <= 3600
    assert user.init("a.pdf", "application/pdf", 10).status == 200  # uploads for other ends are free
    system.sql("update upload_cooldowns set cooldown_until = now() - interval '1 s' where user_id = %s", user.id)
    assert begin(user, "a.pdf", "application/pdf", 10).status == 200
    system.sql("select cleanup_expired_cooldowns()")
    assert not system.sql("select 1 from upload_cooldowns where user_id = %s", user.id)
    one = system.sql("set filemill.user_id = '%s'; select wordlist_submit('%s', 'en', 'de', '{}', 600, 't') as said"
                     % (user.id, file_id))[0]["said"]
    two = system.sql("set filemill.user_id = '%s'; select wordlist_submit('%s', 'en', 'de', '{}', 600, 't') as said"
                     % (user.id, file_id))[0]["said"]
    assert "job" in one and two["error"] == "cooldown" and 1 <= two["retry_after"] <= 600


# ---- lists ----

def test_lists_of_ones_own(user):
    pairs = [{"source": f"word{i}", "target": "Wort"} for i in range(40)]
    new = {"tenant_id": user.tenant, "name": "Mine", "source_language": "en", "target_language": "de"}
    made = user.call("POST", "/v1/wordlists", {**new, "word_pairs": pairs})
    assert made.status == 201, made
    path = f"/v1/wordlists/{made.json['id']}"
    changed = user.call("PATCH", path, {"name": "Ours", "word_pairs": pairs[:2]})
    assert changed.status == 200 and changed.json["name"] == "Ours" and changed.json["word_count"] == 2
    assert [row["id"] for row in user.call("GET", "/v1/wordlists?limit=1").json["wordlists"]] == [made.json["id"]]
    assert user.call("DELETE", path).status == 200
    assert user.call("GET", path).status == 404 and user.call("DELETE", path).status == 404


def test_a_list_with_a_key_is_made_once(user):
    new = {"tenant_id": user.tenant, "name": "Once", "source_language": "en", "target_language": "de", "word_pairs": []}
    made = [user.call("POST", "/v1/wordlists", new, {"Idempotency-Key": f"list-{user.id}"}) for _ in range(2)]
    assert [answer.status for answer in made] == [201, 201] and made[0].json == made[1].json, made
    assert user.call("GET", f"/v1/wordlists/{made[0].json['id']}").json["name"] == "Once"
    assert [kept["name"] for kept in user.call("GET", "/v1/wordlists").json["wordlists"]].count("Once") == 1


@pytest.mark.parametrize("pairs", [
    [{"source": f"w{i}", "target": ""} for i in range(41)],
    [{"source": "a"}], [{"source": "", "target": "b"}], ["a"], [{"source": "a", "target": 1}],
    [{"source": "a" * 101, "target": "b"}], [{"source": "a", "target": "b", "id": 1}],
])
def test_the_database_refuses_what_is_no_list(system, user, pairs):
    new = {"tenant_id": user.tenant, "name": "x", "source_language": "en", "target_language": "de"}
    assert user.call("POST", "/v1/wordlists", {**new, "word_pairs": pairs}).status in (400, 422)
    assert not system.sql("select wordlist_pairs_fit(%s::jsonb) as fits", json.dumps(pairs))[0]["fits"]


def test_lists_are_their_owners(system, user, made):
    stranger = system.user().bootstrap()
    for method, path, body in (("GET", "", None), ("PATCH", "", {"name": "x"}), ("DELETE", "", None),
                               ("POST", "/export", {"format": "csv"})):
        assert stranger.call(method, f"/v1/wordlists/{made[0]}{path}", body).status == 404, method
    assert stranger.call("GET", f"/v1/wordlists/jobs/{made[1]}").status == 404
    assert stranger.call("POST", "/v1/wordlists", {"job_id": made[1]}).status == 404
    assert stranger.call("GET", "/v1/wordlists").json == {"wordlists": []}
    assert stranger.call("POST", "/v1/wordlists", {"tenant_id": user.tenant, "name": "x", "source_language": "en",
                         "target_language": "de", "word_pairs": []}).status == 403


# ---- exports ----

def export(user, listing, kind):
    answer = user.call("POST", f"/v1/wordlists/{listing}/export", {"format": kind})
    assert answer.status == 202, answer
    path = f"/v1/wordlists/exports/{answer.json['export_id']}"

    def look():
        state = user.call("GET", path).json
        return state if state["status"] not in ("queued", "processing") else None
    state = eventually(look, what="export")
    assert state["status"] == "completed" and 0 < state["expires_in_seconds"] <= 3600, state
    reply = fetch("GET", state["download_url"])
    assert reply.status == 200, reply
    return reply, path


HOSTILE = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", 'say "hi", you', "a\nb", "<b>&amp;", "  x "]


@pytest.fixture(scope="module")
def hostile(user):
    pairs = [{"source": text, "target": text} for text in HOSTILE] + [{"source": "naïve", "target": "Größe 東京"}]
    answer = user.call("POST", "/v1/wordlists", {"tenant_id": user.tenant, "name": "=evil\"; x", "source_language": "en",
                       "target_language": "de", "word_pairs": pairs})
    assert answer.status == 201, answer
    return answer.json["id"], pairs


def test_csv(system, user, hostile):
    reply, _ = export(user, hostile[0], "csv")
    assert "text/csv" in reply.headers["Content-Type"]
    assert reply.headers["Content-Disposition"] == 'attachment; filename="evil x.csv"'
    rows = list(csv.reader(io.StringIO(reply.body.decode(), newline="")))
    assert rows[0] == ["en", "de"] and len(rows) == 1 + len(hostile[1])
    for row, pair in zip(rows[1:], hostile[1]):
        safe = "'" + pair["source"] if pair["source"][0] in "=+-@\t\r" else pair["source"]
        assert row[0] == safe and row[0][0] not in "=+-@\t\r", row
    keys = [row["r2_key"] for row in system.sql(
        "select r2_key from document_artifacts where file_id = %s", hostile[0])]
    assert keys == [f"wordlist-exports/{user.id}/{hostile[0]}.csv"]


def test_xlsx(user, hostile):
    openpyxl = pytest.importorskip("openpyxl")
    reply, _ = export(user, hostile[0], "xlsx")
    assert zipfile.ZipFile(io.BytesIO(reply.body)).testzip() is None
    sheet = openpyxl.load_workbook(io.BytesIO(reply.body)).active
    rows = list(sheet.iter_rows())
    assert [cell.value for cell in rows[0]] == ["en", "de"] and len(rows) == 1 + len(hostile[1])
    for row, pair in zip(rows[1:], hostile[1]):
        assert row[0].data_type in ("s", "inlineStr"), row[0].data_type  # never "f"
        assert row[0].value == pair["source"].replace("\r", ""), row[0].value
    assert rows[-1][1].value == "Größe 東京"


# ---- the end of things ----

def test_exports_are_gone_after_an_hour(system, user, made):
    reply, path = export(user, made[0], "csv")
    key = system.sql("select r2_key from document_artifacts where file_id = %s and kind = 'csv'", made[0])[0]["r2_key"]
    system.sql("select cleanup_old_exports()")
    assert user.call("GET", path).json["status"] == "completed"
    system.sql("update document_artifacts set created_at = now() - interval '61 minutes' where r2_key = %s", key)
    assert user.call("GET", path).json["status"] == "expired"
    nobody = system.command("admin", "run-schedule", "cleanup-exports", check=False, FILEMILL_ADMIN_TOKEN=user.token)
    assert nobody.returncode == 1 and "forbidden" in nobody.stderr, nobody
    system.command("admin", "run-schedule", "cleanup-exports", FILEMILL_ADMIN_TOKEN=system.user(ADMIN).token)
    system.sql("set role filemill_scheduler; select schedules_run(20)")  # it looks once a minute
    gone(system, key)
    assert user.call("GET", f"/v1/wordlists/{made[0]}").status == 200


def gone(system, key):
    import botocore.exceptions

    def look():
        try:
            system.s3().head_object(Bucket=system.bucket, Key=key)
        except botocore.exceptions.ClientError as error:
            return error.response["ResponseMetadata"]["HTTPStatusCode"] == 404
        return False
    eventually(look, every=0.2, what=f"{key} is gone")


def test_documents_are_gone_after_a_day_and_lists_stay(system):
    user = system.user().bootstrap()
    listing, job = make(user)
    file_id = user.call("GET", f"/v1/wordlists/jobs/{job}").json["file_id"]
    keys = [row["key"] for row in system.sql(
        "select r2_key_original as key from files where id = %s union all select r2_key from file_derivatives where "
        "file_id = %s union all select r2_key from document_artifacts where file_id = %s", file_id, file_id, file_id)]
    assert len(keys) >= 3
    # the schedule's function, as the scheduler runs it
    system.sql("update files set created_at = now() - interval '23 hours' where id = %s", file_id)
    system.sql("select cleanup_old_uploads()")
    assert user.file(file_id)["status"] == "ready"
    system.sql("update files set created_at = now() - interval '25 hours', upload_expires_at = now() where id = %s",
               file_id)
    admin = system.user(ADMIN)
    assert admin.call("POST", "/v1/admin/schedules/cleanup-uploads", {"run_now": True}).status == 200
    system.sql("set role filemill_scheduler; select schedules_run(20)")  # it looks once a minute
    for key in keys:
        gone(system, key)
    assert user.call("GET", f"/v1/files/{file_id}").status == 404
    assert user.call("GET", f"/v1/wordlists/{listing}").json["word_pairs"]
    names = {row["name"]: row for row in admin.call("GET", "/v1/admin/schedules").json["schedules"]}
    assert names["cleanup-uploads"]["every_seconds"] == 3600 and names["cleanup-uploads"]["failures"] == 0
    assert names["cleanup-exports"]["every_seconds"] == 900 and names["cleanup-cooldowns"]["every_seconds"] == 3600


# ---- monitoring ----

def test_what_admins_see(system, user, made):
    system.sql("insert into llm_metrics (agent_type, prompt_tokens, completion_tokens, total_tokens, latency_ms) "
               "values ('extractor', 10, 5, 15, 200)")
    answer = system.user(ADMIN).call("GET", "/v1/admin/wordlists/metrics")
    assert answer.status == 200, answer
    body = answer.json
    assert body["queue"]["failed"] == 0 and body["active_jobs"] == 0
    assert {row["bucket_id"] for row in body["storage"]} == {"document-uploads", "wordlist-exports"}
    assert [row for row in body["llm"] if row["agent_type"] == "extractor"][0]["total_tokens"] == 15
    assert body["activity"][0]["active_users"] >= 1 and body["activity"][0]["total_uploads"] >= 1
    assert user.call("GET", "/v1/admin/wordlists/metrics").status == 403


def test_row_security(system, user, made):
    """The document's policies: users own rows; metrics are the service's alone."""
    other = str(uuid.uuid4())
    for table in ("wordlists", "upload_cooldowns", "wordlist_jobs"):
        count = "set role filemill_gateway; set filemill.user_id = '%s'; select count(*) as n from %s"
        assert system.sql(count % (other, table))[0]["n"] == 0, table
    assert system.sql("set role filemill_gateway; set filemill.user_id = '%s'; select count(*) as n from wordlists"
                      % user.id)[0]["n"] >= 1
    with pytest.raises(Exception, match="permission denied"):
        system.sql("set role filemill_gateway; select * from llm_metrics")
