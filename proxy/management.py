"""The management port: health, readiness, metrics, whole for all workers.

A process of its own, forked beside the workers: it only reads their shared cells, so asking it
never slows a request, and it answers when workers don't.
"""

import asyncio
import importlib.metadata
import platform
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from proxy.exchange import forward
from proxy.keeper import Keeper
from proxy.observability import key_sets, telemetry, tenants
from proxy.observability.readiness import FOLLOWING, readiness
from proxy.observability.telemetry import GROUPS, Telemetry, group_base
from proxy.tasks import Tasks
from proxy.traffic import Reporter
from proxy.windows import Teller

_SETTLE_STEP_S = 0.02
_SETTLE_STEPS = 20
_LABEL = ["slot"]
_GROUP_LABELS = ["slot", "cohort"]
_BY_SLOT = {
    slot: [number for number, name in enumerate(GROUPS) if name.slot == slot]
    for slot in dict.fromkeys(name.slot for name in GROUPS)
}
# name, help, cell: one sample a group.
_GROUP_GAUGES = (
    ("turnout_in_flight", "Requests under way.", telemetry.IN_FLIGHT),
    (
        "turnout_endpoint_connections",
        "Connections to the slot's endpoints.",
        telemetry.ENDPOINT_CONNECTIONS,
    ),
    ("turnout_tunnels", "Upgraded connections (WebSocket).", telemetry.TUNNELS),
    ("turnout_queue", "Requests that wait for room in the slot.", telemetry.QUEUE),
    ("turnout_endpoints", "Endpoints, once for each worker.", telemetry.ENDPOINTS),
    (
        "turnout_endpoints_eligible",
        "Endpoints that are thought healthy, once for each worker.",
        telemetry.ENDPOINTS_ELIGIBLE,
    ),
)
_GROUP_COUNTERS = (
    ("turnout_tunnels_opened", "Connections that were upgraded.", telemetry.TUNNELS_OPENED),
    (
        "turnout_connect_failures",
        "Connections that could not be made.",
        telemetry.CONNECT_FAILURES,
    ),
    ("turnout_retries", "Requests sent a second time.", telemetry.RETRIES),
    (
        "turnout_retries_refused",
        "Requests not sent a second time: the budget was used up.",
        telemetry.RETRIES_REFUSED,
    ),
    ("turnout_aborted", "Exchanges that broke off.", telemetry.ABORTED),
    ("turnout_broken_off", "Those whose answer broke off.", telemetry.ANSWERS_BROKEN),
    (
        "turnout_queue_timeouts",
        "Requests refused after they had waited for room.",
        telemetry.QUEUE_TIMEOUTS,
    ),
    (
        "turnout_queue_refused",
        "Requests refused at once: no room to wait, or the tenant has too many.",
        telemetry.QUEUE_REFUSED,
    ),
    ("turnout_ejections", "Endpoints taken out for failed requests.", telemetry.EJECTIONS),
    (
        "turnout_panics",
        "Requests sent while too few endpoints were healthy for health to count.",
        telemetry.PANICS,
    ),
)
_WORKER_GAUGES = (
    ("turnout_connections", "Client connections that are open.", telemetry.CONNECTIONS),
    ("turnout_affinities", "Affinities that workers remember.", telemetry.AFFINITIES),
)
_WORKER_COUNTERS = (
    ("turnout_accepted", "Client connections that were accepted.", telemetry.ACCEPTED),
    (
        "turnout_rejected_entries",
        "Routing entries that were not applied.",
        telemetry.REJECTED_ENTRIES,
    ),
    ("turnout_table_loads", "Times that the whole table was loaded.", telemetry.RELOADS),
    ("turnout_tls_handshakes", "TLS handshakes of clients that were made.", telemetry.HANDSHAKES),
    (
        "turnout_tls_handshake_failures",
        "TLS handshakes of clients that failed or took too long.",
        telemetry.HANDSHAKE_FAILURES,
    ),
    (
        "turnout_proxy_header_refusals",
        "Connections closed for a missing or malformed PROXY header, or from a wrong network.",
        telemetry.PROXY_HEADER_REFUSALS,
    ),
    ("turnout_affinity_hits", "Requests with a key that was known.", telemetry.AFFINITY_HITS),
    ("turnout_affinity_misses", "Requests whose keys were not.", telemetry.AFFINITY_MISSES),
    (
        "turnout_affinity_races_lost",
        "Keys that turned out to belong to the other slot than the worker took them to.",
        telemetry.AFFINITY_RACES_LOST,
    ),
    (
        "turnout_affinity_moves",
        "Keys that left a slot without an eligible endpoint.",
        telemetry.AFFINITY_MOVES,
    ),
    (
        "turnout_affinity_store_errors",
        "Times that a worker decided on keys without Redis: it was away, slow or busy.",
        telemetry.AFFINITY_STORE_ERRORS,
    ),
    ("turnout_log_lines", "Lines of the access log that were written.", telemetry.LOG_LINES),
    ("turnout_log_dropped", "Lines of it that could not be.", telemetry.LOG_DROPPED),
)
_SUPERVISOR_GAUGES = (
    (
        "turnout_start_time_seconds",
        "When the supervisor started, in seconds since 1970.",
        telemetry.STARTED_S,
    ),
    ("turnout_open_files_limit", "Files that one worker may open.", telemetry.FILES_LIMIT),
    (
        "turnout_connections_limit",
        "Client connections that one worker takes, after a look at its files.",
        telemetry.CONNECTIONS_LIMIT,
    ),
)
_SUPERVISOR_COUNTERS = (
    (
        "turnout_worker_deaths",
        "Processes that ended unasked and were replaced.",
        telemetry.DEATHS,
    ),
    ("turnout_worker_stalls", "Workers that were killed for standing still.", telemetry.STALLS),
    (
        "turnout_settings_loads",
        "Times that settings were put in use: at the start and by each reload.",
        telemetry.SETTINGS_LOADED,
    ),
    (
        "turnout_windows_told",
        "Windows of what was served that Redis was told.",
        telemetry.WINDOWS_TOLD,
    ),
    ("turnout_windows_lost", "Those that it could not be told.", telemetry.WINDOWS_LOST),
)
_LAST_ACCEPT_S = 0.2


