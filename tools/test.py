# SPDX-License-Identifier: MIT
"""Runs every test and ends with one line alone: `N passed, N failed` (`, N skipped`, `, N unsteady` if any were).

Unit tests are cmocka programs that Meson runs; all others are pytest's, a file of tests per process and a few
processes at once, since most of their time is waiting. A program that dies before it has counted
is one failure. In an instrumented build each process writes what its sanitizers find, leaks too, to a file of its
own: each such file is a failure, whatever the test made of that process' end. The exit status is 0 only if nothing
failed and something passed. What tests keep for people, pictures of the console and screens of `filemill top`, lies
in <build>/test-output, or where FILEMILL_TEST_OUTPUT says."""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_AT_ONCE = 3
MOST_UNSTEADY = 3  # more failures than these are no accident
NO_TESTS = 5       # pytest's status where nothing was chosen
# A runner's standard error is such a file too, and engines complain there.
FINDING = re.compile(rb"Sanitizer|runtime error:")
# What the machine's owner may have set must not decide how tests end.
STRAY = re.compile(r"^(FILEMILL_(?!CORPUS|VECTORS|TEST_)|DATABASE_URL|SUPABASE_|R2_|DO_SPACES_|SPACES_|B2_|AWS_|PG[A-Z]|"
                   r"PORT$|LOG_LEVEL$|BASE_URL$|CDN_BASE_URL$|MAX_ATTEMPTS$|MAX_RETRIES$|CONCURRENCY$|JOB_|WORKER_|"
                   r"DIRECT_URL$|MAKE|MFLAGS)")


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = self.unsteady = 0

    def add(self, passed, failed, skipped):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped

    def __str__(self):
        more = [f", {count} {word}" for word, count in (("skipped", self.skipped), ("unsteady", self.unsteady)) if count]
        return f"{self.passed} passed, {self.failed} failed" + "".join(more)


def environment(build):
    kept = {name: value for name, value in os.environ.items() if not STRAY.match(name)}
    return {"FILEMILL_TEST_OUTPUT": str(build / "test-output"), **kept, "FILEMILL_BUILD": str(build),
            "PYTHONDONTWRITEBYTECODE": "1"}


class Reports:
    """Where the sanitizers of all processes write; without effect for an ordinary build."""

    def __init__(self, build):
        options = json.loads((build / "meson-info" / "intro-buildoptions.json").read_text())
        self.directory = None
        if not any(option["name"] == "b_sanitize" and option["value"] != "none" for option in options):
            return
        self.directory = Path(tempfile.mkdtemp(prefix="filemill-reports-"))
        self.directory.chmod(0o1777)  # services run as another user
        suppressions = shutil.copy(ROOT / "tests" / "leaks.suppressions", self.directory)
        log = f"log_path={self.directory}/report"
        for name, value in (("ASAN_OPTIONS", f"detect_leaks=1:abort_on_error=1:{log}"),
                            ("UBSAN_OPTIONS", f"print_stacktrace=1:halt_on_error=1:{log}"),
                            ("LSAN_OPTIONS", f"suppressions={suppressions}:print_suppressions=0")):
            os.environ[name] = ":".join(filter(None, (value, os.environ.get(name))))

    def count(self, tally):
        if self.directory is None:
            return
        found = [path for path in sorted(self.directory.glob("report.*")) if FINDING.search(path.read_bytes())]
        for path in found:
            print(f"\n-- {path}", *path.read_text(errors="replace").strip().splitlines()[:60], sep="\n", flush=True)
        tally.failed += len(found)
        if found:
            print(f"\n{len(found)} sanitizer reports are in {self.directory}", flush=True)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)


def count_cmocka(entry):
    """Passed, failed, skipped of one program, from what it printed."""
    text = (entry.get("stdout") or "") + (entry.get("stderr") or "")
    counts = {word: sum(map(int, re.findall(rf"^\[  {word}\s*\] (\d+) test\(s\)", text, re.M)))
              for word in ("PASSED", "FAILED", "SKIPPED")}
    passed, failed, skipped = counts["PASSED"], counts["FAILED"], counts["SKIPPED"]
    if entry["result"] == "SKIP" and passed + failed + skipped == 0:
        skipped = 1
    elif entry["result"] not in ("OK", "SKIP") and failed == 0:
        failed = 1
    elif passed + failed + skipped == 0:
        passed = 1
    return passed, failed, skipped


def run_meson(build, suites, tally):
    log = build / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    patience = os.environ.get("FILEMILL_TEST_PATIENCE", "1")
    command = ["meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs", "--timeout-multiplier", patience]
    for suite in suites:
        command += ["--suite", suite]
    status = subprocess.run(list(map(str, command)), env=environment(build), check=False).returncode
    entries = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    for entry in entries:
        tally.add(*count_cmocka(entry))
    if status != 0 and tally.failed == 0:
        tally.failed += 1


def read_report(path):
    """(total, failed, skipped, files with a failure) of one run of pytest."""
    total = failed = skipped = 0
    files = set()
    for suite in ElementTree.parse(path).getroot().iter("testsuite") if path.exists() else []:
        failures, errors, unrun, tests = (int(suite.get(name, 0)) for name in ("failures", "errors", "skipped", "tests"))
        total, failed, skipped = total + tests, failed + failures + errors, skipped + unrun
        files |= {case.get("classname", "").replace(".", "/") + ".py" for case in suite.iter("testcase")
                  if case.find("failure") is not None or case.find("error") is not None}
    return total, failed, skipped, sorted(files)


def pytest_once(build, jobs, what):
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider", f"--junitxml={report}",
                   "-n", str(jobs), "--dist", "loadfile", *what]
        status = subprocess.run(command, cwd=ROOT, env=environment(build), check=False).returncode
        total, failed, skipped, files = read_report(report)
    if status not in (0, NO_TESTS) and failed == 0:
        total, failed, files = total + 1, 1, []  # it died before it could say more
    return total, failed, skipped, files


def run_pytest(build, tally, arguments):
    """Files with a failure run once more, one after another. A test that passes only then is counted as passed and
    as unsteady: it waits for the wrong thing, or the program does, and somebody should see to it."""
    jobs = min(MOST_AT_ONCE, max(2, len(os.sched_getaffinity(0))))
    total, failed, skipped, files = pytest_once(build, jobs, arguments or ["tests"])
    if files and failed <= MOST_UNSTEADY and all((ROOT / name).is_file() for name in files):
        print(f"\n{failed} failed; once more, alone: {' '.join(files)}", flush=True)
        _, still, _, _ = pytest_once(build, 1, files)
        tally.unsteady += max(0, failed - still)
        failed = still
    tally.add(total - failed - skipped, failed, skipped)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, type=Path)
    parser.add_argument("--fast", action="store_true", help="only the unit tests")
    parser.add_argument("pytest", nargs="*", help="files or folders for pytest instead of all")
    options = parser.parse_args()
    build = options.build.resolve()
    tally = Tally()
    reports = Reports(build)
    reachable = Path(subprocess.run([ROOT / "tools" / "reachable.sh", build], check=True, capture_output=True,
                                    text=True).stdout.strip())
    try:
        run_meson(build, ["unit"] if options.fast else [], tally)
        if not options.fast:
            run_pytest(reachable, tally, options.pytest)
    finally:
        if reachable != build:
            shutil.rmtree(reachable, ignore_errors=True)
    reports.count(tally)
    print(tally, flush=True)
    return 0 if tally.failed == 0 and tally.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
