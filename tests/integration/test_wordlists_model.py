# SPDX-License-Identifier: MIT
"""Word lists by a model, with everything encrypted: what each call took and cost, also when it failed; five at once for
everybody together; rest between documents; documents of every kind; exports."""
import concurrent.futures
import contextlib
import csv
import hashlib
import io
import json
import time
import uuid
import zipfile

import pytest
from chat_server import ChatServer
from system import System, eventually, fetch, one_page_pdf

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ADMIN = str(uuid.uuid4())
MARK = "lanterns shine where wooden children sing"
GOOD = json.dumps({"word_pairs": [{"source": "lantern", "target": "Laterne"}], "confidence": 0.8})


@pytest.fixture(scope="module")
def chat():
    with contextlib.closing(ChatServer(GOOD)) as running:
        yield running


@pytest.fixture(scope="module")
def system(chat):
    with System(wordlist_cooldown_seconds=600, admins=ADMIN, wordlist_backend="chat", chat_url=chat.url(), chat_model="m",
                chat_concurrency=12, service_attempts=1, backoff_unit_ms=1, encrypt_outputs="all",
                encryption_key=hashlib.sha256(b"master key of the tests").hexdigest()) as running:
        running.sql("insert into llm_prices (model, prompt_per_million, completion_per_million, valid_from) values"
                    " ('a', 1, 1, '-infinity'), ('m', 3, 4, '-infinity'), ('m', 10, 100, now() - interval '1 hour'),"
                    " ('m', 1000, 1000, now() + interval '1 hour')")
        yield running


@pytest.fixture
def user(system):
    """Somebody new: nobody has to rest yet."""
    return system.user().bootstrap()


def send(user, data=MARK.encode(), filename="a.txt", mime="text/plain"):
    return user.send(filename, mime, data, retention_class="document-uploads")


def submit(user, file_id, **more):
    return user.call("POST", "/v1/wordlists/jobs",
                     {"file_id": file_id, "source_language": "en", "target_language": "de"}, **more)


def finished(user, job, seconds=60):
    def look():
        answer = user.call("GET", f"/v1/wordlists/jobs/{job}")
        assert answer.status == 200, answer
        return answer.json if answer.json["status"] in ("completed", "failed", "cancelled") else None
    return eventually(look, seconds, what=f"job {job}")


def made(user, **more):
    """A job and how it ended."""
    accepted = submit(user, send(user, **more))
    assert accepted.status == 202, accepted
    return accepted.json["job_id"], finished(user, accepted.json["job_id"])


def calls(system, job):
    return system.sql("select agent_type, model, prompt_tokens, completion_tokens, total_tokens, error_code, confidence,"
                      " cost, latency_ms, user_id from llm_metrics where job_id = %s order by epoch, call", job)


PRICE = (120 * 10 + 30 * 100) / 1000000


# ---- what a call took ----

def test_each_call_is_a_row_of_its_own(system, chat, user):
    chat.answers = ["no list", json.dumps({"word_pairs": [{"source": "mill", "target": "Mühle"}] + [
        {"source": "x" * 101, "target": "y"}] + [{"source": f"w{i}", "target": "t"} for i in range(60)], "confidence": 0.8})]
    job, state = made(user)
    assert state["status"] == "completed", state
    kept = user.call("POST", "/v1/wordlists", {"job_id": job, "name": "x"})
    assert kept.status == 201, kept
    kept = kept.json["id"]
    pairs = user.call("GET", f"/v1/wordlists/{kept}").json["word_pairs"]
    assert pairs[0] == {"source": "mill", "target": "Mühle"} and len(pairs) == 40
    question = chat.questions[0]
    assert MARK in question["messages"][1]["content"] and "de." in question["messages"][0]["content"]
    first, second = calls(system, job)
    assert first["error_code"] == "backend_bad_answer" and first["confidence"] is None
    assert second["error_code"] is None and float(second["confidence"]) == 0.8
    for row in (first, second):  # both were answered, and are paid for
        assert (row["prompt_tokens"], row["completion_tokens"], row["total_tokens"]) == (120, 30, 150)
        assert row["model"] == "m" and row["agent_type"] == "wordlist" and str(row["user_id"]) == user.id
        assert float(row["cost"]) == PRICE and row["latency_ms"] >= 0


