"""Paired rounds: the same load on each proxy in turn, with the CPU time that it took.

Rule: within a round each proxy gets its turn directly after the one before, so that what the
machine's other tenants do in that second meets all of them. A sample with an error is kept and
shown, but no ratio is made with it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import wrk
from bench.cpu import CpuTime, cpu_time
from bench.peers.peer import Proxy

WARM_UP_S = 2
GRACE_S = 20.0
"""How much longer than asked a run of wrk may take before it is ended."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to load. script: wrk's, on disk. core: wrk's. seconds: of one sample, whole."""

    script: Path
    core: int
    connections: int
    seconds: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One proxy's turn in one round. faults: why it can't be used, empty when it can.

    cpu: of all of the proxy's processes over wall_s, which holds wrk's run and its start.
    """

    proxy: str
    wall_s: float
    cpu: CpuTime
    load: wrk.Load
    faults: tuple[str, ...]

    @property
    def valid(self) -> bool:
        """Whether a ratio may be made with it."""
        return not self.faults

    @property
    def cpu_us_per_request(self) -> float:
        """CPU time ÷ completed requests, µs; 0 when none was completed."""
        return self.cpu.total_s / self.load.requests * 1e6 if self.load.requests else 0.0

    @property
    def requests_per_s(self) -> float:
        """Throughput as wrk saw it."""
        return self.load.requests / self.load.duration_s if self.load.duration_s else 0.0

    @property
    def busy(self) -> float:
        """The share of its core that the proxy used: near 1 when the load was enough."""
        return self.cpu.total_s / self.wall_s


Round = dict[str, Sample]
"""One round: proxy's name → its sample, in the order of the turns."""


def paired(
    proxies: Sequence[Proxy], plan: Plan, turn: Callable[[str, int], None]
) -> Iterator[Round]:
    """Warm every proxy up, then one round after the other.

    turn: told before each turn whose it is and the round's number, 0 for the warm-up. LoadError
    when a proxy can't be warmed up.
    """
    for proxy in proxies:
        turn(proxy.name, 0)
        _load(proxy, plan, WARM_UP_S)
    for number in range(1, plan.rounds + 1):
        samples = {}
        for proxy in proxies:
            turn(proxy.name, number)
            samples[proxy.name] = measure(proxy, plan)
        yield samples


def measure(proxy: Proxy, plan: Plan) -> Sample:
    """One turn. Nothing is raised: what goes wrong is a fault of the sample."""
    load = wrk.Load(0, 0.0, 0, 0, 0, {})
    cpu, faults = CpuTime(0.0, 0.0, 0.0), []
    started = time.monotonic()
    try:
        pids = proxy.pids()
        before = cpu_time(pids)
        started = time.monotonic()
        load = _load(proxy, plan, plan.seconds)
        cpu = cpu_time(pids) - before
        if proxy.pids() != pids:
            faults.append("a process was replaced")
    except (wrk.LoadError, ProcessLookupError) as error:
        faults.append(str(error))
    wall_s = time.monotonic() - started
    return Sample(proxy.name, wall_s, cpu, load, (*faults, *_errors(load)))


def _load(proxy: Proxy, plan: Plan, seconds: int) -> wrk.Load:
    url = f"http://127.0.0.1:{proxy.port}/"
    argv = wrk.command(url, str(plan.script), plan.connections, seconds)
    return wrk.run(argv, plan.core, seconds + GRACE_S)


def _errors(load: wrk.Load) -> list[str]:
    names = {"status": "answers neither 2xx nor 3xx"}
    errors = [
        f"{count} {names.get(kind, f'socket errors ({kind})')}"
        for kind, count in load.errors.items()
    ]
    return errors if load.requests else [*errors, "no request was completed"]
