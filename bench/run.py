"""Composition root of a run: peers that are here, scenarios one after the other, the outcome."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from bench import machine, nginx
from bench.catalogue import BASELINE
from bench.figures import Name, figure, verdicts
from bench.job import Job
from bench.machine import MissingError
from bench.options import Options
from bench.outcome import Measured, Outcome, Result
from bench.peers.peer import Peer
from bench.processes import StartError
from bench.progress import Watch
from bench.rounds import Round
from bench.scenarios.scenario import Measure, Scenario, pins
from bench.wrk import LoadError


def present(peers: Sequence[Peer], asked: frozenset[str]) -> tuple[list[Peer], list[str]]:
    """(who can run, why the others can't), after installing tools where that may be done.

    asked: those named on the command line; they and the baseline must be there, else
    MissingError.
    """
    machine.ensure_tools(machine.TOOLS, install=machine.apt_usable())
    here, missing = [], []
    for peer in peers:
        reason = _missing(peer)
        if reason is None:
            here.append(peer)
        elif peer.name in asked or peer.name == BASELINE:
            raise MissingError(f"{peer.title}: {reason}")
        else:
            missing.append(f"{peer.title} is left out: {reason}")
    return here, missing


def _missing(peer: Peer) -> str | None:
    try:
        machine.ensure_tools(peer.tools, install=machine.apt_usable())
    except MissingError as error:
        return str(error)
    return peer.missing()


def job(scenario: Scenario, peers: Sequence[Peer], cores: machine.Cores, asked: Options) -> Job:
    """The scenario with those of the peers that it is for and that can do its work."""
    wanted = [peer for peer in peers if scenario.peers is None or peer.name in scenario.peers]
    able = [peer for peer in wanted if scenario.lenient or peer.unable(scenario.work) is None]
    return Job(scenario, able, cores, asked)


def notes(scenario: Scenario, peers: Iterable[Peer]) -> list[str]:
    """Who of the peers is left out of the scenario, or measured with less, and why."""
    told = []
    for peer in peers:
        reason = peer.unable(scenario.work)
        if reason is not None and (scenario.peers is None or peer.name in scenario.peers):
            what = "measured without" if scenario.lenient else "left out"
            told.append(f"{scenario.name}: {peer.title} {reason}: {what}")
    return told


def measured(
    jobs: Sequence[Job], peers: Sequence[Peer], missing: Sequence[str], watch: Watch
) -> Outcome:
    """Run the jobs. What breaks one scenario is told in its result; the others go on."""
    description = machine.describe()
    with watch.shown():
        results = tuple(_result(each, notes(each.scenario, peers), watch) for each in jobs)
    return Outcome(
        results,
        tuple(missing),
        _settings(jobs[0].options),
        description,
        machine.commit(),
        _versions(peers),
    )


def _result(each: Job, told: Sequence[str], watch: Watch) -> Result:
    scenario = each.scenario
    watch.scenario(scenario.name, scenario.title)
    names = [Name(peer.name, peer.title, peer.version()) for peer in each.peers]
    # The self-test's baseline stands first too.
    baseline = names[0] if names and names[0].proxy == BASELINE else None
    empty = Result(scenario.name, scenario.title, baseline, scenario.enough, (), tuple(told))
    rounds: list[Round] = []
    try:
        for taken in scenario.rounds(each, watch):
            rounds.append(taken)
            watch.say(_line(scenario, len(rounds), taken, baseline))
    except (StartError, LoadError, OSError) as error:
        return replace(empty, notes=(*told, *watch.notes), broken=f"{scenario.name}: {error}")
    found = tuple(_measured(measure, rounds, names, baseline) for measure in scenario.measures)
    return replace(empty, notes=(*told, *watch.notes), measured=found)


def _measured(
    measure: Measure, rounds: Sequence[Round], names: Sequence[Name], baseline: Name | None
) -> Measured:
    against = baseline.proxy if baseline else None
    figures = tuple(figure(rounds, name, measure, against) for name in names)
    return Measured(measure, figures, tuple(verdicts(rounds, names, measure)))


def _line(scenario: Scenario, number: int, taken: Round, baseline: Name | None) -> str:
    parts = []
    for proxy, reading in taken.items():
        if not reading.valid:
            parts.append(f"{proxy} INVALID: {_first(reading.faults)}")
            continue
        values = ", ".join(
            f"{reading.values[each.name]:.{each.digits}f} {each.unit}" for each in scenario.measures
        )
        parts.append(f"{proxy} {values}{_ratio(scenario, taken, proxy, baseline)}")
    return f"  round {number}: " + " · ".join(parts)


def _first(faults: Sequence[str]) -> str:
    """The faults in short: the report has them whole, with the ends of logs."""
    return "; ".join(fault.partition("\n")[0] for fault in faults)


def _ratio(scenario: Scenario, taken: Round, proxy: str, baseline: Name | None) -> str:
    if baseline is None or proxy == baseline.proxy or not taken[baseline.proxy].valid:
        return ""
    first = scenario.measures[0].name
    base = taken[baseline.proxy].values[first]
    return f" ({taken[proxy].values[first] / base:.2f})" if base > 0 else ""


def _settings(options: Options) -> Mapping[str, object]:
    return {
        "rounds": options.rounds,
        "seconds": options.seconds or "by scenario",
        "connections": options.connections,
        "pairs": options.pairs,
        "tenants": len(pins()),
    }


def _versions(peers: Sequence[Peer]) -> Mapping[str, str]:
    tools = {"wrk": machine.wrk_version(), "endpoint": f"nginx {nginx.version()}"}
    return tools | {peer.name: peer.version() for peer in peers}
