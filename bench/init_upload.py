"""init-upload per second through one gateway, each answered only after a durable commit.

The baseline is pgbench with the gateway's own statement, as the gateway's role, with the same LOCAL settings, prepared,
one round trip and one durable commit per transaction, on the same cluster with as many clients: what is left when
HTTP, tokens, JSON and signatures cost nothing.
"""
import json
import re
import subprocess
import tempfile
from pathlib import Path

from harness import ROOT, System

CONNECTIONS = 64
SECONDS = 8
STATEMENTS = ROOT / "gateway" / "statements.c"
MAIN = ROOT / "gateway" / "main.c"


def gateway_statement(name):
    """The text of one of the gateway's statements, from its source."""
    row = re.search(rf"ROW\({name}, \d+,(.*?)\),\n", STATEMENTS.read_text(), re.S).group(1)
    return "".join(re.findall(r'"([^"]*)"', row))


def baseline_script(user):
    """The gateway's transaction in pgbench's words. Ids rise, as the gateway's do, so that indexes grow at one end."""
    timeout = re.search(r"STATEMENT_TIMEOUT_MS (\d+)", MAIN.read_text()).group(1)
    values = {1: "lpad(:n::text, 32, '0')", 2: f"'{user.tenant}'", 3: "'private'",
              4: f"'t/{user.tenant}/u/{user.id}/f/' || lpad(:n::text, 32, '0') || '/original.pdf'",
              5: "'application/pdf'", 6: "'123456'", 7: "null", 8: "'report.pdf'", 9: "'60'", 10: "null"}
    insert = re.sub(r"\$(\d+)", lambda found: f"({values[int(found.group(1))]})",
                    gateway_statement("STATEMENT_FILE_INSERT"))
    pairs = [("role", "filemill_gateway"), ("statement_timeout", timeout), ("lock_timeout", timeout),
             ("idle_in_transaction_session_timeout", timeout), ("filemill.user_id", user.id)]
    settings = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in pairs)
    return f"\\set n :n + 1\n\\startpipeline\nselect {settings};\n{insert};\n\\endpipeline\n"


def pgbench(system, user, clients):
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "insert.sql"
        script.write_text("\\if :n = 0\n\\set n (:client_id + 1) * 1000000000\n\\endif\n" + baseline_script(user))
        output = subprocess.run(
            ["pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(SECONDS), "-D", "n=0",
             "-f", script, system.shell["PSQL_URL"]], capture_output=True, text=True, check=True).stdout
    assert "number of failed transactions: 0" in output, output
    return float(re.search(r"tps = ([\d.]+)", output).group(1))


def drive(system, user, seconds=SECONDS):
    """Requests per second as wrk counts them, p99 in milliseconds; every answer must be a 200."""
    body = json.dumps({"tenant_id": user.tenant, "filename": "report.pdf", "mime": "application/pdf",
                       "size_bytes": 123456})
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "post.lua"
        script.write_text(
            f'wrk.method = "POST"\nwrk.body = {json.dumps(body)}\n'
            f'wrk.headers["Authorization"] = "Bearer {user.token}"\n'
            'wrk.headers["Content-Type"] = "application/json"\n')
        output = subprocess.run(
            ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s", "--latency", "-s", script,
             f"{system.base}/v1/files/init-upload"], capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in output and "Socket errors" not in output, output
    latency, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", output).groups()
    return (float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1)),
            float(latency) * {"us": 0.001, "ms": 1, "s": 1000}[unit])


def main(table):
    with System(log_level="error") as system:
        user = system.user().bootstrap()
        drive(system, user, 1)
        rate, p99 = drive(system, user)
        stored = system.sql("select count(*) from files")[0]["count"]
        assert stored >= rate * SECONDS, "answers without rows"
        system.terminate()
        system.environment["FILEMILL_DATABASE_POOL"] = str(CONNECTIONS)  # the cluster's limit follows it
        system.start()
        bare = pgbench(system, user, CONNECTIONS)
        table.add("init-upload through one gateway", rate, "/s", bare, "pgbench, the same transaction",
                  "10,000/s; 0.6 of pgbench")
        table.add("init-upload, 64 connections, p99", p99, "ms")
