"""What workers tell of each issuer's key set: by issuer, bounded, going on after a worker's death."""

import pytest

from proxy.observability import telemetry
from proxy.observability.key_sets import Fetches, KeySets, read, total
from proxy.observability.telemetry import Block, Telemetry

GOOD, BAD = "https://good.test", "https://bad.test"


def worker(block: Block, *issuers: str, lives: bool = True) -> KeySets:
    block.cells[telemetry.STATE] = telemetry.SERVING if lives else 0
    made = KeySets(block.key_sets)
    made.adopt(issuers)
    return made


@pytest.fixture
def blocks() -> tuple[Block, ...]:
    return Telemetry(2).blocks


def test_issuers_are_told_apart_and_workers_added_up(blocks: tuple[Block, ...]) -> None:
    for block in blocks:
        own = worker(block, GOOD, BAD)
        for well in (True, True):
            own.fetched(GOOD, well=well)
        for well in (True, False, False):
            own.fetched(BAD, well=well)
    assert total(blocks) == {GOOD: Fetches(0, 0), BAD: Fetches(4, 2)}
    own.fetched(BAD, well=True)
    assert total(blocks)[BAD] == Fetches(4, 1)


def test_an_issuer_is_there_before_its_first_fetch(blocks: tuple[Block, ...]) -> None:
    worker(blocks[0], GOOD)
    assert total(blocks) == {GOOD: Fetches(0, 0)}


def test_counts_outlive_their_worker_and_what_fails_does_not(blocks: tuple[Block, ...]) -> None:
    worker(blocks[0], GOOD, BAD).fetched(BAD, well=False)
    blocks[0].release()
    assert total(blocks)[BAD] == Fetches(1, 0)
    worker(blocks[0], BAD).fetched(BAD, well=False)
    assert total(blocks) == {BAD: Fetches(2, 1)}
    worker(blocks[0])
    assert total(blocks) == {}


def test_names_have_bounds(blocks: tuple[Block, ...]) -> None:
    names = [f"{number:02}" + "\x01" * 1000 for number in range(16)]
    own = worker(blocks[0], *names)
    own.fetched(names[0], well=False)
    told = read(blocks[0].key_sets)
    assert 1 <= len(told) <= 16
    assert told[names[0][:256]] == Fetches(1, 1)
    assert max(map(len, told)) == 256


def test_an_issuer_may_be_named_in_any_script(blocks: tuple[Block, ...]) -> None:
    worker(blocks[0], "ausweis-ß-見").fetched("ausweis-ß-見", well=False)
    assert total(blocks) == {"ausweis-ß-見": Fetches(1, 1)}
