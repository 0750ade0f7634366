"""Fixtures for all tests: the event loop, the seed, real servers, child processes.

Servers start when a test first asks for one, so unit tests start none. A run prints its seed;
TURNOUT_TEST_SEED=… repeats it.
"""

import asyncio
import gc
import os
import random
import secrets
import subprocess
import warnings
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from admin.embedded import EmbeddedPostgres, EmbeddedRedis
from tests.support.processes import Children
from tests.support.servers import (
    SessionPostgres,
    database_with_schema,
    emptied_redis,
    empty_database,
)

# For `make test-fast`: a quarter of the examples; the whole suite draws them all. See `examples`.
# How long an example takes to make says how busy the machine is, and nothing of the code.
_BUSY = (HealthCheck.too_slow,)
settings.register_profile("whole", suppress_health_check=_BUSY)
settings.register_profile("fast", max_examples=25, suppress_health_check=_BUSY)
settings.load_profile("whole")

_CHILDREN = pytest.StashKey[Children]()
# In the environment, so that all processes of one run have the same.
_SEED = int(os.environ.setdefault("TURNOUT_TEST_SEED", str(secrets.randbits(32))))


_ROOT = Path(__file__).parents[1]
_LONG = (
    "browser/test_pages.py",
    "browser/test_story.py",
    "browser/test_hands.py",
    "browser/test_shown.py",
    "browser/test_migrations_page.py",
    "integration/admin/api/test_documented_calls.py",
    "integration/admin/test_dashboard.py",
    "integration/admin/test_release_traffic.py",
    "integration/test_compiled.py",
    "e2e/test_history.py",
    "e2e/test_many_migrations.py",
    "integration/migrations/test_statements.py",
    "integration/migrations/test_hanging.py",
    "integration/migrations/test_backfill_lag.py",
    "e2e/test_demo.py",
    "integration/redis_access/test_replies.py",
    "integration/bench/test_switch_bench.py",
    "integration/redis_access/test_sentinel.py",
    "e2e/test_drain_at_scale.py",
    "integration/switches/test_without_postgresql.py",
    "integration/proxy/test_fault_matrix.py",
    "integration/admin/test_ramp_takeover.py",
    "integration/admin/login/test_login_oidc.py",
    "e2e/test_soak.py",
    "e2e/test_release_killed.py",
    "e2e/test_releases.py",
    "e2e/test_release_checklist.py",
    "integration/admin/test_release_gates.py",
    "integration/admin/test_releases.py",
    "sim_monitor/test_monitor_simulation.py",
    "integration/gates/test_gates_erp.py",
)
"""Files of half a minute and more. They begin first, so that none is left for one process at the end."""


def pytest_configure() -> None:
    """A compiled module hides its source: one that is older would be tested in its place."""
    for built in (_ROOT / "proxy").rglob("*.so"):
        source = built.parent / (built.name.partition(".")[0] + ".py")
        if not source.exists() or source.stat().st_mtime > built.stat().st_mtime:
            pytest.exit(f"{built} is older than its source: make compile, or make plain", 4)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; the others as they come, the unit tests last."""
    ranks = {_ROOT / "tests" / name: rank for rank, name in enumerate(_LONG)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def pytest_collection_finish() -> None:
    """Thousands of tests stay to the end: the collector need not look through them again and again."""
    gc.collect()
    gc.freeze()


def pytest_report_header() -> str:
    return f"seed: {_SEED} (TURNOUT_TEST_SEED={_SEED} repeats it)"


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every async test runs on the loop that production uses."""
    return {"uvloop": LeakReportingLoop}


class LeakReportingLoop(uvloop.Loop):
    """A uvloop whose close reports transports left open, where the original waits for ever.

    And a test whose time is over ends: pytest-timeout raises in a signal's handler, and what is raised
    there uvloop logs and forgets, while the loop goes on. So all tasks are cancelled.

    It warns of each before it closes it. As warnings are errors here, the closing is left out
    and close() waits for a transport that nobody ends. So the warnings come after the close.
    """

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        exception = context.get("exception")
        if isinstance(exception, pytest.fail.Exception):
            for task in asyncio.all_tasks(self):
                task.cancel(str(exception))
            return
        super().call_exception_handler(context)

    def close(self) -> None:
        # A connection whose server has ended is no leak, once the loop has heard of that.
        self.run_until_complete(asyncio.sleep(0.2))
        with warnings.catch_warnings(record=True) as left_open:
            warnings.simplefilter("always", ResourceWarning)
            super().close()
        if left_open:
            messages = "; ".join(str(warning.message) for warning in left_open)
            warnings.warn(messages, ResourceWarning, stacklevel=2)


@pytest.fixture(scope="session")
def run_seed() -> int:
    """The run's seed, for what makes its own sources of it."""
    return _SEED


@pytest.fixture
def seeded_random(request: pytest.FixtureRequest) -> random.Random:
    """A source of the run's seed and the test's name: the order of tests changes nothing."""
    return random.Random(f"{_SEED}:{request.node.nodeid}")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """The session's Valkey. Not to be stopped or killed: see `fresh_redis`."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """An empty logical database of the session's Valkey."""
    return emptied_redis(redis_server)


@pytest.fixture
def fresh_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Valkey for this test alone; `stop()` and `start()` keep its port, URL and data."""
    with EmbeddedRedis(tmp_path / "fresh-redis") as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SessionPostgres]:
    """The session's PostgreSQL. Not to be stopped or killed: see `fresh_postgres`."""
    with SessionPostgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def database_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """A new, empty database of the session's PostgreSQL, dropped after the test."""
    with empty_database(postgres_server) as url:
        yield url


@pytest.fixture
def admin_database_url(postgres_server: SessionPostgres) -> Iterator[str]:
    """As `database_url`, but with Turnout's own schema: for admins whose first start is not the point."""
    with database_with_schema(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_to_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a PostgreSQL that has been stopped: to copy it is sooner done than to make one."""
    folder = tmp_path_factory.mktemp("postgres-to-copy") / "server"
    with EmbeddedPostgres(folder):
        return folder


@pytest.fixture
def fresh_postgres(tmp_path: Path, postgres_to_copy: Path) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL for this test alone; `stop()` and `start()` keep its port, URL and data."""
    folder = tmp_path / "fresh-postgres"
    # With the owner, who may not be ours.
    subprocess.run(["cp", "-a", postgres_to_copy, folder], check=True)
    # Its processes may be killed; the machine stays.
    with EmbeddedPostgres(folder, settings={"fsync": "off"}) as server:
        yield server


@pytest.fixture
def spawn(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Children]:
    """Starts processes: `spawn(command, argument, …, env=, cwd=, name=)` gives a Child.

    They are ended after the test; if it fails, the ends of their logs are in its report.
    """
    children = Children(tmp_path)
    request.node.stash[_CHILDREN] = children
    yield children
    children.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for child in item.stash.get(_CHILDREN, ()):
            report.sections.append((child.name, child.report()))
    return report
