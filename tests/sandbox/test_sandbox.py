# SPDX-License-Identifier: MIT
"""What a runner can't do, how each way to die is told apart, and what a nursery survives. Every probe is also tried
outside the sandbox: one that fails there as well proves nothing and is reported as void."""
import contextlib
import errno
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from driver import DRIVER, INSTRUMENTED, NURSERY, Driver, is_alive, kill, wait_until_gone

MIB = 1 << 20
PROBES = subprocess.run([DRIVER, "probes"], capture_output=True, text=True).stdout.split()
PROFILES = {"selftest": "compute", "selftest_data": "engine_data"}
# Answers that mean "refused" when a call is not ended outright.
REFUSALS = {errno.EACCES, errno.EPERM, errno.ENOSYS, errno.EAGAIN}
# Reading metadata of files is allowed where an engine reads its own data; contents are not.
ALLOWED = {("selftest_data", "stat_passwd"), ("selftest_data", "readlink")}
# Privileges, hardware or settings of the host that a control may lack, also as root.
MAY_BE_VOID = 25
# Linux lets these two pass before any filter is asked (kernel/seccomp.c, seccomp_uprobe_exception): they only mean
# something inside a trampoline that a tracer has set up, and end or do nothing elsewhere.
PASSED_BY_KERNEL = {335: "uretprobe", 336: "uprobe"}
NEVER_SWEPT = {"exit", "exit_group", "rt_sigreturn"}


def control(probe):
    done = subprocess.run([DRIVER, "control", probe], capture_output=True, text=True, timeout=30)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def controls():
    return {probe: control(probe) for probe in PROBES}


def test_enough_probes_are_valid(controls):
    void = {name: c for name, c in controls.items() if c["errno"] or c["signal"]}
    assert len(PROBES) > 100
    assert len(void) <= MAY_BE_VOID, void
    for needed in ("socket_inet", "execve", "fork", "thread", "ptrace_traceme", "kill_self", "memfd_create",
                   "mmap_exec", "open_passwd", "open_environ", "create", "io_uring_enter", "seccomp", "unshare"):
        assert needed not in void, void[needed]


@pytest.mark.parametrize("kind", PROFILES)
@pytest.mark.parametrize("probe", PROBES)
def test_probe_is_refused(driver, controls, tmp_path, kind, probe):
    if (kind, probe) in ALLOWED:
        pytest.skip("allowed by this profile, on purpose")
    output = tmp_path / "out"
    answer = driver.run(kind, {"probe": probe}, outputs=[str(output)])
    if answer["reason"] == "":
        assert json.loads(output.read_text())["errno"] in REFUSALS
    else:
        assert answer["reason"] == "sandbox_violation", answer
    if controls[probe]["errno"] or controls[probe]["signal"]:
        pytest.skip(f"refused, but void: the control gives {controls[probe]}")


def policy(profile):
    """{call number: answers of its rules that have no condition, or None where all depend on arguments}"""
    lines = subprocess.run([NURSERY, "policy", profile], capture_output=True, text=True, check=True).stdout
    rules = {}
    for line in lines.splitlines():
        name, number, action, *conditions = line.split()
        if name in NEVER_SWEPT:
            rules[int(number)] = "skip"
        elif all(c.endswith("=0x0") for c in conditions):
            rules[int(number)] = int(action)
        elif rules.get(int(number)) is None:
            rules[int(number)] = None
    return rules


@pytest.mark.parametrize("kind", PROFILES)
def test_sweep_equals_policy(driver, tmp_path, kind):
    """Every system call by number with zero arguments: what is in no row ends the process."""
    rules = policy(PROFILES[kind])
    output = tmp_path / "out"

    def differs(number, most_ms):
        answer = driver.run(kind, {"call": number}, outputs=[str(output)],
                            limits={"no_progress_ms": most_ms, "wall_ms": 7 * most_ms})
        killed = answer["reason"] == "sandbox_violation"
        rule = rules.get(number)
        if rule is None and not killed:
            return number, "not in the policy, lived", answer["reason"]
        if rule is not None and killed:
            return number, "in the policy, killed"
        if rule and json.loads(output.read_text())["errno"] != rule:
            return number, "another answer", output.read_text()
        return None

    numbers = [number for number in range(500) if rules.get(number) != "skip" and number not in PASSED_BY_KERNEL]
    late = [number for number in numbers if differs(number, 300)]  # or only ended before it came to the call
    assert not [wrong for number in late if (wrong := differs(number, 10000))]


