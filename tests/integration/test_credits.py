"""Credits: reserved when a job is made, charged when it is done, given back when it is not; never below zero, never
lost, whatever is killed."""
import contextlib
import http.client
import io
import os
import random
import signal
import threading
import time
import uuid

import psycopg2
import pytest
from system import SAMPLES, System, eventually

TEXT = b"The mill grinds slowly, but it grinds.\n"
PDF = (SAMPLES / "mill.pdf").read_bytes()
BROKEN = b"%PDF-1.4\nnot much of a document\n"
KILLS = int(os.environ.get("FILEMILL_TEST_KILLS", "0"))  # 0: as many as fit in SECONDS
SECONDS = 15
OPEN = "('queued', 'retry', 'running', 'waiting')"
ADMIN, OPERATOR = str(uuid.uuid4()), str(uuid.uuid4())


@pytest.fixture(scope="module")
def system():
    with System(credits="on", credit_admins=f"{uuid.uuid4()}, {ADMIN}", admins=OPERATOR, backoff_unit_ms=20, max_attempts=3,
                gateway_processes=2, worker_processes=2, worker_slots=2, lease_ms=3000, drain_ms=2000) as running:
        yield running


@pytest.fixture(scope="module")
def admin(system):
    return system.user(ADMIN)


@pytest.fixture
def user(system):
    return system.user().bootstrap()


def grant(admin, user, amount, **more):
    answer = admin.call("POST", "/v1/credits/grants", {"user_id": user.id, "amount": amount, **more})
    assert answer.status == 201, answer
    return answer


def account(user):
    answer = user.call("GET", "/v1/credits")
    assert answer.status == 200, answer
    return answer.json


def check(system):
    """The rules that hold at every moment, in one snapshot; returns how much is reserved."""
    row, = system.sql("select (select count(*) from credit_faults) as faults,"
                      " (select count(*) from user_credits where balance < 0 or reserved < 0 or used < 0) as negative,"
                      " (select count(*) from credit_reservations c left join jobs j on j.id = c.job_id"
                      f"    where j.id is null or j.status not in {OPEN}) as left_over,"
                      f" (select count(*) from jobs j where j.status in {OPEN} and j.parent is null and not exists"
                      "    (select from credit_reservations c where c.job_id = j.id)) as unreserved,"
                      " (select coalesce(sum(reserved), 0)::bigint from user_credits) as reserved")
    assert (row["faults"], row["negative"], row["left_over"], row["unreserved"]) == (0, 0, 0, 0), row
    return row["reserved"]


def idle(system, seconds=120):
    eventually(lambda: not system.sql(f"select 1 from jobs where status in {OPEN} limit 1"), seconds, what="all jobs ended")


def test_without_credit_nothing_begins_and_nothing_is_lost(system, admin, user):
    file_id = user.upload("mill.pdf", "application/pdf", PDF)
    refused = user.finalize(file_id)
    assert refused.status == 402 and refused.json["error"] == "out_of_credit", refused
    assert refused.json["balance"] == 0 and refused.json["needed"] > 0
    assert user.file(file_id)["status"] == "uploading"
    grant(admin, user, refused.json["needed"] - 1)
    again = user.finalize(file_id)
    assert again.status == 402 and again.json["balance"] == again.json["needed"] - 1
    assert account(user)["reserved"] == 0
    grant(admin, user, 100_000)
    assert user.finalize(file_id).status == 200
    assert user.wait(file_id)["status"] == "ready"
    check(system)


