# SPDX-License-Identifier: MIT
"""Ports for servers that tests start: not of the range that the kernel takes ports from for whoever asks for any, and
each held against other tests by a name while this process lives, also when its server is down for a while."""
import random
import socket
from pathlib import Path

LOWEST = 10000
held = []


def free_port():
    highest = max(int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]), LOWEST + 5000)
    dice = random.SystemRandom()
    while True:
        port = dice.randrange(LOWEST, highest)
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0filemill-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            name.close()
            continue
        held.append(name)
        return port
