# SPDX-License-Identifier: MIT
"""What must hold of the containers that tests/deploy/compose.sh has started: the test kit, what each may do, each
feature once, and that scaling, a rolling restart and a lost container lose nothing."""
import concurrent.futures
import json
import os
import ssl
import re
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "integration"), str(TESTS / "fault")]

from system import System, eventually, fetch, one_page_pdf  # noqa: E402
from invariants import violations  # noqa: E402
import receiver as webhooks  # noqa: E402
import test_classify as forms  # noqa: E402
import test_jobs_by_type as by_type  # noqa: E402
import test_kit as kit  # noqa: E402
import test_wordlists as lists  # noqa: E402

CORPUS = Path(os.environ.get("FILEMILL_CORPUS", TESTS.parents[1] / "shared" / "corpus"))
FILES = int(os.environ.get("FILEMILL_TEST_FILES", "120"))
COMPOSE = os.environ["FILEMILL_TEST_COMPOSE"].split()
DIRECTORY = Path(os.environ["FILEMILL_TEST_COMPOSE_DIRECTORY"])
OURS = ("store", "gateway", "processor")


def run(*command, check=True, seconds=300):
    result = subprocess.run(list(map(str, command)), cwd=DIRECTORY, capture_output=True, text=True, timeout=seconds,
                            stdin=subprocess.DEVNULL, check=False)
    assert not check or result.returncode == 0, f"{command}: {result.returncode}\n{result.stdout}{result.stderr}"
    return result


