# SPDX-License-Identifier: MIT
"""A long scan through a whole system: cut into ranges, read by two workers, joined; and what is killed, cancelled or
drained in the middle of it."""
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

import scans
from system import BUILD, System, eventually

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fault"))
from invariants import violations  # noqa: E402

if shutil.which("pdftoppm") is None:
    pytest.skip("pdftoppm is not installed", allow_module_level=True)

PAGES = 30
SHORT = 16


@pytest.fixture(scope="module")
def system():
    with System(worker_processes=2, worker_slots=1, worker_prefetch=1, range_pages=3, plan="full", lease_ms=20000, drain_ms=1000,
                poll_ms=200) as running:
        yield running


@pytest.fixture(scope="module")
def user(system):
    return system.user().bootstrap()


@pytest.fixture(scope="module")
def scan():
    return scans.scan_pdf(PAGES)


@pytest.fixture(scope="module")
def short():
    return scans.scan_pdf(SHORT)


def whole(system, file):
    """The job that waits for ranges, once it does."""
    rows = system.sql("select * from jobs where file_id = %s and type = 'ocr' and parent is null"
                      " order by generation desc limit 1", file)
    return rows[0] if rows else None


def ranges(system, file):
    return system.sql("select id, status::text as status, attempts, lease_epoch, finished_at, payload->>'range' as range,"
                      " error_code from jobs where parent = %s order by id", whole(system, file)["id"])


@pytest.fixture
def held(system):
    """Ranges that come, but for the first two, wait for `release`: nothing ends behind a test's back."""
    system.sql("""create function hold() returns trigger language plpgsql as $$ begin
                    if new.parent is not null and new.type = 'ocr' and new.payload->>'range' !~ '^[1-6]-' then
                      new.run_after := now() + interval '1 day';
                    end if;
                    return new; end $$""")
    system.sql("create trigger hold before insert on jobs for each row execute function hold()")
    yield
    system.sql("drop trigger hold on jobs")
    system.sql("drop function hold")


def release(system, file, most=1000):
    return system.sql("update jobs set run_after = now() where id in (select id from jobs where parent = %s and status = 'queued'"
                      " and run_after > now() + interval '1 hour' order by id limit %s) returning id",
                      whole(system, file)["id"], most)


def text_of(user, file):
    return user.derivative(file, "ocr_text").decode().split("\f")


def names_its_page(pages, count):
    return [f"number {number} of" in pages[number - 1] for number in range(1, count + 1)]


def test_as_one_run_would_have_made_it(system, user, scan):
    file = user.send("scan.pdf", "application/pdf", scan)
    view = user.wait(file, 120)
    assert view["status"] == "ready", view
    job = whole(system, file)
    parts = ranges(system, file)
    assert len(parts) > 6 and {row["status"] for row in parts} == {"done"}
    assert sum(row["attempts"] for row in parts) == 0 and job["attempts"] == 0 and job["priority"] == 2
    assert job["result"]["metrics"]["partial"] == 0 and job["result"]["pages"] == PAGES
    assert names_its_page(text_of(user, file), PAGES) == [True] * PAGES
    single = subprocess.run([BUILD / "filemill", "run", "ocr"], env=system.environment, input=scan, capture_output=True,
                            check=True, timeout=120)
    assert user.derivative(file, "ocr_text") == single.stdout
    assert {row["kind"] for row in view["derivatives"]} >= {"ocr_text", "ocr_json", "ocr_hocr", "ocr_alto", "ocr_tsv",
                                                            "ocr_pdf"}
    assert not [row for row in view["derivatives"] if row["kind"] == "ocr_range"]
    progress = [row["data"]["done"] for row in system.sql(
        "select data from file_events where job_id = %s and kind = 'job.progress' order by id", job["id"])]
    assert progress == sorted(progress) and progress[-1] == PAGES and len(set(progress)) > 2
    nodes = system.sql("select count(*) as n from job_parts where parent = %s", job["id"])
    assert nodes[0]["n"] == 0


def send_midway(system, user, data):
    """Some ranges of it are done, one has begun to run, others are held."""
    file = user.send("scan.pdf", "application/pdf", data)
    eventually(lambda: whole(system, file) and "done" in [row["status"] for row in ranges(system, file)], 60,
               what="a range that is done")
    start_another(system, file)
    return file


def start_another(system, file):
    """Releases a range, and waits until it runs, or has run."""
    one, = release(system, file, 1)
    eventually(lambda: [row for row in ranges(system, file) if row["id"] == one["id"] and row["status"] in ("running", "done")],
               60, "a range that runs", 0.01)


