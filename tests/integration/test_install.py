# SPDX-License-Identifier: MIT
"""What people install: the files, the unit, the Debian package, and a node started from what the package holds."""
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from system import BUILD, ROOT, System

DEPLOY = ROOT / "deploy"


@pytest.fixture(scope="module")
def package():
    """Not in pytest's own folder: that of root is closed to others by each pytest that starts meanwhile, and an
    unprivileged node runs from here."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("no dpkg-deb")
    folder = Path(tempfile.mkdtemp(prefix="fmdeb-"))
    folder.chmod(0o755)
    made = subprocess.run([DEPLOY / "make-deb.sh", BUILD, folder], check=True, capture_output=True, text=True)
    path = made.stdout.strip()
    subprocess.run(["dpkg-deb", "--extract", path, folder / "root"], check=True)
    yield path, folder / "root"
    shutil.rmtree(folder)


def test_install_makes_a_tree_that_runs(tmp_path):
    subprocess.run([DEPLOY / "install.sh", BUILD, "/opt/mill", tmp_path], check=True)
    root = tmp_path / "opt" / "mill"
    said = subprocess.run([root / "bin" / "filemill", "version"], check=True, capture_output=True, text=True).stdout
    assert re.fullmatch(r"filemill \d+\.\d+\.\d+\n", said)
    unit = (root / "lib" / "systemd" / "system" / "filemill.service").read_text()
    assert "ExecStart=/opt/mill/bin/filemill serve" in unit


def test_the_unit_is_clean(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    unit = tmp_path / "filemill.service"
    unit.write_text((DEPLOY / "filemill.service").read_text().replace("/usr/local/bin/filemill",
                                                                      str(BUILD / "filemill")))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert done.returncode == 0 and "filemill.service" not in done.stderr, done.stderr


def test_the_package_says_what_it_needs(package):
    path, root = package
    fields = subprocess.run(["dpkg-deb", "--field", path], check=True, capture_output=True, text=True).stdout
    depends = re.search(r"^Depends: (.*)$", fields, re.M).group(1).split(", ")
    assert {"libpq5", "libzmq5", "libtesseract5", "poppler-data", "tesseract-ocr-eng"} <= set(depends)
    assert not [name for name in depends if name.endswith("-dev")]
    listed = subprocess.run(["dpkg-deb", "--contents", path], check=True, capture_output=True, text=True).stdout
    assert all(line.split()[1] == "root/root" for line in listed.splitlines())
    assert re.search(r"^-rw-r----- .* \./etc/filemill\.env$", listed, re.M)
    assert (root / "usr" / "libexec" / "filemill" / "filemill-worker").exists()


def test_a_node_runs_from_the_package(package):
    with System(programs=package[1] / "usr" / "libexec" / "filemill") as system:
        user = system.user().bootstrap()
        file = user.send("note.txt", "text/plain", b"from the package\n")
        user.wait(file)
        assert user.derivative(file, "office_text") == b"from the package\n"
