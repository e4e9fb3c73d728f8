# SPDX-License-Identifier: MIT
"""The supervisor and the Postgres that it runs where none is named."""
import os
import pwd
import re
import shutil
import stat
import time

import pytest

from stand_ins import Node, alive, environment_of
from system import PATIENCE, eventually


def ordinary_user(tmp):
    """Popen's words for who is not root, and owns the folder; none where we are ordinary already."""
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

        node.kill("postgres")  # a crash: it comes back with what was committed
        eventually(lambda: node.service("postgres")["restarts"] >= 1 and node.health()["status"] == "ready", 60)
        assert query(node, "select * from kept") == [(1,)]

        children = node.descendants()
        node.process.kill()  # all die, Postgres with its own children too
        node.process.wait()
        eventually(lambda: not any(alive(pid) for pid in children), 30, what="children gone")
        begin = time.monotonic()
        node.start()
        assert time.monotonic() - begin < 30 * PATIENCE
        assert query(node, "select * from kept") == [(1,)]
        children = node.descendants()
        assert node.stop() == 0
        assert not any(alive(pid) for pid in children)

        def seconds():
            begin = time.monotonic()
            node.start()
            passed = time.monotonic() - begin
            assert node.stop() == 0
            return passed
        assert any(seconds() < 2 * PATIENCE for _ in range(3))


def test_half_a_cluster_does_not_count():
    with Node(external_database=False) as node:
        unfinished, whole = node.state / "postgres" / "new", node.state / "postgres" / "data"

        def is_cut():
            """Killed while the cluster was made; else all goes away again."""
            node.spawn()
            eventually(lambda: unfinished.exists() or whole.exists(), 60, every=0.002)
            node.process.kill()
            node.process.wait()
            if not unfinished.exists():
                shutil.rmtree(node.state / "postgres")
            return unfinished.exists()
        assert any(is_cut() for _ in range(5))
        node.start()
        assert query(node, "select 1") == [(1,)]


def test_a_whole_node_as_an_ordinary_user():
    with Node(external_database=False) as node:
        node.spawn(user=ordinary_user(node.directory))
        eventually((node.state / "run" / "stats.sock").exists, 60, what="socket")
        eventually(node.serves, 60, what="serving")
        assert node.stats()["status"] == "ready"
        assert stat.S_IMODE(node.state.stat().st_mode) == 0o700
        uid = node.state.stat().st_uid
        assert uid != 0
        for service in node.stats()["services"]:
            if service["pid"]:
                assert os.stat(f"/proc/{service['pid']}").st_uid == uid, service["name"]
        assert node.stop() == 0
