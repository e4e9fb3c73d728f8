# SPDX-License-Identifier: MIT
"""The Kubernetes manifests and the compose file: every variable is an option, every secret is asked for by a name that
exists, pods may do no more than the compose file allows, and the autoscaler's query runs."""
import re
import subprocess

import pytest

from system import BUILD, ROOT

yaml = pytest.importorskip("yaml")
FOLDER = ROOT / "deploy" / "kubernetes"


def documents(name):
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def kinds(name, *wanted):
    return [document for document in documents(name) if document["kind"] in wanted]


def pods():
    return [document["spec"]["template"]["spec"] for document in kinds("filemill.yaml", "Deployment", "Job")]


def test_every_document_says_what_it_is():
    for name in ("filemill.yaml", "autoscale.yaml"):
        assert documents(name) and all({"apiVersion", "kind", "metadata"} <= set(item) for item in documents(name))


def options():
    text = subprocess.run([BUILD / "filemill", "config", "--markdown"], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"`([A-Z][A-Z0-9_]+)`", text))


def test_every_variable_is_an_option():
    known = options()
    used = {entry["name"] for pod in pods() for container in pod["containers"] for entry in container["env"]}
    used |= {name for document in kinds("filemill.yaml", "ConfigMap") for name in document["data"]}
    assert len(used) > 10 and not used - known


def test_every_variable_of_compose_is_an_option_and_in_the_example():
    services = yaml.safe_load((ROOT / "deploy" / "docker-compose.yml").read_text())["services"]
    ours = {name: set(service["environment"]) for name, service in services.items()
            if name in ("migrate", "store", "gateway", "processor")}
    assert not set().union(*ours.values()) - options()
    # What is told to every node of a kind is told to the one-shot migration as well, where it writes it down.
    assert {"FILEMILL_ADMINS", "FILEMILL_CREDITS", "FILEMILL_CREDIT_ADMINS"} <= ours["migrate"]
    example = (ROOT / "deploy" / ".env.example").read_text()
    must = set(re.findall(r"\$\{([A-Z_]+):\?", (ROOT / "deploy" / "docker-compose.yml").read_text()))
    assert len(must) >= 7 and must <= set(re.findall(r"^([A-Z_]+)=", example, re.M))


def test_every_secret_exists():
    held = {document["metadata"]["name"]: set(document["stringData"])
            for name in ("filemill.yaml", "autoscale.yaml") for document in kinds(name, "Secret")}
    asked = [entry["valueFrom"]["secretKeyRef"] for pod in pods() for container in pod["containers"]
             for entry in container["env"] if "secretKeyRef" in entry.get("valueFrom", {})]
    assert len(asked) >= 9 and all(one["key"] in held[one["name"]] for one in asked)


def test_pods_may_do_no_more_than_containers():
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
            assert context["capabilities"] == {"drop": ["ALL"]} and "memory" in container["resources"]["limits"]


def test_pods_have_longer_than_a_drain():
    drain_ms = int(kinds("filemill.yaml", "ConfigMap")[0]["data"]["FILEMILL_DRAIN_MS"])
    for document in kinds("filemill.yaml", "Deployment"):
        assert document["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] * 1000 >= drain_ms + 20000


def test_the_autoscaler_asks_what_postgres_can_answer(system, user):
    trigger, = kinds("autoscale.yaml", "ScaledObject")[0]["spec"]["triggers"]
    query = trigger["metadata"]["query"]
    assert system.sql(query)[0]["coalesce"] == 0
    system.command("pause", "noop")
    file_id = user.send("age.txt", "text/plain", b"age")
    system.sql("insert into jobs (tenant_id, file_id, type, run_after) values (%s, %s, 'noop', now() - interval '1 hour')",
               user.tenant, file_id)
    assert 3600 <= system.sql(query)[0]["coalesce"] < 4000