def test_a_done_job_is_charged_what_its_runner_took(system, admin, user):
    grant(admin, user, 100_000)
    file_id = user.send("mill.pdf", "application/pdf", PDF)
    assert user.wait(file_id)["status"] == "ready"
    own = account(user)
    took = system.sql("select id, type, (result->>'cpu_ms')::bigint as cpu from jobs where file_id = %s", file_id)
    assert own["used"] == sum(job["cpu"] or 0 for job in took) > 0
    assert own["reserved"] == 0 and own["balance"] == 100_000 - own["used"] and own["granted"] == 100_000
    stages = system.sql("select * from cpu_usage where job_id = any (%s::uuid[])", [job["id"] for job in took])
    for job in took:
        mine = {row["stage"]: row for row in stages if row["job_id"] == job["id"]}
        assert mine[job["type"]]["cpu_ms"] == job["cpu"] and set(mine) <= {"fetch", job["type"], "store"}
        assert mine[job["type"]]["user_id"] == user.id and mine[job["type"]]["outcome"] == "done"
    rows = system.sql("select * from metrics where job_id = any (%s::uuid[])", [job["id"] for job in took])
    assert len(rows) == len(took) and all(row["status"] == "done" and row["ran_ms"] >= 0 for row in rows)


def test_a_failed_order_costs_nothing_and_leaves_its_file_ready(system, admin, user):
    grant(admin, user, 100_000)
    file_id = user.send("mill.pdf", "application/pdf", PDF)
    assert user.wait(file_id)["status"] == "ready"
    before = account(user)
    order = user.call("POST", f"/v1/files/{file_id}/jobs", {"type": "page_images", "parameters": {"first": 999}})
    assert order.status == 202, order
    told = user.wait(file_id)
    assert (told["status"], [job["type"] for job in told["jobs"] if job["status"] == "failed"]) == ("ready", ["page_images"])
    assert account(user) == before
    check(system)


def test_a_failed_job_and_a_cancelled_one_cost_nothing(system, admin, user):
    grant(admin, user, 100_000)
    file_id = user.send("bad.pdf", "application/pdf", BROKEN)
    assert user.wait(file_id)["status"] == "failed"
    failed = sum(job["cpu"] for job in system.sql(
        "select coalesce((result->>'cpu_ms')::bigint, 0) as cpu from jobs where file_id = %s and status = 'done'", file_id))
    assert account(user)["used"] == failed and account(user)["reserved"] == 0
    assert system.sql("select 1 from cpu_usage u join jobs j on j.id = u.job_id where j.file_id = %s and u.outcome ="
                      " 'failed'", file_id), "what it took is known all the same"
    text = user.send("a.txt", "text/plain", TEXT)
    user.wait(text)
    before = account(user)
    later = user.call("POST", f"/v1/files/{text}/jobs", {"type": "extract_office", "run_after": "2099-01-01T00:00:00Z"})
    assert later.status == 202, later
    during = account(user)
    assert during["reserved"] == 2000 and during["balance"] == before["balance"] - 2000
    assert user.call("POST", f"/v1/jobs/{later.json['id']}/cancel").status == 200
    assert account(user) == before
    later = user.call("POST", f"/v1/files/{text}/jobs", {"type": "extract_office", "run_after": "2099-01-01T00:00:00Z"})
    assert user.call("DELETE", f"/v1/files/{text}").status == 200
    assert account(user) == before
    check(system)


def test_prices_are_by_type_and_overruns_stop_at_the_balance(system, admin, user):
    system.sql("insert into job_prices (type, base, per_cpu_second, reserve) values ('extract_office', 70, 0, 50)")
    try:
        grant(admin, user, 120)
        file_id = user.upload("a.txt", "text/plain", TEXT)
        if user.finalize(file_id).status == 402:  # the plan has other jobs too
            grant(admin, user, 10_000)
            assert user.finalize(file_id).status == 200
        user.wait(file_id)
        job, = system.sql("select id from jobs where file_id = %s and type = 'extract_office'", file_id)
        charge, = system.sql("select used_change, reserved_change from credit_ledger where job_id = %s and kind = 'charge'",
                             job["id"])
        assert (charge["used_change"], charge["reserved_change"]) == (70, -50)
        poor = system.user().bootstrap()
        grant(admin, poor, 55)
        system.sql("update job_prices set reserve = 0 where type = '*'")
        poor.wait(poor.send("a.txt", "text/plain", TEXT))
        assert account(poor)["balance"] == 0 and account(poor)["used"] == 55, account(poor)
        check(system)
    finally:
        system.sql("delete from job_prices where type <> '*'")
        system.sql("update job_prices set reserve = 2000")


