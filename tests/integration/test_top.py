# SPDX-License-Identifier: MIT
"""`filemill top` in a real terminal of 80 by 24 (tmux): readable, live, and gone without a trace when it ends."""
import os
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
    screen = eventually(lambda: s if "QUEUE" in (s := terminal.screen()) else None, 10, what="a page")
    lines = screen.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    assert " ready " in lines[0] and lines[0].startswith(" Filemill ")
    for name in ("gateway.0", "scheduler.0", "worker.0", "store.0"):
        assert any(line.startswith(f" {name}") for line in lines), screen
    user.wait(user.send("top.txt", "text/plain", b"top"))
    eventually(lambda: " ms" in terminal.screen().split("p50")[1].splitlines()[0], 10, what="a latency")
    for number in range(8):
        user.send(f"{number}.pdf", "application/pdf", one_page_pdf(f"top {number}"))
    eventually(lambda: float(terminal.screen().split("RUNNERS")[1].split("/s")[0]) >= 4, 10, what="work")
    terminal.keep("busy")
    terminal.keys("q")
    eventually(lambda: "LATENCY" not in terminal.screen(), 5, what="the screen as it was")
    terminal.keys("echo still here", "Enter")
    eventually(lambda: "\nstill here" in terminal.screen(), 5, what="the shell")


def test_without_a_terminal_it_draws_once(system):
    done = system.command("top")
    assert "SERVICE" in done.stdout and "\x1b" not in done.stdout
    assert system.command("top", "--nothing", check=False).returncode == 2
