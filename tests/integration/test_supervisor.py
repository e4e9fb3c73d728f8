# SPDX-License-Identifier: MIT
"""The supervisor from outside: real `filemill`, stand-ins for its services (dummy_service.c) but where it says so."""
import contextlib
import json
import os
import pwd
import random
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from system import BUILD, PATIENCE, eventually, fetch, free_port

PROGRAMS = ("gateway", "scheduler", "worker", "store", "migrate")


def dummy_program():
    found = [BUILD / "dummy_service", *BUILD.glob("tests/integration/dummy_service")]
    found = [path for path in found if path.is_file()]
    assert found, f"dummy_service is not below {BUILD}: build it, or set FILEMILL_BUILD"
    return found[0]


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def as_a_shell_begins():
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


class Node:
    """`filemill serve` with stand-ins in a folder of its own. `real` names services that are not stood in for."""

    def __init__(self, real=(), external_database=True, **settings):
        self.directory = Path(tempfile.mkdtemp(prefix="fmsup-"))
        self.directory.chmod(0o755)
        self.bin = self.directory / "bin"
        self.bin.mkdir()
        self.bin.chmod(0o777)  # the stand-ins write here, as whoever they run as
        shutil.copy(BUILD / "filemill", self.bin / "filemill")
        for name in PROGRAMS:
            source = BUILD / f"filemill-{name}" if name in real else dummy_program()
            shutil.copy(source, self.bin / f"filemill-{name}")
        (self.bin / "events").touch()
        (self.bin / "events").chmod(0o666)
        self.port, self.store_port = free_port(), free_port()
        self.state = self.directory / "state"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "FILEMILL_STATE_DIRECTORY": str(self.state),
            "FILEMILL_GATEWAY_PORT": str(self.port),
            "FILEMILL_STORE_PORT": str(self.store_port),
            "FILEMILL_DRAIN_MS": "5000",
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                self.environment[name] = os.environ[name]
        if external_database:
            self.environment["DATABASE_URL"] = "postgresql://owner:hidden-password@127.0.0.1:1/none"
        self.environment.update({f"FILEMILL_{key.upper()}": str(value) for key, value in settings.items()})
        self.process = None
        self.log_path = self.directory / "log"

    def mode(self, name, words):
        (self.bin / f"filemill-{name}.mode").write_text(words)

    def spawn(self, *arguments, **more):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([self.bin / "filemill", "serve", *map(str, arguments)], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, cwd=self.directory,
                                            env={**self.environment, **more}, start_new_session=True,
                                            preexec_fn=as_a_shell_begins)
        return self

    def start(self, *arguments, **more):
        self.spawn(*arguments, **more)
        eventually(self.serves, 60, what="serving")
        return self

    def serves(self):
        assert self.process.poll() is None, f"serve exited {self.process.returncode}:\n{self.log()[-3000:]}"
        return self.health()["status"] in ("ready", "degraded")

    def health(self):
        result = self.command("health", check=False)
        return json.loads(result.stdout) if result.stdout else {"status": "none"}

    def command(self, *arguments, check=True, **more):
        result = subprocess.run([self.bin / "filemill", *map(str, arguments)], env={**self.environment, **more},
                                capture_output=True, text=True, timeout=60 * PATIENCE, cwd=self.directory)
        assert not check or result.returncode == 0, f"{arguments}: {result.returncode} {result.stderr}"
        return result

    def ask(self, data, timeout=10):
        """What the socket answers to raw bytes."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(timeout * PATIENCE)
            client.connect(str(self.state / "run" / "stats.sock"))
            answer = b""
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while chunk := client.recv(65536):
                    answer += chunk
            return answer

    def stats(self):
        return json.loads(self.ask(b"stats\n"))

    def service(self, name, index=0):
        for service in self.stats()["services"]:
            if service["name"] == name and service["index"] == index:
                return service
        return None

    def pid(self, name, index=0):
        return self.service(name, index)["pid"]

    def events(self, name=None):
        lines = [line.split() for line in (self.bin / "events").read_text().splitlines()]
        return [tuple(line) for line in lines if name is None or line[0] == f"filemill-{name}"]

    def surroundings(self, name, pid):
        path = self.bin / f"filemill-{name}.{pid}"
        return eventually(lambda: path.exists() and path.read_text().endswith("end\n") and path.read_text(), 10)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def descendants(self):
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                    parents.setdefault(int(fields[1]), []).append(int(entry.name))
        found, todo = [], [self.process.pid]
        while todo:
            for pid in parents.get(todo.pop(), []):
                found.append(pid)
                todo.append(pid)
        return found

    def stop(self, timeout=30):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout * PATIENCE)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20 * PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is not None:
            print(self.log()[-6000:])
        self.close()


def get(node, path="/"):
    return fetch("GET", f"http://127.0.0.1:{node.port}{path}", timeout=5)


@pytest.fixture(scope="module")
def node():
    """One node for the tests that leave it as they found it."""
    with Node(gateway_processes=2, worker_processes=2) as running:
        yield running.start()


# -- start -------------------------------------------------------------------------------------------------------


def test_services_start_in_order_and_once(node):
    first = [name for name, _, event in node.events() if event == "start"][:7]
    assert first[:2] == ["filemill-store", "filemill-migrate"]
    assert sorted(first[2:5]) == ["filemill-scheduler", "filemill-worker", "filemill-worker"]
    assert first[5:] == ["filemill-gateway", "filemill-gateway"]
    assert node.service("migrate")["state"] == "done"
    assert node.service("gateway", 1)["state"] == "ready"


def environment_of(text):
    return dict(line[4:].split("=", 1) for line in text.splitlines() if line.startswith("env "))


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


# -- restart -----------------------------------------------------------------------------------------------------


def test_a_killed_child_comes_back(node):
    before = node.service("scheduler")
    os.kill(before["pid"], signal.SIGKILL)
    after = eventually(lambda: (s := node.service("scheduler"))["state"] == "ready" and s["pid"] != before["pid"] and s,
                       10, what="scheduler back")
    assert after["restarts"] == before["restarts"] + 1
    assert after["last_end"] == "signal 9 (KILL)"


def test_a_gateway_restart_refuses_no_connection():
    with Node() as node:
        node.start()
        first = node.pid("gateway")
        os.kill(first, signal.SIGKILL)
        pids = {int(get(node).body) for _ in range(5)}  # these wait in the socket that the supervisor holds
        assert first not in pids


def test_totals_survive_a_restart():
    with Node() as node:
        node.start()
        for _ in range(3):
            get(node)
        name = 'filemill_http_requests_total{class="2xx"}'
        eventually(lambda: node.service("gateway")["counters"].get(name) == 3, 5)
        os.kill(node.pid("gateway"), signal.SIGKILL)
        get(node)
        eventually(lambda: node.service("gateway")["counters"].get(name) == 4, 5)


def test_quick_deaths_back_off_then_fail_and_the_rest_goes_on():
    with Node() as node:
        node.mode("worker", "die=0")
        node.start()
        failed = eventually(lambda: (s := node.service("worker"))["state"] == "failed" and s, 20, what="failed")
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
        eventually(lambda: node.health() == {"status": "ready", "failed_services": 0}, 20, what="ready again")
        assert get(node, "/ready").status == 200
        assert node.stop() == 0


def test_waits_between_restarts_double():
    with Node() as node:
        node.mode("worker", "die=0")
        times = []
        node.spawn()
        while len(times) < 5:
            starts = len([e for _, _, e in node.events("worker") if e == "start"])
            while len(times) < starts:
                times.append(time.monotonic())
            assert node.process.poll() is None
            time.sleep(0.005)
        waits = [after - before for before, after in zip(times, times[1:])]
        for wait, least in zip(waits, (0.1, 0.2, 0.4, 0.8)):
            assert least * 0.8 <= wait <= (least * 1.25 + 0.3) * PATIENCE, waits


def test_a_schema_that_fails_is_tried_again_and_holds_back_the_rest():
    with Node() as node:
        node.mode("migrate", "die=0")
        node.spawn()
        eventually(lambda: len(node.events("migrate")) >= 3, 20, what="tried again")
        assert node.events("gateway") == []
        node.mode("migrate", "")
        eventually(node.serves, 20)


def test_a_missing_program_is_a_failed_service():
    with Node() as node:
        (node.bin / "filemill-worker").unlink()
        node.start()
        assert node.service("worker")["state"] == "failed"
        assert "state=not_started" in node.log()


# -- stop --------------------------------------------------------------------------------------------------------


def test_drain_order_exit_status_and_no_leftovers():
    with Node() as node:
        node.mode("worker", "drain=600 orphan")
        node.mode("scheduler", "drain=600")
        node.start()
        children = node.descendants()
        node.process.send_signal(signal.SIGTERM)
        eventually(lambda: any(e == "term" for _, _, e in node.events("worker")), 5)
        assert get(node).status == 200  # reads are answered while work finishes
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
        time.sleep(1)
        assert node.process.poll() is None and alive(worker)
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(30 * PATIENCE) == 0
        assert time.monotonic() - begin < 12 * PATIENCE
        assert ("filemill-worker", str(worker), "term-again") in node.events()
        assert not alive(worker)


def test_a_third_signal_kills_at_once():
    with Node(drain_ms=60000) as node:
        node.mode("worker", "deaf")
        node.start()
        begin = time.monotonic()
        for _ in range(3):
            node.process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        assert node.process.wait(20 * PATIENCE) == 0
        assert time.monotonic() - begin < 2.5 * PATIENCE


def test_the_deadline_is_kept():
    with Node(drain_ms=500) as node:
        node.mode("worker", "deaf")
        node.start()
        begin = time.monotonic()
        assert node.stop() == 0
        assert 3 <= time.monotonic() - begin < 8 * PATIENCE


def test_a_stop_while_starting():
    with Node() as node:
        node.mode("scheduler", "never")
        node.spawn()
        eventually(lambda: node.events("scheduler"), 20)
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
        eventually(lambda: not any(alive(pid) for pid in children), 1, every=0.01, what="children gone")
        node.start()  # what the dead one left is no obstacle
        assert node.stop() == 0


def test_orphans_are_reaped():
    with Node() as node:
        node.mode("worker", "orphan")
        node.start()
        orphans = eventually(lambda: [pid for pid in node.descendants()
                                      if parent_of(pid) == node.process.pid and pid not in node_pids(node)], 10)
        os.kill(orphans[0], signal.SIGKILL)
        eventually(lambda: not Path(f"/proc/{orphans[0]}").exists(), 5, what="reaped")
        assert re.search(rb"^filemill_strangers_reaped_total [1-9]", node.ask(b"metrics\n"), re.M)


def parent_of(pid):
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def start_time(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19])


def node_pids(node):
    return {service["pid"] for service in node.stats()["services"]}


def test_as_process_1_it_serves_reaps_and_drains():
    enter = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*enter, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this system lets us make no process namespace")
    with Node() as node:
        node.mode("worker", "orphan")
        with open(node.log_path, "ab") as log:
            node.process = subprocess.Popen([*enter, node.bin / "filemill", "serve"], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, cwd=node.directory, env=node.environment)
        eventually((node.state / "run" / "stats.sock").exists, 20, what="socket")
        eventually(lambda: node.stats()["status"] == "ready", 30)
        assert node.stats()["pid"] == 1
        init = next(pid for pid in node.descendants() if parent_of(pid) == node.process.pid)
        orphan = eventually(lambda: [pid for pid in node.descendants() if parent_of(pid) == init
                                     and Path(f"/proc/{pid}/comm").read_text() == "filemill-worker\n"], 10)
        assert len(orphan) == 2  # the worker and what it left behind
        youngest = max(orphan, key=start_time)
        os.kill(youngest, signal.SIGKILL)
        eventually(lambda: not Path(f"/proc/{youngest}").exists(), 5, what="reaped")
        assert re.search(rb"^filemill_strangers_reaped_total [1-9]", node.ask(b"metrics\n"), re.M)
        children = node.descendants()
        os.kill(init, signal.SIGTERM)
        assert node.process.wait(30 * PATIENCE) == 0
        assert not any(alive(pid) for pid in children)


def test_no_descriptor_is_leaked(node):
    def count():
        return len(os.listdir(f"/proc/{node.process.pid}/fd"))

    eventually(lambda: node.health()["status"] == "ready", 20)
    before = count()
    for _ in range(3):
        for name in ("scheduler", "store"):
            pid = node.pid(name)
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: (s := node.service(name))["state"] == "ready" and s["pid"] != pid, 20)
        node.ask(b"metrics\n")
    node.process.send_signal(signal.SIGHUP)
    generation = node.stats()["generation"]
    eventually(lambda: node.stats()["generation"] > generation - 1 and "event=renewed generation" in node.log(), 20)
    eventually(lambda: count() == before, 15, what=f"{before} descriptors")


# -- reload and scale --------------------------------------------------------------------------------------------


class Load:
    """Requests without end; every failure is kept."""

    def __init__(self, node):
        self.node, self.failures, self.count = node, [], 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopping.is_set():
            try:
                assert get(self.node).status == 200
                self.count += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, the test reports it
                self.failures.append(repr(error))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()


def test_a_reload_renews_every_child_without_dropping_a_request():
    with Node(gateway_processes=2) as node:
        config = node.directory / "settings.env"
        config.write_text("# comment\nFILEMILL_RATE_PER_MINUTE=5\nexport LOG_LEVEL='info'\n")
        node.start("--config", config)
        old = {(s["name"], s["index"]): s["pid"] for s in node.stats()["services"]}
        with Load(node) as load:
            time.sleep(0.3)
            config.write_text("FILEMILL_RATE_PER_MINUTE=77\nWORKER_PROCESSES=1\n")
            node.process.send_signal(signal.SIGHUP)
            eventually(lambda: "event=renewed generation=2" in node.log(), 30, what="renewed")
            time.sleep(0.5)
        assert load.failures == [] and load.count > 20
        for service in node.stats()["services"]:
            key = (service["name"], service["index"])
            if key[0] != "migrate":
                assert service["pid"] != old[key] and service["generation"] == 2, key
        gateway = node.pid("gateway")
        assert environment_of(node.surroundings("gateway", gateway))["FILEMILL_RATE_PER_MINUTE"] == "77"
        assert ("filemill-gateway", str(old["gateway", 0]), "retire") in node.events()


@pytest.mark.parametrize("line,named", [("FILEMILL_GATEWAY_PORT=banana", "FILEMILL_GATEWAY_PORT"),
                                        ("FILEMILL_NO_SUCH=1", "FILEMILL_NO_SUCH"), ("not a line", "line 1"),
                                        ("FILEMILL_ROLES=gateway,scheduler,store", "roles"),
                                        ("X='unclosed", "line 1")])
def test_a_bad_reload_changes_nothing(line, named):
    with Node() as node:
        config = node.directory / "settings.env"
        config.write_text("")
        for name in ("FILEMILL_GATEWAY_PORT",):
            config.write_text(f"{name}={node.environment.pop(name)}\n")
        node.start("--config", config)
        before = node_pids(node)
        config.write_text(line + "\n")
        node.process.send_signal(signal.SIGHUP)
        eventually(lambda: "event=reload_refused" in node.log(), 10)
        refusals = [text for text in node.log().splitlines() if "reload_refused" in text]
        assert len(refusals) == 1 and named in refusals[0]
        time.sleep(0.3)
        assert node_pids(node) == before and node.stats()["generation"] == 1


def test_a_reload_can_move_the_port_and_add_gateways():
    with Node() as node:
        config = node.directory / "settings.env"
        config.write_text(f"FILEMILL_GATEWAY_PORT={node.environment.pop('FILEMILL_GATEWAY_PORT')}\n")
        node.start("--config", config)
        old_port, node.port = node.port, free_port()
        config.write_text(f"FILEMILL_GATEWAY_PORT={node.port}\nFILEMILL_GATEWAY_PROCESSES=3\n")
        assert node.command("reload").stdout == "ok\n"
        eventually(lambda: "event=renewed generation=2" in node.log(), 30)
        eventually(lambda: (s := node.service("gateway", 2)) and s["state"] == "ready", 10)
        assert get(node).status == 200
        with pytest.raises(OSError):
            eventually(lambda: fetch("GET", f"http://127.0.0.1:{old_port}/", timeout=5) and False, 3)


def test_a_renewal_that_does_not_get_ready_leaves_the_old_one_serving():
    with Node() as node:
        node.start()
        old = node.pid("gateway")
        node.mode("gateway", "die=0 never")
        node.process.send_signal(signal.SIGHUP)
        eventually(lambda: "event=renewal_given_up" in node.log(), 20)
        assert node.pid("gateway") == old
        assert int(get(node).body) == old


def test_scale_workers_and_slots():
    with Node() as node:
        node.start()
        first = node.pid("worker")
        node.command("scale", "workers=3")
        eventually(lambda: [s["state"] for s in node.stats()["services"] if s["name"] == "worker"] == ["ready"] * 3, 20)
        assert node.pid("worker") == first
        gateway = node.pid("gateway")
        node.command("scale", "workers=1", "slots=7")
        eventually(lambda: node.pid("worker") not in (first, 0) and node.service("worker")["state"] == "ready", 20)
        eventually(lambda: node.service("worker", 1) is None and node.service("worker", 2) is None, 20)
        assert environment_of(node.surroundings("worker", node.pid("worker")))["FILEMILL_WORKER_SLOTS"] == "7"
        assert node.pid("gateway") == gateway
        assert node.stop() == 0


def test_the_service_manager_is_told():
    with Node() as node, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        path = str(node.directory / "notify")
        manager.bind(path)
        manager.settimeout(20 * PATIENCE)
        heard = []

        def wait_for(line):
            while not any(line in message for message in heard):
                heard.append(manager.recv(4096).decode().splitlines())
            heard.clear()

        node.spawn(NOTIFY_SOCKET=path, WATCHDOG_USEC="400000")
        wait_for("READY=1")
        begin = time.monotonic()
        for _ in range(3):
            wait_for("WATCHDOG=1")
        assert time.monotonic() - begin < 2 * PATIENCE
        node.process.send_signal(signal.SIGHUP)
        wait_for("RELOADING=1")
        wait_for("READY=1")
        node.process.send_signal(signal.SIGTERM)
        wait_for("STOPPING=1")
        assert node.process.wait(20 * PATIENCE) == 0


# -- operators ---------------------------------------------------------------------------------------------------


def test_stats_is_json_with_notes(node):
    stats = node.stats()
    assert stats["version"] == node.command("version").stdout.split()[1]
    assert stats["pid"] == node.process.pid and stats["status"] == "ready"
    assert node.service("worker")["note"] == 'a note with a "quote"'
    assert json.loads(node.command("stats").stdout)["pid"] == node.process.pid


def test_metrics_are_prometheus_text(node):
    text = node.command("metrics").stdout
    typed = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            assert name not in typed, f"{name} is typed twice"
            assert kind in ("counter", "gauge", "histogram") and (kind == "counter") == name.endswith("_total")
            typed.add(name)
        elif not line.startswith("# HELP "):
            match = re.fullmatch(r'([a-z_0-9]+)(\{([a-z_]+="[^"]*",?)*\})? [0-9.]+', line)
            assert match, line
            assert re.sub("_(bucket|sum|count)$", "", match.group(1)) in typed or match.group(1) in typed, line
    assert 'filemill_service_up{service="gateway",instance="1"} 1' in text
    assert re.search(r'filemill_http_requests_total\{class="2xx",service="gateway",instance="0"\} \d+', text)


def test_questions_reach_the_scheduler(node):
    assert node.command("pause", "thumbnail").stdout == "ok pause thumbnail\n"
    assert node.command("resume", "thumbnail").stdout == "ok resume thumbnail\n"
    assert node.command("jobs").stdout == "ok jobs\n"


def test_a_scheduler_that_dies_owes_an_answer():
    with Node() as node:
        node.mode("scheduler", "silent")
        node.start()
        answers = []
        thread = threading.Thread(target=lambda: answers.append(node.ask(b"jobs\n")))
        thread.start()
        time.sleep(0.3)
        os.kill(node.pid("scheduler"), signal.SIGKILL)
        thread.join(8 * PATIENCE)
        assert answers and answers[0].startswith(b"error ")
        assert eventually(lambda: node.health()["status"] == "ready", 10)


BAD_LINES = [b"\n", b"   \n", b"nonsense\n", b"STATS\n", b"stats now\n", b"workers\n", b"workers -1\n", b"workers 1e3\n",
             b"workers 99999999999999999999\n", b"slots 257\n", b"pause\n", b"pause a b\n", b"pause \xff\xfe\n",
             b"pause ../../x\n", b"pause " + b"x" * 100 + b"\n", b"\0\n", b"stats\0\n", b"%s%s%n\n", b"x" * 4096 + b"\n",
             b"x" * 5000, b"y" * 300000 + b"\n", b"\x1b[2J\n", b"error\n", b"=1 ok\n"]


@pytest.mark.parametrize("line", BAD_LINES, ids=lambda line: repr(line[:24]))
def test_bad_input_gets_an_error_line(node, line):
    answer = node.ask(line)
    assert answer.startswith(b"error ") and answer.endswith(b"\n") and answer.count(b"\n") == 1, answer
    assert all(0x20 <= byte < 0x7f for byte in answer[:-1])


def test_random_bytes_do_no_harm(node):
    seed = int(os.environ.get("FILEMILL_TEST_SEED", "4711"))
    source = random.Random(seed)
    before = node_pids(node)
    words = [b"stats", b"health", b"workers", b"pause", b"resume", b"jobs", b" ", b"\n", b"\0", b"1", b"\xff"]
    for _ in range(300):
        data = b"".join(source.choice(words) if source.random() < 0.6 else source.randbytes(source.randrange(9))
                        for _ in range(source.randrange(8)))
        if b"workers" in data:
            data = data.replace(b"workers 1", b"workers x")
        node.ask(data)
    assert node_pids(node) == before, f"seed {seed}"


def test_many_and_idle_clients_do_not_block_others(node):
    path = str(node.state / "run" / "stats.sock")
    with contextlib.ExitStack() as stack:
        for _ in range(25):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(path)
            client.send(b"sta")
        assert node.stats()["status"] == "ready"
        for _ in range(20):  # beyond the limit: refused with a word, not kept waiting
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(5)
            client.connect(path)
    assert node.stats()["status"] == "ready"


def test_the_socket_drains():
    with Node() as node:
        node.start()
        assert node.command("drain").stdout == "ok draining\n"
        assert node.process.wait(20 * PATIENCE) == 0


# -- the command line --------------------------------------------------------------------------------------------


def test_an_unknown_verb_is_refused_with_a_suggestion(node):
    result = node.command("stat", check=False)
    assert result.returncode == 2 and "did you mean stats" in result.stderr
    assert node.command("frobnicate", check=False).returncode == 2
    assert node.command("--help").stdout.startswith("usage: filemill")
    assert node.command("stats", "--gateway-prot", "1", check=False).returncode == 1
    assert node.command("scale", "workers", check=False).returncode == 2
    assert node.command("pause", "a", "b", check=False).returncode == 2


def test_verbs_without_an_instance_say_so():
    with Node() as node:
        for verb in ("stats", "metrics", "health", "drain", "jobs"):
            result = node.command(verb, check=False)
            assert result.returncode == 1 and "no instance runs in" in result.stderr, verb


def test_config_lists_every_option_without_secrets(node):
    text = node.command("config").stdout
    assert f"FILEMILL_GATEWAY_PORT={node.port}\n" in text and "FILEMILL_WORKER_PROCESSES=2\n" in text
    assert "hidden-password" not in text and "(set, not shown)" in text
    table = node.command("config", "--markdown").stdout
    assert table.count("\n| `FILEMILL_") >= 60 and str(node.port) not in table


def test_env_is_safe_for_a_shell(node):
    script = f'eval "$({node.bin}/filemill env)"; echo "$API_BASE $AWS_ENDPOINT_URL $PSQL_URL"'
    result = subprocess.run(["sh", "-c", script], env=node.environment, capture_output=True, text=True, check=True)
    public, endpoint, database = result.stdout.split()
    assert public == f"http://127.0.0.1:{node.port}" and endpoint == f"http://127.0.0.1:{node.store_port}"
    assert database == node.environment["DATABASE_URL"]


# -- the embedded Postgres ---------------------------------------------------------------------------------------


def run_as_ordinary_user(tmp):
    """Arguments for Popen that make this process' children ordinary; None when we are ordinary already."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    os.chown(tmp, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def query(node, text, url=None):
    import psycopg2
    if url is None:
        url = re.search(r"PSQL_URL='([^']+)'", node.command("env").stdout).group(1)
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def test_embedded_postgres_is_private_durable_and_survives():
    with Node(external_database=False) as node:
        node.start()
        assert query(node, "select current_user, rolsuper from pg_roles where rolname = current_user") == [
            ("filemill", False)]
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            assert query(node, f"show {name}") == [("on",)]
        assert query(node, "show listen_addresses") == [("",)]
        assert stat.S_IMODE((node.state / "run" / "s").stat().st_mode) == 0o700
        url = environment_of(node.surroundings("gateway", node.pid("gateway")))["FILEMILL_GATEWAY_DATABASE_URL"]
        assert query(node, "select pg_has_role(current_user, 'filemill_gateway', 'member')", url) == [(True,)]
        import psycopg2
        with pytest.raises(psycopg2.OperationalError):
            query(node, "select 1", re.sub(r":[0-9a-f]+@", ":wrong@", url))
        for secret in re.findall(r'="([0-9a-f]+)"', (node.state / "secrets").read_text()):
            assert secret not in node.log()
        query(node, "create table kept (id int)")
        query(node, "insert into kept values (1)")

        os.kill(node.pid("postgres"), signal.SIGKILL)  # a crash: it comes back with what was committed
        eventually(lambda: node.service("postgres")["restarts"] == 1 and node.health()["status"] == "ready", 60)
        assert query(node, "select * from kept") == [(1,)]

        children = node.descendants()
        node.process.kill()  # all die, Postgres with its own children too
        node.process.wait()
        eventually(lambda: not any(alive(pid) for pid in children), 2, what="children gone")
        begin = time.monotonic()
        node.start()
        assert time.monotonic() - begin < 10 * PATIENCE
        assert query(node, "select * from kept") == [(1,)]
        children = node.descendants()
        assert node.stop() == 0
        assert not any(alive(pid) for pid in children)

        begin = time.monotonic()
        node.start()
        assert time.monotonic() - begin < 2 * PATIENCE


def test_half_a_cluster_does_not_count():
    with Node(external_database=False) as node:
        node.spawn()
        eventually(lambda: (node.state / "postgres" / "new").exists(), 20, every=0.005)
        node.process.kill()
        node.process.wait()
        node.start()
        assert query(node, "select 1") == [(1,)]


def test_a_whole_node_as_an_ordinary_user():
    with Node(external_database=False) as node:
        more = run_as_ordinary_user(node.directory)
        with open(node.log_path, "ab") as log:
            node.process = subprocess.Popen([node.bin / "filemill", "serve"], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, cwd=node.directory, env=node.environment, **more)
        socket_path = node.state / "run" / "stats.sock"
        eventually(socket_path.exists, 20, what="socket")
        eventually(lambda: node.stats()["status"] == "ready", 60)
        assert stat.S_IMODE(node.state.stat().st_mode) == 0o700
        uid = node.state.stat().st_uid
        assert uid != 0
        for service in node.stats()["services"]:
            if service["pid"]:
                assert os.stat(f"/proc/{service['pid']}").st_uid == uid, service["name"]
        assert node.stop() == 0