def test_a_job_that_is_opened_again_reserves_again(system, admin, user):
    grant(admin, user, 100_000)
    file_id = user.send("bad.pdf", "application/pdf", BROKEN)
    assert user.wait(file_id)["status"] == "failed"
    before = account(user)
    job = system.sql("update jobs set status = 'queued', run_after = now() + interval '1 day' where id = (select id from"
                     " jobs where file_id = %s and status = 'failed' limit 1) returning id", file_id)[0]["id"]
    assert account(user)["reserved"] == 2000
    assert user.call("POST", f"/v1/jobs/{job}/cancel").status == 200
    assert account(user) == before
    admin.call("POST", "/v1/credits/grants", {"user_id": user.id, "amount": -before["balance"]})
    with pytest.raises(psycopg2.Error, match='"balance":0,"needed":2000'):
        system.sql("update jobs set status = 'queued' where id = %s", job)
    check(system)


def test_portal_jobs_cost_too(system, admin, user):
    picture = pytest.importorskip("PIL.Image")
    stream = io.BytesIO()
    picture.effect_noise((400, 500), 60).convert("RGB").save(stream, "JPEG")
    grant(admin, user, 100_000)
    file_id = user.upload("me.jpg", "image/jpeg", stream.getvalue(), layout="raw")
    assert user.finalize(file_id).status == 200
    user.wait(file_id)
    before = account(user)
    order = {"portal_schema": {"name": "NEET 2026"}, "input": {"file_id": file_id}}
    admin.call("POST", "/v1/credits/grants", {"user_id": user.id, "amount": -before["balance"]})
    refused = user.call("POST", "/jobs", order)
    assert refused.status == 402 and refused.json["error"] == "out_of_credit", refused
    grant(admin, user, 50_000)
    accepted = user.call("POST", "/jobs", order)
    assert accepted.status == 202, accepted
    eventually(lambda: user.call("GET", f"/jobs/{accepted.json['job_id']}").json["status"] in ("completed", "failed"), 60)
    idle(system)
    after = account(user)
    assert after["reserved"] == 0 and after["balance"] + after["used"] == after["granted"]
    check(system)


def test_grants_are_for_admins_and_happen_once(system, admin, user):
    other = system.user().bootstrap()
    for caller in (user, other):
        answer = caller.call("POST", "/v1/credits/grants", {"user_id": caller.id, "amount": 5})
        assert answer.status == 403, answer
    for _ in range(2):
        admin.call("POST", "/v1/credits/grants", {"user_id": user.id, "amount": 5}, {"Idempotency-Key": f"g-{user.id}"})
    assert account(user)["granted"] == account(user)["balance"] == 5
    assert admin.call("POST", "/v1/credits/grants", {"user_id": user.id, "amount": -6}).json["error"] == "credit_balance"
    grant(admin, user, -5, note="back")
    grant(system.user(OPERATOR), user, 7)
    grant(system.user(OPERATOR), user, -7)
    assert account(user)["granted"] == 0 and account(other)["granted"] == 0
    assert admin.call("POST", "/v1/credits/grants", {"user_id": user.id, "amount": "5"}).status == 400