def test_runner_has_nothing(driver, tmp_path):
    output = tmp_path / "out"
    answer = driver.run("selftest", {"inventory": True}, outputs=[str(output)])
    assert answer["metrics"]["descriptors"] == 2 + bool(INSTRUMENTED)  # result and output; the sanitizers' report
    names = {line.split("=", 1)[0] for line in output.read_text().splitlines()}
    secret = [n for n in names if any(word in n for word in ("KEY", "SECRET", "TOKEN", "DATABASE", "STORAGE", "PATH"))]
    assert not secret
    assert not answer["metrics"]["variables"] > 40


def test_runner_as_the_kernel_sees_it(driver):
    number = driver.start("selftest", {"act": "sleep", "amount": 60000}, limits={"no_progress_ms": 0, "wall_ms": 120000})
    pid = driver.runner(number)
    deadline = time.monotonic() + 60
    while True:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        if status["Seccomp"].strip() == "2" and status["State"].split()[0] == "S":  # it sleeps
            break
        assert time.monotonic() < deadline, status
        time.sleep(0.02)
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapInh"], 16) == 0
    assert status["Threads"].strip() == "1"
    if os.geteuid() == 0:
        assert status["Groups"].strip() == ""
        assert set(status["Uid"].split()) == {"65534"}
        assert sorted(os.listdir(f"/proc/{pid}/fd")) == [*(["2"] if INSTRUMENTED else []), "3", "4"]
    assert [line.split()[4] for line in limits.splitlines() if line.startswith("Max core file size")] == ["0"]
    assert [line.split()[2] for line in limits.splitlines() if line.startswith("Max processes")] == ["0"]
    driver.send({"cancel": number})
    assert driver.wait(number)["reason"] == "cancelled"


def test_layers_are_reported(driver):
    assert driver.ready["complete"] is True
    assert driver.ready["layers"].startswith("seccomp,landlock")


# --- each way to die has its name ---------------------------------------------------------------------------

DEATHS = [
    ("crash", {"act": "crash"}, {}),
    ("crash", {"act": "abort"}, {}),
    ("crash", {"act": "recurse"}, {}),
    ("crash", {"act": "exit", "amount": 7}, {}),
    ("timeout", {"act": "walk", "amount": 200}, {"wall_ms": 400}),
    ("no_progress", {"act": "sleep", "amount": 20000}, {"no_progress_ms": 400}),
    ("cpu_limit", {"act": "spin"}, {"cpu_seconds": 1, "wall_ms": 30000}),
    ("memory_limit", {"act": "allocate", "amount": 400 * MIB}, {"memory_bytes": 64 * MIB}),
    ("output_limit", {"act": "write", "amount": 8 * MIB}, {"output_bytes": MIB}),
    ("sandbox_violation", {"probe": "socket_inet"}, {}),
    ("bad_parameters", {"act": "no such act"}, {}),
]


@pytest.mark.parametrize("reason,parameters,limits", DEATHS)
def test_death_has_its_reason(driver, reason, parameters, limits):
    if INSTRUMENTED and reason == "memory_limit":
        pytest.skip("AddressSanitizer reserves terabytes: no limit holds")
    answer = driver.run("selftest", parameters, limits=limits)
    assert answer["reason"] == reason, answer


