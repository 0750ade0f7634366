"""Composition root of a run: who is here, rounds of turns, the outcome."""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import machine
from bench.machine import ROOT, MissingError
from bench.processes import StartError, free_ports, running, wait_until_listening
from bench.progress import Watch
from bench.scenarios.scenario import tenant
from bench.switch.catalogue import OWN, OWNS, RELOAD
from bench.switch.contenders.contender import Contender, Site
from bench.switch.figures import Figures, Name, Target, Turn, figures, targets
from bench.switch.options import ENOUGH, Options
from bench.switch.turn import Contestant, Course
from proxy.routing.model import Slot

TOOLS: Mapping[str, str] = {"setpriv": "util-linux"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run. missing: who is not here, and why. settings, machine, commit: as the JSON file has them."""

    figures: tuple[Figures, ...]
    targets: Mapping[str, Sequence[Target]]
    missing: tuple[str, ...]
    settings: Mapping[str, object]
    machine: Mapping[str, object]
    commit: Mapping[str, object]

    @property
    def is_clean(self) -> bool:
        """Whether all turns count, and Turnout did nothing that it promises not to do."""
        return all(
            each.is_clean if each.name.name in OWNS else not each.faults for each in self.figures
        )

    @property
    def counts(self) -> bool:
        """Whether there are enough switches to speak of their 99th percentile."""
        return all(each.switches >= ENOUGH for each in self.figures)

    def by_name(self, name: str) -> Figures | None:
        """A contender's figures, None when it is not here."""
        return next((each for each in self.figures if each.name.name == name), None)


def present(
    contenders: Sequence[Contender], asked: frozenset[str]
) -> tuple[list[Contender], list[str]]:
    """(who can run, why the others can't), after installing tools where that may be done.

    asked: those named on the command line; they and Turnout must be there, else MissingError.
    """
    machine.ensure_tools(TOOLS, install=machine.apt_usable())
    here, missing = [], []
    for each in contenders:
        reason = _missing(each)
        if reason is None:
            here.append(each)
        elif each.name in asked or each.name == OWN:
            raise MissingError(f"{each.title}: {reason}")
        else:
            missing.append(f"{each.title} is left out: {reason}")
    return here, missing


def _missing(contender: Contender) -> str | None:
    try:
        machine.ensure_tools(contender.tools, install=machine.apt_usable())
    except MissingError as error:
        return str(error)
    return contender.missing()


def measured(
    contenders: Sequence[Contender], missing: Sequence[str], asked: Options, watch: Watch
) -> Outcome:
    """All rounds. What breaks one contender is told in its figures; the others go on."""
    description = machine.describe()
    turns: dict[str, list[Turn]] = {each.name: [] for each in contenders}
    with watch.shown(), staged(contenders, asked, watch) as contestants:
        for number in range(1, asked.rounds + 1):
            for name, contestant in contestants.items():
                watch.turn(f"round {number}: {name}")
                turns[name].append(contestant.turn())
            watch.say(_line(number, {name: own[-1] for name, own in turns.items() if own}))
    found = tuple(figures(name_of(each), turns[each.name]) for each in contenders)
    reload = next((each for each in found if each.name.name == RELOAD), None)
    return Outcome(
        found,
        {each.name.name: targets(each, reload) for each in found if each.name.name in OWNS},
        tuple(missing),
        settings(asked),
        description,
        machine.commit(),
    )


def name_of(contender: Contender) -> Name:
    """How it is called."""
    return Name(contender.name, contender.title, contender.version(), contender.ack)


def settings(asked: Options) -> dict[str, object]:
    """What a figure depends on, for the report."""
    return {
        "switches": asked.switches,
        "rounds": asked.rounds,
        "rate_per_s": asked.rate,
        "connections": asked.connections,
        "websockets": asked.websockets,
        "tenants": asked.tenants,
        "workers": asked.workers,
        "pause_ms": asked.pause_ms,
        "move": "tenant" if asked.tenant else "all",
        "mode": "fenced" if asked.fenced else "instant",
    }


class Broken:
    """A contender that did not come up."""

    def __init__(self, fault: str) -> None:
        self._turn = Turn(None, None, faults=(fault,))

    def turn(self) -> Turn:
        """Its fault."""
        return self._turn


@contextmanager
def staged(
    contenders: Sequence[Contender], asked: Options, watch: Watch
) -> Iterator[Mapping[str, Contestant | Broken]]:
    """Endpoint and contenders, all running, until the block ends. StartError of the endpoint."""
    names = [tenant(index) for index in range(asked.tenants)]
    with tempfile.TemporaryDirectory(prefix="turnout-bench-") as path, ExitStack() as stack:
        folder = Path(path)
        endpoints = stack.enter_context(endpoint(folder / "endpoint"))
        course = Course(
            asked.per_round, asked.pause_ms / 1000, names, asked.tenant, not asked.fenced,
            asked.connections, asked.rate, asked.websockets,
        )  # fmt: skip
        found: dict[str, Contestant | Broken] = {}
        for each in contenders:
            watch.turn(f"starting {each.name}")
            connections = asked.connections + asked.websockets
            site = Site(
                folder / each.name, endpoints, names, asked.tenant, asked.workers, connections,
                asked.fenced,
            )  # fmt: skip
            try:
                door = stack.enter_context(each.serving(site))
                found[each.name] = Contestant(door, course, folder / f"load-{each.name}")
            except (StartError, OSError) as error:
                found[each.name] = Broken(str(error))
        yield found


@contextmanager
def endpoint(folder: Path) -> Iterator[dict[Slot, int]]:
    """Both slots' endpoint, a process; gives each slot's port. StartError."""
    folder.mkdir()
    ports = dict(zip(Slot, free_ports(len(Slot)), strict=True))
    argv = [sys.executable, "-m", "bench.switch.endpoint", *map(str, ports.values())]
    with running(argv, None, folder, cwd=ROOT) as process:
        for port in ports.values():
            wait_until_listening(process, port, folder)
        yield ports


def _line(number: int, taken: Mapping[str, Turn]) -> str:
    return f"  round {number}: " + " · ".join(
        f"{name} {_words(turn)}" for name, turn in taken.items()
    )


def _words(turn: Turn) -> str:
    if turn.faults or turn.verdict is None:
        return f"INVALID: {'; '.join(fault.partition(chr(10))[0] for fault in turn.faults)}"
    verdict = turn.verdict
    timings = sorted(timing.acked for timing in verdict.timings)
    median = f"{timings[len(timings) // 2]:.1f} ms" if timings else "no ack"
    failed = sum(verdict.failed.values())
    return f"{median}, {failed} failed, {verdict.misrouted} misrouted"
