# SPDX-License-Identifier: MIT
"""The supervisor from outside: real `filemill`, stand-ins for its services. Start, restart, stop."""
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from stand_ins import Node, alive, environment_of, get, parent_of
from system import PATIENCE, eventually


# -- start --------------------------------------------------------------------------------------------------------


def test_services_start_in_order_and_once(node):
    first = [name for name, _, event in node.events() if event == "start"][:7]
    assert first[:2] == ["filemill-store", "filemill-migrate"]
    assert sorted(first[2:5]) == ["filemill-scheduler", "filemill-worker", "filemill-worker"]
    assert first[5:] == ["filemill-gateway", "filemill-gateway"]
    assert node.service("migrate")["state"] == "done"
    assert node.service("gateway", 1)["state"] == "ready"


SECRETS = ("DATABASE_URL", "SECRET", "ACCESS_KEY", "PASSWORD")


@pytest.mark.parametrize("name,may_know", [("worker", ()), ("scheduler", ("DATABASE_URL", "SECRET", "ACCESS_KEY")),
                                           ("store", ("SECRET", "ACCESS_KEY")), ("migrate", ("DATABASE_URL",))])
def test_a_child_is_told_only_its_audience(node, name, may_know):
    pid = next(pid for program, pid, event in node.events(name) if event == "start")
    environment = environment_of(node.surroundings(name, pid))
    for variable in environment:
        for secret in SECRETS:
            assert secret not in variable or secret in may_know, f"{name} was told {variable}"
    assert "HOME" not in environment


@pytest.mark.parametrize("name,expected", [("worker", {0, 1, 2, 3, 4}), ("scheduler", {0, 1, 2, 3, 4, 5}),
                                           ("gateway", {0, 1, 2, 3, 4, 5, 6, 7}), ("migrate", {0, 1, 2})])
def test_a_child_holds_only_planned_descriptors(node, name, expected):
    pid = next(pid for program, pid, event in node.events(name) if event == "start")
    found = {int(line.split()[1]) for line in node.surroundings(name, pid).splitlines() if line.startswith("fd ")}
    assert found == expected


@pytest.mark.parametrize("name", ["gateway", "worker", "scheduler"])
def test_a_child_may_open_as_many_files_as_the_host_allows(node, name):
    limits = Path(f"/proc/{node.pid(name)}/limits").read_text()
    assert re.search(r"^Max open files +(\d+) +\1 ", limits, re.M), limits


def test_children_do_not_run_as_root(node):
    text = node.surroundings("worker", node.pid("worker"))
    uid = int(re.search(r"^uid (\d+)$", text, re.M).group(1))
    assert uid != 0
    if os.geteuid() != 0:
        assert uid == os.geteuid()