def test_failed_calls_are_rows_too(system, chat, user):
    chat.answers = [503] + ["no"] * 4  # two tries of two questions
    job, state = made(user)
    assert state["status"] == "failed" and state["error_code"] == "backend_bad_answer", (state, calls(system, job), chat.answers)
    eventually(lambda: system.sql("select f.status::text from jobs j join files f on f.id = j.file_id where j.id = %s",
                                  job) == [{"status": "ready"}], what="a document that is as it was")
    rows = calls(system, job)
    assert [row["error_code"] for row in rows] == ["backend_unavailable"] + ["backend_bad_answer"] * 4
    assert rows[0]["total_tokens"] == 0 and rows[0]["cost"] is None
    assert [float(row["cost"]) for row in rows[1:]] == [PRICE] * 4
    refused = user.call("POST", "/v1/wordlists", {"job_id": job})
    assert refused.status == 409 and refused.json["error"] == "wordlist_not_ready"
    costs = system.user(ADMIN).call("GET", "/v1/admin/wordlists/metrics").json["llm"]
    assert costs[0]["agent_type"] == "wordlist" and costs[0]["failed_calls"] >= 3 and costs[0]["calls"] > 3
    assert costs[0]["total_tokens"] >= 300


def test_a_model_without_a_price_costs_what_nobody_knows(system, user):
    prices = system.sql("delete from llm_prices where model = 'm' returning valid_from::text, prompt_per_million as p,"
                        " completion_per_million as c")
    try:
        rows = calls(system, made(user)[0])
        assert [(row["cost"], row["total_tokens"]) for row in rows] == [(None, 150)], rows
    finally:
        for row in prices:
            system.sql("insert into llm_prices values ('m', %s, %s, %s)", row["p"], row["c"], row["valid_from"])


def test_admins_set_prices(system, user):
    """By the shell and by the API. A row is named by its model and its time."""
    admin = system.user(ADMIN)
    base, later = "org/Model-1.5:7b +", "2100-01-01T12:00:00.000Z"

    def rows(model):
        return [row for row in admin.call("GET", "/v1/admin/model-prices").json["prices"] if row["model"] == model]

    assert system.command("admin", "price", base, "--prompt", "0.15", "--completion", "60").stdout == "ok\n"
    assert system.command("admin", "price", base, "--prompt", "1", "--completion", "0.1", "--from", later).stdout == "ok\n"
    assert rows(base) == [
        {"model": base, "prompt_per_million": 0.15, "completion_per_million": 60, "valid_from": None, "in_force": True},
        {"model": base, "prompt_per_million": 1, "completion_per_million": 0.1, "valid_from": later, "in_force": False}]
    lines = [line.split() for line in system.command("admin", "prices").stdout.splitlines()]
    assert lines[0] == ["MODEL", "PROMPT", "COMPLETION", "FROM", "IN", "FORCE"]
    assert [line[-4:] for line in lines if line[0] == base.split()[0]] == [["0.15", "60", "-", "yes"], ["1", "0.1", later, "no"]]
    assert admin.call("PUT", "/v1/admin/model-prices", {"model": base, "prompt_per_million": 0.2,
                                                        "completion_per_million": 7}).status == 200
    assert [row["completion_per_million"] for row in rows(base)] == [7, 0.1]
    assert system.command("admin", "drop-price", base).stdout == "ok\n"
    assert [row["valid_from"] for row in rows(base)] == [later]
    assert system.command("admin", "drop-price", base, "--from", later).stdout == "ok\n"
    again = system.command("admin", "drop-price", base, "--from", later, check=False)
    assert again.returncode == 1 and "not_found" in again.stderr and rows(base) == []
    for body in ({"model": "m"}, {"model": "m", "prompt_per_million": -1, "completion_per_million": 1},
                 {"model": "", "prompt_per_million": 1, "completion_per_million": 1},
                 {"model": "m", "prompt_per_million": "1", "completion_per_million": 1}):
        assert admin.call("PUT", "/v1/admin/model-prices", body).status == 400, body
    for method, path, body in (("GET", "", None), ("PUT", "", {"model": "m", "prompt_per_million": 1, "completion_per_million": 1}),
                               ("DELETE", "?model=m", None)):
        assert user.call(method, f"/v1/admin/model-prices{path}", body).status == 403


def test_a_call_costs_what_is_in_force(system, user):
    since, = system.sql("select filemill_time(now() - interval '1 minute') as time")
    system.command("admin", "price", "m", "--prompt", "20", "--completion", "200", "--from", since["time"])
    try:
        assert [float(row["cost"]) for row in calls(system, made(user)[0])] == [2 * PRICE]
    finally:
        system.command("admin", "drop-price", "m", "--from", since["time"])


# ---- limits ----

