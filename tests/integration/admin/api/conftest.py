"""A whole admin, and one whose every operation has done what it is for."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from admin.embedded import EmbeddedPostgres
from config import Shared
from tests.integration.admin.api.stage import Stage, stage
from tests.integration.admin.api.story import Story
from tests.support.migrations import REFERENCE
from tests.support.servers import empty_database


@pytest.fixture
async def staged(
    shared: Shared,
    postgres_server: EmbeddedPostgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Stage]:
    """Everything is there, and nothing has happened yet."""
    with empty_database(postgres_server) as targets_url:
        monkeypatch.setenv(REFERENCE.removeprefix("env:"), targets_url)
        async with stage(shared, targets_url, tmp_path) as found:
            yield found


@pytest.fixture
async def told(staged: Stage) -> Stage:
    """The same after the story."""
    await Story(staged).tell()
    return staged
