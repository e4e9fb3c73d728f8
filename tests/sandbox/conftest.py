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
