"""Load scenarios: wrk on each proxy in turn, and the CPU time that it took."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import endpoint, wrk
from bench.checks import CheckError, refuses_spoilt_tokens, same_work
from bench.cpu import CpuTime, cpu_time
from bench.credentials import certificate
from bench.job import Job
from bench.peers.peer import PLAIN, Peer, Proxy, Site, Work
from bench.processes import StartError
from bench.progress import Watch
from bench.rounds import Reading, Round, Turn, failed, paired
from bench.scenarios.scenario import ENOUGH_ROUNDS, Measure, Target, pins
from bench.serving import serving
from proxy.routing.model import Slot

WARM_UP_S = 2
GRACE_S = 20.0
"""How much longer than asked a run of wrk may take before it is ended."""
MEGABYTE = 1_000_000
CPU = "cpu_us"


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of load.

    request: Lua for wrk that defines `request`, and `init` if it needs one. location: the
    endpoint's nginx directives for one slot's answers. per: what the CPU time is divided by, in
    words; a megabyte read where by_bytes. seconds: of one sample. files: for the endpoint to
    serve, by name. instead: the requests for a proxy that can't do all of the work; without
    them it is left out.
    """

    name: str
    title: str
    per: str
    request: str
    location: Callable[[Slot], str]
    targets: tuple[Target, ...] = ()
    work: Work = PLAIN
    by_bytes: bool = False
    seconds: int = 1
    files: Mapping[str, bytes] = field(default_factory=dict)
    instead: str = ""
    peers: frozenset[str] | None = None
    enough: int = ENOUGH_ROUNDS

    @property
    def lenient(self) -> bool:
        """Whether there are requests for who can't do all of it."""
        return bool(self.instead)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The CPU time, µs."""
        return (Measure(CPU, f"{self.name}: CPU/{self.per}", "µs", 1, self.targets),)

    def lasts(self, job: Job) -> tuple[int, int]:
        """The rounds asked for; this scenario's own seconds unless others are asked for."""
        return job.options.rounds, job.options.seconds or self.seconds

    def rounds(self, job: Job, watch: Watch) -> Iterator[Round]:
        """Endpoint and proxies up and checked, each warmed up, then the rounds."""
        with staged(self, job) as stage:
            count, seconds = self.lasts(job)
            turns = dict(stage.broken)
            for name, runner in stage.runners.items():
                watch.turn(f"warm-up: {name}")
                turns[name] = warmed_up(runner, self, seconds)
            yield from paired(
                {peer.name: turns[peer.name] for peer in job.peers}, count, watch.turn
            )


@dataclass(frozen=True, slots=True)
class Runner:
    """A proxy that is ready, and how wrk is put on it. script: on disk. core: wrk's."""

    proxy: Proxy
    script: Path
    core: int
    connections: int
    tls: bool

    def load(self, seconds: int) -> wrk.Load:
        """One run of wrk. LoadError."""
        url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.proxy.port}/"
        argv = wrk.command(url, str(self.script), self.connections, seconds)
        return wrk.run(argv, self.core, seconds + GRACE_S)


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything up and checked. broken: who did not come up, with the turn that says so."""

    runners: Mapping[str, Runner]
    broken: Mapping[str, Turn]


@contextmanager
def staged(scenario: Load, job: Job) -> Iterator[Stage]:
    """Endpoint and proxies, ready, until the block ends. StartError when it is the endpoint."""
    with ExitStack() as stack:
        behind = endpoint.with_folder(scenario.location, scenario.files, job.cores.load)
        folder, ports = stack.enter_context(behind)
        pair = certificate(folder) if scenario.work.tls else None
        runners, broken = {}, {}
        for peer in job.peers:
            work = (
                Work(streamed=scenario.work.streamed)
                if peer.unable(scenario.work)
                else scenario.work
            )
            site = Site(folder / peer.name, job.cores, ports, pins(), work, pair)
            request = scenario.request if work is scenario.work else scenario.instead
            script = folder / f"{peer.name}.lua"
            script.write_text(wrk.script(request), encoding="utf-8")
            try:
                proxy = _brought_up(stack, peer, site)
            except (StartError, CheckError) as error:
                broken[peer.name] = _always(failed(str(error)))
                continue
            connections = job.options.connections
            runners[peer.name] = Runner(proxy, script, job.cores.load, connections, work.tls)
        yield Stage(runners, broken)


def _brought_up(stack: ExitStack, peer: Peer, site: Site) -> Proxy:
    with ExitStack() as trial:
        proxy = trial.enter_context(serving(peer, site))
        same_work(proxy, site)
        if site.work.token:
            refuses_spoilt_tokens(proxy, site)
        stack.push(trial.pop_all())
    return proxy


def _always(reading: Reading) -> Turn:
    return lambda: reading


def warmed_up(runner: Runner, scenario: Load, seconds: int) -> Turn:
    """The proxy's turn, after a load that does not count."""
    try:
        runner.load(WARM_UP_S)
    except wrk.LoadError as error:
        return _always(failed(f"warm-up: {error}"))
    return lambda: measure(runner, seconds, by_bytes=scenario.by_bytes)


def measure(runner: Runner, seconds: int, *, by_bytes: bool = False) -> Reading:
    """One turn. Nothing is raised: what goes wrong is a fault of the reading."""
    load = wrk.Load(0, 0.0, 0, 0, 0, {})
    cpu, faults = CpuTime(0.0, 0.0, 0.0), []
    started = time.monotonic()
    try:
        pids = runner.proxy.pids()
        before = cpu_time(pids)
        started = time.monotonic()
        load = runner.load(seconds)
        cpu = cpu_time(pids) - before
        if runner.proxy.pids() != pids:
            faults.append("a process was replaced")
    except (wrk.LoadError, ProcessLookupError) as error:
        faults.append(str(error))
    wall_s = time.monotonic() - started
    faults.extend(_errors(load))
    units = load.bytes_read / MEGABYTE if by_bytes else load.requests
    values = {CPU: cpu.total_s / units * 1e6} if units else {}
    return Reading(values, tuple(faults), _beside(load, cpu, wall_s))


def _beside(load: wrk.Load, cpu: CpuTime, wall_s: float) -> Mapping[str, float]:
    return {
        "requests": load.requests,
        "requests_per_s": load.requests / load.duration_s if load.duration_s else 0.0,
        "bytes": load.bytes_read,
        "p50_us": load.p50_us,
        "p99_us": load.p99_us,
        "cpu_s": cpu.total_s,
        "user_s": cpu.user_s,
        "system_s": cpu.system_s,
        # The share of its core that the proxy used: near 1 when the load was enough.
        "busy": cpu.total_s / wall_s,
    }


def _errors(load: wrk.Load) -> list[str]:
    names = {"status": "answers neither 2xx nor 3xx"}
    errors = [
        f"{count} {names.get(kind, f'socket errors ({kind})')}"
        for kind, count in load.errors.items()
    ]
    return errors if load.requests else [*errors, "no request was completed"]
