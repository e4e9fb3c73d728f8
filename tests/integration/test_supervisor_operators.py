# SPDX-License-Identifier: MIT
"""What operators ask of a running supervisor: reload and scale, questions by its socket, the command line."""
import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from stand_ins import Node, environment_of, get
from system import PATIENCE, eventually, fetch, free_port


# -- reload and scale ---------------------------------------------------------------------------------------------


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

    def go_on(self):
        """Ten more, one of them begun from now on."""
        begin = self.count
        eventually(lambda: self.failures or self.count > begin + 10, 60, what="answers")

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
            load.go_on()
            config.write_text("FILEMILL_RATE_PER_MINUTE=77\nWORKER_PROCESSES=1\n")
            node.process.send_signal(signal.SIGHUP)
            eventually(lambda: node.is_renewed(2), 60, what="renewed")
            load.go_on()
        assert load.failures == [] and load.count > 20
        for service in node.stats()["services"]:
            key = (service["name"], service["index"])
            if key[0] != "migrate":
                assert service["pid"] != old[key] and service["generation"] == 2, key
        gateway = node.pid("gateway")
        assert environment_of(node.surroundings("gateway", gateway))["FILEMILL_RATE_PER_MINUTE"] == "77"
        eventually(lambda: ("filemill-gateway", str(old["gateway", 0]), "retire") in node.events(), 30)


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
        before = node.pids()
        config.write_text(line + "\n")
        node.process.send_signal(signal.SIGHUP)
        eventually(lambda: "event=reload_refused" in node.log(), 30)
        refusals = [text for text in node.log().splitlines() if "reload_refused" in text]
        assert len(refusals) == 1 and named in refusals[0]
        time.sleep(0.3)
        assert node.pids() == before and node.stats()["generation"] == 1


def test_a_reload_can_move_the_port_and_add_gateways():
    with Node() as node:
        config = node.directory / "settings.env"
        config.write_text(f"FILEMILL_GATEWAY_PORT={node.environment.pop('FILEMILL_GATEWAY_PORT')}\n")
        node.start("--config", config)
        old_port, node.port = node.port, free_port()
        config.write_text(f"FILEMILL_GATEWAY_PORT={node.port}\nFILEMILL_GATEWAY_PROCESSES=3\n")
        assert node.command("reload").stdout == "ok\n"
        eventually(lambda: node.is_renewed(2), 60)
        eventually(lambda: node.is_ready("gateway", 2), 30)
        assert get(node).status == 200
        with pytest.raises(OSError):
            eventually(lambda: fetch("GET", f"http://127.0.0.1:{old_port}/", timeout=5) and False, 30)


def test_a_renewal_that_does_not_get_ready_leaves_the_old_one_serving():
    with Node() as node:
        node.start()
        old = node.pid("gateway")
        node.mode("gateway", "die=0 never")
        node.process.send_signal(signal.SIGHUP)
        eventually(lambda: "event=renewal_given_up" in node.log(), 60)
        assert node.pid("gateway") == old
        assert int(get(node).body) == old


def test_scale_workers_and_slots():
    with Node() as node:
        node.start()
        first = node.pid("worker")
        node.command("scale", "workers=3")
        eventually(lambda: [s["state"] for s in node.stats()["services"] if s["name"] == "worker"] == ["ready"] * 3, 60)
        assert node.pid("worker") == first
        gateway = node.pid("gateway")
        node.command("scale", "workers=1", "slots=7")
        eventually(lambda: node.is_ready("worker", other_than=first), 60)
        eventually(lambda: node.service("worker", 1) is None and node.service("worker", 2) is None, 60)
        assert environment_of(node.surroundings("worker", node.pid("worker")))["FILEMILL_WORKER_SLOTS"] == "7"
        assert node.pid("gateway") == gateway
        assert node.stop() == 0


def test_the_service_manager_is_told():
    with Node() as node, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        path = str(node.directory / "notify")
        manager.bind(path)
        manager.settimeout(60 * PATIENCE)
        heard = []

        def wait_for(line):
            while not any(line in message for message in heard):
                heard.append(manager.recv(4096).decode().splitlines())
            heard.clear()

        node.spawn(NOTIFY_SOCKET=path, WATCHDOG_USEC="400000")
        wait_for("READY=1")

        def seconds():
            begin = time.monotonic()
            for _ in range(3):
                wait_for("WATCHDOG=1")
            return time.monotonic() - begin
        assert any(seconds() < 2 * PATIENCE for _ in range(5))
        node.process.send_signal(signal.SIGHUP)
        wait_for("RELOADING=1")
        wait_for("READY=1")
        node.process.send_signal(signal.SIGTERM)
        wait_for("STOPPING=1")
        assert node.process.wait(20 * PATIENCE) == 0


# -- questions ----------------------------------------------------------------------------------------------------


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
        eventually(lambda: "asked" in [event for _, _, event in node.events("scheduler")], 30, what="the question")
        node.kill("scheduler")
        thread.join(30 * PATIENCE)
        assert answers and answers[0].startswith(b"error ")
        assert eventually(lambda: node.health()["status"] == "ready", 30)


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
    before = node.pids()
    words = [b"stats", b"health", b"workers", b"pause", b"resume", b"jobs", b" ", b"\n", b"\0", b"1", b"\xff"]
    for _ in range(300):
        data = b"".join(source.choice(words) if source.random() < 0.6 else source.randbytes(source.randrange(9))
                        for _ in range(source.randrange(8)))
        if b"workers" in data:
            data = data.replace(b"workers 1", b"workers x")
        node.ask(data)
    assert node.pids() == before, f"seed {seed}"


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
            client.settimeout(30)
            client.connect(path)
    # Whoever comes as soon as they have gone may still find it full.
    eventually(lambda: node.health()["status"] == "ready", 30)


def test_the_socket_drains():
    with Node() as node:
        node.start()
        assert node.command("drain").stdout == "ok draining\n"
        assert node.process.wait(20 * PATIENCE) == 0


# -- the command line ---------------------------------------------------------------------------------------------


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
