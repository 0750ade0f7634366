"""The scripted server as a fixture."""

from collections.abc import Callable, Iterator

import pytest

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
