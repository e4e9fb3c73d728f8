"""Kill -9 of each process mid-load, a Postgres restart, and SIGTERM under load: every file ends ready, nothing twice,
nothing stuck, nothing left behind. Each case first proves that its fault hit a system at work."""
import concurrent.futures
import os
import signal
import subprocess
import time

import pytest
from invariants import violations
from system import SAMPLES, System, eventually, one_page_pdf, pdf_of, strike

FILES = int(os.environ.get("FILEMILL_TEST_FILES", "200"))
QUICK = {"backoff_unit_ms": 200, "lease_ms": 5000, "worker_slots": 2}


@pytest.fixture
def system():
    """Each case has its own: deaths in a row would add up to a failed service, and rightly so."""
    with System(**QUICK) as running:
        yield running


def send_all(user, count):
    """Uploads that many one-page documents from eight clients; a client repeats what a restart cut off."""
    def one(number):
        data = one_page_pdf(f"document {number}")
        for _ in range(200):
            try:
                init = user.init(f"{number}.pdf", "application/pdf", len(data))
                if init.status == 200 and user.put(init.json, data).status in (200, 204):
                    break
            except OSError:
                pass
            time.sleep(0.1)
        else:
            raise AssertionError("could not upload")
        for _ in range(200):
            try:
                answer = user.finalize(init.json["file_id"])
                if answer.status == 200:
                    return init.json["file_id"]
                assert answer.status >= 500, answer
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError("could not finalize")

    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        return list(clients.map(one, range(count)))


def at_rest(system, user, files, seconds=120):
    def open_jobs():
        try:
            row, = system.sql("select count(*) as n from jobs where status not in ('done', 'failed', 'cancelled')")
        except Exception:
            return False
        return row["n"] == 0
    eventually(open_jobs, seconds, every=0.25, what="all jobs finished")
    states = {row["id"]: row["status"] for row in system.sql("select id::text, status from files")}
    assert {states[file] for file in files} == {"ready"}
    assert violations(system) == []


def processes(system, program):
    """Program names as users know them; a runner is a fork of the nursery, which has started those of other families."""
    if program not in ("runner", "filemill-nursery"):
        return system.pids(program)
    nurseries = system.pids("filemill-nursery")
    if program == "runner":
        return [pid for pid in nurseries if name_of(pid, "comm") == "filemill-runner"]
    return [pid for pid in nurseries if parent(pid) not in nurseries]


def name_of(pid, file="cmdline"):
    try:
        with open(f"/proc/{pid}/{file}") as text:
            return os.path.basename(text.read().split("\0")[0].strip())
    except OSError:
        return ""


def left_of(processes):
    """Those that are still there, of (pid, name): another process may have the number by now. One that is ending has
    no name any more, and may have its ports."""
    return [(pid, name) for pid, name in processes if os.path.exists(f"/proc/{pid}") and name_of(pid) in ("", name)]


