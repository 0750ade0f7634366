"""Carries releases through; `admin.intents` sees to it that one admin does, and another goes on.

Rules:
1. What is next is said by `course.following` from what stands in the database, so an admin that takes
   a release over goes on where the last one was, whatever it was doing.
2. An effect is written down before it is done, and when it is done. One that an admin left half done
   is done again under the same name, but for a hook: nobody knows what it did, and its plan decides.
3. Whoever else moves the release on (a person, through any admin) does so in the database; here it is
   noticed at the next look, also while a hook runs or gates measure, and that is given up. So it is
   when the monitor brings the release back. A pause is no such thing: what runs comes to its end.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Any

import structlog

from admin.gates.checklist import Checklist
from admin.intents import LOOK_S, Carrier, StaleError
from admin.releases import course, go, store
from admin.releases.asking import Asking, going
from admin.releases.asking import known as all_known
from admin.releases.config import Settings
from admin.releases.course import Do, Effect, Kind, Sight, Take, Wait, Waits
from admin.releases.effects import (
    AGAIN_S,
    Done,
    EffectError,
    Effects,
    UnknownError,
    about,
    disturbed,
    its_turn,
)
from admin.releases.model import GOES_ON, Command, Event, NotNowError, Release, State, meant
from admin.releases.needs import Need
from admin.releases.news import News
from admin.releases.ports import Ports
from admin.releases.still import Still
from admin.releases.store import Intent, Record
from admin.releases.watching import BackError, Watching, doubts, holds, moved
from admin.routing.audit import Author
from admin.routing.control import Control
from admin.routing.database import Connection
from admin.routing.events import Hub
from admin.tasks import Tasks
from proxy.routing.model import Canary

log = structlog.get_logger(__name__)
_TRIES = 5
"""How often a person's word is tried against a release that moves on meanwhile."""


class RunningError(Exception):
    """Another release has not ended."""


