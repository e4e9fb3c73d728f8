# SPDX-License-Identifier: MIT
"""No tenant sees another's: every route against one's own, another tenant's and a random id; roles within a tenant; and
row security on its own, with the gateway's role and no gateway."""
import threading
import uuid

import psycopg2
import pytest

from gateway_process import World

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


@pytest.fixture(scope="module")
def world():
    with World() as running:
        yield running


class Side:
    """A tenant with one file, its jobs and a derivative."""

    def __init__(self, world):
        self.owner = world.gateway.user().bootstrap()
        self.tenant = self.owner.tenant
        self.file = self.owner.send(PDF)
        self.job = self.owner.call("GET", f"/v1/files/{self.file}").json["jobs"][0]["id"]
        self.upload = self.owner.upload(PDF)
        world.postgres.query("insert into file_derivatives (file_id, kind, r2_key, mime, size_bytes) values "
                             "(%s, 'pdf_text', %s, 'text/plain', 5)", (self.file, f"t/{self.tenant}/derived/{self.file}/x"))


@pytest.fixture(scope="module")
def mine(world):
    return Side(world)


@pytest.fixture(scope="module")
def other(world):
    return Side(world)


class Ids:
    """Ids of nothing."""

    def __init__(self):
        self.tenant, self.file, self.job, self.upload = (str(uuid.uuid4()) for _ in range(4))


# Every route that names something of a tenant; what the owner gets for his own is checked last, as some end things.
ROUTES = [
    ("GET", "/v1/tenants/{tenant}/members", None, 200),
    ("POST", "/v1/tenants/{tenant}/members", {"user_id": "{new}"}, 201),
    ("PATCH", "/v1/tenants/{tenant}/members/{known}", {"role": "admin"}, 200),
    ("DELETE", "/v1/tenants/{tenant}/members/{known}", None, 200),
    ("GET", "/v1/files?tenant_id={tenant}", None, 200),
    ("GET", "/v1/files/{file}", None, 200),
    ("GET", "/v1/files/{file}/download", None, 200),
    ("GET", "/v1/files/{file}/derivatives/pdf_text", None, 200),
    ("GET", "/v1/files/{file}/events", None, 200),
    ("POST", "/v1/files/finalize", {"file_id": "{upload}"}, 200),
    ("GET", "/v1/jobs/{job}", None, 200),
    ("POST", "/v1/jobs/{job}/cancel", None, 200),
    ("POST", "/v1/internal/files/{file}/reprocess", None, 200),
    ("DELETE", "/v1/files/{file}", None, 200),
]


def fill(value, side, new, known):
    if isinstance(value, dict):
        return {name: fill(inner, side, new, known) for name, inner in value.items()}
    return value.format(tenant=side.tenant, file=side.file, job=side.job, upload=side.upload, new=new, known=known)


def ask(user, route, side, known=None):
    method, path, body, _ = route
    new = str(uuid.uuid4())
    known = known or str(uuid.uuid4())
    return user.call(method, fill(path, side, new, known), fill(body, side, new, known) if body else None)


def state(world, tenant):
    """Everything that a write could have changed."""
    return [world.postgres.query(text, (tenant,)) for text in (
        "select user_id, role from tenant_members where tenant_id = %s order by user_id",
        "select id, status, generation, deleted_at, updated_at from files where tenant_id = %s order by id",
        "select id, status, lease_epoch from jobs where tenant_id = %s order by id",
        "select id from file_events where tenant_id = %s order by id")]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route[0]} {route[1]}")
def test_anothers_and_nothing_look_the_same(world, mine, other, route):
    before = state(world, other.tenant)
    known = other.owner.id
    theirs = ask(mine.owner, route, other, known)
    nothing = ask(mine.owner, route, Ids())
    assert theirs.status == nothing.status == 404, (theirs, nothing)
    assert theirs.body == nothing.body
    hide = ("x-request-id", "traceresponse", "date")
    assert {k: v for k, v in theirs.headers.items() if k not in hide} == {k: v for k, v in nothing.headers.items() if k not in hide}
    assert state(world, other.tenant) == before


def test_uploads_into_anothers_tenant(mine, other):
    for tenant in (other.tenant, str(uuid.uuid4())):
        answer = mine.owner.call("POST", "/v1/files/init-upload", {"tenant_id": tenant, "filename": "a", "mime": "a/b",
                                                                   "size_bytes": 1})
        assert (answer.status, answer.error) == (403, "not_a_member")


