# SPDX-License-Identifier: MIT
"""Drives a real nursery through runner_driver: one JSON request per line, one JSON answer per document."""
import json
import os
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("FILEMILL_BUILD", ROOT / "build"))
DRIVER = BUILD / "tests" / "sandbox" / "runner_driver"
NURSERY = BUILD / "filemill-nursery"
# An instrumented program writes its report where these say.
INSTRUMENTED = {name: os.environ[name] for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")
                if name in os.environ}
CORPUS = Path(os.environ.get("FILEMILL_CORPUS", ROOT.parent / "shared" / "corpus"))


class Driver:
    def __init__(self, **settings):
        environment = {"PATH": os.environ["PATH"], "NURSERY_PROGRAM": str(NURSERY)}
        environment.update(INSTRUMENTED)
        environment.update({f"FILEMILL_{name.upper()}": str(value) for name, value in settings.items()})
        self.process = subprocess.Popen([DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=environment)
        self.ended, self.runners, self.events, self.next_id = {}, {}, [], 0
        self.ready = self.read()
        assert self.ready["event"] == "ready"

    def read(self):
        line = self.process.stdout.readline()
        assert line, "the driver ended"
        message = json.loads(line)
        if message.get("event") == "started":
            self.runners[message["id"]] = message["pid"]
        elif "event" in message:
            self.events.append(message)
        else:
            self.ended[message["id"]] = message
        return message

    def send(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def start(self, kind, parameters=None, **request):
        self.next_id += 1
        request.update(id=self.next_id, type=kind)
        if parameters is not None:
            request["parameters"] = parameters
        self.send(request)
        return self.next_id

    def wait(self, number):
        while number not in self.ended:
            self.read()
        return self.ended.pop(number)

    def runner(self, number):
        while number not in self.runners:
            self.read()
        return self.runners[number]

    def run(self, kind, parameters=None, **request):
        return self.wait(self.start(kind, parameters, **request))

    def act(self, name, amount=0, **request):
        return self.run("selftest", {"act": name, "amount": amount}, **request)

    def close(self):
        self.process.stdin.close()
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(pid, seconds=60):
    deadline = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_alive(pid)


def kill(pid):
    os.kill(pid, signal.SIGKILL)