class Containers(System):
    """Speaks as System does, about containers."""

    def __init__(self):  # nothing to start: it runs
        self.variables = dict(line.split("=", 1) for line in (DIRECTORY / ".env").read_text().splitlines()
                              if "=" in line and not line.startswith("#"))
        self.project = self.variables["COMPOSE_PROJECT_NAME"]

    @property
    def base(self):
        return self.variables["FILEMILL_PUBLIC_URL"]

    @property
    def bucket(self):
        return self.variables["FILEMILL_STORAGE_BUCKET"]

    def compose(self, *arguments, check=True):
        return run(*COMPOSE, *arguments, check=check)

    def scale(self, processors):
        self.compose("up", "-d", "--no-recreate", "--scale", f"processor={processors}")

    def containers(self, service, running=True):
        found = run("docker", "ps", *([] if running else ["-a"]), "-q", "--no-trunc",
                    "--filter", f"label=com.docker.compose.project={self.project}",
                    "--filter", f"label=com.docker.compose.service={service}").stdout.split()
        return json.loads(run("docker", "inspect", *found).stdout) if found else []

    def inside(self, container, *command, check=True):
        return run("docker", "exec", container["Id"], *command, check=check)

    def command(self, *arguments, check=True, **more):
        return self.inside(self.containers("gateway")[0], "filemill", *arguments, check=check)

    def stats(self, container=None):
        return json.loads(self.inside(container or self.containers("processor")[0], "filemill", "stats").stdout)

    def pids(self, program):
        parents, found = {}, []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                name = os.path.basename((entry / "cmdline").read_bytes().split(b"\0")[0].decode())
            except OSError:
                continue
            parents.setdefault(parent, []).append((int(entry.name), name))
        todo = [container["State"]["Pid"] for service in OURS for container in self.containers(service)]
        while todo:
            for pid, name in parents.get(todo.pop(), []):
                todo.append(pid)
                found += [pid] if name == program else []
        return found

    def sql(self, query, *values):
        import psycopg2
        import psycopg2.extras
        address = next(iter(self.containers("postgres")[0]["NetworkSettings"]["Networks"].values()))["IPAddress"]
        connection = psycopg2.connect(host=address, user="filemill", dbname="filemill",
                                      password=self.variables["POSTGRES_PASSWORD"],
                                      cursor_factory=psycopg2.extras.RealDictCursor)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(query, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def s3(self):
        self.shell = {"AWS_ENDPOINT_URL": self.variables["FILEMILL_STORAGE_PUBLIC_ENDPOINT"],
                      "AWS_ACCESS_KEY_ID": self.variables["FILEMILL_STORAGE_ACCESS_KEY"],
                      "AWS_SECRET_ACCESS_KEY": self.variables["FILEMILL_STORAGE_SECRET_KEY"]}
        return super().s3()

    def healthy(self, service):
        return all(container["State"]["Health"]["Status"] == "healthy" for container in self.containers(service))


@pytest.fixture(scope="module")
def system():
    containers = Containers()
    eventually(lambda: all(containers.containers(service) and containers.healthy(service) for service in OURS), 120,
               every=1, what="all healthy")
    yield containers


@pytest.fixture(scope="module")
def user(system):
    return system.user().bootstrap()


# The test kit, through nginx, against three processors.
sent = kit.sent
for _name in [name for name in dir(kit) if name.startswith("test_")]:
    globals()[_name] = getattr(kit, _name)


def test_sandbox_under_dockers_own_seccomp_profile(system):
    """The default tier: seccomp and Landlock in each nursery, no namespaces."""
    for container in system.containers("processor"):
        assert not any("seccomp" in option for option in container["HostConfig"]["SecurityOpt"] or [])
        layers = [service.get("note", "") for service in system.stats(container)["services"]
                  if service["name"] == "worker"]
        assert layers and all("seccomp" in note and "landlock" in note for note in layers), layers


def test_containers_may_do_little(system):
    for service in OURS:
        for container in system.containers(service):
            status = dict(line.split(":\t", 1) for line in
                          system.inside(container, "cat", "/proc/1/status").stdout.splitlines() if ":\t" in line)
            assert status["Uid"].split() == ["10001"] * 4
            assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == 0
            assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
            refused = system.inside(container, "sh", "-c", "echo x >/usr/local/bin/x", check=False)
            assert refused.returncode != 0 and "Read-only" in refused.stderr


def test_each_holds_its_own_secrets_only(system):
    secrets = {name: value for name, value in system.variables.items()
               if name.endswith(("_PASSWORD", "_KEY", "_SECRET")) and value and "_PUBLISH_" not in name}
    allowed = {"store": {"FILEMILL_STORAGE_ACCESS_KEY", "FILEMILL_STORAGE_SECRET_KEY"}}
    allowed["processor"] = allowed["store"] | {"FILEMILL_SCHEDULER_PASSWORD", "FILEMILL_ENCRYPTION_KEY"}
    allowed["gateway"] = allowed["store"] | {"FILEMILL_GATEWAY_PASSWORD", "FILEMILL_JWT_SECRET", "FILEMILL_ENCRYPTION_KEY"}
    for service in OURS:
        told = " ".join(system.containers(service)[0]["Config"]["Env"])
        assert {name for name, value in secrets.items() if value in told} == allowed[service]


def test_nginx_limits_bodies_and_hides_metrics(system):
    answer = fetch("POST", f"{system.base}/v1/files/init-upload", {"Content-Type": "application/json"},
                   b" " * (3 << 20))
    assert answer.status == 413
    assert fetch("GET", f"{system.base}/metrics").status == 404
    assert fetch("GET", f"{system.base}/ready").status == 200


def test_tls(system):
    certificate = DIRECTORY / "nginx" / "tls" / "fullchain.pem"
    if not certificate.exists():
        pytest.skip("no openssl to make a certificate")
    port = system.variables["FILEMILL_HTTPS_BIND"].rsplit(":", 1)[1]
    context = ssl.create_default_context(cafile=str(certificate))
    with urllib.request.urlopen(f"https://localhost:{port}/health", context=context, timeout=10) as reply:
        assert reply.status == 200 and "max-age" in reply.headers["Strict-Transport-Security"]


# --- each feature once, in the containers that people run ---

files = by_type.files
test_every_processor = by_type.test_what_the_list_says_the_processors_take


# Each line of the answer: name, exit status, what was said.
EACH = r'''for path in $(cd /corpus && echo $PATTERN); do
    filemill run "$@" --cpu 20 --wall 60000 --input "/corpus/$path" --outputs /tmp/out >/tmp/said 2>&1
    echo "$path|$?|$(cat /tmp/said)"
    rm -rf /tmp/out
done'''


@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus: set FILEMILL_CORPUS")
@pytest.mark.parametrize("pattern, processor, options", [
    ("pdf/*.pdf", "extract_pdf", []), ("pdf/*.pdf", "thumbnail", []), ("pdf/*.pdf", "page_images", []),
    ("img/*", "thumbnail", []),
    ("img/*", "image_variants", ["--params", '{"sizes": [64], "formats": ["webp", "jpeg", "png", "avif"]}']),
    ("img/*.jpg", "portal_photo", ["--param", "preset=NEET 2026"]), ("ocr/*.tif* ocr/*.png ocr/*.jpg", "ocr", []),
    ("audio/*.wav audio/*.mp3 audio/*.m4a audio/*.flac", "waveform", []),
    ("audio/jfk* audio/*.m4a", "transcribe", []), ("audio/*.mp3 audio/*.m4a audio/*.flac", "speech", []),
    ("office/*", "extract_office", []), ("bad/*", "extract_pdf", []), ("bad/*", "thumbnail", []),
    ("bad/*", "extract_office", []), ("bad/*", "waveform", []),
])
def test_nothing_in_the_image_is_missing(system, pattern, processor, options):
    """The corpus through the image's own engines, under a service's restrictions: what is refused is refused for a reason
    that is the document's, and nothing dies (of a stand-in, say)."""
    image = system.variables["FILEMILL_IMAGE"]
    said = run("docker", "run", "--rm", "--read-only", "--tmpfs", "/tmp:mode=1777", "--cap-drop", "ALL",
               "--network", "none", "--security-opt", "no-new-privileges:true", "-v", f"{CORPUS}:/corpus:ro",
               "-e", f"PATTERN={pattern}", "--entrypoint", "sh", image, "-c", EACH, "sh", processor, *options,
               seconds=900).stdout
    rows = [line.split("|", 2) for line in said.splitlines() if re.match(r"[a-z]+/[^|]+\|\d+\|", line)]
    wrong = [row for row in rows if row[1] not in ("0", "3", "4")]
    assert wrong == [] and "engine_failed" not in said, wrong
    good = [row for row in rows if row[1] == "0"]
    assert len(rows) >= 2 and (len(good) >= len(rows) / 2 or pattern.startswith("bad")), rows


def test_doctor_finds_it_sound(system):
    for service in ("gateway", "processor"):
        report = json.loads(system.inside(system.containers(service)[0], "filemill", "doctor", "--json",
                                          check=False).stdout)
        assert [row for row in report["checks"] if row["result"] == "FAIL"] == []


def test_metrics_inside_and_the_console_outside(system):
    for service in OURS:
        for container in system.containers(service):
            address = next(iter(container["NetworkSettings"]["Networks"].values()))["IPAddress"]
            told = fetch("GET", f"http://{address}:9464/metrics").body.decode()
            assert "# TYPE filemill_" in told, service
    page = fetch("GET", f"{system.base}/console/")
    assert page.status == 200 and "default-src 'none'" in page.headers["Content-Security-Policy"]
    for asset in re.findall(r'(?:src|href)="(/console/[^"]+)"', page.body.decode()):
        assert fetch("GET", system.base + asset).status == 200, asset


def test_admins_are_those_named(system, user):
    admin = system.user(system.variables["FILEMILL_ADMINS"])
    assert admin.call("GET", "/v1/admin/queue").status == 200
    assert user.call("GET", "/v1/admin/queue").status == 403


def test_documents_in_a_form_are_classified(system):
    """Two of them, and more than the API's other bodies may be."""
    user = system.user().bootstrap()
    long = forms.LETTER.encode() * 40000
    answer = forms.post(user, forms.form(("a.txt", "text/plain", forms.INVOICE.encode()), ("b.txt", "text/plain", long)))
    results = forms.finished(user, forms.accepted(answer))["results"]
    assert [result["label"] for result in results] == ["invoice", "letter"]


def test_a_word_list_is_translated_by_the_images_dictionaries(system):
    user = system.user().bootstrap()
    kept, _ = lists.make(user, target_language="fr")
    pairs = user.call("GET", f"/v1/wordlists/{kept}").json["word_pairs"]
    assert {pair["source"]: pair["target"] for pair in pairs}["horse"] == "cheval", pairs


def test_webhooks_reach_an_app_beside(system):
    network, = system.containers("processor")[0]["NetworkSettings"]["Networks"].values()
    listener = webhooks.Receiver(network["Gateway"])  # this machine, as containers reach it
    user = system.user().bootstrap()
    try:
        hook = user.call("POST", f"/v1/tenants/{user.tenant}/webhooks",
                         {"url": listener.url("/hook", network["Gateway"])})
        assert hook.status == 201, hook
        file_id = user.send("told.txt", "text/plain", b"somebody wants to know\n")
        ready = eventually(lambda: [request for request in listener.got("/hook")
                                    if request.json["type"] == "file.ready"], 30, what="file.ready")[0]
        event = webhooks.verify(hook.json["secret"], ready.headers, ready.body)
        assert event["data"]["file_id"] == file_id
    finally:
        listener.close()


def test_a_picture_is_published(system, user):
    file_id = user.send("lot.jpg", "image/jpeg", by_type.picture())
    user.wait(file_id)
    job, = system.sql("insert into publish_jobs (file_id) values (%s) returning id", file_id)

    def ended():
        row, = system.sql("select * from publish_jobs where id = %s", job["id"])
        return row if row["status"] in ("completed", "failed") else None
    row = eventually(ended, 60, what="published")
    assert row["status"] == "completed", row
    published = row["display_url"][len(system.variables["FILEMILL_CDN_BASE_URL"]) + 1:]
    stored = system.s3().get_object(Bucket=system.bucket, Key=published)
    assert stored["ContentType"] == "image/webp" and stored["Body"].read()[8:12] == b"WEBP"


# --- nothing acknowledged is lost ---

class Load:
    """Files sent from eight clients until told to stop. A client repeats what was refused or cut off."""

    def __init__(self, user):
        self.user, self.files, self.stopping, self.number = user, [], threading.Event(), 0
        self.lock = threading.Lock()
        self.refused = 0

    def attempt(self, call):
        while True:
            try:
                answer = call()
                if answer.status < 300:
                    return answer
                assert answer.status == 429 or answer.status >= 500, answer
            except OSError:
                pass
            self.refused += 1
            time.sleep(0.2)

    def client(self):
        while not self.stopping.is_set():
            with self.lock:
                self.number += 1
                number = self.number
            data = one_page_pdf(f"under load {number}")
            init = self.attempt(lambda: self.user.init(f"{number}.pdf", "application/pdf", len(data))).json
            try:
                self.user.put(init, data)
            except OSError:
                continue
            try:
                if self.user.finalize(init["file_id"]).status == 200:
                    self.files.append(init["file_id"])
            except OSError:
                pass  # not acknowledged
            time.sleep(0.05)

    def __enter__(self):
        self.pool = concurrent.futures.ThreadPoolExecutor(8)
        self.clients = [self.pool.submit(self.client) for _ in range(8)]
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for client in self.clients:
            client.result()
        self.pool.shutdown()

    def grow(self, count):
        goal = len(self.files) + count
        eventually(lambda: len(self.files) >= goal, 120, what=f"{count} more files")


def settled(system, load):
    eventually(lambda: not system.sql("select 1 from jobs where status not in ('done', 'failed', 'cancelled') limit 1"),
               180, every=0.5, what="all jobs finished")
    states = {row["id"]: row["status"] for row in system.sql("select id::text, status::text from files")}
    assert len(load.files) >= 10
    assert {states[file_id] for file_id in load.files} == {"ready"}
    assert violations(system) == []


def test_scaling_under_load_loses_nothing(system, user):
    with Load(user) as load:
        load.grow(FILES // 6)
        system.scale(1)
        load.grow(FILES // 6)
        system.scale(3)
        load.grow(FILES // 6)
    assert len(system.containers("processor")) == 3
    settled(system, load)


def test_rolling_restart_under_load_loses_nothing(system, user):
    """Each container stops by itself within its grace, with exit status 0, and comes back."""
    with Load(user) as load:
        for service in ("processor", "gateway", "store"):
            load.grow(FILES // 12)
            for container in system.containers(service):
                run("docker", "stop", "--time", "45", container["Id"])
                ended, = json.loads(run("docker", "inspect", container["Id"]).stdout)
                assert ended["State"]["ExitCode"] == 0, (service, ended["State"])
                run("docker", "start", container["Id"])
                load.grow(2)
    settled(system, load)


def test_a_killed_processor_loses_nothing(system, user):
    with Load(user) as load:
        load.grow(FILES // 6)
        victim = system.containers("processor")[0]
        run("docker", "kill", "--signal", "KILL", victim["Id"])
        load.grow(FILES // 6)
        run("docker", "start", victim["Id"])
    settled(system, load)


def test_postgres_restarted_under_load_loses_nothing(system, user):
    with Load(user) as load:
        load.grow(FILES // 6)
        run("docker", "restart", "--time", "30", system.containers("postgres")[0]["Id"])
        load.grow(FILES // 6)
    settled(system, load)


def test_outputs_are_encrypted_once_the_file_says_so(system, user):
    """.env is edited, and `up -d` again."""
    with open(DIRECTORY / ".env", "a", encoding="utf-8") as variables:
        variables.write("FILEMILL_ENCRYPT_OUTPUTS=all\n")
    system.compose("up", "-d", "--scale", "processor=3")
    eventually(lambda: all(system.containers(service) and system.healthy(service) for service in OURS), 120, every=1,
               what="all healthy")
    file_id = user.send("sealed.pdf", "application/pdf", one_page_pdf("nobody reads this in the store"))
    assert user.wait(file_id)["status"] == "ready"
    key, = [row["r2_key"] for row in system.sql("select r2_key from file_derivatives where file_id = %s"
                                                " and kind = 'pdf_text'", file_id)]
    assert b"nobody reads" not in system.s3().get_object(Bucket=system.bucket, Key=key)["Body"].read()
    assert user.derivative(file_id, "pdf_text").decode().strip() == "nobody reads this in the store"


def test_down_and_up_keeps_everything(system, user):
    """All containers go, the volumes stay."""
    file_id = user.send("keep.pdf", "application/pdf", one_page_pdf("kept over a new start"))
    assert user.wait(file_id)["status"] == "ready"
    system.compose("down")
    system.compose("up", "-d", "--scale", "processor=2")
    eventually(lambda: all(system.containers(service) and system.healthy(service) for service in OURS), 120, every=1,
               what="all healthy")
    assert user.derivative(file_id, "pdf_text").decode().strip() == "kept over a new start"


def test_namespaces_with_the_optional_profile(system, user):
    limit = Path("/proc/sys/user/max_user_namespaces")
    if not limit.exists() or int(limit.read_text()) == 0:
        pytest.skip("this host permits no user namespaces")
    system.compose("-f", "docker-compose.yml", "-f", "docker-compose.namespaces.yml", "up", "-d", "--no-deps", "processor")
    eventually(lambda: system.containers("processor") and system.healthy("processor"), 120, every=1, what="healthy")
    container, *_ = system.containers("processor")
    layers = next(service["note"] for service in system.stats(container)["services"] if service["name"] == "worker")
    assert {"seccomp", "namespaces"} <= set(layers.split(",")) and "landlock" in layers
    file_id = user.send("inside.pdf", "application/pdf", one_page_pdf("in namespaces"))
    assert user.wait(file_id)["status"] == "ready"