def test_lists_show_ones_own(mine, other):
    tenants = [row["id"] for row in mine.owner.call("GET", "/v1/tenants").json["tenants"]]
    assert tenants == [mine.tenant]
    files = {file["file_id"] for file in mine.owner.call("GET", f"/v1/files?tenant_id={mine.tenant}").json["files"]}
    assert files == {mine.file, mine.upload}


# -- roles and visibility ------------------------------------------------------------------------------------------

READERS = {  # who may have the link, by visibility: (owner of the file, another member, internal, admin, owner, stranger)
    "public": (200, 200, 200, 200, 200, 200),
    "private": (200, 403, 200, 200, 200, 404),
    "internal": (403, 403, 200, 200, 200, 404),
}


@pytest.fixture(scope="module")
def people(world):
    boss = world.gateway.user().bootstrap()
    return {"author": boss.member("member"), "member": boss.member("member"), "internal": boss.member("internal"),
            "admin": boss.member("admin"), "owner": boss, "stranger": world.gateway.user().bootstrap()}


@pytest.mark.parametrize("visibility", list(READERS))
def test_visibility(world, people, visibility):
    author = people["author"] if visibility != "internal" else people["internal"]
    file_id = author.send(PDF, visibility=visibility)
    if visibility == "internal":  # made by one who may; then handed to one who may not
        world.postgres.query("update files set owner_user_id = %s where id = %s", (people["author"].id, file_id))
    for (name, user), expected in zip(people.items(), READERS[visibility]):
        answer = user.call("GET", f"/v1/files/{file_id}/download")
        assert answer.status == expected, (visibility, name, answer)
        if expected == 403:
            assert answer.error == "forbidden"
        details = user.call("GET", f"/v1/files/{file_id}")
        assert details.status == (404 if name == "stranger" else expected), (visibility, name, details)


def test_public_files_are_linked_plainly(world):
    from gateway_process import Gateway
    gateway = Gateway(world.postgres, world.store, public_base_url="https://cdn.example/", rate_per_minute=0).start()
    try:
        author = gateway.user().bootstrap()
        public, private = author.send(PDF, visibility="public"), author.send(PDF)
        key = author.call("GET", f"/v1/files/{public}").json["r2_key"]
        for user in (author, gateway.user()):
            assert user.call("GET", f"/v1/files/{public}/download").json == {"download_url": f"https://cdn.example/{key}"}
        assert "X-Amz-Signature" in author.call("GET", f"/v1/files/{private}/download").json["download_url"]
    finally:
        gateway.close()


def test_internal_uploads_need_a_role(people):
    for name in ("author", "member"):
        answer = people[name].init(visibility="internal")
        assert (answer.status, answer.error) == (403, "insufficient_role")
    for name in ("internal", "admin", "owner"):
        assert people[name].init(visibility="internal").status == 200


def test_finalize_and_delete_are_for_the_owner_and_the_elevated(people):
    for name, finalize in (("member", 403), ("internal", 200), ("admin", 200)):
        file_id = people["author"].upload(PDF)
        answer = people[name].finalize(file_id)
        assert answer.status == finalize, (name, answer)
        assert people[name].call("DELETE", f"/v1/files/{file_id}").status == finalize
    file_id = people["author"].send(PDF)
    answer = people["author"].call("POST", f"/v1/internal/files/{file_id}/reprocess")
    assert (answer.status, answer.error) == (403, "forbidden"), "not even for the file's owner, if a member only"
    job = people["author"].call("GET", f"/v1/files/{file_id}").json["jobs"][0]["id"]
    assert people["member"].call("GET", f"/v1/jobs/{job}").status == 403
    assert people["member"].call("POST", f"/v1/jobs/{job}/cancel").status == 403
    assert people["author"].call("POST", f"/v1/jobs/{job}/cancel").status == 200


def test_lists_hide_what_one_may_not_read(people):
    hidden = people["author"].init().json["file_id"]
    internal = people["admin"].init(visibility="internal").json["file_id"]
    public = people["admin"].init(visibility="public").json["file_id"]
    path = f"/v1/files?tenant_id={people['owner'].tenant}&limit=100"
    seen = {name: {file["file_id"] for file in people[name].call("GET", path).json["files"]} for name in ("member", "author", "owner")}
    assert public in seen["member"] and not {hidden, internal} & seen["member"]
    assert {public, hidden} <= seen["author"] and internal not in seen["author"]
    assert {public, hidden, internal} <= seen["owner"]


