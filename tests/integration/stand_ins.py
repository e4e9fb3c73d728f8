# SPDX-License-Identifier: MIT
"""The real `filemill` with stand-ins for its services (dummy_service.c), and looks at what becomes of them."""
import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

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


def parent_of(pid):
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


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

    def spawn(self, *arguments, before=(), user=None, **more):
        """`before` goes before the command; `user` are Popen's words for who runs it."""
        command = [*before, self.bin / "filemill", "serve", *map(str, arguments)]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.directory,
                                            env={**self.environment, **more}, start_new_session=True,
                                            preexec_fn=as_a_shell_begins, **(user or {}))
        return self

    def let_go(self):
        """Whoever holds on ends now."""
        (self.bin / "go").touch()

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

    def ask(self, data, timeout=30):
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

    def pids(self):
        return {service["pid"] for service in self.stats()["services"]}

    def is_ready(self, name, index=0, other_than=None):
        """The service, where it is ready and another process than that."""
        service = self.service(name, index)
        return service if service and service["state"] == "ready" and service["pid"] != other_than else None

    def events(self, name=None):
        lines = [line.split() for line in (self.bin / "events").read_text().splitlines()]
        return [tuple(line) for line in lines if name is None or line[0] == f"filemill-{name}"]

    def surroundings(self, name, pid):
        path = self.bin / f"filemill-{name}.{pid}"
        return eventually(lambda: path.exists() and path.read_text().endswith("end\n") and path.read_text(), 30)

    def is_renewed(self, generation):
        """All of it; a service tells of itself too."""
        return any(line.endswith(f" event=renewed generation={generation}") and "service=" not in line
                   for line in self.log().splitlines())

    def kill(self, name):
        """Kills a service and waits until it is dead, so that nobody talks to it any more; the pid it had."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not alive(pid), 30, every=0.001, what=f"{name}'s death")
        return pid

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


def environment_of(text):
    return dict(line[4:].split("=", 1) for line in text.splitlines() if line.startswith("env "))


def get(node, path="/"):
    return fetch("GET", f"http://127.0.0.1:{node.port}{path}", timeout=30)