def parent(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return int(stat.read().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def kill_mid_load(system, program, seconds):
    """Three rounds, within so many seconds of the first."""
    user = system.user().bootstrap()
    with concurrent.futures.ThreadPoolExecutor(1) as background:
        load = background.submit(send_all, user, FILES)
        eventually(lambda: system.sql("select 1 from jobs where tenant_id = %s and status = 'running'", user.tenant),
                   every=0.01, what="work in flight")
        killed, first = 0, None
        for _ in range(3):
            victims = eventually(lambda: processes(system, program), every=0.002, what=f"a live {program}")
            if time.monotonic() - (first or time.monotonic()) > seconds:
                break
            for pid in victims:
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
                    first = first or time.monotonic()
                except ProcessLookupError:
                    pass
            time.sleep(0.7)
        files = load.result(timeout=240)
    at_rest(system, user, files)
    return killed


@pytest.mark.parametrize("program", ["filemill-gateway", "filemill-scheduler", "filemill-worker", "filemill-nursery",
                                     "filemill-store"])
def test_kill_mid_load(system, program):
    assert kill_mid_load(system, program, 90) >= 3, "the fault did not fire"


def long_pdf(pages, text):
    """So many pages that its runner is still there when it is looked for."""
    stream = f"BT /F1 18 Tf 72 720 Td ({text}) Tj ET".encode()
    kids = " ".join(f"{number} 0 R" for number in range(5, 5 + pages)).encode()
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 3 0 R/Resources<</Font<</F1 4 0 R>>>>>>"
    return pdf_of([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, pages),
                   b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
                   b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"] + [page] * pages)


def test_kill_runners_mid_load():
    """A runner's death is its document's own: two of them, and those bytes are quarantined. So the killing stops at
    the first that counted, no document is hit twice, and every one must end ready."""
    with System(**{**QUICK, "backoff_unit_ms": 6000, "backoff_jitter_percent": 0}) as system:
        user = system.user().bootstrap()

        def kill():
            for pid in processes(system, "runner"):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return system.sql("select 1 from jobs where attempts > 0")

        with concurrent.futures.ThreadPoolExecutor(1) as background:
            load = background.submit(send_all, user, FILES)
            files = [user.send(f"long-{number}.pdf", "application/pdf", long_pdf(1500, f"long {number}"))
                     for number in range(4)]
            eventually(kill, every=0.02, what="a runner killed at its document")
            files += load.result(timeout=240)
        at_rest(system, user, files)
        assert {row["attempts"] for row in system.sql("select attempts from jobs where attempts > 0")} == {1}


def test_postgres_restart_mid_load(system):
    user = system.user().bootstrap()
    with concurrent.futures.ThreadPoolExecutor(1) as background:
        load = background.submit(send_all, user, FILES)
        eventually(lambda: system.sql("select 1 from jobs where tenant_id = %s and status = 'running'", user.tenant),
                   30, every=0.01, what="work in flight")
        postmasters = [pid for pid in system.pids("postgres") if parent(pid) == system.process.pid]
        assert postmasters, "no embedded postmaster found"
        os.kill(postmasters[0], signal.SIGQUIT)  # immediate shutdown: as a crash, with recovery at the next start
        files = load.result(timeout=240)
    at_rest(system, user, files)


def test_whole_tree_killed_and_started_again(system):
    user = system.user().bootstrap()
    files = send_all(user, 40)
    family = system.descendants()
    system.process.kill()
    system.process.wait()
    eventually(lambda: not left_of(family), what="children gone")
    system.start()
    at_rest(system, user, files)


def test_terminate_under_load():
    """SIGTERM in the middle: exit 0, nothing lost, no stray process or file; the next start finishes the rest."""
    with System(**QUICK) as system:
        user = system.user().bootstrap()
        files = send_all(user, 60)

        def still_busy():
            files.append(user.send("long.pdf", "application/pdf", long_pdf(1500, f"long {len(files)}")))
            return system.sql("select 1 from jobs where status in ('queued', 'running')")
        family = system.descendants()
        eventually(still_busy, every=0, what="work under way")
        assert system.terminate() == 0
        eventually(lambda: not left_of(family), what="no stray process")
        assert not [path for path in system.directory.rglob("*.tmp")]
        system.start()
        assert not system.sql("select id from jobs where attempts > 0"), "a drain counts as no attempt"
        at_rest(system, user, files)


def test_second_terminate_jumps_to_the_deadline():
    with System(**QUICK, drain_ms=60000) as system:
        user = system.user().bootstrap()
        strike(system.pids("filemill-nursery"), signal.SIGSTOP)  # whatever runs now will not finish by itself
        user.send("mill.pdf", "application/pdf", (SAMPLES / "mill.pdf").read_bytes())
        eventually(lambda: system.sql("select 1 from jobs where status = 'running'"), what="a running job")
        started = time.monotonic()
        system.process.send_signal(signal.SIGTERM)
        eventually(lambda: "state=draining" in system.log(), what="the drain")
        with pytest.raises(subprocess.TimeoutExpired):
            system.process.wait(1.5)
        assert system.terminate(55) == 0
        assert time.monotonic() - started < 58