# -- members -------------------------------------------------------------------------------------------------------

def change(user, tenant, who, role):
    return user.call("PATCH", f"/v1/tenants/{tenant}/members/{who}", {"role": role})


def remove(user, tenant, who):
    return user.call("DELETE", f"/v1/tenants/{tenant}/members/{who}")


def test_members(world):
    boss = world.gateway.user().bootstrap()
    tenant = boss.tenant
    admin, plain = boss.member("admin"), boss.member("member")
    listed = boss.call("GET", f"/v1/tenants/{tenant}/members").json["members"]
    assert {(row["user_id"], row["role"]) for row in listed} == {(boss.id, "owner"), (admin.id, "admin"), (plain.id, "member")}
    assert plain.call("GET", f"/v1/tenants/{tenant}/members").status == 200

    again = boss.call("POST", f"/v1/tenants/{tenant}/members", {"user_id": plain.id.upper()})
    assert (again.status, again.error) == (409, "already_member")
    newcomer = str(uuid.uuid4())
    for user, body, code in ((plain, {"user_id": newcomer}, "insufficient_role"),
                             (admin, {"user_id": newcomer, "role": "owner"}, "insufficient_role")):
        answer = user.call("POST", f"/v1/tenants/{tenant}/members", body)
        assert (answer.status, answer.error) == (403, code)
    assert admin.call("POST", f"/v1/tenants/{tenant}/members", {"user_id": newcomer, "role": "admin"}).status == 201

    for answer in (change(admin, tenant, boss.id, "member"), remove(admin, tenant, boss.id),
                   change(admin, tenant, admin.id, "owner"), change(admin, tenant, plain.id, "owner"),
                   change(plain, tenant, plain.id, "admin"), remove(plain, tenant, admin.id)):
        assert (answer.status, answer.error) == (403, "insufficient_role")
    for answer in (change(boss, tenant, boss.id, "admin"), remove(boss, tenant, boss.id)):
        assert (answer.status, answer.error) == (409, "last_owner")
    assert change(boss, tenant, str(uuid.uuid4()), "admin").status == 404
    assert change(admin, tenant, plain.id, "internal").json == {"tenant_id": tenant, "user_id": plain.id, "role": "internal"}

    assert change(boss, tenant, admin.id, "owner").status == 200
    assert change(boss, tenant, boss.id, "member").status == 200
    assert change(boss, tenant, admin.id, "member").status == 403
    assert remove(admin, tenant, boss.id).status == 200
    assert boss.call("GET", f"/v1/tenants/{tenant}/members").status == 404


