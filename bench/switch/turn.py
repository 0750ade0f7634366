"""One contender's turn: its load, its switches, a drain of what was left, and the verdict."""

import math
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.machine import ROOT
from bench.processes import StartError, pinned, stop, tail
from bench.switch.checker import judge
from bench.switch.contenders.contender import BEGIN, Door, SwitchError
from bench.switch.figures import Turn
from bench.switch.history import Drain, History, Switch, events_of, requests_of
from bench.switch.load import Plan, Seen
from bench.switch.survival import survival
from proxy.routing.model import Slot

WARM_UP_S = 0.3
"""Of load before the first switch, and after the last."""
LOAD_READY_S = 30.0
LOAD_END_S = 60.0
SEEN = "seen.json"
"""The load's record, in its folder. Not through a pipe: an unbuffered write to one may be partial."""


@dataclass(frozen=True, slots=True)
class Course:
    """What each turn does. tenants: all names. moved_alone: a switch moves one, in turn."""

    switches: int
    pause_s: float
    tenants: Sequence[str]
    moved_alone: bool
    drains: bool
    connections: int
    rate: int
    websockets: int


class Contestant:
    """A running contender over all of its turns: where its tenants are, and whom it moves next."""

    def __init__(self, door: Door, course: Course, folder: Path) -> None:
        self._door, self._course, self._folder = door, course, folder
        self._standing = dict.fromkeys(course.tenants, BEGIN)
        self._next = 0
        self._broken = ""

    def turn(self) -> Turn:
        """One turn. After a change that was not acknowledged nobody knows how things stand: no more."""
        if self._broken:
            return Turn(None, None, faults=(self._broken,))
        try:
            history = self._history()
        except (StartError, SwitchError, OSError) as error:
            self._broken = str(error)
            return Turn(None, None, faults=(self._broken,))
        made = len(history.requests) / history.loaded_s if history.loaded_s else 0.0
        said = tuple(switch.fault for switch in history.switches if switch.fault)
        self._broken = next(iter(said), "")
        return Turn(judge(history), survival(history), made, said=said)

    def _history(self) -> History:
        course, before = self._course, dict(self._standing)
        plan = Plan(
            self._door.port,
            course.connections,
            course.rate,
            list(course.tenants),
            course.websockets,
        )
        with loaded(plan, self._folder) as load:
            time.sleep(WARM_UP_S)
            switches = list(self._switches(load))
            time.sleep(max(course.pause_s, WARM_UP_S))
            drain = self._drain(switches[-1]) if course.drains else None
            seen = load.end()
        return History(
            before,
            switches,
            requests_of(seen.requests, course.tenants),
            events_of(seen.events, course.tenants),
            drain,
            seen.lasted_s,
        )

    def _switches(self, load: "Load") -> Iterator[Switch]:
        """One after the other, up to the first that is not acknowledged."""
        for _ in range(self._course.switches):
            switch = self._switch(load, *self._whom())
            yield switch
            if switch.fault:
                return

    def _switch(self, load: "Load", tenant: str | None, to: Slot) -> Switch:
        course = self._course
        if tenant is not None:
            load.look_at(course.tenants.index(tenant))
        time.sleep(course.pause_s)
        asked = time.monotonic()
        try:
            told = self._door.switch(to, tenant)
        except SwitchError as error:
            return Switch(asked, math.inf, to, tenant, fault=str(error))
        acked = time.monotonic()
        self._standing.update(dict.fromkeys(course.tenants if tenant is None else [tenant], to))
        return Switch(asked, acked, to, tenant, told)

    def _whom(self) -> tuple[str | None, Slot]:
        tenants = self._course.tenants
        if not self._course.moved_alone:
            return None, self._standing[tenants[0]].other
        tenant = tenants[self._next % len(tenants)]
        self._next += 1
        return tenant, self._standing[tenant].other

    def _drain(self, last: Switch) -> Drain | None:
        begun = time.monotonic()
        left = self._door.drain(last.to.other)
        if left is None:
            return None
        time.sleep(WARM_UP_S)  # for those who come back
        return Drain(last.to.other, begun, time.monotonic(), left)


class Load:
    """The load's process."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        self._process, self._folder = process, folder

    def await_ready(self) -> None:
        """Return when all is open. StartError."""
        assert self._process.stdout is not None
        said, _, _ = select.select([self._process.stdout], [], [], LOAD_READY_S)
        if not said or self._process.stdout.readline() != b"ready\n":
            raise StartError(f"the load did not begin{tail(self._folder)}")

    def look_at(self, tenant: int) -> None:
        """Every other request is this tenant's from now on. tenant: its index."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"%d\n" % tenant)
        self._process.stdin.flush()

    def end(self) -> Seen:
        """End it; what it saw. StartError if it broke."""
        try:
            self._process.communicate(timeout=LOAD_END_S)
            return msgspec.json.decode((self._folder / SEEN).read_bytes(), type=Seen)
        except (subprocess.TimeoutExpired, msgspec.DecodeError, OSError) as error:
            said = tail(self._folder)
            raise StartError(f"the load broke ({self._process.poll()}): {error}{said}") from error


@contextmanager
def loaded(plan: Plan, folder: Path) -> Iterator[Load]:
    """The load, until the block ends. StartError when it doesn't begin."""
    folder.mkdir(exist_ok=True)
    (folder / SEEN).unlink(missing_ok=True)
    text = msgspec.json.encode(plan).decode()
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            pinned([sys.executable, "-m", "bench.switch.load", text, str(folder / SEEN)], None),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=ROOT,
            start_new_session=True,
        )
    try:
        load = Load(process, folder)
        load.await_ready()
        yield load
    finally:
        stop(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
