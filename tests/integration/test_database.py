# SPDX-License-Identifier: MIT
"""Migrations, the verifying file, row-level security, and the connection pool against a real Postgres."""
import contextlib
import os
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
from postgres import PgBouncer, Postgres, build_directory
from system import free_port

TABLES = ["tenants", "tenant_members", "files", "file_derivatives", "jobs", "file_events", "object_deletions",
          "quarantine", "paused_types", "schema_migrations"]


@pytest.fixture(scope="module")
def cluster():
    with Postgres() as running:
        yield running


@pytest.fixture
def empty(cluster):
    """A database of its own in the cluster; roles are the cluster's."""
    name = "t" + uuid.uuid4().hex[:12]
    cluster.execute(f"create database {name}", database="postgres")
    yield name
    cluster.execute(f"drop database {name} with (force)", database="postgres")


def migrate(cluster, name, *arguments, check=True, **environment):
    environment = {"FILEMILL_DATABASE_URL": cluster.url(database=name), **environment}
    return cluster.migrate(*arguments, check=check, environment=environment)


def test_twice_is_once(cluster, empty):
    first = migrate(cluster, empty)
    assert first.stderr.count("state=applied") >= 5
    second = migrate(cluster, empty)
    assert "state=applied" not in second.stderr
    status = migrate(cluster, empty, "--status").stdout
    assert "0001 files" in status and "pending" not in status


def test_status_of_an_empty_database(cluster, empty):
    lines = migrate(cluster, empty, "--status").stdout.splitlines()
    assert len(lines) >= 5 and all(line.endswith("pending") for line in lines)


def test_four_nodes_at_once(cluster, empty):
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: migrate(cluster, empty, check=False), range(4)))
    assert [run.returncode for run in runs] == [0] * 4, [run.stderr for run in runs]
    applied = sum(run.stderr.count("state=applied") for run in runs)
    assert applied == cluster.value("select count(*) from schema_migrations", database=empty)


def test_changed_text_is_refused(cluster, empty):
    migrate(cluster, empty)
    cluster.execute("update schema_migrations set checksum = repeat('0', 64) where version = 3", database=empty)
    run = migrate(cluster, empty, check=False)
    assert run.returncode == 1 and run.stderr.count("\n") == 1
    assert "migration 0003 queue was changed after it was applied" in run.stderr


def test_newer_database_is_refused(cluster, empty):
    migrate(cluster, empty)
    cluster.execute("insert into schema_migrations values (9999, 'future', repeat('0', 64))", database=empty)
    run = migrate(cluster, empty, check=False)
    assert run.returncode == 1 and run.stderr.count("\n") == 1 and "9999 future" in run.stderr


def test_over_the_older_software(cluster, empty):
    """Its five tables, with rows, become ours; two derivatives of a kind become the newest."""
    old = open(os.path.join(os.path.dirname(__file__), "..", "..", "sql", "migrations", "0001_files.sql"),
               encoding="utf-8").read()
    cluster.execute(old, database=empty)
    cluster.execute("""
        insert into tenants (id, name) values ('11111111-1111-1111-1111-111111111111', 'old');
        insert into files (id, tenant_id, owner_user_id, r2_key_original, mime) values
          ('22222222-2222-2222-2222-222222222222', '11111111-1111-1111-1111-111111111111', gen_random_uuid(), 'k', 'x/y');
        insert into jobs (tenant_id, file_id, type) values
          ('11111111-1111-1111-1111-111111111111', '22222222-2222-2222-2222-222222222222', 'extract_pdf');
        insert into file_derivatives (file_id, kind, r2_key, mime, created_at) values
          ('22222222-2222-2222-2222-222222222222', 'pdf_text', 'older', 'x/y', now() - interval '1 h'),
          ('22222222-2222-2222-2222-222222222222', 'pdf_text', 'newer', 'x/y', now())""", database=empty)
    migrate(cluster, empty)
    assert cluster.query("select r2_key from file_derivatives", database=empty) == [{"r2_key": "newer"}]
    assert cluster.query("select status::text, priority, lease_epoch from jobs", database=empty) == [
        {"status": "queued", "priority": 1, "lease_epoch": 0}]
    assert migrate(cluster, empty, "--verify").returncode == 0


def test_no_database_within_the_wait(cluster):
    run = cluster.migrate("--wait", "0", check=False,
                          environment={"FILEMILL_DATABASE_URL": "postgresql://x@/x?host=/nonexistent"})
    assert run.returncode == 1 and run.stderr.count("\n") == 1 and "database_unavailable" in run.stderr


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--status", "--verify"], ["--wait"], ["--wait", "x"], ["5"]])
def test_wrong_arguments(cluster, arguments):
    assert cluster.migrate(*arguments, check=False).returncode == 2