def test_two_owners_cannot_both_leave(world):
    for _ in range(10):
        first = world.gateway.user().bootstrap()
        second = first.member("owner")
        answers = []
        threads = [threading.Thread(target=lambda who=who: answers.append(remove(who, first.tenant, who.id).status))
                   for who in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [200, 409]
        assert world.postgres.value("select count(*) from tenant_members where tenant_id = %s and role = 'owner'",
                                    (first.tenant,)) == 1


# -- row security alone --------------------------------------------------------------------------------------------

class Bare:
    """Any SQL as the gateway's role, for one user: a handler that forgot every check."""

    def __init__(self, world, user):
        self.connection = world.postgres.connect()
        self.connection.autocommit = False
        self.user = user

    def __call__(self, text, *values):
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute("set local role filemill_gateway")
            if self.user is not None:
                cursor.execute("select set_config('filemill.user_id', %s, true)", (self.user,))
            cursor.execute(text, values)
            return (cursor.fetchall() if cursor.description else []), cursor.rowcount


def test_nobody_sees_nothing(world, mine, other):
    for user in (None, "", str(uuid.uuid4())):
        bare = Bare(world, user)
        for table in ("tenants", "tenant_members", "jobs", "idempotency_keys"):
            assert bare(f"select * from {table}")[0] == [], table
        assert bare("select 1 from files where visibility <> 'public'")[0] == []
        for table in ("file_derivatives", "file_events"):  # of public files only
            assert bare(f"select 1 from {table} where file_id = any (%s::uuid[])", [mine.file, other.file])[0] == [], table


def test_rows_of_another_tenant_are_neither_seen_nor_touched(world, mine, other):
    bare = Bare(world, mine.owner.id)
    owned = {"tenants": "id", "tenant_members": "tenant_id", "files": "tenant_id", "jobs": "tenant_id", "file_events": "tenant_id"}
    for table, column in owned.items():
        rows, _ = bare(f"select 1 from {table} where {column} = %s", other.tenant)
        assert rows == [], table
    before = state(world, other.tenant)
    assert bare("update files set status = 'deleted' where id = %s", other.file)[1] == 0
    assert bare("update jobs set status = 'cancelled' where file_id = %s", other.file)[1] == 0
    assert bare("delete from tenant_members where tenant_id = %s", other.tenant)[1] == 0
    assert bare("update tenant_members set role = 'owner' where tenant_id = %s", other.tenant)[1] == 0
    assert state(world, other.tenant) == before


@pytest.mark.parametrize("text", [
    "insert into tenant_members values ('{other}', '{me}', 'owner')",
    "insert into tenants (name) values ('mine too')",
    "insert into files (tenant_id, owner_user_id, r2_key_original, mime) values ('{other}', '{me}', 'k1', 'a/b')",
    "insert into files (tenant_id, owner_user_id, r2_key_original, mime) values ('{mine}', '{them}', 'k2', 'a/b')",
    "insert into jobs (tenant_id, file_id, type) values ('{mine}', '{file}', 'noop')",
    "insert into jobs (tenant_id, file_id, type) values ('{other}', '{file}', 'noop')",
    "insert into file_events (tenant_id, file_id, kind) values ('{mine}', '{file}', 'file.status')",
    "insert into file_events (tenant_id, file_id, kind) values ('{other}', '{file}', 'file.status')",
    "update files set tenant_id = '{other}' where tenant_id = '{mine}'",
    "update tenant_members set tenant_id = '{other}' where user_id = '{me}'",
    "update tenant_members set user_id = '{them}' where user_id = '{me}'",
    "insert into idempotency_keys (user_id, key, request_hash) values ('{them}', 'k', 'h')",
    "delete from files", "delete from jobs", "truncate files", "drop table files", "select * from quarantine",
    "select * from object_deletions", "select * from schema_migrations", "alter table files disable row level security",
    "create table x (a int)"])
def test_writes_that_no_handler_makes(world, mine, other, text):
    bare = Bare(world, mine.owner.id)
    with pytest.raises(psycopg2.Error):
        bare(text.format(other=other.tenant, mine=mine.tenant, me=mine.owner.id, them=other.owner.id, file=other.file))


def test_events_newest_tells_a_number_only(world, mine, other):
    rows, _ = Bare(world, mine.owner.id)("select * from events_newest(%s::uuid[])", [other.file])
    assert [set(row) for row in rows] == [{"file", "newest"}]


def test_every_table_is_forced(world):
    rows = world.postgres.query("select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace "
                                "and not (relrowsecurity and relforcerowsecurity)")
    assert rows == []
    role, = world.postgres.query("select rolsuper, rolbypassrls, rolcanlogin from pg_roles where rolname = 'filemill_gateway'")
    assert not any(role.values())
    assert world.postgres.query("select 1 from pg_class c join pg_roles r on r.oid = c.relowner where r.rolname = 'filemill_gateway'") == []


def test_the_caller_leaves_no_trace_in_the_session(world):
    """The same connections serve everybody: what one transaction set is gone in the next."""
    users = [world.gateway.user().bootstrap() for _ in range(8)]
    failures = []

    def work(user):
        for _ in range(30):
            tenants = [row["id"] for row in user.call("GET", "/v1/tenants").json["tenants"]]
            user.call("GET", f"/v1/files/{uuid.uuid4()}")
            if tenants != [user.tenant]:
                failures.append(tenants)

    threads = [threading.Thread(target=work, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


# -- last: one's own still works on all these routes ---------------------------------------------------------------

@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route[0]} {route[1]}")
def test_ones_own(world, mine, route):
    known = mine.owner.member("member").id
    if route[1].endswith("/events"):
        import http.client
        from gateway_process import token
        connection = http.client.HTTPConnection("127.0.0.1", world.gateway.port, timeout=60)
        connection.request("GET", f"/v1/files/{mine.file}/events", headers={"Authorization": "Bearer " + token(mine.owner.id)})
        assert connection.getresponse().status == 200
        connection.close()
        return
    answer = ask(mine.owner, route, mine, known)
    assert answer.status == route[3], answer