class Releases:
    """The releases that this admin carries through."""

    def __init__(
        self,
        control: Control,
        hub: Hub,
        tasks: Tasks,
        ports: Ports,
        effects: Effects,
        settings: Settings,
    ) -> None:
        self._control, self._hub, self._ports, self._effects = control, hub, ports, effects
        self._database = control.store.database
        self.settings = settings
        self._asking = Asking(self._database, hub, ports.gates, settings)
        self._news = News(ports.told, settings.environment)
        self._still = Still(self._database, settings.notify.still_s)
        self._watching = Watching(self._database, ports.monitor, self._news)
        self._carrier = Carrier("release", self._database, tasks, self._act, store.unfinished)
        self.run = self._carrier.run

    @property
    def gates(self) -> frozenset[str]:
        """The gates that there are."""
        return self._ports.gates.names

    @property
    def checklist(self) -> Checklist:
        """The items that plans choose from."""
        return self._ports.gates.checklist

    @property
    def rules(self) -> go.Rules:
        """What passes."""
        return self._asking.rules

    # ── what people do ────────────────────────────────────────────────────────────────────────

    async def begin(self, intent: Intent) -> Record:
        """Write the intent down and begin. RunningError; DatabaseUnavailableError: not begun."""
        async with self._database.connection() as connection:
            if not await store.begin(connection, intent):
                raise RunningError
        self._tell(intent.release, "begun", "")
        self._news.begun(intent.release, str(intent.kind), intent.author.actor, intent.note)
        self._carrier.carry(intent.release.name)
        return await self._find(intent.release.name)

    async def command(self, name: str, command: Command, note: str, author: Author) -> Record:
        """A person's word to a release. NotNowError; StaleError if there is none of this name."""
        reason = f"{author.actor}: {note}" if note else f"{command} by {author.actor}"
        for _ in range(_TRIES):
            record = await self._find(name)
            event = meant(record.release, command)
            if event in GOES_ON and (lacks := await self._asking.missing(record.release)):
                raise NotNowError(f"the release lacks {'; '.join(lacks)}")
            after = record.release.take(event, reason)
            if event is Event.RESUME:
                after = replace(after, expected=await self._found(record.release))
            try:
                await self._move(record, after, event, author, reason)
            except StaleError:
                continue
            return await self._find(name)
        raise NotNowError("the release moves on just now: try again")

    async def _found(self, release: Release) -> Canary:
        """What the canary is to be taken from: whoever resumes has the step's weight set again."""
        table = await self._control.store.current()
        in_canary = release.state is State.CANARY and table.active is release.active
        return table.canary if in_canary else release.expected

    async def overtake(self, name: str, author: Author, by: str) -> None:
        """A hotfix needs its place: end it. NotNowError."""
        for _ in range(_TRIES):
            record = await self._find(name)
            if record.release.ended or record.release.is_back:
                return
            reason = f"overtaken by {by}"
            after = record.release.take(Event.OVERTAKE, reason)
            try:
                await self._move(record, after, Event.OVERTAKE, author, reason)
            except StaleError:
                continue
            return
        raise NotNowError("the release moves on just now: try again")

    async def sign(
        self, name: str, needs: Sequence[Need], *, approved: bool, text: str, author: Author
    ) -> Record:
        """Sign these. StaleError if there is no such release."""
        record = await self._find(name)
        async with self._database.connection() as connection:
            await store.sign(connection, name, needs, approved=approved, text=text, author=author)
        items = ", ".join(each.item for each in needs)
        word = "signed" if approved else "refused"
        self._tell(record.release, "signed", f"{items} by {author.actor}")
        self._news.signed(record, f"{items} {word}", author.actor, text)
        return record

    async def find(self, name: str) -> Record | None:
        """The release of this name; "current": the one that runs, or else the last."""
        async with self._database.connection() as connection:
            if name == "current":
                return await store.current(connection)
            return await store.find(connection, name)

    async def _find(self, name: str) -> Record:
        record = await self.find(name)
        if record is None:
            raise StaleError(name)
        return record

    # ── carrying it through ───────────────────────────────────────────────────────────────────

    async def _act(self, name: str) -> None:
        measured_from = monotonic()
        while True:
            record = await self._find(name)
            if record.release.ended:
                return
            sight = await self._sight(record)
            match course.following(record.release, sight, self._ports.hooks.names):
                case Do(effect):
                    await self._do(record, effect)
                    measured_from = monotonic()
                case Take(event, reason):
                    after = record.release.take(event, reason)
                    await self._move(record, after, event, None, reason)
                    measured_from = monotonic()
                case Wait() as waiting:
                    await self._wait(record, waiting, measured_from)
                    measured_from = monotonic()

    async def _sight(self, record: Record) -> Sight:
        release = record.release
        async with self._database.connection() as connection:
            rows = await store.effects(connection, release.name)
            known = await all_known(connection, release)
        if release.state in go.MEASURED_IN and not release.paused:
            self._news.wants(record, go.unsigned(release, known))
        done = {
            name
            for name, row in rows.items()
            if row["outcome"] == "done"
            # On the way back a hook is tried once: nobody is kept waiting for it.
            or (release.is_back and row["kind"] == Kind.HOOK and row["outcome"] == "failed")
        }
        judged = await self._watching.judge(record, moved(rows.values()))
        begun = {name for name, row in rows.items() if row["outcome"] != "failed"}
        return Sight(
            done,
            begun,
            go.missing(release, known, self.rules),
            judged.why if judged.level == "critical" else "",
            doubts(release, judged),
        )

    async def _move(
        self, record: Record, after: Release, event: Event, author: Author | None, reason: str
    ) -> None:
        """Write the transition down, and tell of it. StaleError: it has moved on meanwhile."""
        told: dict[str, Any] = {"from": str(record.release.state), "reason": reason}
        if event is Event.FAULT:
            told["verdict"] = dict(self._ports.monitor.latest.document)
        async with self._database.connection() as connection, connection.transaction():
            if after.state is not record.release.state:
                told |= await going(connection, record.release)
            if after.ended:
                table = await self._control.store.current()
                told["roles"] = await store.roles(connection, table.active)
            await store.save(connection, record, after, str(event), told, author)
            if event is Event.RESUME and after.expected != record.release.expected:
                await self._undone(connection, record.release)
            if author is not None:
                action = f"release-{event}"
                await store.audit(connection, action, author, {"release": after.name, **told})
        self._tell(after, str(event), reason)
        self._news.moved(record, after, event, author.actor if author else "", reason)

    async def _undone(self, connection: Connection, release: Release) -> None:
        """Somebody has set another weight than the step's: it isn't done any more."""
        rows = await store.effects(connection, release.name)
        for effect in course.course(release, self._ports.hooks.names):
            if not isinstance(effect, Effect) or effect.kind is not Kind.WEIGHT:
                continue
            if effect.name in rows and rows[effect.name]["outcome"] == "done":
                why = {"why": "somebody set another weight"}
                await store.effect_ended(connection, release.name, effect, "failed", why)

    def _tell(self, release: Release, event: str, reason: str) -> None:
        told = {**about(release), "event": event, "reason": reason, "step": release.step}
        log.info("release", **{name: value for name, value in told.items() if name != "event"})
        self._hub.tell("release", told)

    # ── effects ───────────────────────────────────────────────────────────────────────────────

    async def _do(self, record: Record, effect: Effect) -> None:
        record = await self._before(record)
        name = record.release.name
        async with self._database.connection() as connection:
            row = (await store.effects(connection, name)).get(effect.name)
            is_unknown = row is not None and row["outcome"] is None
            tries = row["tries"] if row is not None else 0
            if is_unknown and effect.kind is Kind.HOOK:
                decided = self._ports.hooks.on_unknown(effect.what)
                if decided != "repeat":
                    why = f"{effect.what}: an admin died while it ran, so nobody knows what it did"
                    await self._give_up(record, effect, decided, why)
                    return
            if not is_unknown:
                tries += 1
                await store.effect_begun(connection, record.release, effect)
        try:
            if effect.kind is Kind.HOOK:
                async with self._watching.undisturbed(record):
                    done = await self._effects.do(record, effect, tries)
            else:
                done = await self._effects.do(record, effect, tries)
                done = await self._served_or_left(record, effect, done)
        except BackError as error:
            await self._is_failed(record, effect, str(error))
            return
        except UnknownError as error:
            await self._give_up(
                record, effect, self._ports.hooks.on_unknown(effect.what), str(error)
            )
            return
        except EffectError as error:
            await self._failed(record, effect, str(error))
            return
        await self._ended(record, effect, done)
        told = {"release": name, "event": "effect", "effect": effect.name, **done.told}
        self._hub.tell("release", told)

    async def _ended(self, record: Record, effect: Effect, done: Done) -> None:
        """Write down that it is done, whoever has moved the release on meanwhile."""
        name = record.release.name
        while True:
            try:
                async with self._database.connection() as connection, connection.transaction():
                    # The release's row before the trail's end, as everywhere: else two would wait
                    # for each other.
                    if done.expected not in {None, record.release.expected}:
                        assert done.expected is not None  # noqa: S101 - just asked
                        after = replace(record.release, expected=done.expected)
                        told = {"effect": effect.name}
                        await store.save(connection, record, after, "expects", told)
                    await store.effect_ended(connection, name, effect, "done", done.told)
            except StaleError:
                record = await self._find(name)
            else:
                return

    async def _before(self, record: Record) -> Record:
        """Once the slot before is touched, there is no way back: that is written down first."""
        release = record.release
        touches = course.settles(release, self._ports.hooks.names)
        if release.state is not State.FINALISING or release.old_is_gone or not touches:
            return record
        after = replace(release, old_is_gone=True)
        async with self._database.connection() as connection, connection.transaction():
            await store.save(connection, record, after, "way-back-closed", {})
        return await self._find(release.name)

    async def _served_or_left(self, record: Record, effect: Effect, done: Done) -> Done:
        """As `_served`; who goes elsewhere has to know how the table was left."""
        try:
            return await self._served(record, done)
        except StaleError:
            await self._ended(record, effect, done)
            raise

    async def _served(self, record: Record, done: Done) -> Done:
        """Once all workers serve it. StaleError: the release goes elsewhere, so nobody waits for that.

        A worker that can't take a table would else keep everybody on the new version.
        """
        if done.version is None:
            return done
        fleet, release = self._control.fleet, record.release
        while not (await fleet.wait(done.version, monotonic() + LOOK_S))[1]:
            moved_ago_s = monotonic() - done.began
            why = "" if release.is_back else await self._watching.fault(record, moved_ago_s)
            if why:
                await self._move(record, release.take(Event.FAULT, why), Event.FAULT, None, why)
                raise StaleError(release.name)
        ack_ms = round((monotonic() - done.began) * 1000, 3)
        return replace(done, told={**done.told, "ack_ms": ack_ms})

    async def _failed(self, record: Record, effect: Effect, why: str) -> None:
        """It failed: on the way back that is told and gone on from; else the release pauses."""
        release = record.release
        await self._is_failed(record, effect, why)
        if effect.kind is Kind.HOOK:
            self._news.hook_failed(record, why)
        if release.is_back:
            if effect.kind is Kind.RETURN:
                self._news.way_back_failed(record, why)
            self._tell(
                release, "hook-failed" if effect.kind is Kind.HOOK else "way-back-failed", why
            )
            return
        if not release.paused:
            await self._move(record, release.take(Event.PAUSE, why), Event.PAUSE, None, why)

    async def _is_failed(self, record: Record, effect: Effect, why: str) -> None:
        name = record.release.name
        async with self._database.connection() as connection, connection.transaction():
            await store.effect_ended(connection, name, effect, "failed", {"why": why})

    async def _give_up(self, record: Record, effect: Effect, decided: str, why: str) -> None:
        """A hook that may have been done: it is run again, or not by itself."""
        release = record.release
        if decided == "repeat" and not release.is_back:
            # Under the same key: it stands as begun, and whoever looks next repeats it.
            log.warning("a hook is repeated", release=release.name, why=why)
            await asyncio.sleep(AGAIN_S)
            return
        goes = (decided or release.plan.on_unknown) == "back"
        if goes and not release.is_back and not release.refusal(Event.FAULT):
            await self._is_failed(record, effect, why)
            after = release.take(Event.FAULT, why)
            await self._move(record, after, Event.FAULT, None, why)
            return
        await self._failed(record, effect, why)

    # ── waiting ───────────────────────────────────────────────────────────────────────────────

    async def _wait(self, record: Record, waiting: Wait, measured_from: float) -> None:
        """One look later. StaleError as soon as somebody else has moved the release on."""
        match waiting.of:
            case Waits.TURN:
                await self._turn(record)
            case Waits.GATES | Waits.WINDOW:
                await self._measure(record)
        if waiting.why and self.settings.notify.targets:
            self._news.stands(record, waiting.why, await self._still.since(record))
        if await self._disturbed(record):
            return
        counts = waiting.of in {Waits.DWELL, Waits.WINDOW} and not waiting.why
        if counts and holds(self._ports.monitor.latest):
            counts = False
        if record.release.state in course.WATCHED:
            await self._ports.monitor.news(LOOK_S)
        else:
            await asyncio.sleep(LOOK_S)
        passed = monotonic() - measured_from if counts else 0.0
        async with self._database.connection() as connection:
            await store.look(connection, record, passed)

    async def _turn(self, record: Record) -> None:
        before = await self.find(record.release.waits_for)
        if before is not None and not before.release.ended:
            # Whoever began this one may have died before it could say so.
            with suppress(NotNowError):
                await self.overtake(before.release.name, record.author, record.release.name)
        else:
            table = await self._control.store.current()
            after = its_turn(record.release, before.release if before else None, table)
            async with self._database.connection() as connection, connection.transaction():
                await store.save(connection, record, after, "its-turn", {})
            raise StaleError(record.release.name)

    async def _measure(self, record: Record) -> None:
        """Ask the gates. What keeps the release from that is seen at the next look."""
        with suppress(BackError):
            async with self._watching.undisturbed(record):
                await self._asking.measure(record)

    async def _disturbed(self, record: Record) -> bool:
        """Whether somebody else has changed what the release does to the routing."""
        release = record.release
        if release.paused or release.state not in {State.CANARY, State.STABILISING}:
            return False
        table = await self._control.store.current()
        if release.state is State.STABILISING:
            if table.active is release.standby:
                return False
            why = f"somebody made {table.active} active"
            await self._move(record, release.take(Event.ROLLBACK, why), Event.ROLLBACK, None, why)
            return True
        if not (why := disturbed(release, table)):
            return False
        await self._move(record, release.take(Event.PAUSE, why), Event.PAUSE, None, why)
        return True