def test_logins(cluster, empty):
    migrate(cluster, empty, "--login-passwords", FILEMILL_GATEWAY_PASSWORD="it's-secret",
            FILEMILL_SCHEDULER_PASSWORD="other")
    hashes = cluster.query("select rolcanlogin, rolpassword like 'SCRAM-SHA-256$%' as scram from pg_authid"
                           " where rolname in ('filemill_gateway', 'filemill_scheduler')", database=empty)
    assert hashes == [{"rolcanlogin": True, "scram": True}] * 2
    missing = migrate(cluster, empty, "--login-passwords", check=False)
    assert missing.returncode == 1


# ---- verify ----

def test_verify_passes(cluster, empty):
    migrate(cluster, empty)
    run = migrate(cluster, empty, "--verify", check=False)
    assert run.returncode == 0, [line for line in run.stdout.splitlines() if line.startswith("FAIL")]
    assert run.stdout.count("PASS ") > 60 and "FAIL" not in run.stdout


@pytest.mark.parametrize("damage, said", [
    ("alter table jobs no force row level security", "FAIL row security is forced on jobs"),
    ("drop index jobs_pick_idx", "FAIL index jobs_pick_idx: missing"),
    ("drop index jobs_pick_idx; create index jobs_pick_idx on jobs (status)", "FAIL index jobs_pick_idx"),
    ("alter table files drop column etag", "FAIL table files has its columns: etag"),
    ("grant delete on files to filemill_gateway", "FAIL the gateway can't delete or rewrite files: DELETE"),
    ("grant select on quarantine to filemill_gateway", "FAIL the gateway has no business with quarantine"),
    ("drop policy member_writes on tenant_members; create policy member_writes on tenant_members for all to"
     " filemill_gateway using (true)", "FAIL policies of tenant_members check both ways: member_writes"),
    ("alter function filemill_role(uuid) reset search_path", "FAIL function filemill_role has a fixed search_path"),
    ("grant select on jobs to public", "FAIL nobody but its roles may touch jobs"),
])
def test_verify_finds_damage(cluster, empty, damage, said):
    migrate(cluster, empty)
    cluster.execute(damage, database=empty)
    run = migrate(cluster, empty, "--verify", check=False)
    assert run.returncode == 1 and said in run.stdout


# ---- row-level security ----

@pytest.fixture(scope="module")
def tenants(cluster):
    """Two tenants with a row in every table, and a stranger."""
    cluster.migrate()
    made = {}
    for name in ("a", "b"):
        owner = str(uuid.uuid4())
        tenant = cluster.value("insert into tenants (name) values (%s) returning id::text", (name,))
        cluster.execute("insert into tenant_members values (%s, %s, 'owner')", (tenant, owner))
        file = cluster.value("insert into files (tenant_id, owner_user_id, r2_key_original, mime, status) values"
                             " (%s, %s, %s, 'x/y', 'ready') returning id::text", (tenant, owner, "key-" + name))
        job = cluster.value("insert into jobs (tenant_id, file_id, type) values (%s, %s, 'noop') returning id::text",
                            (tenant, file))
        cluster.execute("insert into file_derivatives (file_id, kind, r2_key, mime) values (%s, 'k', %s, 'x/y')",
                        (file, "derived-" + name))
        cluster.execute("insert into file_events (tenant_id, file_id, kind) values (%s, %s, 'file.status')", (tenant, file))
        cluster.execute("insert into quarantine (tenant_id, sha256, type, reason) values (%s, 's', 't', 'r')", (tenant,))
        made[name] = {"owner": owner, "tenant": tenant, "file": file, "job": job}
    cluster.execute("insert into object_deletions (key) values ('some-key')")
    return made


@contextlib.contextmanager
def as_gateway(cluster, user):
    with contextlib.closing(cluster.connect()) as connection:
        connection.autocommit = False
        with connection.cursor() as cursor:
            cursor.execute("select set_config('role', 'filemill_gateway', true), set_config('filemill.user_id', %s, true)",
                           (user,))
            yield cursor
        connection.rollback()


@pytest.mark.parametrize("table", TABLES)
def test_a_tenant_sees_nothing_of_another(cluster, tenants, table):
    everyone = [tenants["b"]["owner"], str(uuid.uuid4()), ""]
    for user in everyone:
        with as_gateway(cluster, user) as cursor:
            try:
                cursor.execute(f"select * from {table}")
            except psycopg2.errors.InsufficientPrivilege:
                continue
            text = str(cursor.fetchall())
            assert not [value for value in tenants["a"].values() if value in text], (table, user)
            if user != tenants["b"]["owner"]:
                assert text == "[]"


