"""With an outside Postgres, through PgBouncer in transaction mode, and an outside object store: nothing embedded is
started, the programs take their roles on in each transaction, and the whole way works."""
import json
import os
import subprocess
import tempfile

import pytest
from postgres import INSTRUMENTED, PgBouncer, Postgres, program
from system import PATIENCE, System, eventually, fetch, free_port, one_page_pdf


@pytest.fixture(scope="module")
def database():
    with Postgres() as postgres, PgBouncer(postgres, free_port()) as bouncer:
        yield postgres, bouncer


@pytest.fixture(scope="module")
def store():
    """An S3 server that knows nothing of the node: the settings a node needs to use it."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="fms-") as directory:
        environment = {"PATH": os.environ["PATH"], **INSTRUMENTED, "FILEMILL_STATE_DIRECTORY": directory,
                       "FILEMILL_STORE_PORT": str(port), "FILEMILL_STORAGE_BUCKET": "elsewhere",
                       "FILEMILL_STORAGE_ACCESS_KEY": "outside-key", "FILEMILL_STORAGE_SECRET_KEY": "outside-secret"}
        process = subprocess.Popen([program("filemill-store")], env=environment, stdin=subprocess.DEVNULL)
        try:
            def answers():
                try:
                    return fetch("GET", f"http://127.0.0.1:{port}/health").status == 200
                except OSError:
                    return False
            eventually(answers, what="the store")
            yield {"storage_endpoint": f"http://127.0.0.1:{port}", "storage_provider": "minio",
                   "storage_bucket": "elsewhere", "storage_access_key": "outside-key",
                   "storage_secret_key": "outside-secret", "storage_region": "us-east-1"}
        finally:
            process.terminate()
            process.wait(30 * PATIENCE)


@pytest.fixture(scope="module")
def system(database, store):
    _, bouncer = database
    with System(database_url=bouncer.url(), backoff_unit_ms=200, **store) as running:
        yield running


def test_nothing_embedded_runs(system):
    names = {name for _, name in system.descendants()}
    assert "filemill-store" not in names and not any(name.startswith("postgres") for name in names)


def test_the_whole_way(system, user):
    file = user.wait(user.send("a.pdf", "application/pdf", one_page_pdf("from outside")))
    assert file["status"] == "ready", file
    assert user.derivative(file["file_id"], "pdf_text").decode().strip() == "from outside"


def listening(postgres):
    with postgres.connect() as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) as n from pg_stat_activity where query like 'listen %'")
        return cursor.fetchone()["n"]


def test_nobody_listens_where_no_notice_comes(database, system):
    """A LISTEN through the pooler would stay in a session that is somebody else's next."""
    postgres, _ = database
    eventually(lambda: "state=not_listening" in system.log(), what="its word")
    assert system.log().count("state=not_listening") == 1
    assert listening(postgres) == 0


def test_doctor_tells_of_the_pooler(database, system):
    postgres, bouncer = database

    def rows(**settings):
        alone = System(database_url=bouncer.url(), **settings)
        report = json.loads(alone.command("doctor", "--json", check=False).stdout)
        alone.close()
        assert "postgresql://" not in json.dumps(report)
        return {row["check"]: row for row in report["checks"]}
    row = rows()["database.pooler"]
    assert row["result"] == "warn" and "in transaction mode" in row["seen"] and "DIRECT_URL" in row["remedy"]
    found = rows(database_direct_url=postgres.url(), database_prepare="on")
    assert found["database.pooler"]["result"] == "ok"
    version = subprocess.run(["/usr/sbin/pgbouncer", "-V"], capture_output=True, text=True, check=True).stdout.split()[1]
    mixes_up = tuple(map(int, version.split(".")[:2])) < (1, 21)
    assert found["database.prepared"]["result"] == ("FAIL" if mixes_up else "ok"), found
    assert rows(database_direct_url="postgresql://nobody@127.0.0.1:1/none")["database.pooler"]["result"] == "FAIL"


def test_programs_never_act_as_the_owner(database, system, user):
    """What the gateway may see is decided by its role, also when it logs in as the owner."""
    postgres, _ = database
    user.wait(user.send("b.pdf", "application/pdf", one_page_pdf("two")))
    stranger = system.user().bootstrap()
    listed = stranger.call("GET", f"/v1/files?tenant_id={user.tenant}")
    assert listed.status in (403, 404), listed
    with postgres.connect() as connection, connection.cursor() as cursor:
        cursor.execute("set role filemill_gateway")
        cursor.execute("select count(*) as n from files")
        assert cursor.fetchone()["n"] == 0


def test_the_session_is_left_clean(database, system, user):
    """A pooled connection carries neither role nor caller into the next transaction."""
    _, bouncer = database
    user.call("GET", f"/v1/files?tenant_id={user.tenant}")
    import psycopg2
    connection = psycopg2.connect(bouncer.url())
    connection.autocommit = True
    with connection.cursor() as cursor:
        for _ in range(20):
            cursor.execute("select current_user, coalesce(current_setting('filemill.user_id', true), '')")
            assert cursor.fetchone() == ("filemill", "")
    connection.close()


def test_postgres_restart_is_survived(database, system, user):
    postgres, _ = database
    files = [user.upload(f"{n}.pdf", "application/pdf", one_page_pdf(str(n))) for n in range(20)]
    for file_id in files[:10]:
        assert user.finalize(file_id).status == 200
    postgres.restart(down_seconds=1)

    def finalized(file_id):
        answer = user.finalize(file_id)
        assert answer.status in (200, 503), answer
        return answer.status == 200
    for file_id in files[10:]:
        eventually(lambda: finalized(file_id), every=0.2, what="finalize after the restart")
    assert {user.wait(file_id)["status"] for file_id in files} == {"ready"}


def test_a_direct_url_brings_notices_past_the_pooler(database, store, system):
    postgres, bouncer = database
    system.terminate()
    with System(database_url=bouncer.url(), database_direct_url=postgres.url(), poll_ms=600_000, **store) as node:
        person = node.user().bootstrap()
        file_id = person.wait(person.send("c.pdf", "application/pdf", one_page_pdf("past")))["file_id"]
        eventually(lambda: listening(postgres) == 1, what="a listener")
        node.sql("insert into jobs (tenant_id, file_id, type) values (%s, %s, 'noop')", person.tenant, file_id)
        node.sql("notify filemill_jobs, 'another node'")
        eventually(lambda: not node.sql("select 1 from jobs where status <> 'done'"), what="the job that was told of")
        assert "state=not_listening" not in node.log()
        assert postgres.url() not in node.log()