def test_of_many_at_once_none_goes_below_zero(system, admin, user):
    """Credit for three files, twelve finalized at the same time."""
    text = user.upload("a.txt", "text/plain", TEXT)
    needed = user.finalize(text).json["needed"]
    grant(admin, user, 3 * needed)
    files = [text] + [user.upload(f"{n}.txt", "text/plain", TEXT) for n in range(11)]
    answers = []
    threads = [threading.Thread(target=lambda one=one: answers.append(user.finalize(one).status)) for one in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {200, 402} and answers.count(200) >= 3 and account(user)["balance"] >= 0
    check(system)


def test_kills_at_random_lose_no_credit(system, admin):
    """KILL -9 of schedulers, workers, nurseries and gateways while jobs run, fail, are cancelled and deleted.
    FILEMILL_TEST_KILLS=1000 makes it the long one."""
    chance = random.Random(4711)
    users = [system.user().bootstrap() for _ in range(3)]
    for user in users:
        grant(admin, user, 10_000_000)
    halt, sent, outcomes = threading.Event(), [], []

    def work(user, seed):
        mine = random.Random(seed)
        while not halt.is_set():
            try:
                kind = mine.choice(("text", "text", "pdf", "broken"))
                name, mime, data = {"text": ("a.txt", "text/plain", TEXT), "pdf": ("a.pdf", "application/pdf", PDF),
                                    "broken": ("b.pdf", "application/pdf", BROKEN)}[kind]
                file_id = user.upload(name, mime, data)
                outcomes.append(user.finalize(file_id).status)
                sent.append(file_id)
                if mine.random() < 0.25:
                    for job in user.file(file_id)["jobs"]:
                        user.call("POST", f"/v1/jobs/{job['id']}/cancel")
                if mine.random() < 0.15:
                    user.call("DELETE", f"/v1/files/{file_id}")
                if mine.random() < 0.2:
                    user.call("POST", f"/v1/internal/files/{file_id}/reprocess")
                time.sleep(0.15)
            except (OSError, http.client.HTTPException, AssertionError, ValueError):
                time.sleep(0.1)  # the gateway that answered is gone

    threads = [threading.Thread(target=work, args=(user, seed), daemon=True) for seed, user in enumerate(users)]
    for thread in threads:
        thread.start()
    killed = 0
    programs = ["filemill-scheduler", "filemill-worker", "filemill-gateway", "filemill-nursery"]
    began = time.monotonic()

    def enough():
        if KILLS:
            return killed >= KILLS
        return time.monotonic() - began > SECONDS and killed > 10 or time.monotonic() - began > 6 * SECONDS

    while not enough():
        if killed > 10 and outcomes.count(200) <= killed / 2:
            time.sleep(0.05)  # there must be work to be lost
            continue
        alive = [(pid, name) for pid, name in system.descendants() if name in programs]
        if alive:
            name = chance.choice(sorted({name for _, name in alive}))
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice([pid for pid, other in alive if other == name]), signal.SIGKILL)
                killed += 1
        if killed % 10 == 9:
            check(system)
            system.command("reload", check=False)  # whoever died often is started at once
        time.sleep(chance.uniform(0.05, 0.4))
    system.command("reload", check=False)
    eventually(lambda: outcomes.count(200) > killed / 2, 60, what="work between the kills")
    halt.set()
    for thread in threads:
        thread.join(60)
    idle(system)
    eventually(system.is_ready, what="ready again")
    assert check(system) == 0, "nothing is reserved when nothing runs"
    assert killed > 10 and outcomes.count(200) > killed / 2, (killed, outcomes)
    used = system.sql("select sum(used_change)::bigint as n from credit_ledger where user_id = any (%s::uuid[])",
                      [user.id for user in users])[0]["n"]
    assert used > 0
    for user in users:
        own = account(user)
        assert own["reserved"] == 0 and own["balance"] + own["used"] == own["granted"] == 10_000_000
    uneven = system.sql("select job_id from credit_ledger where job_id is not null group by job_id having"
                        " count(*) filter (where kind = 'reserve') <> count(*) filter (where kind <> 'reserve')")
    assert uneven == [], "each reservation ends once"
    print(f"{killed} kills, {len(sent)} files, {used} used")


def test_turning_credits_off_gives_back_what_is_reserved(system, admin, user):
    grant(admin, user, 100_000)
    text = user.send("a.txt", "text/plain", TEXT)
    user.wait(text)
    before = account(user)
    order = {"type": "extract_office", "run_after": "2099-01-01T00:00:00Z"}
    assert user.call("POST", f"/v1/files/{text}/jobs", order).status == 202
    assert account(user)["reserved"] == 2000
    system.sql("select credits_switch(false, '{}')")
    assert account(user) == before
    assert user.call("POST", f"/v1/files/{text}/jobs", order).status == 202
    assert account(user) == before
    system.sql("select credits_switch(true, array[%s]::uuid[])", ADMIN)
    assert user.call("DELETE", f"/v1/files/{text}").status == 200, "a job without a reservation ends like any other"
    assert account(user) == before
