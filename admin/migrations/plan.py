"""A plan before it is written down: what will run where, in which order, about how long. Pure.

Rules:
1. What the ledger knows to be applied gets no job: its database isn't opened.
2. A file that differs from what was applied anywhere, and one that would come after a later one of
   its phase, are refused before anything runs; all of them at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from admin.migrations.files import File
from admin.migrations.targets import Target
from admin.migrations.waves import SHARES, Waves, arrange

PHASES: Final = ("expand", "backfill", "contract")
SHOWN: Final = 3
Had = Mapping[str, str]
"""What a target has: key → checksum."""


class PlanFault(Exception):  # noqa: N818 - the plan's, not this program's
    """The plan can't be made. faults: all reasons, each in words that say what to do."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for. to: the key of the last version; None: all. tenants: None, all targets.

    shares: the rings after the pilots, in basis points, rising. salt: the canary's.
    """

    to: str | None = None
    phases: tuple[str, ...] = ("expand",)
    tenants: frozenset[str] | None = None
    pilots: frozenset[str] = frozenset()
    shares: tuple[int, ...] = SHARES
    salt: str = "turnout"
    failure_budget: int = 0
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan. files: all of the catalogue. jobs: for each place its files' positions, in order.

    up_to_date: how many of the targets have nothing to do.
    """

    wish: Wish
    files: tuple[File, ...]
    waves: Waves
    jobs: Mapping[str, tuple[int, ...]]
    targets: int
    up_to_date: int

    @property
    def count(self) -> int:
        """How many jobs there are."""
        return sum(map(len, self.jobs.values()))


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long it may take. seconds: None, nothing of it was ever applied.

    unknown: how many of its jobs have no figure. typical_ms: by key.
    """

    seconds: float | None
    unknown: int
    typical_ms: Mapping[str, float] = field(default_factory=dict)


def draft(
    wish: Wish,
    files: Sequence[File],
    targets: Iterable[Target],
    applied: Mapping[str, Had],
) -> Draft:
    """The plan. files: in the order in which they apply. applied: by target's name. PlanFault."""
    wanted = [t for t in targets if wish.tenants is None or t.is_one_of(wish.tenants)]
    _refuse_unknown(wish, files, wanted)
    _refuse_misfits(files, wanted, applied)
    chosen = _chosen(wish, files)
    jobs = {
        target.name: due for target in wanted if (due := _due(chosen, applied.get(target.name, {})))
    }
    _refuse_disorder(files, jobs, applied)
    run = {position for due in jobs.values() for position in due}
    kept = tuple(replace(file, runs=file.position in run) for file in files)
    working = [target for target in wanted if target.name in jobs]
    waves = arrange(working, wish.pilots, wish.shares, wish.salt)
    return Draft(wish, kept, waves, jobs, len(wanted), len(wanted) - len(working))


def estimate(made: Draft, typical_ms: Mapping[str, float], at_once: Mapping[str, int]) -> Estimate:
    """How long it may take. typical_ms: by key, what it took elsewhere. at_once: by server."""
    keys = {file.position: file.key for file in made.files}
    ms: dict[str, float] = {}
    unknown = known = 0
    for place in made.waves.places:
        for position in made.jobs[place.target.name]:
            typical = typical_ms.get(keys[position])
            if typical is None:
                unknown += 1
                continue
            known += 1
            server = place.target.server
            ms[server] = ms.get(server, 0.0) + typical / at_once.get(server, 1)
    # Servers work beside one another: the slowest says when all is done.
    seconds = max(ms.values(), default=0.0) / 1000 if known else None
    runs = {file.key for file in made.files if file.runs}
    return Estimate(seconds, unknown, {k: v for k, v in typical_ms.items() if k in runs})


def _refuse_unknown(wish: Wish, files: Sequence[File], wanted: Sequence[Target]) -> None:
    faults = []
    if wish.to is not None and all(wish.to != file.version for file in files):
        faults.append(f"the catalogue has no version {wish.to}")
    names = {target.name for target in wanted} | {target.tenant for target in wanted}
    strangers = sorted((wish.tenants or frozenset()) - names)
    if strangers:
        faults.append(f"{_listed(strangers)}: no target is called so; is the tenant registered?")
    if faults:
        raise PlanFault(faults)


def _chosen(wish: Wish, files: Sequence[File]) -> list[File]:
    """The files that are asked for, in order."""
    last = max((file.position for file in files if file.version == wish.to), default=None)
    return [
        file
        for file in files
        if file.phase in wish.phases
        and (last is None or file.is_repeatable or file.position <= last)
    ]


def _due(chosen: Iterable[File], had: Had) -> tuple[int, ...]:
    return tuple(
        file.position
        for file in chosen
        if file.key not in had or (file.is_repeatable and had[file.key] != file.checksum)
    )


def _refuse_misfits(
    files: Sequence[File], targets: Iterable[Target], applied: Mapping[str, Had]
) -> None:
    known = {file.key: file for file in files}
    changed: dict[str, list[str]] = {}
    unknown: dict[str, list[str]] = {}
    for target in targets:
        for key, checksum in applied.get(target.name, {}).items():
            file = known.get(key)
            if file is None:
                unknown.setdefault(key, []).append(target.name)
            elif not file.is_repeatable and file.checksum != checksum:
                changed.setdefault(key, []).append(target.name)
    faults = [
        f"{known[key].path} is not what was applied to {_listed(names)}: restore the file, and put"
        " the change into a new one"
        for key, names in sorted(changed.items())
    ]
    faults += [
        f"{_listed(names)}: {key} is applied there, and the folder doesn't have it: plan from the"
        " folder that has"
        for key, names in sorted(unknown.items())
    ]
    if faults:
        raise PlanFault(faults)


def _refuse_disorder(
    files: Sequence[File], jobs: Mapping[str, tuple[int, ...]], applied: Mapping[str, Had]
) -> None:
    """Within a phase, later ones build on earlier ones; a contract may well come after an expand."""
    by_key = {file.key: file for file in files}
    late: dict[tuple[str, str], list[str]] = {}
    for target, due in jobs.items():
        last: dict[str, File] = {}
        for key in applied.get(target, {}):
            file = by_key[key]
            before = last.get(file.phase)
            if not file.is_repeatable and (before is None or before.position < file.position):
                last[file.phase] = file
        for file in (each for each in files if each.position in due and not each.is_repeatable):
            newest = last.get(file.phase)
            if newest is not None and newest.position > file.position:
                late.setdefault((file.path, newest.key), []).append(target)
    faults = [
        f"{path} comes before {newest}, which {_listed(names)} have already: give it a higher"
        " version"
        for (path, newest), names in sorted(late.items())
    ]
    if faults:
        raise PlanFault(faults)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
