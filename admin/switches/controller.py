"""What is done in each state of a fenced switch; `admin.intents` carries it through.

Rule: a fault of a store is waited out: a switch is left neither held nor half done because of it.
The workers bound how long requests wait meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2b
from secrets import token_hex
from time import monotonic

import structlog

from admin.config import Settings
from admin.intents import AGAIN_S, AWAY, LOOK_S, Carrier, StaleError, beginning, change_once
from admin.routing.audit import Author
from admin.routing.control import Control
from admin.routing.events import Hub
from admin.routing.limits import LimitError
from admin.routing.store import Check, Key, Plan
from admin.switches import steps, store
from admin.switches.model import CANCELLABLE, Event, State, Switch, Waiting, waiting_for
from admin.switches.steps import StepError
from admin.switches.store import Record
from admin.tasks import Tasks
from proxy.routing.change import ContractError, Operation
from proxy.routing.model import RoutingTable

log = structlog.get_logger(__name__)


class TooManyError(Exception):
    """As many switches run as may at once."""


class FailedError(Exception):
    """The switch can't go on; the message says why."""


class Switches:
    """The switches that this admin carries through, so many at once. commands: name → arguments.

    check: what `Proposal.check` asks of the commit. refusal: what it raises.
    """

    def __init__(
        self,
        control: Control,
        hub: Hub,
        tasks: Tasks,
        settings: Settings,
        check: Check,
        refusal: type[Exception],
    ) -> None:
        self._control, self._hub = control, hub
        self._database = control.store.database
        self._settings = settings
        self._check, self._refusal = check, refusal
        at_once = settings.switches_at_once
        self._carrier = Carrier(
            "switch", self._database, tasks, self._act, store.unfinished, at_once
        )
        self.run = self._carrier.run

    async def begin(self, switch: Switch, action: str, author: Author, key: Key | None) -> bool:
        """Write the intent down and begin; False: it was begun before, by the same request.

        key: the request's own. TooManyError, KeyReusedError, and what `intents.beginning` raises.
        """
        running = self._carrier.count
        if running >= self._settings.switches_at_once:
            raise TooManyError(f"{running} switches run: wait for one to end")
        async with beginning(self._database) as connection:
            is_new = await store.begin(connection, switch, action, author, key)
        self._carrier.carry(switch.name)
        return is_new

    async def record(self, name: str) -> Record | None:
        """How a switch stands. DatabaseUnavailableError."""
        async with self._database.connection() as connection:
            return await store.find(connection, name)

    async def ended(self, name: str, limit_s: float) -> Record | None:
        """The switch once it has ended, or as it is after so many seconds; whoever carries it.

        DatabaseUnavailableError: how it stands isn't known.
        """
        deadline = monotonic() + limit_s
        while True:
            record = await self.record(name)
            left = deadline - monotonic()
            if record is None or record.switch.ended or left <= 0:
                return record
            await self._carrier.wait(name, left)

    async def cancel(self, name: str, by: str) -> bool:
        """Have it undone. False: too late."""
        async with self._database.connection() as connection:
            asked = await store.cancel(connection, name, by)
        self._control.fleet.wake()
        return asked

    async def _act(self, name: str) -> None:
        while True:
            record = await self.record(name)
            if record is None or record.switch.ended:
                return
            try:
                event = await _ACTIONS[record.switch.state](self, record)
                reason = None
            except FailedError as error:
                event, reason = Event.FAILED, str(error)
            async with self._database.connection() as connection:
                await store.move(connection, record.switch, event, reason)
            self._tell(name, event, reason)

    def _tell(self, name: str, event: Event, reason: str | None) -> None:
        log.info("switch", switch=name, happened=str(event), reason=reason or "")
        self._hub.tell("switch", {"switch": name, "event": str(event), "reason": reason or ""})

    # ── its states ────────────────────────────────────────────────────────────────────────────

    async def _hold(self, record: Record) -> Event:
        switch = record.switch
        if switch.held is None:
            await self._left_s(record)
            version = await self._change(record, "hold", lambda _: switch.hold())
            async with self._database.connection() as connection:
                await store.note_held(connection, switch.name, version)
            return await self._hold(await self._again(record))
        silent_since: float | None = None
        while not (waiting := self._waiting(switch)).is_over:
            now = monotonic()
            silent_since = (silent_since or now) if waiting.only_silent else None
            if silent_since is not None and now - silent_since > self._settings.switch_silent_s:
                raise FailedError(f"worker-lost: {waiting}")
            await self._control.fleet.changed(min(LOOK_S, await self._left_s(record, waiting)))
        return Event.DRAINED

    def _waiting(self, switch: Switch) -> Waiting:
        """Who is waited for, as known now; everybody while the registry means nothing."""
        fleet = self._control.fleet
        if switch.held is not None and not fleet.is_converged(switch.held):
            pending = fleet.convergence(switch.held).pending or ("the routing store",)
            return Waiting(pending, {}, ())
        return waiting_for(switch, fleet.live(), fleet.silent)

    async def _step(self, record: Record) -> Event:
        switch, step = record.switch, record.switch.step
        if step is None:
            return Event.STEPPED
        if step.kind == "command" and switch.step_begun:
            raise FailedError("step-outcome-unknown: the admin that ran the command is gone")
        left_s = await self._left_s(record)
        async with self._database.connection() as connection:
            await store.note_step(connection, switch.name)
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(self._watch(record), name=f"watch {switch.name}")
                await self._run_step(switch, left_s)
                watch.cancel()
        except ExceptionGroup as group:
            first = group.exceptions[0]
            if isinstance(first, StepError):
                raise FailedError(f"step-failed: {first}") from None
            raise first from None
        return Event.STEPPED

    async def _watch(self, record: Record) -> None:
        """FailedError once its time is over, or somebody cancels it."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self._left_s(record)

    def _run_step(self, switch: Switch, limit_s: float) -> Awaitable[None]:
        assert switch.step is not None  # noqa: S101 - asked before
        if switch.step.kind == "webhook":
            return steps.webhook(switch.step.target, switch, limit_s)
        arguments = self._settings.steps.get(switch.step.target)
        if arguments is None:
            raise FailedError("step-failed: this admin's settings know no such command")
        return steps.command(arguments, switch, limit_s)

    async def _commit(self, record: Record) -> Event:
        switch = record.switch

        def operations(table: RoutingTable) -> tuple[Operation, ...]:
            if not (table.hold_all == switch.name or switch.name in table.holds.values()):
                raise ContractError("it holds nobody any more, so some may be under way")
            return switch.commit()

        version = await self._change(record, "commit", operations, self._check)
        async with self._database.connection() as connection:
            await store.note_committed(connection, switch.name, version)
        return Event.COMMITTED

    async def _undo(self, record: Record) -> Event:
        await self._release(record)
        return Event.RELEASED

    async def _release(self, record: Record) -> None:
        await self._change(record, "release", lambda _: record.switch.release())

    # ── what they share ───────────────────────────────────────────────────────────────────────

    async def _change(
        self,
        record: Record,
        what: str,
        plan: Plan,
        check: Check | None = None,
    ) -> int:
        """Make one of the switch's changes, once; its version. FailedError: it is refused."""
        name, author = record.switch.name, record.author
        try:
            return await change_once(self._control, "switch", name, what, author, plan, check)
        except (ContractError, LimitError, self._refusal) as error:
            raise FailedError(f"{what}-refused: {error}") from None

    async def _again(self, record: Record) -> Record:
        found = await self.record(record.switch.name)
        if found is None:
            # The database lost it (a failover) before it was held: nobody else would let go.
            await self._let_go(record)
            raise StaleError(record.switch.name)
        return found

    async def _let_go(self, record: Record) -> None:
        """Take the hold off, however long a store is away."""
        while True:
            try:
                await self._release(record)
            except AWAY as error:
                log.warning("a lost switch waits for a store", fault=type(error).__name__)
                await asyncio.sleep(AGAIN_S)
            else:
                return

    async def _left_s(self, record: Record, waiting: Waiting | None = None) -> float:
        """Seconds that are left to it. FailedError if there are none, or it was cancelled."""
        switch = record.switch
        async with self._database.connection() as connection:
            found = await store.find(connection, switch.name)
            if found is None:
                raise StaleError(switch.name)  # the database has lost it, and what it held with it
            left_s = switch.limit_s - await store.age_s(connection, switch.name)
        if found.cancelled_by is not None and switch.state in CANCELLABLE:
            raise FailedError(f"cancelled: by {found.cancelled_by}")
        if left_s > 0:
            return left_s
        if waiting is None:
            raise FailedError(f"limit: {switch.limit_s:g} s are over")
        raise FailedError(f"limit: {switch.limit_s:g} s are over; {waiting}")


_ACTIONS: Mapping[State, Callable[[Switches, Record], Awaitable[Event]]] = {
    State.HOLDING: Switches._hold,  # noqa: SLF001 - the class's own table
    State.STEPPING: Switches._step,  # noqa: SLF001
    State.COMMITTING: Switches._commit,  # noqa: SLF001
    State.UNDOING: Switches._undo,  # noqa: SLF001
}


def name_by_key(actor: str, key: Key) -> str:
    """The name of the switch that this request begins, however often it comes."""
    digest = blake2b(key.fingerprint, digest_size=8)
    digest.update(f"{actor}\0{key.key}".encode())
    return f"s-{digest.hexdigest()}"


def name_of_new() -> str:
    """A name that no other switch has."""
    return f"s-{token_hex(8)}"
