"""One worker: the composition root of the data plane, the only file that knows all parts.

Life: starting → (table loaded) serving → (told to end) draining → gone. A worker ends when it is
told to, and when its supervisor is gone, which it sees on a pipe.
"""

import asyncio
import faulthandler
import gc
import logging
import os
import random  # noqa: TID251 - the source that is passed in; a test passes its seed
import secrets
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import uvloop

from proxy.affinity.affinities import Affinities
from proxy.affinity.rules import Rules
from proxy.affinity.store import RedisAffinities
from proxy.census.report import Reporter
from proxy.census.rules import Devices
from proxy.config import Follow, Settings
from proxy.downstream.connection import ClientConnection
from proxy.downstream.listener import Door, Listener, Lost, Make
from proxy.downstream.peer import Peer
from proxy.downstream.share import Share
from proxy.downstream.tcp import TcpPort
from proxy.draining import Draining
from proxy.exchange.forward import Exchange
from proxy.exchange.services import Services
from proxy.follow import Follower
from proxy.http1.fields import request_fields
from proxy.http1.parser import RequestParser
from proxy.inherited import Inherited
from proxy.observability import telemetry
from proxy.observability.observe import Observer, observing, special_fields
from proxy.observability.telemetry import Block
from proxy.pace import Pace
from proxy.router import Router, WithoutLease
from proxy.routing.ack import WorkerStatus
from proxy.routing.decision import Policy
from proxy.routing.identity import IdentityRules
from proxy.routing.model import RoutingTable
from proxy.store import Store
from proxy.supervision.children import REOPEN, RETIRE, SHOW_STACK
from proxy.supervision.listening import HTTP, HTTPS, tcp
from proxy.tasks import Tasks
from proxy.tls.certificates import Certificates, drop_unreadable_names
from proxy.tls.endpoints import EndpointSecurity
from proxy.tls.session import Secure
from proxy.tokens.issuers import key_sources, verifier_of
from proxy.upstream.admission import AdmissionLimits
from proxy.upstream.checks import CheckRules
from proxy.upstream.cluster import ClusterRules
from proxy.upstream.connection import AnswerLimits
from proxy.upstream.health import HealthRules
from proxy.upstream.plain import PlainEndpoints
from proxy.upstream.pool import PoolLimits
from proxy.upstream.slots import Slots

log = logging.getLogger("turnout.worker")

_SWEEP_S = 0.25
_DRAIN_STEP_S = 0.05


def run(inherited: Inherited) -> None:
    """Serve until told to end."""
    gc.collect()
    gc.freeze()  # what was loaded before the fork is never garbage
    gc.set_threshold(50_000, 20, 20)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Worker(inherited).serve())


