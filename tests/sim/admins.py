"""Admins in the simulation: what `admin.bootstrap` composes, without the listener; and who calls them.

A call is what the API does with it, from the check of its arguments to the answer: the change or the
switch is begun, waited for, and what was answered is written down.
"""

import asyncio
import contextlib
import traceback
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from hashlib import sha256
from typing import Any, cast

import structlog

from admin.bootstrap import _compose
from admin.config import Settings
from admin.migrations.compatibility import Schemas
from admin.migrations.guard import SchemaLimits
from admin.routing.audit import Author
from admin.routing.control import Served
from admin.routing.database import Database, DatabaseUnavailableError
from admin.routing.publish import StoreUnavailableError
from admin.routing.store import Key, OutcomeUnknownError, Proposal, VersionConflictError
from admin.switches import controller
from admin.switches.controller import TooManyError
from admin.switches.model import State, Switch
from admin.switches.steps import StepError
from proxy.routing.change import ContractError, Operation, Pin
from proxy.routing.model import RoutingTable, Slot
from tests.sim.books import Books, Wished
from tests.sim.network import nothing
from tests.sim.postgres_server import PostgresPool
from tests.sim.workers import SHARED
from tests.sim.world import CLOCK, Node, World

ACK_S = 3.0
_AGAIN_S = 0.3
_NOT_WAITED_S = 1.0
_TASKS = frozenset({"fleet-news", "reconcile", "prune", "switches"})
"""The background tasks of an admin that have something to do here."""
Plan = Callable[[RoutingTable], tuple[Operation, ...]]


class Admin:
    """One admin process."""

    def __init__(self, world: World, name: str, settings: Settings, books: Books) -> None:
        self.world, self.books = world, books
        self.node = world.node(name)
        with self.node.inside():
            pool = cast("Any", PostgresPool(self.node, settings))
            database = Database(pool, settings.database_connect_timeout_s)
            self.parts, tasks = _compose(AsyncExitStack(), SHARED, settings, database)
            for what, task in tasks._tasks.items():
                if what not in _TASKS:
                    task.cancel()  # what it looks for is never here
        # Nobody has schemas here, so nothing is asked of a ledger.
        self.parts.guard._known = SchemaLimits(0, Schemas({}, {}))
        self.parts.hub.tell = self._tell  # type: ignore[method-assign]

    def _tell(self, kind: str, document: dict[str, Any]) -> None:
        """What its listeners are told."""
        if kind == "converged":
            self.tells_converged(document["version"])

    def tells_converged(self, version: int) -> None:
        self.world.tell(self.node.name, f"says that {version} is served by all")
        self.books.tells_converged(version)

    async def change(self, wished: Wished, plan: Plan) -> None:
        """POST /v1/routing/changes, and what is like it."""
        wished.outcome = ""
        key = Key(wished.key, sha256(wished.key.encode()).digest()) if wished.key else None
        author = Author("operator", "admin", wished.name)
        proposal = Proposal("change", author, plan, None, wished.expected, key)
        started = CLOCK.monotonic()
        try:
            outcome = await self.parts.control.change(proposal, started, ACK_S)
        except VersionConflictError:
            wished.outcome = "conflict"
        except (StoreUnavailableError, DatabaseUnavailableError):
            wished.outcome = "nothing"
        except ContractError:
            wished.outcome = "nothing"
        except OutcomeUnknownError:
            wished.outcome, wished.unsure = "unknown", True
        else:
            wished.outcome = "made"
            if isinstance(outcome, Served) and outcome.converged:
                self.tells_converged(outcome.version)
            self.world.tell(self.node.name, f"{wished.name} is version {outcome.version}")
        if wished.outcome != "made":
            self.books.says_nothing(wished)
            self.world.tell(self.node.name, f"{wished.name} comes to {wished.outcome}")

    def knows(self, worker: str) -> bool:
        """Whether it reckons with this worker, live or silent."""
        fleet = self.parts.control.fleet
        return any(status.worker == worker for status in (*fleet.live(), *fleet.silent))

    async def ask_again(self, version: int) -> None:
        """GET: is that version served by now?"""
        served = await self.parts.control.served(version, ACK_S)
        if served.converged:
            self.tells_converged(version)

    async def switch(self, switch: Switch) -> None:
        """POST /v1/cutover, fenced."""
        try:
            if not await self._may_begin(switch):
                return
            author = Author("operator", "admin", switch.name)
            await self.parts.switches.begin(switch, "cutover", author, None)
            record = await self.parts.switches.ended(switch.name, switch.limit_s + _NOT_WAITED_S)
        except (DatabaseUnavailableError, OutcomeUnknownError, TooManyError):
            return
        if record is not None and record.switch.state is State.DONE:
            assert record.switch.committed is not None
            await self.ask_again(record.switch.committed)

    async def _may_begin(self, switch: Switch) -> bool:
        """As `admin.api.switches` foresees it."""
        table = await self.parts.store.current()
        silent = self.parts.control.fleet.silent
        held = table.hold_all or any(table.held_by(tenant) for tenant in switch.tenants or ())
        if silent or held or (switch.tenants is None and table.holds):
            self.world.tell(self.node.name, f"{switch.name} is refused")
            return False
        self.world.tell(self.node.name, f"{switch.name} begins: {switch.operations}")
        return True

    async def cancel(self, name: str) -> None:
        """POST /v1/switches/…/cancel"""
        with contextlib.suppress(DatabaseUnavailableError):
            if await self.parts.switches.cancel(name, "operator"):
                self.world.tell(self.node.name, f"{name} is cancelled")

    async def keyed(self, wished: Wished, plan: Plan, others: Callable[[], "Admin | None"]) -> None:
        """The same change under one key, asked of one admin after another until it is answered."""
        await self.change(wished, plan)
        while wished.outcome not in {"made", "conflict"}:
            await asyncio.sleep(_AGAIN_S)
            other = others()
            if other is self:
                await self.change(wished, plan)
            elif other is not None:
                other.node.start(other.keyed(wished, plan, others))
                return


