# SPDX-License-Identifier: MIT
"""What Prometheus reads: the port, the format, and that the numbers are of what happened."""
import json
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from system import ROOT, System, eventually, fetch, free_port, one_page_pdf

SAMPLE = re.compile(r'^([a-z_]+)(\{(?:[a-z_]+="[^"\\\n]*",?)*\})? (\d+(?:\.\d+)?)$')


@pytest.fixture(scope="module")
def port():
    return free_port()


@pytest.fixture(scope="module")
def system(port):
    with System(metrics_port=port) as running:
        yield running


@pytest.fixture(scope="module")
def user(system):
    return system.user().bootstrap()


def scrape(port):
    answer = fetch("GET", f"http://127.0.0.1:{port}/metrics")
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return answer.body.decode()


def samples(text):
    """{name: {labels: value}}; every line is a sample or a comment, every family stands together."""
    found, families = {}, []
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            families.append(line.split()[2])
            continue
        if line.startswith("# HELP "):
            continue
        match = SAMPLE.match(line)
        assert match, line
        found.setdefault(match[1], {})[match[2] or ""] = float(match[3])
        assert match[1].startswith(families[-1]), (line, families[-1])
    assert len(families) == len(set(families)), "a family in two places"
    return found


def test_the_numbers_are_of_what_happened(system, user, port):
    for number in range(3):
        user.wait(user.send(f"{number}.pdf", "application/pdf", one_page_pdf(f"metrics {number}")))

    def told():
        found = samples(scrape(port))
        counts = [sum(value for labels, value in found["filemill_job_seconds_count"].items() if f'phase="{phase}"' in labels)
                  for phase in ("queue", "parse", "commit")]
        return found if min(counts) >= 6 else None

    found = eventually(told, what="six jobs seen, from claim to commit")
    for phase in ("queue", "parse", "commit"):
        mine = {labels: value for labels, value in found["filemill_job_seconds_bucket"].items()
                if f'phase="{phase}"' in labels and 'service="scheduler"' in labels}
        values = list(mine.values())
        assert len(values) == 15 and values == sorted(values) and values[-1] >= 6, (phase, mine)
    total = sum(value for labels, value in found["filemill_job_seconds_sum"].items() if 'phase="parse"' in labels)
    assert 0 < total < 60
    ended = sum(value for labels, value in found["filemill_jobs_ended_total"].items() if 'outcome="done"' in labels)
    assert ended >= 6


def test_requests_are_told_by_route_and_status(system, user, port):
    assert user.call("GET", f"/v1/files/{user.tenant}").status == 404
    assert fetch("GET", f"{system.base}/no/such/path").status == 404

    def told():
        text = scrape(port)
        found = samples(text).get("filemill_http_route_requests_total", {})
        wanted = ('method="GET",route="/v1/files/:id",class="4xx"', 'method="any",route="none",class="4xx"',
                  'method="POST",route="/v1/tenants/bootstrap",class="2xx"')
        return text if all(any(part in labels for labels in found) for part in wanted) else None

    text = eventually(told, what="three routes")
    assert user.tenant not in text, "a pattern is no path"
    found = samples(text)
    counts = {labels: value for labels, value in found["filemill_http_route_seconds_count"].items()}
    for labels, value in counts.items():
        inner = labels.strip("{}")
        assert 'service="gateway",instance="' in inner
        buckets = [count for name, count in found["filemill_http_route_seconds_bucket"].items() if inner in name]
        assert len(buckets) == 7 and buckets == sorted(buckets) and buckets[-1] == value >= 1, labels


def test_sandbox_storage_and_memory_are_told(system, user, port):
    user.wait(user.send("peak.pdf", "application/pdf", one_page_pdf("peak")))

    def told():
        found = samples(scrape(port))
        worker = {name: max((value for labels, value in found[name].items() if 'service="worker"' in labels and part in labels), default=0)
                  for name, part in (("filemill_runner_peak_bytes", ""), ("filemill_sandbox_layer", 'layer="seccomp"'))}
        return found if worker["filemill_runner_peak_bytes"] > 1 << 20 and worker["filemill_sandbox_layer"] == 1 else None

    found = eventually(told, what="a runner's memory")
    assert len([labels for labels in found["filemill_sandbox_layer"] if 'service="worker"' in labels]) == 3
    assert found["filemill_storage_info"] == {'{bucket="files",provider="filemill"}': 1}