def test_the_owner_sees_its_own(cluster, tenants):
    with as_gateway(cluster, tenants["a"]["owner"]) as cursor:
        for table in ("tenants", "tenant_members", "files", "file_derivatives", "jobs", "file_events"):
            cursor.execute(f"select count(*) as n from {table}")
            assert cursor.fetchone()["n"] == 1, table


@pytest.mark.parametrize("statement", [
    "update files set status = 'deleted' where id = %(file)s",
    "update jobs set status = 'cancelled' where id = %(job)s",
    "delete from tenant_members where tenant_id = %(tenant)s",
    "update tenant_members set role = 'member' where tenant_id = %(tenant)s",
])
def test_writes_to_another_tenant_hit_nothing(cluster, tenants, statement):
    with as_gateway(cluster, tenants["b"]["owner"]) as cursor:
        cursor.execute(statement, tenants["a"])
        assert cursor.rowcount == 0


@pytest.mark.parametrize("statement", [
    "insert into files (tenant_id, owner_user_id, r2_key_original, mime) values (%(tenant)s, %(me)s, 'x', 'x/y')",
    "insert into jobs (tenant_id, file_id, type) values (%(tenant)s, %(file)s, 'noop')",
    "insert into jobs (tenant_id, file_id, type) values (%(mine)s, %(file)s, 'noop')",
    "insert into file_events (tenant_id, file_id, kind) values (%(tenant)s, %(file)s, 'x')",
    "insert into tenant_members values (%(tenant)s, %(me)s, 'owner')",
    "update files set tenant_id = %(tenant)s where id = %(my_file)s",
    "delete from files", "delete from jobs", "truncate files", "select * from object_deletions",
    "select * from quarantine", "insert into tenants (name) values ('x')", "update jobs set payload = '{}'",
])
def test_writes_into_another_tenant_are_refused(cluster, tenants, statement):
    values = {**tenants["a"], "me": tenants["b"]["owner"], "mine": tenants["b"]["tenant"], "my_file": tenants["b"]["file"]}
    with as_gateway(cluster, tenants["b"]["owner"]) as cursor:
        with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.InternalError)):  # a policy or the guard
            cursor.execute(statement, values)


def test_the_caller_ends_with_the_transaction(cluster, tenants):
    with contextlib.closing(cluster.connect()) as connection, connection.cursor() as cursor:
        connection.autocommit = False
        for end in (connection.commit, connection.rollback):
            cursor.execute("select set_config('filemill.user_id', %s, true)", (tenants["a"]["owner"],))
            end()
            cursor.execute("select coalesce(current_setting('filemill.user_id', true), '') as caller")
            assert cursor.fetchone()["caller"] == ""
            connection.rollback()


# ---- the pool ----

@pytest.mark.parametrize("prepare", ["on", "off"])
def test_pool(cluster, prepare):
    run_pool_test(cluster.url(), prepare)


def test_pool_through_pgbouncer(cluster):
    with PgBouncer(cluster, free_port()) as bouncer:
        run_pool_test(bouncer.url(), "off")


def run_pool_test(url, prepare):
    path = build_directory() / "tests" / "unit" / "database_test"
    run = subprocess.run([str(path)], env={**os.environ, "FILEMILL_TEST_DATABASE": url, "FILEMILL_TEST_PREPARE": prepare},
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0 and "SKIPPED" not in run.stdout + run.stderr, run.stdout + run.stderr


def test_a_login_that_publishes_has_the_two_views_and_nothing_else(cluster, tenants):
    """docs/publish.md: `grant filemill_publisher to edge`."""
    cluster.execute("create role edge login; grant filemill_publisher to edge")
    try:
        row, = cluster.query("insert into publish_jobs (source_key, variant) values ('lots/1.jpg', 'front') returning *", user="edge")
        job, file = row["id"], row["file_id"]
        cluster.execute("update publish_jobs set max_retries = 9 where id = %s", (job,), user="edge")
        assert cluster.value("select max_retries from publish_jobs where id = %s", (job,), user="edge") == 9
        cluster.execute("update auction_files set deleted_at = now() where id = %s", (file,), user="edge")
        assert cluster.value("select status from publish_jobs where id = %s", (job,), user="edge") == "cancelled"
        cluster.execute("delete from publish_jobs where id = %s", (job,), user="edge")
        for table in ("files", "jobs", "file_derivatives", "tenants", "publish_assets", "object_keys", "wordlists"):
            with pytest.raises(psycopg2.Error, match="permission denied"):
                cluster.query(f"select * from {table}", user="edge")
        with pytest.raises(psycopg2.Error, match="permission denied"):
            cluster.query("select publish_file(null, null, 'x', null)", user="edge")
    finally:
        cluster.execute("drop role edge")
