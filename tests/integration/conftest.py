"""Fixtures that every integration test may use."""
import contextlib
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


@pytest.fixture(scope="module")
def postgres():
    """One migrated Postgres for a file of tests, without any Filemill."""
    from postgres import Postgres
    with Postgres() as running:
        running.migrate()
        yield running


@pytest.fixture
def queue(postgres):
    """An empty queue, and a tenant to put jobs into it."""
    from scheduler_process import Queue
    postgres.clear("tenants", "paused_types", "job_limits", "job_parts", "object_deletions")
    return Queue(postgres)


@pytest.fixture
def stage(postgres):
    """Starts schedulers and peers, which end with the test."""
    from scheduler_process import Stage
    with contextlib.closing(Stage(postgres)) as stage:
        yield stage


@pytest.fixture(scope="module")
def node():
    """One supervisor of stand-ins for the tests that leave it as they found it."""
    from stand_ins import Node
    with Node(gateway_processes=2, worker_processes=2) as running:
        yield running.start()
