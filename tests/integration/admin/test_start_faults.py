"""A file that the settings name and that can't be used: an admin says so, and does not start."""

from pathlib import Path

import pytest

from admin.bootstrap import StartError, running
from admin.notify.config import Notify
from admin.releases.config import Settings as Releasing
from config import Shared
from tests.support.planes import ADMIN


async def test_templates_that_can_not_be_used(shared: Shared, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("surprise = 1\n")
    with pytest.raises(StartError, match=f"{file}:1: "):
        async with running(shared, ADMIN, releasing=Releasing(notify=Notify(templates=str(file)))):
            pass