def run(
    telemetry_of_all: Telemetry,
    listening: socket.socket,
    lifeline: int,
    keeper: Keeper,
    reporter: Reporter,
    teller: Teller,
) -> None:
    """Serve until told to end, or until the supervisor is gone."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(telemetry_of_all, listening, lifeline, keeper, reporter, teller))


async def _serve(
    telemetry_of_all: Telemetry,
    listening: socket.socket,
    lifeline: int,
    keeper: Keeper,
    reporter: Reporter,
    teller: Teller,
) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    for signum in (signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(signum, lambda: None)
    loop.add_reader(lifeline, ended.set)
    runner = web.AppRunner(app(telemetry_of_all), access_log=None)
    await runner.setup()
    site = web.SockSite(runner, listening)
    await site.start()
    tasks = Tasks("management")
    tasks.start(keeper.keep(), "keep the table")
    tasks.start(keeper.bury(), "say goodbye for the dead")
    tasks.start(reporter.report(), "tell of traffic")
    tasks.start(teller.run(), "tell windows")
    await ended.wait()
    loop.remove_reader(lifeline)
    # After an upgrade another answers here: what was accepted just now is answered still.
    await site.stop()
    await asyncio.sleep(_LAST_ACCEPT_S)
    await runner.cleanup()
    await tasks.cancel()
    await reporter.tell()
    await teller.end()


def app(telemetry_of_all: Telemetry) -> web.Application:
    """GET /healthz, /readyz, /metrics."""
    registry = CollectorRegistry()
    registry.register(Cells(telemetry_of_all))

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "healthy"})

    async def readyz(_: web.Request) -> web.Response:
        report = readiness(telemetry_of_all)
        return web.json_response(report, status=200 if report["ready"] else 503)

    async def metrics(_: web.Request) -> web.Response:
        await _settled(telemetry_of_all)
        return web.Response(
            body=generate_latest(registry),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", metrics)
    return application


async def _settled(telemetry_of_all: Telemetry) -> None:
    """Wait until each worker has published once more: then what was answered is counted.

    A worker that is stuck is not waited for.
    """
    serving = {telemetry.SERVING, telemetry.DRAINING}
    blocks = [each for each in telemetry_of_all.blocks if each.cells[telemetry.STATE] in serving]
    before = [block.cells[telemetry.PUBLISHED] for block in blocks]
    for _ in range(_SETTLE_STEPS):
        if all(
            block.cells[telemetry.PUBLISHED] > count or block.cells[telemetry.STATE] not in serving
            for block, count in zip(blocks, before, strict=True)
        ):
            return
        await asyncio.sleep(_SETTLE_STEP_S)


class Cells(Collector):
    """The shared cells as Prometheus metrics, by slot (`local`: answered by the proxy itself)."""

    def __init__(self, telemetry_of_all: Telemetry) -> None:
        self._all = telemetry_of_all

    def describe(self) -> list[Metric]:
        """Nothing ahead of time; asking the cells is cheap."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics, summed over the workers."""
        yield self._requests()
        yield self._latency()
        for name, text, cell in _GROUP_GAUGES:
            yield self._by_group(GaugeMetricFamily(name, text, labels=_LABEL), cell)
        for name, text, cell in _GROUP_COUNTERS:
            yield self._by_group(CounterMetricFamily(name, text, labels=_LABEL), cell)
        for name, text, cell in _WORKER_GAUGES:
            yield GaugeMetricFamily(name, text, self._all.total(cell))
        for name, text, cell in _WORKER_COUNTERS:
            yield CounterMetricFamily(name, text, self._all.total(cell))
        yield self._refused_tokens()
        yield from self._key_sets()
        yield from self._tenants()
        for name, text, cell in _SUPERVISOR_GAUGES:
            yield GaugeMetricFamily(name, text, self._all.supervisor[cell])
        for name, text, cell in _SUPERVISOR_COUNTERS:
            yield CounterMetricFamily(name, text, self._all.supervisor[cell])
        yield build_info()
        yield from self._workers()

    def _by_group(
        self, family: GaugeMetricFamily | CounterMetricFamily, cell: int
    ) -> GaugeMetricFamily | CounterMetricFamily:
        for name, groups in _BY_SLOT.items():
            family.add_metric([name], sum(self._all.total(group_base(g) + cell) for g in groups))
        return family

    def _requests(self) -> Metric:
        family = CounterMetricFamily(
            "turnout_requests",
            "Answers, by slot, cohort and status class.",
            labels=[*_GROUP_LABELS, "class"],
        )
        for group, name in enumerate(GROUPS):
            for status_class in range(1, 6):
                cell = group_base(group) + telemetry.STATUS_CLASS + status_class
                family.add_metric([*name, f"{status_class}xx"], self._all.total(cell))
        return family

    def _latency(self) -> Metric:
        family = HistogramMetricFamily(
            "turnout_request_seconds",
            "From a request's head to its answer's end.",
            labels=_GROUP_LABELS,
        )
        bounds = [str(bound / 1_000_000) for bound in telemetry.BOUNDS_US] + ["+Inf"]
        for group, name in enumerate(GROUPS):
            base = group_base(group)
            buckets, below = [], 0
            for index, bound in enumerate(bounds):
                below += self._all.total(base + telemetry.BUCKETS + index)
                buckets.append((bound, below))
            seconds = self._all.total(base + telemetry.LATENCY_US) / 1_000_000
            family.add_metric(list(name), buckets, seconds)
        return family

    def _refused_tokens(self) -> Metric:
        family = CounterMetricFamily(
            "turnout_refused_tokens", "Requests whose token was refused.", labels=["reason"]
        )
        for place, reason in enumerate(telemetry.TOKEN_REASONS):
            family.add_metric([reason], self._all.total(telemetry.REFUSED_TOKENS + place))
        return family

    def _key_sets(self) -> Iterator[Metric]:
        failures = CounterMetricFamily(
            "turnout_jwks_failures", "Fetches of key sets that failed.", labels=["issuer"]
        )
        failing = GaugeMetricFamily(
            "turnout_jwks_failing", "Workers whose last fetch of it failed.", labels=["issuer"]
        )
        for issuer, fetches in key_sets.total(self._all.blocks).items():
            failures.add_metric([issuer], fetches.failures)
            failing.add_metric([issuer], fetches.failing)
        yield from (failures, failing)

    def _tenants(self) -> Iterator[Metric]:
        """Of the busiest, as many as the settings say; see `proxy.observability.tenants`."""
        requests = CounterMetricFamily(
            "turnout_tenant_requests", "Answers to the busiest tenants.", labels=["tenant"]
        )
        failures = CounterMetricFamily(
            "turnout_tenant_failures", "Those of 500 and above.", labels=["tenant"]
        )
        seconds = CounterMetricFamily(
            "turnout_tenant_seconds", "How long they took together.", labels=["tenant"]
        )
        blocks = [(block, block.cells[telemetry.STATE] != 0) for block in self._all.blocks]
        ranked, error = tenants.busiest(blocks)
        for entry in ranked:
            requests.add_metric([entry.tenant], entry.requests)
            failures.add_metric([entry.tenant], entry.failures)
            seconds.add_metric([entry.tenant], entry.micros / 1_000_000)
        yield from (requests, failures, seconds)
        yield GaugeMetricFamily(
            "turnout_tenant_error", "How far their ranking may be off, in requests.", error
        )

    def _workers(self) -> Iterator[Metric]:
        states = GaugeMetricFamily("turnout_workers", "Workers by state.", labels=["state"])
        versions = GaugeMetricFamily(
            "turnout_table_version", "Version that a worker decides by.", labels=["pid"]
        )
        reachable = GaugeMetricFamily(
            "turnout_store_reachable", "Whether a worker reaches Redis.", labels=["pid"]
        )
        told = [GaugeMetricFamily(name, text, labels=["pid"]) for name, text, _ in FOLLOWING]
        files = GaugeMetricFamily(
            "turnout_open_files", "Files that a worker has open.", labels=["pid"]
        )
        live = [block for block in self._all.blocks if block.cells[telemetry.STATE]]
        expiries = GaugeMetricFamily(
            "turnout_certificate_expires_seconds",
            "When the first of a worker's certificates ends, in POSIX seconds.",
            labels=["pid"],
        )
        for state in ("starting", "serving", "draining"):
            states.add_metric([state], sum(block.state == state for block in live))
        for block in live:
            pid = str(block.cells[telemetry.PID])
            versions.add_metric([pid], block.cells[telemetry.VERSION])
            reachable.add_metric([pid], block.cells[telemetry.STORE_REACHABLE])
            for family, (_, _, value) in zip(told, FOLLOWING, strict=True):
                family.add_metric([pid], value(block))
            count = open_files(pid)
            if count is not None:
                files.add_metric([pid], count)
            if block.cells[telemetry.CERTIFICATE_EXPIRES]:
                expiries.add_metric([pid], block.cells[telemetry.CERTIFICATE_EXPIRES])
        yield from (states, versions, reachable, *told, files, expiries)


def open_files(pid: str) -> int | None:
    """How many files a process has open; None if it is gone, or not ours to look at.

    Linux 6.2 and newer tell it as the size of the folder; before that, it is listed.
    """
    folder = Path("/proc", pid, "fd")
    try:
        return folder.stat().st_size or sum(1 for _ in folder.iterdir())
    except OSError:
        return None


def build_info() -> Metric:
    """What runs: the release, the Python, and whether the data plane is compiled."""
    family = GaugeMetricFamily(
        "turnout_build_info",
        "What runs; the value is 1.",
        labels=["version", "python", "compiled"],
    )
    version = importlib.metadata.version("turnout")
    family.add_metric([version, platform.python_version(), compiled()], 1)
    return family


def compiled() -> str:
    """`yes` if the data plane was compiled with mypyc, `no` if it is plain Python."""
    return "no" if str(forward.__file__).endswith(".py") else "yes"
