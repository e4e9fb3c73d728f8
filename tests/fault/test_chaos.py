# SPDX-License-Identifier: MIT
"""Kill -9 of anything, again and again, while portal documents, word lists and classifications are made: each request
that was answered has one job, each job ends well, and what they made is there."""
import concurrent.futures
import os
import random
import signal
import time
import uuid

from invariants import violations
from system import PATIENCE, SAMPLES, System, eventually
from test_kill import processes

ROUNDS = int(os.environ.get("FILEMILL_TEST_CHAOS_ROUNDS", "10"))
PROGRAMS = ["filemill-gateway", "filemill-scheduler", "filemill-worker", "filemill-nursery", "filemill-store"]
EACH = 6
WORDS = "The miller grinds the grain at the river while heavy wheels turn under falling water number {}. "


def insist(ask):
    """What it answers in the end; a client whose connection breaks asks again, as often as it takes."""
    def once():
        try:
            answer = ask()
            assert answer.status < 500 or answer.status == 503, answer
            waits = answer.status >= 500 or answer.status == 409 and answer.json["error"] == "idempotency_in_progress"
            return None if waits else answer
        except OSError:
            return None
    return eventually(once, 60, every=0.05, what="an answer")


def stored(user, filename, mime, data):
    """A finalized file; its init-upload, too, is told apart from others by a key."""
    more = {"tenant_id": user.tenant, "filename": filename, "mime": mime, "size_bytes": len(data)}
    key = {"Idempotency-Key": uuid.uuid4().hex}
    init = insist(lambda: user.call("POST", "/v1/files/init-upload", more, key))
    assert init.status == 200, init
    assert insist(lambda: user.put(init.json, data)).status in (200, 204)
    answer = insist(lambda: user.finalize(init.json["file_id"]))
    assert answer.status == 200, answer
    return init.json["file_id"]


def ordered(user, path, body=None):
    """The job's id; None if its gateway died when the job was there and nobody had been told."""
    key = {"Idempotency-Key": uuid.uuid4().hex}
    answer = insist(lambda: user.call("POST", path, body, key))
    assert answer.status == 202 or answer.json["error"] == "idempotency_answer_lost", (path, answer)
    return answer.json.get("job_id")


def one(user, number):
    """One of each: the jobs' ids, by the view in which they are seen."""
    text = stored(user, f"{number}.txt", "text/plain", WORDS.format(number).encode() * 50)
    photo = stored(user, f"{number}.jpg", "image/jpeg", (SAMPLES / "evening.jpg").read_bytes())
    definition = {"target_width": 200 + number, "target_height": 250, "max_kb": 60}
    return {"portal_job_states": ordered(user, "/jobs", {"portal_schema": {"name": "c", "schema_definition": definition},
                                                         "input": {"file_id": photo}}),
            "wordlist_jobs": ordered(user, "/v1/wordlists/jobs", {"file_id": text, "source_language": "en",
                                                                  "target_language": "de"}),
            "inbox_jobs": ordered(user, f"/v1/files/{text}/classify")}


def kill_at_random(system, dice):
    """A round is one program, each equally often, and a pause that is never the same. Runners go with their nursery: two deaths
    of its own, and a document would rightly be quarantined."""
    fired = 0
    for program in dice.sample(PROGRAMS * ((ROUNDS + len(PROGRAMS) - 1) // len(PROGRAMS)), ROUNDS):
        for pid in eventually(lambda name=program: processes(system, name), every=0.01, what=f"a live {program}"):
            try:
                os.kill(pid, signal.SIGKILL)
                fired += 1
            except ProcessLookupError:
                pass
        time.sleep(dice.uniform(0.1, 0.6) * PATIENCE)
    return fired


def ended(system, view):
    """The states of all, once none is on its way."""
    rows = system.sql(f"select status::text from {view}")
    states = [row["status"] for row in rows]
    return states if not {"pending", "processing", "queued"} & set(states) else None


def test_nothing_is_lost_whatever_is_killed():
    seed = int(os.environ.get("FILEMILL_TEST_SEED", time.time_ns() % 100000))
    print(f"FILEMILL_TEST_SEED={seed}")
    with System(backoff_unit_ms=100, lease_ms=5000, worker_slots=2, wordlist_cooldown_seconds=0) as system:
        user = system.user().bootstrap()
        with concurrent.futures.ThreadPoolExecutor(EACH) as clients:
            answers = [clients.submit(one, user, number) for number in range(EACH)]
            eventually(lambda: system.sql("select 1 from jobs where status = 'running'"), 30, every=0.01, what="work")
            assert kill_at_random(system, random.Random(seed)) >= ROUNDS
            made = [answer.result() for answer in answers]
        for view in made[0]:
            assert eventually(lambda name=view: ended(system, name), 120, every=0.2, what=f"{view} ended") == ["completed"] * EACH
        eventually(lambda: not system.sql("select 1 from jobs where status not in ('done', 'failed', 'cancelled')"),
                   every=0.1, what="at rest")
        assert system.sql("select count(*) as n from documents")[0]["n"] == EACH
        for row in system.sql("select r2_key, size_bytes from document_artifacts"):
            found = system.s3().head_object(Bucket=system.bucket, Key=row["r2_key"])
            assert found["ContentLength"] == row["size_bytes"], row
        assert violations(system) == []
