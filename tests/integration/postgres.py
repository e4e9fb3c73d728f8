# SPDX-License-Identifier: MIT
"""A private Postgres for tests: a fresh cluster on a Unix socket, nothing of the system's touched.

    with Postgres() as postgres:
        postgres.url()            # owner of the database "filemill"
        postgres.migrate()        # the project's own filemill-migrate
        postgres.query("select 1 as one")[0]["one"]

As root the server runs as an unprivileged user, since Postgres refuses root."""
import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg2
import psycopg2.extras

ROOT = Path(__file__).resolve().parents[2]

# An instrumented program writes its report where these say.
INSTRUMENTED = {name: os.environ[name] for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")
                if name in os.environ}


def build_directory():
    """Where the executables are: FILEMILL_BUILD, else build/ in the project."""
    return Path(os.environ.get("FILEMILL_BUILD", ROOT / "build"))


def program(name):
    """Path of one of the project's executables."""
    found = [path for path in (build_directory() / name, *build_directory().glob(f"*/{name}")) if path.is_file()]
    if not found:
        raise FileNotFoundError(f"{name} is not below {build_directory()}: build it, or set FILEMILL_BUILD")
    return str(found[0])


def unprivileged_user():
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("no unprivileged user for Postgres")


def binaries():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    which = shutil.which("initdb")
    if which is None:
        raise RuntimeError("Postgres is not installed")
    return Path(which).parent


class Postgres:
    """One cluster. `settings` are lines for postgresql.conf; fsync stays on unless durable is False."""

    def __init__(self, settings=(), durable=False):
        self.user = unprivileged_user() if os.geteuid() == 0 else None
        self.directory = Path(tempfile.mkdtemp(prefix="fmpg-"))  # short: a socket's path is at most 107 bytes
        self.data = self.directory / "data"
        self.settings = list(settings) + ["" if durable else "fsync = off"]
        if self.user:
            os.chown(self.directory, self.user.pw_uid, self.user.pw_gid)
        os.chmod(self.directory, 0o755)

    def _run(self, *arguments):
        # No pipes: the server that pg_ctl starts would keep them open for ever.
        more = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}
        subprocess.run([str(item) for item in arguments], cwd=self.directory, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, **more)

    def _control(self, verb, *more):
        self._run(binaries() / "pg_ctl", "-D", self.data, "-l", self.directory / "log", "-w", "-t", "60", *more, verb)

    def start(self):
        if not (self.data / "PG_VERSION").exists():
            self._run(binaries() / "initdb", "-D", self.data, "-U", "filemill", "-A", "trust", "-E", "UTF8",
                      "--locale=C", "--no-sync")
            with open(self.data / "postgresql.conf", "a", encoding="utf-8") as file:
                file.write(f"listen_addresses = ''\nunix_socket_directories = '{self.directory}'\n"
                           "max_connections = 60\nshared_buffers = 64MB\n" + "\n".join(self.settings) + "\n")
            self._control("start")
            self.execute("create database filemill", database="postgres")
        else:
            self._control("start")
        return self

    def stop(self, mode="immediate"):
        self._control("stop", "-m", mode)

    def restart(self, mode="immediate", down_seconds=0.0):
        """Stops hard by default, as a crash would, and starts again."""
        self.stop(mode)
        time.sleep(down_seconds)
        self._control("start")

    def close(self):
        if (self.data / "postmaster.pid").exists():
            with contextlib.suppress(subprocess.CalledProcessError):
                self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)

    __enter__ = start

    def __exit__(self, *_):
        self.close()

    def log(self):
        return (self.directory / "log").read_text(errors="replace")

    def url(self, user="filemill", database="filemill"):
        return f"postgresql://{user}@/{database}?host={self.directory}"

    def connect(self, user="filemill", database="filemill"):
        connection = psycopg2.connect(self.url(user, database), cursor_factory=psycopg2.extras.RealDictCursor)
        connection.autocommit = True
        return connection

    def query(self, text, values=None, user="filemill", database="filemill"):
        with contextlib.closing(self.connect(user, database)) as connection, connection.cursor() as cursor:
            cursor.execute(text, values)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    execute = query

    def clear(self, *tables):
        """Empties tables. Sessions of services that were killed end first: one may hold a row that another waits for."""
        self.query("select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = 'filemill'"
                   " and application_name like 'filemill%%' and pid <> pg_backend_pid()", ())
        self.query(f"truncate {', '.join(tables)} cascade")

    def value(self, text, values=None, **more):
        """First column of the first row."""
        return next(iter(self.query(text, values, **more)[0].values()))

    def migrate(self, *arguments, check=True, environment=None):
        return subprocess.run([program("filemill-migrate"), *arguments],
                              env={"PATH": os.environ["PATH"], "FILEMILL_DATABASE_URL": self.url(),
                                   **INSTRUMENTED, **(environment or {})},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=check, timeout=120)


class PgBouncer:
    """PgBouncer in transaction mode in front of a Postgres fixture."""

    def __init__(self, postgres, port, pool=8):
        self.postgres, self.port = postgres, port
        self.directory = postgres.directory
        self.process = None
        configuration = self.directory / "pgbouncer.ini"
        configuration.write_text(
            f"[databases]\nfilemill = host={self.directory} dbname=filemill user=filemill\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = transaction\ndefault_pool_size = {pool}\nmax_client_conn = 200\n"
            "server_login_retry = 0.5\nlogfile =\npidfile =\n", encoding="utf-8")

    def __enter__(self):
        more = {}
        if self.postgres.user:
            more.update(user=self.postgres.user.pw_uid, group=self.postgres.user.pw_gid, extra_groups=[])
        self.process = subprocess.Popen(["/usr/sbin/pgbouncer", "-q", str(self.directory / "pgbouncer.ini")],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, **more)
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg2.connect(self.url()).close()
                return self
            except psycopg2.OperationalError:
                if time.monotonic() > deadline:
                    self.__exit__()
                    raise
                time.sleep(0.05)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def url(self):
        return f"postgresql://filemill@127.0.0.1:{self.port}/filemill"
