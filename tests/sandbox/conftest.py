# SPDX-License-Identifier: MIT
"""Fixtures that every sandbox test may use; what the integration tests play for a node serves here too."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1] / "integration"))

from driver import Driver  # noqa: E402


@pytest.fixture(scope="module")
def driver():
    """One nursery for a file of tests."""
    with Driver() as running:
        yield running


@pytest.fixture
def feed(driver, tmp_path):
    """Runs bytes, and then a document that must succeed: the service goes on."""
    from offenders import feed_to
    return lambda kind, data, mime, parameters=None, **more: feed_to(driver, tmp_path, kind, data, mime, parameters,
                                                                     **more)
