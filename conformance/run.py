"""A run: each proxy in front of its own endpoints, all proxies at the same time.

A lane is one process of a proxy with one recorder, played by one thread, so that what reaches
the recorder belongs to the row that is played.
"""

import queue
import random
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from conformance import scene
from conformance.cutting import CUTS
from conformance.peers.peer import Peer, Site, black_hole
from conformance.recorder import Recorder
from conformance.rows.row import PROXIED, QUICK, Got, Row

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Result:
    """One row at one proxy. runs: way of cutting → what it gave and why that is not as required."""

    row: Row
    proxy: str
    runs: Mapping[str, tuple[Got, tuple[str, ...]]]

    @property
    def passed(self) -> bool:
        """Whether it was as required however it was cut."""
        return not any(faults for _, faults in self.runs.values())

    @property
    def seen(self) -> str:
        """What came of it, told once where all cuts agree."""
        told = {name: got.seen for name, (got, _) in self.runs.items()}
        if len(set(told.values())) == 1:
            return next(iter(told.values()))
        return " | ".join(f"{name}: {seen}" for name, seen in told.items())

    @property
    def faults(self) -> list[str]:
        """Why not, without repetition."""
        return list(dict.fromkeys(fault for _, faults in self.runs.values() for fault in faults))


@dataclass(frozen=True, slots=True)
class Lane:
    """A proxy that is up. port: its own."""

    peer: Peer
    port: int
    recorder: Recorder


@contextmanager
def lane(peer: Peer, folder: Path, kind: str) -> Iterator[Lane]:
    """The proxy as this kind of site, and its endpoint, until the block ends. StartError.

    From the main thread only.
    """
    folder.mkdir(exist_ok=True)
    recorder = Recorder()
    try:
        with black_hole() as dead:
            site = Site(
                folder / peer.name,
                recorder.port,
                dead,
                quick=kind == QUICK,
                proxied=kind == PROXIED,
            )
            with peer.serving(site) as port:
                yield Lane(peer, port, recorder)
    finally:
        recorder.close()


def play(at: Lane, row: Row, seed: int) -> Result:
    """One row, in every way of cutting."""
    runs = {}
    for name, cut in CUTS.items():
        if name != "whole" and not row.cuts:
            continue
        patient = row.site == QUICK or not row.cuts
        limit_s = row.limit_s if patient else min(row.limit_s, at.peer.limit_s)
        source = random.Random(f"{seed}:{row.id}")
        got = scene.run(row, at.port, at.recorder, cut(source), limit_s)
        runs[name] = (got, tuple(row.faults(got)))
    return Result(row, at.peer.name, runs)


def results(peers: Sequence[Peer], rows: Sequence[Row], seed: int) -> Iterator[Result]:
    """All rows at all proxies, as they are done. StartError, or what went wrong in a lane."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(temporary_folder()))
        works = []
        for peer in peers:
            for site in peer.sites:
                chosen = [row for row in rows if row.site == site and _concerns(row, peer)]
                if chosen:
                    at = stack.enter_context(lane(peer, folder / site, site))
                    works.append(partial(_play_all, at, chosen, seed))
        yield from gathered(works)


def temporary_folder() -> "tempfile.TemporaryDirectory[str]":
    """For what the proxies write."""
    return tempfile.TemporaryDirectory(prefix="turnout-conformance-")


def gathered(works: Sequence[Callable[[Callable[[T], None]], None]]) -> Iterator[T]:
    """What each of these puts, all run in threads; the first error that one of them raises."""
    said: queue.SimpleQueue[T | _End] = queue.SimpleQueue()

    def run(work: Callable[[Callable[[T], None]], None]) -> None:
        error: BaseException | None = None
        try:
            work(said.put)
        except BaseException as raised:  # noqa: BLE001 - raised again by who gathers
            error = raised
        said.put(_End(error))

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    errors = []
    while threads:
        each = said.get()
        if not isinstance(each, _End):
            yield each
            continue
        threads.pop()
        if each.error is not None:
            errors.append(each.error)
    if errors:
        raise errors[0]


@dataclass(frozen=True, slots=True)
class _End:
    """A work is done."""

    error: BaseException | None


def _concerns(row: Row, peer: Peer) -> bool:
    return row.peers or peer.name == "turnout"


def _play_all(at: Lane, rows: Iterable[Row], seed: int, put: Callable[[Result], None]) -> None:
    for row in rows:
        put(play(at, row, seed))