class Steps:
    """What switches have done in their middle. ends: how each step ends: ok, fails, hangs; and
    when. trap: told of the process that has one done.
    """

    def __init__(self, world: World, books: Books) -> None:
        self.world, self.books = world, books
        self.ends: dict[str, tuple[str, float]] = {}
        self.trap: Callable[[Node], None] = nothing

    async def webhook(self, url: str, switch: Switch, limit_s: float) -> None:
        await self._run("webhook", switch, limit_s)

    async def command(self, arguments: object, switch: Switch, limit_s: float) -> None:
        await self._run("command", switch, limit_s)

    async def _run(self, kind: str, switch: Switch, limit_s: float) -> None:
        end, lasts_s = self.ends.get(switch.name, ("ok", 0.01))
        self.books.runs_step(switch.name, kind)
        self.world.tell("step", f"the {kind} of {switch.name} runs")
        assert CLOCK.loop is not None
        node = CLOCK.loop.node
        self.world.after(0.0, lambda: self.trap(node))
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.sleep(1e6 if end == "hangs" else lasts_s)
        except TimeoutError:
            raise StepError("it did not end in time") from None
        if end == "fails":
            raise StepError("it failed")


@contextlib.contextmanager
def simulated_steps(steps: Steps) -> Iterator[None]:
    """Steps of switches are these."""
    module: Any = controller
    before = module.steps
    module.steps = steps
    try:
        yield
    finally:
        module.steps = before


_EXPECTED = frozenset({"postgresql", "redis", "the table can't be published", "switch"})


@contextlib.contextmanager
def watched_log(fault: Callable[[str], None]) -> Iterator[None]:
    """What the admin logs as an error, other than of stores that are away, is a fault of the code."""

    def look(_: object, __: str, event: Any) -> Any:
        if event.get("event") not in _EXPECTED:
            error = f": {traceback.format_exc()}" if event.get("exc_info") else ""
            fault(f"logged as an error: {event}{error}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[look],
        wrapper_class=structlog.make_filtering_bound_logger(40),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def pins(tenants: tuple[str, ...], slot: Slot) -> tuple[Operation, ...]:
    """These tenants go there."""
    return tuple(Pin(tenant, slot) for tenant in tenants)
