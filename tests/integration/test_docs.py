"""What the documentation says holds: its commands run as they stand, its reference is the one that is printed, its
links lead somewhere, its routes and codes are the gateway's."""
import json
import os
import re
import shutil
import subprocess
import uuid

import pytest
from system import BUILD, PATIENCE, ROOT, SAMPLES, System, User, eventually, fetch

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Every curl ends in time and says on standard error what came of it. Who follows a file's events would interrupt the
# stream when the file is ready: so it ends soon, and the next command waits for that.
CURL = """curl() {
  case "$1" in
    *N*) for limit in 2 60; do
           command curl "$@" --max-time $limit -w '%{stderr}@ %{http_code} %{method} %{url}\\n' >followed 2>said
           case "$*" in *Last-Event-ID*) grep -q "^retry:" followed ;; *) grep -q "^event:" followed ;; esac && break
         done
         cat followed
         cat said >&2
         for _ in $(seq 600); do
           command curl -sS "${2%/events}" "${@:3}" --max-time 60 | jq -e '.status != "processing"' >/dev/null && break
           sleep 0.1
         done ;;
    *) command curl --max-time 60 -w '%{stderr}@ %{http_code} %{method} %{url}\\n' "$@" ;;
  esac
}
"""


def shell_blocks(page, heading):
    """The sh blocks below a heading, up to the next of its level; all of them where heading is None."""
    text = page.read_text()
    if heading:
        text = re.split(rf"^{re.escape(heading)}$", text, flags=re.M)[1]
        text = re.split(rf"^{heading.split()[0]} ", text, flags=re.M)[0]
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S))


def run_blocks(system, folder, script):
    """Runs it as somebody's shell would, in a folder that looks like a checkout; its output and its answers."""
    (folder / "build").symlink_to(BUILD)
    (folder / "samples").symlink_to(SAMPLES)
    environment = {**system.environment, "PATH": f"{BUILD}:{os.environ['PATH']}", "OTHER": str(uuid.uuid4())}
    done = subprocess.run(["bash", "-u"], input=CURL + script, env=environment, cwd=folder, capture_output=True,
                          text=True, timeout=200 * PATIENCE)
    answers = re.findall(r"^@ (\d+) (\w+) (\S+)$", done.stderr, re.M)
    noise = [line for line in done.stderr.splitlines()
             if not line.startswith("@ ") and "Operation timed out" not in line]
    assert not noise, noise
    return done.stdout, answers


def test_the_walk_of_the_readme_works_as_it_stands(system, tmp_path):
    script = shell_blocks(ROOT / "README.md", "## With curl")
    output, answers = run_blocks(system, tmp_path, script.replace("/tmp/init.json", str(tmp_path / "init.json")))
    assert len(answers) == 8 and all(status[0] == "2" for status, _, _ in answers), answers
    assert "event: file.status" in output and '"ready"' in output
    assert "pdf_text" in output and "thumbnail" in output
    text = output.rsplit("\n]\n", 1)[-1]  # what came last is the document's text
    assert "mill" in text.lower(), text[:600]


def test_the_calls_of_the_api_reference_work_as_they_stand(system, tmp_path):
    shutil.copy(SAMPLES / "mill.pdf", tmp_path / "test.pdf")
    script = shell_blocks(ROOT / "docs" / "api.md", None).replace("http://127.0.0.1:8080", system.base)
    # A reference is not in the order of a file's life: its end goes to the end.
    farewell = "curl -sS -X DELETE $API/v1/files/$FILE -H \"$auth\"\n"
    assert farewell in script
    _, answers = run_blocks(system, tmp_path, script.replace(farewell, "") + farewell)
    refused = [answer for answer in answers if answer[0][0] not in "23"
               and not (answer[0] == "409" and answer[2].endswith("/cancel"))]  # the job may have ended by then
    assert len(answers) >= 20 and not refused, refused