@pytest.mark.parametrize("act,amount,limits", [
    ("allocate", 32 * MIB, {"memory_bytes": 64 * MIB}),
    ("write", MIB // 2, {"output_bytes": MIB}),
    ("walk", 60, {"no_progress_ms": 2500}),  # 3 s, but it moves
    ("sleep", 200, {"no_progress_ms": 5000, "wall_ms": 10000}),
])
def test_below_the_limit_it_lives(driver, act, amount, limits):
    assert driver.act(act, amount, limits=limits)["reason"] == ""


def test_spinning_is_not_silence(driver):
    """One step may take as much processor time as there may be silence: a page that spins ends long before the whole."""
    answer = driver.act("spin", limits={"no_progress_ms": 300, "cpu_seconds": 20, "wall_ms": 30000})
    assert answer["reason"] == "cpu_limit" and "no step forward" in answer["end"]
    assert 300_000 <= answer["cpu_us"] < 10_000_000
    answer = driver.act("spin", limits={"no_progress_ms": 0, "cpu_seconds": 1, "wall_ms": 30000})
    assert answer["reason"] == "cpu_limit" and "XCPU" in answer["end"]


def test_cancel_is_prompt(driver):
    number = driver.start("selftest", {"act": "sleep", "amount": 20000}, limits={"no_progress_ms": 0})
    driver.runner(number)
    began = time.monotonic()
    driver.send({"cancel": number})
    assert driver.wait(number)["reason"] == "cancelled"
    assert time.monotonic() - began < 10


def test_killed_from_outside_is_memory(driver):
    """A SIGKILL that nobody here sent is the kernel's, out of memory."""
    number = driver.start("selftest", {"act": "sleep", "amount": 20000})
    kill(driver.runner(number))
    assert driver.wait(number)["reason"] == "memory_limit"


# --- a runner in an attacker's hands ------------------------------------------------------------------------

@pytest.mark.parametrize("act", ["huge_result", "long_result", "forged_reason", "forged_output", "forged_name"])
def test_hostile_result_is_refused(driver, act):
    assert driver.act(act)["reason"] == "bad_result"


@pytest.mark.parametrize("seed", range(40))
def test_garbage_result_is_refused(driver, seed):
    assert driver.act("garbage_result", seed)["reason"] == "bad_result"


def test_exit_without_result_is_refused(driver):
    assert driver.act("exit", 0)["reason"] == "bad_result"


def test_unwanted_output_is_not_written(driver):
    assert driver.run("selftest", {"probe": "fork"}, outputs=[None])["reason"] == "sandbox_violation"


# --- the nursery --------------------------------------------------------------------------------------------

def test_renewal_keeps_what_runs():
    with Driver(nursery_documents=5) as driver:
        long = driver.start("selftest", {"act": "walk", "amount": 30})
        pid = driver.runner(long)
        for _ in range(12):
            assert driver.run("noop")["reason"] == ""
        renewals = [e["generation"] for e in driver.events if e["event"] == "renewed"]
        assert renewals and renewals == sorted(renewals)
        answer = driver.wait(long)
        assert (answer["reason"], answer["pid"]) == ("", pid)
        assert driver.ready["pid"] == int(Path(f"/proc/{driver.ready['pid']}/stat").read_text().split()[0])


def test_renewal_keeps_deadlines():
    with Driver(nursery_documents=2) as driver:
        slow = driver.start("selftest", {"act": "walk", "amount": 200}, limits={"wall_ms": 1200})
        driver.runner(slow)
        for _ in range(4):
            driver.run("noop")
        assert any(e["event"] == "renewed" for e in driver.events)
        assert driver.wait(slow)["reason"] == "timeout"


def test_renewal_many_times():
    with Driver(nursery_documents=1) as driver:
        for _ in range(25):
            assert driver.run("noop")["reason"] == ""
        assert len([e for e in driver.events if e["event"] == "renewed"]) >= 20


def test_renewal_leaves_memory_alone():
    """A runner's room is counted beyond what its nursery had, which is another program an instant later."""
    with Driver(nursery_documents=1) as driver:
        for _ in range(20):
            answer = driver.act("allocate", 56 * MIB, limits={"memory_bytes": 64 * MIB})
            assert answer["reason"] == "", answer


def test_runners_die_with_the_nursery():
    driver = Driver()
    number = driver.start("selftest", {"act": "sleep", "amount": 60000}, limits={"no_progress_ms": 0})
    runner = driver.runner(number)
    assert is_alive(runner)
    kill(driver.ready["pid"])
    while not any(e["event"] == "gone" for e in driver.events):
        driver.read()
    assert wait_until_gone(runner)
    driver.process.stdin.close()
    assert driver.process.wait(timeout=60) == 3


def test_nursery_ends_with_its_worker():
    driver = Driver()
    number = driver.start("selftest", {"act": "sleep", "amount": 60000}, limits={"no_progress_ms": 0})
    runner, nursery = driver.runner(number), driver.ready["pid"]
    driver.process.send_signal(signal.SIGKILL)
    driver.process.wait()
    assert wait_until_gone(nursery) and wait_until_gone(runner)


def nurseries(driver):
    """Those that the first one has started, by program."""
    first = driver.ready["pid"]
    pids = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    return {Path(os.readlink(f"/proc/{pid}/exe")).name: int(pid) for pid in pids}


def read_text(driver, tmp_path):
    (tmp_path / "a.txt").write_text("one two three")
    answer = driver.run("extract_office", input=str(tmp_path / "a.txt"), mime="text/plain")
    assert answer["reason"] == "", answer


def test_a_family_starts_with_its_first_document(tmp_path):
    with Driver(nursery_documents=3) as driver:
        driver.run("noop")
        assert nurseries(driver) == {}
        read_text(driver, tmp_path)
        started = nurseries(driver)
        assert list(started) == ["filemill-nursery-text"]
        for _ in range(7):
            driver.run("noop")
        assert any(event["event"] == "renewed" for event in driver.events)
        for _ in range(4):
            read_text(driver, tmp_path)
        assert nurseries(driver) == started  # over renewals of both
    assert wait_until_gone(started["filemill-nursery-text"])


def test_a_family_maps_its_own_engines(driver, tmp_path):
    read_text(driver, tmp_path)
    first, text = (Path(f"/proc/{pid}/maps").read_text()
                   for pid in (driver.ready["pid"], nurseries(driver)["filemill-nursery-text"]))
    assert "libpoppler" in first and "libxml2" in text
    assert not any(library in first for library in ("libxml2", "libvips", "libavcodec"))
    assert not any(library in text for library in ("libpoppler", "libvips", "libavcodec"))


@pytest.mark.parametrize("victim", ["first", "filemill-nursery-text"])
def test_nurseries_end_together(tmp_path, victim):
    driver = Driver()
    read_text(driver, tmp_path)
    pids = {"first": driver.ready["pid"], **nurseries(driver)}
    kill(pids[victim])
    while not any(e["event"] == "gone" for e in driver.events):
        driver.read()
    assert all(wait_until_gone(pid) for pid in pids.values())
    driver.process.stdin.close()
    assert driver.process.wait(timeout=60) == 3


def test_cancel_reaches_every_family(tmp_path):
    """The one that has the document ends it, the others pass over it."""
    (tmp_path / "long.txt").write_text("one two three\n" * 400_000)
    with Driver() as driver:
        read_text(driver, tmp_path)

        def cancelled():
            number = driver.start("extract_office", input=str(tmp_path / "long.txt"), mime="text/plain")
            with contextlib.suppress(ProcessLookupError):
                os.kill(driver.runner(number), signal.SIGSTOP)
            driver.send({"cancel": number})
            return driver.wait(number)["reason"] == "cancelled"
        assert any(cancelled() for _ in range(5)), "it is always done before it is stopped"
        assert driver.run("noop")["reason"] == ""


def test_nursery_refuses_to_start_without_landlock():
    """Where the kernel answers ENOSYS, as an old one would: no start, unless told so."""
    hide = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=landlock_create_ruleset:error=ENOSYS"]
    if subprocess.run(["sh", "-c", "command -v strace"], capture_output=True).returncode != 0:
        pytest.skip("strace is not installed")
    environment = {"PATH": os.environ["PATH"], "NURSERY_PROGRAM": str(NURSERY), **INSTRUMENTED,
                   "LSAN_OPTIONS": "detect_leaks=0"}  # which would trace, too
    refused = subprocess.run([*hide, DRIVER], env=environment, input="", capture_output=True, text=True, timeout=60)
    assert refused.returncode == 4
    assert "sandbox incomplete" in refused.stderr
    allowed = subprocess.run([*hide, DRIVER], env={**environment, "FILEMILL_SANDBOX_REQUIRED": "off"}, input="",
                             capture_output=True, text=True, timeout=60)
    assert allowed.returncode == 0
    assert json.loads(allowed.stdout.splitlines()[0])["complete"] is False


def test_many_at_once(driver):
    numbers = [driver.start("noop") for _ in range(60)]
    assert [driver.wait(n)["reason"] for n in numbers] == [""] * 60
