# SPDX-License-Identifier: MIT
"""`filemill top` in a real terminal of 80 by 24 (tmux): readable, live, and gone without a trace when it ends."""
import os
import re
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

from system import eventually, one_page_pdf


class Terminal:
    def __init__(self, system, *arguments):
        self.name = f"filemill-{uuid.uuid4().hex}"
        self.socket = str(system.directory / "tmux")
        command = " ".join([str(system.programs / "filemill"), "top", *arguments])
        environment = {**system.environment, "TERM": "screen-256color", "PS1": "$ "}
        self.tmux("new-session", "-d", "-s", self.name, "-x", "80", "-y", "24", "/bin/sh", env=environment)
        self.keys(command, "Enter")

    def tmux(self, *arguments, env=None):
        return subprocess.run(["tmux", "-S", self.socket, "-f", "/dev/null", *arguments], check=True, env=env,
                              capture_output=True, text=True).stdout

    def keys(self, *keys):
        self.tmux("send-keys", "-t", self.name, *keys)

    def screen(self):
        return self.tmux("capture-pane", "-p", "-t", self.name)

    def keep(self, name):
        """The screen as it is, for people: plain, and with its colours."""
        folder = os.environ.get("FILEMILL_TEST_OUTPUT")
        if folder:
            target = Path(folder) / "top"
            target.mkdir(parents=True, exist_ok=True)
            (target / f"{name}.txt").write_text(self.screen())
            (target / f"{name}.ansi").write_text(self.tmux("capture-pane", "-p", "-e", "-t", self.name))

    def close(self):
        self.tmux("kill-server")


@pytest.fixture
def terminal(system):
    if shutil.which("tmux") is None:
        pytest.skip("no tmux")
    running = Terminal(system, "--interval", "1")
    yield running
    running.close()


def test_it_shows_the_node_and_what_it_does(system, user, terminal):
    def whole():
        """A page that is drawn to its end, of a node where everything is up."""
        lines = terminal.screen().splitlines()
        services = all(any(line.startswith(f" {name}") for line in lines)
                       for name in ("gateway.0", "scheduler.0", "worker.0", "store.0"))
        return lines if services and " ready " in lines[0] and "QUEUE" in "\n".join(lines) else None
    lines = eventually(whole, what="a page")
    assert len(lines) <= 24 and max(map(len, lines)) <= 80 and lines[0].startswith(" Filemill ")
    user.wait(user.send("top.txt", "text/plain", b"top"))
    eventually(lambda: re.search(r"p50.* ms", terminal.screen()), what="a latency")

    def works():
        user.send("more.pdf", "application/pdf", one_page_pdf("more"))
        rate = re.search(r"RUNNERS\s+([\d.]+)/s", terminal.screen())
        return rate and float(rate[1]) > 0
    eventually(works, what="work")
    terminal.keep("busy")
    terminal.keys("q")
    eventually(lambda: "LATENCY" not in terminal.screen(), what="the screen as it was")
    terminal.keys("echo still here", "Enter")
    eventually(lambda: "\nstill here" in terminal.screen(), what="the shell")


def test_without_a_terminal_it_draws_once(system):
    done = system.command("top")
    assert "SERVICE" in done.stdout and "\x1b" not in done.stdout
    assert system.command("top", "--nothing", check=False).returncode == 2