def test_at_most_five_at_once_for_everybody_together(system, chat):
    users = [system.user().bootstrap() for _ in range(6)]
    files = []
    for number in range(12):
        files.append((users[number // 2], send(users[number // 2], data=f"{MARK} {number}".encode())))
        system.sql("delete from upload_cooldowns")
    chat.gate.clear()
    chat.most = 0
    jobs, most = [], 0
    running = "select count(*) as n, get_active_job_count() as active from jobs where type = 'wordlist' and status = 'running'"
    try:
        for user, file_id in files:
            answer = submit(user, file_id)
            assert answer.status == 202, answer
            system.sql("delete from upload_cooldowns")
            jobs.append((user, answer.json["job_id"]))
        eventually(lambda: chat.now == 5, what="five calls at once")
        eventually(lambda: not system.sql("select 1 from jobs where type <> 'wordlist' and finished_at is null"), what="no other work")
        until = time.monotonic() + 1.5  # more than a poll: whatever could be claimed would be
        while time.monotonic() < until:
            row = system.sql(running)[0]
            most = max(most, row["n"])
            assert row["n"] == row["active"] == 5 and chat.now == 5, (row, chat.now)
            time.sleep(0.05)
        waiting = [user.call("GET", f"/v1/wordlists/jobs/{job}").json for user, job in jobs]
        assert sum(state["status"] == "processing" for state in waiting) == 5
        places = sorted(state["queue_position"] for state in waiting if state["status"] == "queued")
        assert places == list(range(places[0], places[0] + 7)), places
    finally:
        chat.gate.set()

    def all_ended():
        nonlocal most
        most = max(most, system.sql(running)[0]["n"])
        left = system.sql("select count(*) as n from jobs where id = any (%s::uuid[]) and finished_at is null",
                          [job for _, job in jobs])
        return left[0]["n"] == 0
    eventually(all_ended, every=0.02, what="all twelve have ended")
    assert {finished(user, job)["status"] for user, job in jobs} == {"completed"}
    assert most == chat.most == 5


def refused_for_now(answer):
    assert answer.status == 429 and answer.json["error"] == "cooldown", answer
    assert 500 <= int(answer.headers["Retry-After"]) <= 600
    return True


def test_a_document_then_a_rest_over_http(system, user):
    """The rest begins with the upload; the document that began it may have its list, once."""
    first = send(user)
    another = {"filename": "a.pdf", "mime": "application/pdf", "size": 10, "retention_class": "document-uploads"}
    refused_for_now(user.init(**another))
    assert submit(user, first).status == 202
    refused_for_now(submit(user, first))
    refused_for_now(user.init(**another))
    assert user.init("a.pdf", "application/pdf", 10).status == 200  # for other ends
    assert user.init("a.exe", "application/x-msdownload", 10, retention_class="document-uploads").status in (422, 429)
    other = system.user().bootstrap()
    assert submit(other, send(other)).status == 202  # each for himself
    system.sql("update upload_cooldowns set cooldown_until = now() - interval '1 s' where user_id = %s", user.id)
    second = send(user, data=b"another document")
    key = {"Idempotency-Key": "rest"}
    refused_for_now(submit(user, first, headers=key))  # of an older document
    assert submit(user, second).status == 202
    system.sql("update upload_cooldowns set cooldown_until = now() - interval '1 s' where user_id = %s", user.id)
    assert submit(user, first, headers=key).status == 202  # what was not done has used no key up


def test_of_two_uploads_at_the_same_time_one_is_taken(user):
    def begin(_):
        return user.init("a.pdf", "application/pdf", 10, retention_class="document-uploads").status
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(begin, range(8))) == [200] + [429] * 7


# ---- documents, lists, exports ----

def package(**parts):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>' + text)
    return data.getvalue()


def office(main, kind, content, relations=""):
    """A package of the two files that say what it is, its main part, and what that names."""
    office_types = "application/vnd.openxmlformats-officedocument."
    document = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/"
    packaged = "http://schemas.openxmlformats.org/package/2006/"
    parts = {
        "[Content_Types].xml":
            f'<Types xmlns="{packaged}content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-'
            f'package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
            f'<Override PartName="/{main}" ContentType="{office_types}{kind}.main+xml"/>'
            + (f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{office_types}spreadsheetml.worksheet+xml"/>'
               if relations else "") + "</Types>",
        "_rels/.rels":
            f'<Relationships xmlns="{packaged}relationships"><Relationship Id="r1" Type="{document}officeDocument" '
            f'Target="{main}"/></Relationships>', main: content}
    if relations:
        parts["xl/_rels/workbook.xml.rels"] = (
            f'<Relationships xmlns="{packaged}relationships"><Relationship Id="rId1" Type="{document}worksheet" '
            f'Target="worksheets/sheet1.xml"/></Relationships>')
        parts["xl/worksheets/sheet1.xml"] = relations
    return package(**parts)


def word_file(text):
    return office("word/document.xml", "wordprocessingml.document",
                  '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r>'
                  f'<w:t>{text}</w:t></w:r></w:p></w:body></w:document>')


def sheet_file(text):
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return office("xl/workbook.xml", "spreadsheetml.sheet",
                  f'<workbook xmlns="{main}" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
                  '<sheets><sheet name="One" sheetId="1" r:id="rId1"/></sheets></workbook>',
                  f'<worksheet xmlns="{main}"><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>{text}</t></is></c>'
                  '</row></sheetData></worksheet>')


DOCUMENTS = {"pdf": ("application/pdf", one_page_pdf), "docx": (DOCX, word_file), "xlsx": (XLSX, sheet_file),
             "txt": ("text/plain", str.encode)}


@pytest.mark.parametrize("extension", DOCUMENTS)
def test_every_kind_of_document(system, chat, user, extension):
    mime, make = DOCUMENTS[extension]
    job, state = made(user, data=make(f"{extension} {MARK}"), filename=f"story.{extension}", mime=mime)
    assert state["status"] == "completed", state
    asked = [" ".join(question["messages"][1]["content"].split()) for question in chat.questions]
    assert [text for text in asked if f"{extension} {MARK}" in text]
    key = system.sql("select r2_key_original as key from files where id = %s", state["file_id"])[0]["key"]
    assert key == f"document-uploads/{user.id}/{state['file_id']}.{extension}"


def objects(system):
    listing = system.s3().get_paginator("list_objects_v2").paginate(Bucket=system.bucket)
    for item in (item for page in listing for item in page.get("Contents", [])):
        with contextlib.suppress(system.s3().exceptions.NoSuchKey):  # the sweep took it meanwhile
            yield item["Key"], system.s3().get_object(Bucket=system.bucket, Key=item["Key"])["Body"].read()


def test_exports_are_sealed_until_they_are_gone(system, user):
    job, state = made(user)
    listing = user.call("POST", "/v1/wordlists", {"job_id": job, "name": "Sealed wörds"}).json["id"]
    keys = []
    for kind in ("csv", "xlsx"):
        answer = user.call("POST", f"/v1/wordlists/{listing}/export", {"format": kind})
        assert answer.status == 202, answer
        path = f"/v1/wordlists/exports/{answer.json['export_id']}"

        def look():
            found = user.call("GET", path).json
            return found if found["status"] not in ("queued", "processing") else None
        export = eventually(look, what="export")
        reply = fetch("GET", export["download_url"])
        assert reply.headers["Content-Disposition"] == f"attachment; filename*=UTF-8''Sealed%20w%C3%B6rds.{kind}"
        data = reply.body
        straight = f"/v1/jobs/{answer.json['export_id']}/artifacts/{kind}/content"
        assert user.call("GET", straight).body == data
        assert system.user().bootstrap().call("GET", straight).status == 404
        if kind == "csv":
            assert list(csv.reader(io.StringIO(data.decode())))[1] == ["lantern", "Laterne"]
        else:
            assert "Laterne" in "".join(zipfile.ZipFile(io.BytesIO(data)).read(name).decode() for name in
                                        ("xl/worksheets/sheet1.xml", "xl/sharedStrings.xml")
                                        if name in zipfile.ZipFile(io.BytesIO(data)).namelist())
        keys.append(system.sql("select r2_key as key from document_artifacts where file_id = %s and kind = %s",
                               listing, kind)[0]["key"])
    stored = dict(objects(system))
    assert all(key.endswith(".enc") and stored[key][:6] == b"FMSEAL" for key in keys), keys
    for key, data in stored.items():  # what the client sent is as it came; what was made of it can't be read
        assert key.startswith("document-uploads/") and not key.endswith(".enc") or (
            MARK.encode() not in data and b"Laterne" not in data and data[:6] == b"FMSEAL"), key
    system.sql("update document_artifacts set created_at = now() - interval '61 minutes' where file_id = %s", listing)
    assert user.call("GET", straight).status == fetch("GET", export["download_url"]).status == 404  # before any sweep
    system.sql("update files set created_at = now() - interval '25 hours', upload_expires_at = now() where id = %s",
               state["file_id"])
    for name in ("cleanup-exports", "cleanup-uploads"):
        run = system.user(ADMIN).call("POST", f"/v1/admin/schedules/{name}", {"run_now": True})
        assert run.status == 200, run
    system.sql("set role filemill_scheduler; select schedules_run(20)")  # it looks once a minute
    keys += [key for key in stored if state["file_id"] in key]
    assert len(keys) >= 4
    eventually(lambda: not set(keys) & {key for key, _ in objects(system)}, every=0.3, what="all is gone")
    # the store has deleted; that it has is written down a moment later
    eventually(lambda: not system.sql("select key from object_deletions where key = any (%s)", keys), what="written down")
    assert not system.sql("select key from object_keys where key = any (%s)", keys)
    assert user.call("GET", f"/v1/files/{state['file_id']}").status == 404
    assert user.call("GET", f"/v1/wordlists/{listing}").json["word_pairs"] == [{"source": "lantern", "target": "Laterne"}]