class Worker:
    """The parts of one worker, put together."""

    def __init__(self, inherited: Inherited) -> None:
        settings, block = inherited.settings, inherited.block
        self._inherited = inherited
        self._settings = settings
        self._block = block
        self._drain_limit_s = 0.0
        self._told_to_end = asyncio.Event()
        self._tasks = Tasks(f"worker {os.getpid()}")
        secret = inherited.shared.routing_key.encode()
        self._services = _services(settings, block, endpoints=inherited.endpoints, secret=secret)
        self._store = store = Store.of(inherited.shared)
        self._affinities = _affinity_store(store, settings.follow, self._services.affinities)
        log, faults = self._services.observing.log, self._services.faults
        self._observer = Observer(log, faults, block, settings.metrics.tenants)
        self._plain = [PlainEndpoints(each, plain_slots(settings, block)) for each in settings.tcp]
        doors = doors_of(self._services, inherited.sockets, inherited.certificates, self._plain)
        self._listener = Listener(doors, self._services, Share(block, inherited.blocks))
        self._follower = _follower(inherited, store, self._take_table, self._report)
        self._services.fence.tell = self._follower.tell
        if settings.follow.policy_without_lease() != "serve":
            self._services.lease(leased=False)  # until the follower has one
            self._follower.on_lease = self._services.lease
        self._pace = Pace(store, settings, block)
        self._draining = Draining(
            lambda: self._listener.connections,
            self._pace.take,
            self._follower.tell,
            random.Random().random,  # noqa: S311 - when a connection ends is no secret
        )
        self._census = self._reporter() if settings.census else None
        bearer = self._services.router.bearer
        self._key_sources = key_sources(bearer, settings.identity, block.key_sets)

    async def serve(self) -> None:
        """The whole life; see the module."""
        cells = self._block.cells
        cells[telemetry.PID] = os.getpid()
        self._block.adopt()
        self._observer.adopt()
        cells[telemetry.STATE] = telemetry.STARTING
        self._beat(time.monotonic())
        self._handle_signals()
        follow = self._tasks.start(self._follower.follow(), "follow")
        renew = self._tasks.start(self._follower.renew(), "renew")
        self._tasks.start(self._follower.fall_back(self._inherited.newest), "fall back")
        self._tasks.start(self._store.access.watch(self._settings.follow.store_timeout_s), "watch")
        self._tasks.start(self._sweep(), "sweep")
        self._tasks.start(self._draining.run(), "drain slots")
        if self._affinities is not None:
            self._tasks.start(self._affinities.run(), "affinities")
        if self._census is not None:
            self._tasks.start(self._census.run(), "census")
        if self._inherited.certificates is not None:
            drop_unreadable_names()
            self._tasks.start(self._watch(self._inherited.certificates), "watch certificates")
        for source in self._key_sources:
            self._tasks.start(source.run(), f"keys of {source.issuer.issuer}")
        await self._wait_for_table()
        await self._wait_for_keys()
        if self._affinities is not None and not self._told_to_end.is_set():
            await self._affinities.tried.wait()  # else the first requests would be decided alone
        if not self._told_to_end.is_set():
            self._listener.start()
            cells[telemetry.STATE] = telemetry.SERVING
            self._follower.say("serving")
            await self._told_to_end.wait()
        await self._drain()
        self._follower.end()
        if self._affinities is not None:
            self._affinities.end()
        follow.cancel()
        renew.cancel()
        await self._follower.leave()
        await self._services.slots.close()
        for plain in self._plain:
            await plain.close()
        await self._tasks.cancel()
        await self._pace.close()
        if self._census is not None:
            await self._census.close()
        self._observer.close(time.monotonic())
        self._block.publish()

    def _take_table(self, table: RoutingTable) -> None:
        """Use a table: from the return of this call on every request is decided by it."""
        for plain in self._plain:
            plain.update(table.endpoints)
        self._services.use(table)
        self._draining.swap(table)

    def _report(self, status: WorkerStatus) -> WorkerStatus:
        services = self._services
        return replace(
            status,
            in_flight=max(self._block.in_flight, 0),
            parked=services.parking.count,
            holding=services.fence.left(),
            draining=self._draining.left(),
            left=self._draining.detail(),
        )

    def _reporter(self) -> Reporter:
        inherited, settings = self._inherited, self._settings
        return Reporter(
            self._store,
            settings.follow,
            settings.census_report,
            inherited.name,
            lambda: self._listener.connections,
        )

    async def _wait_for_table(self) -> None:
        """Without a store a worker still serves, if only 503, unless others can do better."""
        waits = (self._follower.loaded.wait(), self._told_to_end.wait())
        tasks = [self._tasks.start(wait, "wait for the first table") for wait in waits]
        limit = self._settings.follow.start_without_table_s
        done: set[asyncio.Task[object]] = set()
        while not done:
            done, _ = await asyncio.wait(tasks, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if not done and not self._inherited.others_serve():
                log.warning("no routing table after %g s: answering 503 until there is one", limit)
                break
        for task in tasks:
            task.cancel()

    async def _wait_for_keys(self) -> None:
        """Until the first fetch of each key set has ended, within its own limit, well or not."""
        for source in self._key_sources:
            if not self._told_to_end.is_set():
                await source.tried.wait()

    async def _sweep(self) -> None:
        """Renew the coarse clock and act on deadlines that have passed."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = self._services.now = time.monotonic()
            self._beat(now)
            try:
                self._listener.sweep(now)
                self._services.slots.sweep(now)
                for plain in self._plain:
                    plain.sweep(now)
                self._observer.sweep(now)
                if self._services.affinities is not None:
                    self._services.affinities.sweep()
                self._block.publish()
            except Exception:
                # Without this clock no time-out would ever come.
                log.exception("a sweep failed")

    async def _watch(self, certificates: Certificates) -> None:
        """Load certificates whose files have changed; tell when the first of them ends."""
        while True:
            try:
                certificates.reload()
                certificates.warn_of_expiry()
            except Exception:
                log.exception("the certificates could not be looked at")
            self._block.cells[telemetry.CERTIFICATE_EXPIRES] = certificates.expires
            await asyncio.sleep(self._settings.tls.reload_s)

    def _beat(self, now: float) -> None:
        """Show the supervisor, and the other workers, that the loop turns."""
        self._block.cells[telemetry.BEAT] = int(now * 1000)

    # ── ending ────────────────────────────────────────────────────────────────────────────────

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        timeouts = self._settings.timeouts
        loop.add_signal_handler(signal.SIGTERM, self._end, timeouts.drain_s)
        loop.add_signal_handler(RETIRE, self._end, timeouts.drain_reload_s)
        loop.add_signal_handler(REOPEN, self._observer.reopen)
        # A terminal sends these to the whole group; the supervisor decides what they mean.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        loop.add_reader(self._inherited.lifeline, self._supervisor_gone)
        # In C, so that it answers while the loop hangs.
        faulthandler.register(SHOW_STACK, all_threads=False)

    def _supervisor_gone(self) -> None:
        asyncio.get_running_loop().remove_reader(self._inherited.lifeline)
        log.warning("the supervisor is gone: draining")
        self._end(self._settings.timeouts.drain_s)

    def _end(self, limit_s: float) -> None:
        """Drain within this time from now; a shorter limit that came before stays."""
        deadline = time.monotonic() + limit_s
        self._drain_limit_s = min(self._drain_limit_s or deadline, deadline)
        self._told_to_end.set()

    async def _drain(self) -> None:
        """Take nothing new, finish what is in flight, end what is left at the limit."""
        self._block.cells[telemetry.STATE] = telemetry.DRAINING
        self._services.draining = True
        self._listener.stop()
        # Others hold the sockets after a reload; after the last of us connections are refused.
        for listening in self._inherited.sockets.values():
            listening.close()
        self._follower.say("draining")
        held = self._listener.connections
        while held and time.monotonic() < self._drain_limit_s:
            # Connections note when they were used by the coarse clock, which may be late.
            idle_since = self._services.now - self._settings.timeouts.drain_idle_s - _SWEEP_S
            for connection in list(held):
                connection.drain(idle_since)
            await asyncio.sleep(_DRAIN_STEP_S)
        if held:
            log.warning("the drain limit is reached: closing %d connections", len(held))
        for connection in list(held):
            connection.close()
        # WebSockets are told goodbye, and may answer; nobody is waited for longer than this.
        end = time.monotonic() + self._settings.timeouts.linger_s
        while held and time.monotonic() < end:  # noqa: ASYNC110 - each leaves by itself
            await asyncio.sleep(_DRAIN_STEP_S)


def doors_of(
    services: Services,
    sockets: Mapping[str, socket.socket],
    certificates: Certificates | None,
    plain: Sequence[PlainEndpoints],
) -> list[Door]:
    """All that clients come in by: HTTP, HTTPS, and the plain TCP ports."""
    settings = services.settings
    make, limit = http(services), settings.limits.connections
    told = settings.proxy_protocol.mode == "required"
    doors = [Door(sockets[HTTP], make, limit, told)] if HTTP in sockets else []
    if HTTPS in sockets:
        doors.append(Door(sockets[HTTPS], make, limit, told, certificates))
    for index, (own, endpoints) in enumerate(zip(settings.tcp, plain, strict=True)):
        port = TcpPort(own, services, endpoints.connect)
        told = own.proxy_protocol == "required"
        doors.append(Door(sockets[tcp(index)], port.make, own.connections, told))
    return doors


def http(services: Services) -> Make:
    """What makes the connection of a client that speaks HTTP."""

    def make(peer: Peer, lost: Lost, secure: Secure | None = None) -> ClientConnection:
        return ClientConnection(services, Exchange, peer, lost, secure)

    return make


def _services(
    settings: Settings,
    block: Block,
    seed: int | None = None,
    endpoints: EndpointSecurity | None = None,
    secret: bytes = b"",
) -> Services:
    identity = settings.identity
    domains = tuple(domain.lower().strip(".") for domain in identity.domains)
    rules = IdentityRules(identity.order, domains, identity.path_prefix)
    policy = Policy(
        route_unidentified=identity.unidentified == "active",
        route_unknown=identity.unknown_tenants == "route",
    )
    upgrades = frozenset(token.lower().encode() for token in settings.tunnels.upgrades)
    router = Router(
        rules,
        policy,
        identity.header,
        verifier_of(identity, block.cells),
        block.tenants if settings.metrics.tenants else None,
        settings.limits.tenant_body_bytes,
    )
    router.without_lease = _without_lease(settings.follow)
    services = Services(
        settings=settings,
        router=router,
        slots=_slots(settings, block, settings.checks.path, seed, endpoints),
        block=block,
        requests=RequestParser(
            request_fields(identity.header, settings.tls.client_header, special_fields(settings)),
            upgrades,
        ),
        request_id_prefix=secrets.token_hex(8).encode(),
        observing=observing(settings),
    )
    if settings.census:
        services.devices = Devices(settings.census, secret)
    if settings.affinity:
        keys = Rules(settings.affinity, secret)
        services.affinities = Affinities(keys, settings.affinity_store, block.cells)
    return services


def _without_lease(follow: Follow) -> WithoutLease:
    tenants = {tenant: of == "park" for tenant, of in follow.without_lease_tenants.items()}
    return WithoutLease(follow.without_lease == "park", tenants)


def plain_slots(settings: Settings, block: Block, seed: int | None = None) -> Slots:
    """Both slots for one TCP listener; a check there is a connection that can be made."""
    return _slots(settings, block, "", seed)


def _slots(
    settings: Settings,
    block: Block,
    check_path: str,
    seed: int | None,
    security: EndpointSecurity | None = None,
) -> Slots:
    timeouts, limits, checks = settings.timeouts, settings.limits, settings.checks
    pool_limits = PoolLimits(
        timeouts.connect_s,
        timeouts.endpoint_keep_alive_s,
        timeouts.endpoint_fresh_s,
        limits.endpoint_connections,
        AnswerLimits(limits.answer_head_bytes, limits.interim_answers),
    )
    check_rules = CheckRules(
        interval_s=checks.interval_s, timeout_s=checks.timeout_s, path=check_path, host=checks.host
    )
    lots = random.Random(seed)  # noqa: S311 - which endpoint is drawn is no secret
    return Slots(pool_limits, _rules(settings), check_rules, block, lots.random, security)


def _rules(settings: Settings) -> ClusterRules:
    """How a slot is balanced and bounded."""
    limits, ejection, balancing = settings.limits, settings.ejection, settings.balancing
    return ClusterRules(
        admission=AdmissionLimits(
            slot=limits.slot_in_flight,
            tenant=limits.tenant_in_flight,
            queue=limits.queue,
            tenant_queue=limits.tenant_queue,
        ),
        health=HealthRules(
            failures=ejection.failures,
            on_5xx=ejection.on_5xx,
            eject_s=ejection.base_s,
            eject_max_s=ejection.max_s,
            slow_start_s=balancing.slow_start_s,
            rise=settings.checks.rise,
            fall=settings.checks.fall,
        ),
        queue_s=settings.timeouts.queue_s,
        panic_percent=balancing.panic_percent,
        eject_percent=ejection.percent,
        retry=(balancing.retry_percent, balancing.retries_per_s),
    )


def _affinity_store(where: Store, follow: Follow, of: Affinities | None) -> RedisAffinities | None:
    """Where the worker's affinities lie for all workers; None without rules."""
    if of is None:
        return None
    store = RedisAffinities(where, follow, of.unwritten)
    of.store = store
    return store


def _follower(
    inherited: Inherited,
    store: Store,
    on_table: Callable[[RoutingTable], None],
    report: Callable[[WorkerStatus], WorkerStatus],
) -> Follower:
    settings = inherited.settings
    return Follower(
        store,
        settings.follow,
        WorkerStatus(
            *(inherited.name, settings.node_name(), os.getpid(), 0, "starting"),
            without_lease=settings.follow.policy_without_lease(),
            census=bool(settings.census),
        ),
        inherited.block,
        on_table,
        report,
        lambda: max(block.cells[telemetry.VERSION] for block in inherited.blocks),
    )