def test_the_reference_of_settings_is_the_one_that_is_printed(system):
    printed = system.command("config", "--markdown").stdout
    assert (ROOT / "docs" / "configuration.md").read_text() == printed, "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_a_backup_made_as_described_restores(system, user, tmp_path):
    section = (ROOT / "docs" / "operations.md").read_text().split("## Back up and restore", 1)[1].split("\n## ", 1)[0]
    commands = re.findall(r"^    (.+)$", section, re.M)
    restore, = re.findall(r"`(pg_restore [^`]+)`", section)
    file_id = user.send("mill.pdf", "application/pdf", (SAMPLES / "mill.pdf").read_bytes())
    assert user.wait(file_id)["status"] == "ready"
    path = {"PATH": f"{BUILD}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-euc", "\n".join(commands)], env={**system.environment, **path}, cwd=tmp_path, check=True)

    other = System()
    try:
        state = other.directory / "state"
        state.mkdir(mode=0o755)
        subprocess.run(["cp", "-a", tmp_path / "backup" / "secrets", tmp_path / "backup" / "store", state], check=True)
        roles, = re.findall(r"`filemill serve --roles ([^`]+)`", section)
        other.environment["FILEMILL_ROLES"] = roles
        other.start()
        subprocess.run(["bash", "-euc", f'eval "$(filemill env)"; {restore}'], env={**other.environment, **path},
                       cwd=tmp_path, check=True)
        assert other.terminate() == 0
        del other.environment["FILEMILL_ROLES"]
        other.start()
        returned = User(other, user.id)
        assert eventually(lambda: returned.call("GET", f"/v1/files/{file_id}").status == 200, what="restored")
        assert b"mill" in returned.derivative(file_id, "pdf_text").lower()
        again = returned.call("GET", "/v1/tenants").json["tenants"]
        assert [tenant["id"] for tenant in again] == [user.tenant]
        returned.tenant = user.tenant
        fresh = returned.send("mill.pdf", "application/pdf", (SAMPLES / "mill.pdf").read_bytes())
        assert returned.wait(fresh)["status"] == "ready"
        assert other.user().call("GET", f"/v1/files/{file_id}").status == 404
    finally:
        other.close()


def test_every_route_is_described(system):
    described = (ROOT / "docs" / "api.md").read_text()
    paths = json.loads(fetch("GET", f"{system.base}/openapi.json").body)["paths"]
    routes = [(method.upper(), path) for path, methods in paths.items() for method in methods if method != "parameters"]
    assert len(routes) > 15
    missing = []
    for method, path in routes:
        pattern = re.escape(path)
        pattern = re.sub(r"\\\{\w+\\\}", r"(:\\w+|\\$\\w+)", pattern)
        verb = "" if method == "GET" else rf"(`{method} |-X {method} )"
        if not re.search(verb + r"(/|\$API/|`)?[^\s`]*" + pattern, described):
            missing.append(f"{method} {path}")
    assert not missing


def test_every_error_code_is_described():
    described = (ROOT / "docs" / "api.md").read_text()
    codes = re.findall(r'PROBLEM\([A-Z_]+, "([a-z_]+)"', (ROOT / "gateway" / "problems.h").read_text())
    assert len(codes) > 20
    assert [code for code in codes if f"`{code}`" not in described] == []


def test_every_reason_of_a_failure_is_explained():
    """docs/operations.md against what workers and schedulers write into jobs.error_code."""
    table = (ROOT / "docs" / "operations.md").read_text().split("## When a job fails")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (yes|no) \| [^|]{8,} \| [^|]+ \|$", table, re.M))
    deaths = dict(re.findall(r'\{\.code = "(\w+)",([^}]*)\}', (ROOT / "workers" / "deaths.c").read_text()))
    assert len(deaths) > 30
    for code, more in deaths.items():
        assert rows.get(code) == ("yes" if ".retryable = true" in more else "no"), code
    scheduler = "\n".join(path.read_text() for path in sorted((ROOT / "scheduler").glob("*.c")))
    patterns = (r'finish_(?:refused|failed)\([^;]*?"(\w+)"', r'adoption_end_rescued\([^;{]*?"(\w+)"\)', r'\.code = "(\w+)"',
                r'"(\w+):%s", lease->type', r'result->error : "(\w+)"')
    found = [set(re.findall(pattern, scheduler)) for pattern in patterns]
    assert all(found), found
    assert {"child_failed", *deaths}.union(*found) == set(rows)
