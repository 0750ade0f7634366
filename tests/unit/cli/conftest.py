"""The scripted server as a fixture."""

from collections.abc import Callable, Iterator

import pytest

from admin.cli import fleet, following, ramp
from tests.unit.cli.script import Script

Play = Callable[..., Script]


@pytest.fixture
def play() -> Iterator[Play]:
    scripts: list[Script] = []

    def start(*steps: bytes) -> Script:
        scripts.append(Script(steps))
        return scripts[-1]

    yield start
    for script in scripts:
        script.close()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What watches asks again at once: the script has its answers ready."""
    monkeypatch.setattr(fleet, "PAUSE_S", 0.0)
    monkeypatch.setattr(following, "PAUSE_S", 0.0)
    monkeypatch.setattr(ramp, "LOOK_S", 0.0)
