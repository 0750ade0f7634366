"""Drift of many: what is expected is made once, and a server's lanes bound what it is asked."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from admin.migrations.catalogue.model import Migration
from admin.migrations.catalogue.read import read
from admin.migrations.drift.expected import wanted
from admin.migrations.drift.many import Expectations, Server, in_lanes
from admin.migrations.drift.model import Fingerprint
from admin.migrations.proof.limits import CannotProve
from admin.migrations.proof.servers import Place
from admin.migrations.targets import Target

PLACE = Place("main", "postgresql://127.0.0.1/x")


def on(server: str, count: int) -> list[Target]:
    return [Target(f"{server}{n}", None, server, f"d{n % 2}", "public") for n in range(count)]


class Makes:
    """Makes what is expected, and counts. fails: the servers where it can't be made."""

    def __init__(self, folder: Path, *fails: str) -> None:
        for version in ("1.0.0", "1.1.0"):
            (folder / f"V{version}__what.sql").write_text("SELECT 1;")
        (folder / "R__view.sql").write_text("SELECT 2;")
        catalogue = read(folder)
        self.made: list[tuple[str, tuple[str, ...]]] = []
        self._fails = fails
        self.expectations = Expectations(lambda had: wanted(catalogue, None, had), self._make)

    async def _make(self, files: Sequence[Migration], target: Target, _: Place) -> Fingerprint:
        keys = tuple(each.key for each in files)
        self.made.append((target.server, keys))
        await asyncio.sleep(0)
        if target.server in self._fails:
            raise CannotProve("no databases may be made there")
        return Fingerprint({("table", name): {} for name in keys})


async def test_what_a_version_should_have_is_made_once_for_all_targets(tmp_path: Path) -> None:
    makes = Makes(tmp_path)
    histories = [{"1.0.0": "x"}, {"1.0.0": "x", "1.1.0": "y"}, None]
    found = await asyncio.gather(
        *(
            makes.expectations.of(histories[number % 3], target, PLACE)
            for number, target in enumerate(on("main", 30))
        )
    )
    assert [each.version for each in found[:3]] == ["1.0.0", "1.1.0", "1.1.0"]
    assert sorted(keys for _, keys in makes.made) == [
        ("1.0.0",),
        ("1.0.0", "1.1.0"),
        ("1.0.0", "1.1.0", "R__view"),
    ]
    assert (await makes.expectations.of({}, on("main", 1)[0], PLACE)).version == "nothing"


async def test_what_fails_on_a_server_is_tried_once_there_and_on_another(tmp_path: Path) -> None:
    makes = Makes(tmp_path, "poor")
    for target in on("poor", 3):
        with pytest.raises(CannotProve, match="no databases may be made there"):
            await makes.expectations.of({"1.0.0": "x"}, target, PLACE)
    assert len(makes.made) == 1
    await makes.expectations.of({"1.0.0": "x"}, on("rich", 1)[0], PLACE)
    assert [server for server, _ in makes.made] == ["poor", "rich"]
    await makes.expectations.of({"1.0.0": "x"}, on("poor", 1)[0], PLACE)
    assert len(makes.made) == 2


async def test_no_server_is_asked_for_more_at_a_time_than_it_has_lanes() -> None:
    servers = {"a": Server("a", PLACE, 3), "b": Server("b", PLACE, 1)}
    at_work: dict[str, int] = {"a": 0, "b": 0}
    most = dict(at_work)
    seen: list[str] = []
    all_there, go = asyncio.Event(), asyncio.Event()

    async def lane(server: Server, targets: Iterator[Target]) -> None:
        for target in targets:
            at_work[server.name] += 1
            most[server.name] = max(most[server.name], at_work[server.name])
            if most == {"a": 3, "b": 1}:
                all_there.set()
            await go.wait()
            await asyncio.sleep(0)
            seen.append(target.name)
            at_work[server.name] -= 1

    targets = [*on("a", 7), *on("b", 4)]
    looking = asyncio.create_task(in_lanes(targets, servers, lane))
    await all_there.wait()
    go.set()
    await looking
    assert sorted(seen) == sorted(each.name for each in targets)
    assert most == {"a": 3, "b": 1}


async def test_a_server_that_the_settings_do_not_know_has_one_lane_that_says_so() -> None:
    told: list[str] = []

    async def lane(server: Server, targets: Iterator[Target]) -> None:
        told.append(f"{server.why}: {len(list(targets))}")

    await in_lanes(on("lost", 3), {}, lane)
    assert told == ["these settings know no lost: 3"]
