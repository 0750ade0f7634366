"""Composition root of a run: tools, endpoint, proxies, checks, rounds, outcome."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import endpoint, machine, nginx, wrk
from bench.checks import same_work
from bench.figures import Name, figure
from bench.machine import MissingError
from bench.options import Options
from bench.peers.peer import Peer, Proxy, Site
from bench.progress import Watch
from bench.report import Outcome
from bench.rounds import Plan, Round, paired
from bench.scenarios.scenario import Scenario, pins


@dataclass(frozen=True, slots=True)
class Job:
    """What to measure and where. peers: the baseline first."""

    peers: Sequence[Peer]
    scenario: Scenario
    cores: machine.Cores
    options: Options


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything up and checked. proxies: in the order of the peers asked for."""

    proxies: Sequence[Proxy]
    plan: Plan


def check_peers(peers: Sequence[Peer]) -> None:
    """Install or name what is missing. MissingError."""
    tools = dict(machine.TOOLS)
    for peer in peers:
        tools.update(peer.tools)
    machine.ensure_tools(tools, install=machine.apt_usable())
    for peer in peers:
        reason = peer.missing()
        if reason:
            raise MissingError(f"{peer.title}: {reason}")


@contextmanager
def staged(job: Job) -> Iterator[Stage]:
    """Endpoint and proxies, ready, until the block ends. StartError, CheckError."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="turnout-bench-")))
        behind = endpoint.serving(job.scenario, folder / "endpoint", job.cores.load)
        ports = stack.enter_context(behind)
        tenants = pins()
        proxies = []
        for peer in job.peers:
            site = Site(folder / peer.name, job.cores, ports, tenants)
            proxies.append(stack.enter_context(peer.serving(site)))
            same_work(proxies[-1], tenants)
        yield Stage(proxies, _plan(folder / "load.lua", job))


def _plan(script: Path, job: Job) -> Plan:
    script.write_text(wrk.script(job.scenario.request), encoding="utf-8")
    asked = job.options
    return Plan(script, job.cores.load, asked.connections, asked.seconds, asked.rounds)


def measured(job: Job, watch: Watch) -> Outcome:
    """Run the rounds; the first peer is the baseline. LoadError, StartError, CheckError."""
    description = machine.describe()
    baseline = job.peers[0].name
    rounds: list[Round] = []
    with staged(job) as stage, watch.shown():
        for each in paired(stage.proxies, stage.plan, watch.turn):
            rounds.append(each)
            watch.say(_line(len(rounds), each, baseline))
    names = [Name(peer.name, peer.title, peer.version()) for peer in job.peers]
    return Outcome(
        job.scenario,
        baseline,
        tuple(figure(rounds, name, baseline) for name in names),
        _settings(job.options),
        description,
        machine.commit(),
        _versions(job.peers),
    )


def _line(number: int, samples: Round, baseline: str) -> str:
    base = samples[baseline].cpu_us_per_request
    parts = []
    for name, sample in samples.items():
        if not sample.valid:
            parts.append(f"{name} INVALID: {'; '.join(sample.faults)}")
            continue
        ratio = f" ({sample.cpu_us_per_request / base:.2f})" if base and name != baseline else ""
        parts.append(f"{name} {sample.cpu_us_per_request:.1f} µs{ratio}")
    return f"round {number}: " + " · ".join(parts)


def _settings(options: Options) -> Mapping[str, object]:
    return {
        "rounds": options.rounds,
        "seconds": options.seconds,
        "connections": options.connections,
        "tenants": len(pins()),
    }


def _versions(peers: Sequence[Peer]) -> Mapping[str, str]:
    tools = {"wrk": machine.wrk_version(), "endpoint": f"nginx {nginx.version()}"}
    return tools | {peer.name: peer.version() for peer in peers}
