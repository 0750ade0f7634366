"""The trail's chain: every change of it is seen."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from admin.releases.chain import BEGINNING, Broken, Entry, Verifier, digest

BEGAN = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
Row = tuple[Entry, str, str]


def rows(count: int = 4) -> list[Row]:
    made: list[Row] = []
    before = BEGINNING
    for seq in range(1, count + 1):
        entry = Entry(
            seq, BEGAN + timedelta(seconds=seq), "r", "took", "alice", {"n": seq, "x": 0.1}
        )
        own = digest(entry, before)
        made.append((entry, before, own))
        before = own
    return made


def test_it_holds_as_it_was_written():
    verifier = Verifier()
    assert verifier.follow(rows()) is None
    assert (verifier.seq, verifier.last) == (4, rows()[-1][2])


def test_it_is_gone_along_in_pieces():
    verifier, made = Verifier(), rows()
    assert verifier.follow(made[:2]) is None
    assert verifier.follow(made[2:]) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"actor": "mallory"},
        {"body": {"n": 2}},
        {"kind": "signed"},
        {"release": "s"},
        {"at": BEGAN},
    ],
)
def test_a_changed_row_is_seen(changed: dict[str, Any]):
    made = rows()
    entry, before, own = made[1]
    made[1] = (replace(entry, **changed), before, own)
    assert Verifier().follow(made) == Broken(2, "the row is not as it was written")


def test_a_row_made_anew_breaks_the_next():
    made = rows()
    entry = replace(made[1][0], actor="mallory")
    made[1] = (entry, made[1][1], digest(entry, made[1][1]))
    assert Verifier().follow(made) == Broken(3, "it does not follow the row before")


def test_a_missing_row_is_seen():
    made = rows()
    del made[1]
    assert Verifier().follow(made) == Broken(2, "the row is missing: 3 comes next")


def test_the_hash_does_not_depend_on_the_time_zone():
    entry = rows()[0][0]
    there = replace(entry, at=entry.at.astimezone(None))
    assert digest(entry, BEGINNING) == digest(there, BEGINNING)
