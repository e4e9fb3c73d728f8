# SPDX-License-Identifier: MIT
"""A headless Chromium before a whole Filemill. Screenshots go to $FILEMILL_TEST_OUTPUT, or pytest's own folder."""
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from browser import Browser  # noqa: E402
from system import CORPUS, SAMPLES, System  # noqa: E402


def missing():
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        return "needs chromium and chromium-driver (deploy/packages.txt, section test)"
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "needs python3-selenium (deploy/packages.txt, section test)"
    return None


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    named = os.environ.get("FILEMILL_TEST_OUTPUT")
    folder = Path(named) / "console" if named else tmp_path_factory.mktemp("console")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def system():
    with System(backoff_unit_ms=200, max_attempts=2) as running:
        yield running


@pytest.fixture(scope="module")
def user(system):
    return system.user().bootstrap("Mill & Sons")


@pytest.fixture(scope="module")
def browser(system, pictures):
    reason = missing()
    if reason:
        pytest.skip(reason)
    profile = tempfile.mkdtemp(prefix="fm-chromium-")
    running = Browser(system, pictures, profile)
    yield running
    running.close()
    shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture(scope="session")
def samples():
    """Files that a person would drop: name to path; the sound is of the corpus, where there is one."""
    named = {"mill.pdf": SAMPLES / "mill.pdf", "evening.jpg": SAMPLES / "evening.jpg"}
    speech = CORPUS / "audio" / "jfk.wav"
    if speech.exists():
        named["jfk.wav"] = speech
    return named
