# SPDX-License-Identifier: MIT
"""A line to Postgres that can be cut as a network is: nothing is refused, nothing closed, nothing gets through. What was
under way arrives when it is whole again."""
import os
import selectors
import shutil
import socket
import tempfile
import threading
from pathlib import Path

PORT_FILE = ".s.PGSQL.5432"
CHUNK = 65536


class Line:
    def __init__(self, target_directory):
        self.target = f"{target_directory}/{PORT_FILE}"
        self.directory = Path(tempfile.mkdtemp(prefix="fmcut-"))
        os.chmod(self.directory, 0o755)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.directory / PORT_FILE))
        os.chmod(self.directory / PORT_FILE, 0o777)
        self.listener.listen(64)
        self.whole = threading.Event()
        self.whole.set()
        self.closing = False
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.carried = 0
        self.thread = threading.Thread(target=self.carry, daemon=True)
        self.thread.start()

    def cut(self):
        self.whole.clear()

    def mend(self):
        self.whole.set()

    def carry(self):
        while not self.closing:
            self.whole.wait(0.2)
            if not self.whole.is_set():
                continue
            for key, _ in self.selector.select(0.2):
                if key.fileobj is self.listener:
                    self.join()
                else:
                    self.pass_on(key.fileobj, key.data)

    def join(self):
        near = self.listener.accept()[0]
        far = socket.socket(socket.AF_UNIX)
        far.connect(self.target)
        self.selector.register(near, selectors.EVENT_READ, far)
        self.selector.register(far, selectors.EVENT_READ, near)

    def pass_on(self, source, target):
        if source.fileno() < 0:
            return
        try:
            data = source.recv(CHUNK)
            target.sendall(data)
        except OSError:
            data = b""
        self.carried += len(data)
        if not data:
            for end in (source, target):
                if end.fileno() >= 0:
                    self.selector.unregister(end)
                    end.close()

    def close(self):
        self.closing = True
        self.whole.set()
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()
        shutil.rmtree(self.directory, ignore_errors=True)