def test_secrets_and_socket_are_private(node):
    for path in (node.state / "secrets", node.state / "run" / "stats.sock", node.state / "run" / "instance.env"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert path.stat().st_uid == os.geteuid()
    assert "hidden-password" not in node.log()


def test_a_second_instance_is_refused(node):
    result = subprocess.run([node.bin / "filemill", "serve"], env=node.environment, capture_output=True, text=True,
                            timeout=20 * PATIENCE)
    assert result.returncode == 2
    assert f"in use by process {node.process.pid}" in result.stderr
    assert result.stderr.count("\n") == 1
    assert node.health()["status"] == "ready"


@pytest.mark.parametrize("setting,value,named", [
    ("FILEMILL_GATEWAY_PORT", "banana", "FILEMILL_GATEWAY_PORT"),
    ("FILEMILL_GATEWAY_PROT", "8080", "FILEMILL_GATEWAY_PROT"),
    ("FILEMILL_ROLES", "worker", "roles"),
    ("FILEMILL_ROLES", "gateway,wroker", "roles"),
    ("FILEMILL_USER", "nobody-of-this-name", "user"),
    ("FILEMILL_GATEWAY_ADDRESS", "example.com", "gateway-port"),
    ("FILEMILL_CONFIG", "/nowhere/at/all", "/nowhere/at/all"),
])
def test_a_bad_setting_is_one_line_and_no_start(setting, value, named):
    if setting == "FILEMILL_USER" and os.geteuid() != 0:
        pytest.skip("only root changes users")
    with Node() as bad:
        bad.spawn(**{setting: value})
        assert bad.process.wait(20 * PATIENCE) == 2
        lines = bad.log().strip().splitlines()
        assert len(lines) == 1 and named in lines[0], lines
        assert bad.events() == []


def test_a_port_in_use_is_refused(node):
    with Node() as other:
        other.spawn("--gateway-port", node.port)
        assert other.process.wait(20 * PATIENCE) == 2
        assert f"127.0.0.1:{node.port}" in other.log()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")
def test_a_state_directory_that_the_user_cannot_enter_is_refused():
    with Node() as bad:
        closed = bad.directory / "closed"
        closed.mkdir(mode=0o700)
        bad.spawn("--state-directory", closed / "state")
        assert bad.process.wait(20 * PATIENCE) == 2
        assert f"lies in {closed}, which user" in bad.log()


def test_a_long_state_directory_works():
    with Node() as node:
        node.state = node.directory / ("d" * 120) / "state"
        node.environment["FILEMILL_STATE_DIRECTORY"] = str(node.state)
        node.start()
        assert (node.state / "run").is_symlink()
        short = os.readlink(node.state / "run")
        assert json.loads(node.command("stats").stdout)["status"] == "ready"
        assert node.stop() == 0
        shutil.rmtree(short)


# -- restart ------------------------------------------------------------------------------------------------------


def test_a_killed_child_comes_back(node):
    before = node.service("scheduler")
    node.kill("scheduler")
    after = eventually(lambda: node.is_ready("scheduler", other_than=before["pid"]), 30, what="scheduler back")
    assert after["restarts"] == before["restarts"] + 1
    assert after["last_end"] == "signal 9 (KILL)"


def test_a_gateway_restart_refuses_no_connection():
    with Node() as node:
        node.start()
        first = node.kill("gateway")
        pids = {int(get(node).body) for _ in range(5)}  # these wait in the socket that the supervisor holds
        assert first not in pids


def test_totals_survive_a_restart():
    with Node() as node:
        node.start()
        for _ in range(3):
            get(node)
        name = 'filemill_http_requests_total{class="2xx"}'
        eventually(lambda: node.service("gateway")["counters"].get(name) == 3, 30)
        node.kill("gateway")
        get(node)
        eventually(lambda: node.service("gateway")["counters"].get(name) == 4, 30)


def test_quick_deaths_back_off_then_fail_and_the_rest_goes_on():
    with Node() as node:
        node.mode("worker", "die=0")
        node.start()
        failed = eventually(lambda: (s := node.service("worker"))["state"] == "failed" and s, 60, what="failed")
        starts = [event for _, _, event in node.events("worker") if event == "start"]
        assert len(starts) == 5 and failed["restarts"] == 5
        assert node.health() == {"status": "degraded", "failed_services": 1}
        assert get(node, "/ready").status == 503
        assert get(node, "/other").status == 200
        assert node.service("gateway")["state"] == "ready"
        time.sleep(0.5)
        assert len([event for _, _, event in node.events("worker") if event == "start"]) == 5
        # Rereading the configuration gives it another chance.
        node.mode("worker", "")
        node.process.send_signal(signal.SIGHUP)
        eventually(lambda: node.health() == {"status": "ready", "failed_services": 0}, 60, what="ready again")
        assert get(node, "/ready").status == 200
        assert node.stop() == 0


def test_waits_between_restarts_double():
    def waits():
        """Between what five processes, each of which dies at once, wrote first."""
        with Node() as node:
            node.mode("worker", "die=0")
            node.spawn()
            pids = eventually(lambda: len(found := [pid for _, pid, event in node.events("worker") if event == "start"]) == 5
                              and found, 60, what="five starts")
            times = [(node.bin / f"filemill-worker.{pid}").stat().st_mtime for pid in pids]
            return [after - before for before, after in zip(times, times[1:])]

    def is_short(found):
        assert all(wait >= least * 0.9 for wait, least in zip(found, (0.1, 0.2, 0.4, 0.8))), found
        return all(wait <= (least * 1.25 + 0.3) * PATIENCE for wait, least in zip(found, (0.1, 0.2, 0.4, 0.8)))
    assert any(is_short(waits()) for _ in range(5))


def test_a_schema_that_fails_is_tried_again_and_holds_back_the_rest():
    with Node() as node:
        node.mode("migrate", "die=0")
        node.spawn()
        eventually(lambda: len(node.events("migrate")) >= 3, 60, what="tried again")
        assert node.events("gateway") == []
        node.mode("migrate", "")
        eventually(node.serves, 60)


def test_a_missing_program_is_a_failed_service():
    with Node() as node:
        (node.bin / "filemill-worker").unlink()
        node.start()
        assert node.service("worker")["state"] == "failed"
        assert "state=not_started" in node.log()


# -- stop ---------------------------------------------------------------------------------------------------------


def test_drain_order_exit_status_and_no_leftovers():
    with Node(drain_ms=60000) as node:
        node.mode("worker", "hold orphan")
        node.mode("scheduler", "hold")
        node.start()
        children = node.descendants()
        node.process.send_signal(signal.SIGTERM)
        eventually(lambda: all(("term" in [e for _, _, e in node.events(name)]) for name in
                               ("worker", "scheduler", "gateway")), 30, what="all are asked")
        assert get(node).status == 200  # reads are answered while work finishes
        node.let_go()
        assert node.process.wait(20 * PATIENCE) == 0
        order = [(name.removeprefix("filemill-"), event) for name, _, event in node.events() if event != "start"]
        assert order.index(("gateway", "term")) < order.index(("worker", "end"))
        assert order.index(("worker", "end")) < order.index(("gateway", "term-again"))
        assert order.index(("gateway", "end")) < order.index(("store", "term"))
        assert [pid for pid in children if alive(pid)] == []
        assert not (node.state / "run" / "stats.sock").exists()


def test_a_second_signal_jumps_to_the_deadline():
    with Node(drain_ms=60000) as node:
        node.mode("worker", "deaf")
        node.start()
        worker = node.pid("worker")
        begin = time.monotonic()
        node.process.send_signal(signal.SIGTERM)
        eventually(lambda: ("filemill-worker", str(worker), "term") in node.events(), 30, what="the first signal")
        assert node.process.poll() is None and alive(worker)
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(30 * PATIENCE) == 0
        assert time.monotonic() - begin < 30 * PATIENCE
        assert ("filemill-worker", str(worker), "term-again") in node.events()
        assert not alive(worker)


def test_a_third_signal_kills_at_once():
    def seconds():
        with Node(drain_ms=60000) as node:
            node.mode("worker", "deaf")
            node.start()
            worker = node.pid("worker")
            for heard in ("term", "term-again"):
                node.process.send_signal(signal.SIGINT)
                eventually(lambda: ("filemill-worker", str(worker), heard) in node.events(), 30, what=heard)
            begin = time.monotonic()
            node.process.send_signal(signal.SIGINT)
            assert node.process.wait(20 * PATIENCE) == 0
            return time.monotonic() - begin
    assert any(seconds() < 2 * PATIENCE for _ in range(3))


def test_the_deadline_is_kept():
    with Node(drain_ms=500) as node:
        node.mode("worker", "deaf")
        node.start()
        begin = time.monotonic()
        assert node.stop() == 0
        assert 3 <= time.monotonic() - begin < 15 * PATIENCE


def test_a_stop_while_starting():
    with Node() as node:
        node.mode("scheduler", "never")
        node.spawn()
        eventually(lambda: node.events("scheduler"), 60)
        assert node.health()["status"] == "starting"
        assert node.stop() == 0
        assert node.events("gateway") == []


def test_children_die_with_a_killed_supervisor():
    with Node() as node:
        node.start()
        children = node.descendants()
        assert len(children) >= 4
        node.process.kill()
        node.process.wait()
        eventually(lambda: not any(alive(pid) for pid in children), 10, every=0.01, what="children gone")
        node.start()  # what the dead one left is no obstacle
        assert node.stop() == 0


def test_orphans_are_reaped():
    with Node() as node:
        node.mode("worker", "orphan")
        node.start()
        orphans = eventually(lambda: [pid for pid in node.descendants()
                                      if parent_of(pid) == node.process.pid and pid not in node.pids()], 30)
        os.kill(orphans[0], signal.SIGKILL)
        eventually(lambda: not Path(f"/proc/{orphans[0]}").exists(), 30, what="reaped")
        assert re.search(rb"^filemill_strangers_reaped_total [1-9]", node.ask(b"metrics\n"), re.M)


def inner_pid(pid):
    """What a process is called in its own namespace."""
    return int(re.search(r"^NSpid:.*\t(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.M).group(1))


def test_as_process_1_it_serves_reaps_and_drains():
    enter = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*enter, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this system lets us make no process namespace")
    with Node() as node:
        node.mode("worker", "orphan")
        node.spawn(before=enter)
        eventually(node.serves, 60, what="serving")
        assert node.stats()["pid"] == 1
        init = next(pid for pid in node.descendants() if parent_of(pid) == node.process.pid)
        known = node.pids()  # as they are called in there
        orphan = eventually(lambda: [pid for pid in node.descendants() if parent_of(pid) == init
                                     and inner_pid(pid) not in known], 30, what="what the worker left behind")[0]
        os.kill(orphan, signal.SIGKILL)
        eventually(lambda: not Path(f"/proc/{orphan}").exists(), 30, what="reaped")
        assert re.search(rb"^filemill_strangers_reaped_total [1-9]", node.ask(b"metrics\n"), re.M)
        children = node.descendants()
        os.kill(init, signal.SIGTERM)
        assert node.process.wait(30 * PATIENCE) == 0
        assert not any(alive(pid) for pid in children)


def test_no_descriptor_is_leaked(node):
    def count():
        return len(os.listdir(f"/proc/{node.process.pid}/fd"))

    def least():
        """Whoever asks something has one for a moment."""
        return min((time.sleep(0.02), count())[1] for _ in range(20))

    eventually(lambda: node.health()["status"] == "ready", 60)
    before = least()
    for _ in range(3):
        for name in ("scheduler", "store"):
            pid = node.kill(name)
            eventually(lambda: node.is_ready(name, other_than=pid), 60)
        node.ask(b"metrics\n")
    generation = node.stats()["generation"]
    node.process.send_signal(signal.SIGHUP)
    eventually(lambda: node.is_renewed(generation + 1), 60, what="renewed")
    eventually(lambda: count() <= before, 30, what=f"{before} descriptors")