def processes(system, name):
    """By the name that a process gives itself: a runner is a fork of its nursery."""
    return [pid for pid, _ in system.descendants() if comm(pid) == name[:15]]


def comm(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


# A worker holds one range that runs and one that it has fetched: that one counts as an attempt, too. So does what a
# scheduler has claimed for the two workers and told neither of: the next one can't know that nobody began it.
@pytest.mark.parametrize("program, most", [("filemill-runner", 1), ("filemill-nursery", 2), ("filemill-worker", 2),
                                           ("filemill-scheduler", 2)])
def test_a_kill_costs_one_range(system, user, short, held, program, most):
    file = send_midway(system, user, short)
    before = {row["id"]: row["finished_at"] for row in ranges(system, file) if row["status"] == "done"}

    def killed():
        with contextlib.suppress(IndexError, ProcessLookupError):  # it may have ended by itself
            os.kill(processes(system, program)[0], signal.SIGKILL)
            return True
    with ThreadPoolExecutor(1) as pool:
        if program != "filemill-runner":
            release(system, file)
        killing = pool.submit(eventually, killed, 60, program, 0.002)
        while not killing.done() and release(system, file, 1):
            wait([killing], 2)  # who looks late for a runner sees that of the next range
        killing.result()
    release(system, file)
    assert user.wait(file, 120)["status"] == "ready"
    rows = ranges(system, file)
    assert {row["status"] for row in rows} == {"done"}
    assert sum(row["attempts"] for row in rows) <= most, rows
    assert before == {row["id"]: row["finished_at"] for row in rows if row["id"] in before}
    assert whole(system, file)["result"]["metrics"]["partial"] == 0
    assert names_its_page(text_of(user, file), SHORT) == [True] * SHORT


def test_cancelled_with_all_its_ranges(system, user, scan, held):
    file = send_midway(system, user, scan)
    answer = user.call("POST", f"/v1/jobs/{whole(system, file)['id']}/cancel")
    assert answer.status == 200, answer
    assert whole(system, file)["status"] == "cancelled"
    assert {row["status"] for row in ranges(system, file)} == {"done", "cancelled"}
    assert user.wait(file)["status"] == "ready"
    eventually(lambda: not processes(system, "filemill-runner"), what="no runner of it")


def test_deleted_in_the_middle(system, user, scan, held):
    file = send_midway(system, user, scan)
    assert user.call("DELETE", f"/v1/files/{file}").status == 200
    assert {row["status"] for row in ranges(system, file)} == {"done", "cancelled"}


def test_one_range_that_always_fails(system, user, short):
    system.sql("""create function poison() returns trigger language plpgsql as $$ begin
                    if new.parent is not null and new.payload->>'range' like '4-%' then new.attempts := 1; new.max_attempts := 1; end if;
                    return new; end $$""")
    system.sql("create trigger poison before insert on jobs for each row execute function poison()")
    try:
        file = user.send("scan.pdf", "application/pdf", short)
        view = user.wait(file, 120)
    finally:
        system.sql("drop trigger poison on jobs")
        system.sql("drop function poison")
    bad, = [row for row in ranges(system, file) if row["status"] == "failed"]
    first, last = map(int, bad["range"].split("-"))
    assert bad["error_code"] == "attempts_exhausted" and first == 4
    listed = str(first) if first == last else f"{first}-{last}"
    result = whole(system, file)["result"]
    assert whole(system, file)["status"] == "done" and view["status"] == "ready"
    assert result["metrics"]["partial"] == 1 and result["metrics"]["failed_pages"] == listed
    assert {row["metadata"]["failed_pages"] for row in view["derivatives"] if row["kind"].startswith("ocr_")} == {listed}
    assert names_its_page(text_of(user, file), SHORT) == [not first <= page <= last for page in range(1, SHORT + 1)]


def test_drained_in_the_middle_and_started_again(system, user, scan, held):
    file = send_midway(system, user, scan)
    release(system, file)
    assert system.terminate() == 0
    system.start()
    kept = {row["id"]: row["finished_at"] for row in ranges(system, file) if row["status"] == "done"}
    assert kept and user.wait(file, 120)["status"] == "ready"
    rows = ranges(system, file)
    assert {row["status"] for row in rows} == {"done"} and sum(row["attempts"] for row in rows) == 0
    assert kept.items() <= {row["id"]: row["finished_at"] for row in rows}.items()
    assert names_its_page(text_of(user, file), PAGES) == [True] * PAGES


def test_what_must_hold_does(system):
    assert violations(system) == []