def test_storage_errors_are_told_by_provider(system, user, port):
    name = "filemill_storage_errors_total"

    def counted():
        return {labels: value for labels, value in samples(scrape(port))[name].items() if 'service="worker"' in labels}

    before = counted()
    assert {re.search('provider="(.*?)"', labels)[1] for labels in before} == {"r2", "aws", "spaces", "b2", "minio", "filemill"}
    system.command("pause", "extract_pdf")
    file_id = user.send("gone.pdf", "application/pdf", one_page_pdf("gone"))
    system.s3().delete_object(Bucket=system.bucket,
                              Key=system.sql("select r2_key_original as key from files where id = %s", file_id)[0]["key"])
    system.command("resume", "extract_pdf")
    assert user.wait(file_id)["status"] == "failed"
    more = eventually(lambda: {labels for labels, value in counted().items() if value > before[labels]}, what="an error")
    assert all('provider="filemill"' in labels for labels in more)


def test_the_queue_is_told_by_type_and_state(system, user, port):
    system.command("pause", "noop")
    file_id = user.send("note.txt", "text/plain", b"note")
    user.wait(file_id)
    for kind in ("noop", 'a"}\n|b'):  # a type is text: whoever inserts jobs may write anything
        system.sql("insert into jobs (tenant_id, file_id, type, run_after, status) values (%s, %s, %s, now() - "
                   "interval '50 s', %s)", user.tenant, file_id, kind, "queued" if kind == "noop" else "waiting")
    found = samples(scrape(port))
    assert found["filemill_jobs"]['{type="noop",state="queued"}'] == 1
    assert found["filemill_jobs"]['{type="a????b",state="waiting"}'] == 1
    assert 50 <= found["filemill_oldest_seconds"]['{type="noop",state="queued"}'] < 90
    assert '{table="jobs",kind="dead"}' in found["filemill_table_rows"]
    assert "" in found["filemill_oldest_xmin_age"]
    assert system.command("metrics").stdout.count("# TYPE filemill_jobs gauge") == 1
    system.sql("update jobs set status = 'cancelled' where status in ('queued', 'waiting')")
    system.command("resume", "noop")


def test_it_is_no_web_server(system, port):
    assert fetch("GET", f"http://127.0.0.1:{port}/").status == 404
    assert fetch("POST", f"http://127.0.0.1:{port}/metrics", body=b"x").status == 404
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 5000)
        assert raw.recv(100).startswith(b"HTTP/1.1 431")
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
    for one in idle:
        one.close()
    eventually(lambda: fetch("GET", f"http://127.0.0.1:{port}/metrics").status == 200, what="a scrape after idlers")


def test_a_port_that_is_taken_stops_the_start(system, port):
    other = System(metrics_port=port)
    done = subprocess.run([other.programs / "filemill", "serve"], env=other.environment, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 2 and f"127.0.0.1:{port}" in done.stderr
    other.close()


def test_rules_are_as_prometheus_wants_them(system, port):
    if shutil.which("promtool") is None:
        pytest.skip("no promtool")
    done = subprocess.run(["promtool", "check", "metrics"], input=scrape(port), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rules = ROOT / "deploy" / "prometheus" / "alerts.yml"
    done = subprocess.run(["promtool", "check", "rules", rules], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_and_dashboard_ask_for_what_is_told(system, port):
    text = scrape(port)
    told = set(re.findall(r"^# TYPE (\w+) ", text, re.M)) | set(samples(text))
    for path in sorted(Path(ROOT / "deploy" / "prometheus").iterdir()):
        asked = set(re.findall(r"\bfilemill_[a-z_]+", path.read_text()))
        assert asked and not asked - told, (path.name, asked - told)


def test_logs_are_json_if_wanted():
    with System(log_format="json") as node:
        person = node.user().bootstrap()
        person.wait(person.send("log.txt", "text/plain", b"one line each"))
        person.call("GET", "/v1/files/not-a-uuid%0aforged=1")
        whole = node.log().rpartition("\n")[0]  # the last one may still be being written
        lines = [line for line in whole.splitlines() if not line.startswith("ts=")]
    events = [json.loads(line) for line in lines]
    assert {event["proc"] for event in events} >= {"supervisor", "gateway", "scheduler", "worker", "store"}
    assert all(isinstance(event["pid"], int) and event["level"] in ("error", "warn", "info") for event in events)
    assert not [event for event in events if "forged" in event]
