"""Fixtures that every integration test may use."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from system import System  # noqa: E402


@pytest.fixture(scope="module")
def system():
    """One whole Filemill for a file of tests."""
    with System(backoff_unit_ms=200) as running:
        yield running


@pytest.fixture(scope="module")
def user(system):
    return system.user().bootstrap()
