"""Who leaves the next connection to whom."""

import pytest

from proxy.downstream.share import MAX_PAUSES, Share
from proxy.observability import telemetry
from proxy.observability.telemetry import Telemetry

NOW_MS = 50_000


def workers(*connections: int) -> Telemetry:
    """Workers that serve, with so many connections each."""
    made = Telemetry(len(connections))
    for block, count in zip(made.blocks, connections, strict=True):
        block.cells[telemetry.STATE] = telemetry.SERVING
        block.cells[telemetry.CONNECTIONS] = count
        block.cells[telemetry.BEAT] = NOW_MS
    return made


@pytest.mark.parametrize(
    ("own", "other", "leaves"),
    [(0, 0, False), (0, 5, False), (1, 0, True), (1, 1, False), (15, 14, True), (16, 15, False),
     (160, 150, False), (161, 150, True), (1000, 938, False), (1000, 937, True)],
)  # fmt: skip
def test_the_one_with_more_leaves_it_to_the_other(own: int, other: int, *, leaves: bool) -> None:
    both = workers(own, other)
    assert Share(both.blocks[0], both.blocks).leaves_it() is leaves


def test_it_waits_a_bounded_time() -> None:
    both = workers(9, 0)
    share = Share(both.blocks[0], both.blocks)
    asked = [share.leaves_it() for _ in range(2 * MAX_PAUSES + 2)]
    assert asked == ([True] * MAX_PAUSES + [False]) * 2


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (telemetry.STATE, telemetry.STARTING),
        (telemetry.STATE, telemetry.DRAINING),
        (telemetry.STATE, 0),
        (telemetry.BEAT, NOW_MS - 1001),
        (telemetry.BEAT, 0),
    ],
)
def test_it_does_not_wait_for_one_that_takes_none(cell: int, value: int) -> None:
    both = workers(9, 0)
    both.blocks[1].cells[cell] = value
    assert not Share(both.blocks[0], both.blocks).leaves_it()


def test_alone_it_takes_all() -> None:
    (alone,) = workers(9).blocks
    assert not Share(alone, [alone]).leaves_it()
