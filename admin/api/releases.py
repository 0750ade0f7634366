"""Releases: begun, looked at, spoken to, signed; and their trail."""

import msgspec
from aiohttp import web

from admin.api.changing import for_all, key_of, permitted
from admin.api.messages import Given
from admin.api.problems import Problem
from admin.api.release_messages import (
    ChainState,
    DrillBody,
    EventsOfQuery,
    GateState,
    NoteBody,
    ReleaseBody,
    ReleaseEvent,
    ReleaseEventsPage,
    ReleaseItem,
    ReleasesPage,
    ReleasesQuery,
    ReleaseState,
    SignBody,
    StepState,
)
from admin.api.route import Call, Handler, Route, reply
from admin.gates.signoff import fault
from admin.intents import StaleError
from admin.migrations.version import Version, VersionError
from admin.releases import beginning, go, store, trail
from admin.releases.asking import known
from admin.releases.beginning import RefusedError
from admin.releases.controller import RunningError
from admin.releases.model import PHASES, Command, NotNowError, State, may
from admin.releases.plan import Kind, PlanError
from admin.releases.store import Intent, Record
from admin.routing.publish import StoreUnavailableError
from admin.tokens import Role
from proxy.routing.change import SetCanary

_PATH = "/v1/releases"
_ONE = "/v1/releases/{release}"
_ANY = SetCanary(0)
"""What stands for all that a release does, when it is asked who may."""


async def begin(call: Call, given: ReleaseBody) -> web.StreamResponse:
    """Begin a release. It goes on by itself: look at it, or follow the events."""
    permitted(call.principal, (_ANY,))
    try:
        version = Version.parse(given.version)
    except VersionError as error:
        raise Problem("invalid-change", f"body.version: {error}") from None
    wish = beginning.Wish(
        version,
        None if given.kind is None else Kind(given.kind),
        given.plan or {},
        given.note,
        given.hotfix,
        _key(call),
    )
    return await _begin(call, wish)


async def drill(call: Call, given: DrillBody) -> web.StreamResponse:
    """Begin a drill: everybody goes to standby, and comes back."""
    permitted(call.principal, (_ANY,))
    wish = beginning.drill(given.mode, given.window_s, given.note, _key(call))
    return await _begin(call, wish)


async def _begin(call: Call, wish: beginning.Wish) -> web.StreamResponse:
    parts = call.parts
    try:
        release, kind = await beginning.prepare(parts.releases, parts.control, parts.guard, wish)
        record = await parts.releases.find(release.name)
        if record is None:
            devices = await _devices(call)
            intent = Intent(release, kind, wish.note, call.author, devices)
            record = await parts.releases.begin(intent)
    except PlanError as error:
        raise Problem("invalid-change", str(error)) from None
    except RefusedError as error:
        raise Problem("release-refused", str(error)) from None
    except RunningError:
        raise Problem("release-running", "another release has not ended: wait, or end it") from None
    if wish.hotfix and release.waits_for:
        await _overtake(call, release.waits_for, release.name)
    where = f"{_PATH}/{record.release.name}"
    return reply(await state_of(call, record), 202, {"Location": where})


async def _devices(call: Call) -> int | None:
    """How many are connected now; None where nobody takes a census, or can't just now."""
    try:
        census = await call.parts.rolls.now()
    except StoreUnavailableError:
        return None
    return len(census.devices) if census.taken else None


def _key(call: Call) -> str:
    """What a repeated request has in common with the first; empty without a key."""
    key = key_of(call)
    return "" if key is None else f"{call.author.actor}/{key.key}/{key.fingerprint.hex()}"


async def _overtake(call: Call, name: str, by: str) -> None:
    try:
        await call.parts.releases.overtake(name, call.author, by)
    except (NotNowError, StaleError) as error:
        raise Problem("release-state", str(error)) from None


async def read(call: Call, _: Given) -> web.StreamResponse:
    """How a release stands; `current`: the one that runs, or else the last."""
    return reply(await state_of(call, await found(call)))


async def listing(call: Call, given: ReleasesQuery) -> web.StreamResponse:
    """Releases, newest first."""
    before = (store.LAST, "")
    if given.before:
        found = await call.parts.releases.find(given.before)
        if found is None:
            raise Problem("invalid-query", "before: there is no such release")
        before = (found.row["begun_at"], found.release.name)
    async with call.parts.store.database.connection() as connection:
        records = await store.page(connection, before, given.limit)
    following = records[-1].release.name if len(records) == given.limit else None
    return reply(ReleasesPage([_item(record) for record in records], following))


def _command(command: Command) -> Handler:
    """The handler of a person's word."""

    async def handle(call: Call, given: NoteBody) -> web.StreamResponse:
        permitted(call.principal, (_ANY,))
        name = (await found(call)).release.name
        try:
            record = await call.parts.releases.command(name, command, given.note, call.author)
        except NotNowError as error:
            raise Problem("release-state", str(error)) from None
        return reply(await state_of(call, record))

    return handle


async def sign(call: Call, given: SignBody) -> web.StreamResponse:
    """Sign, or refuse to. The last word counts."""
    for_all(call.principal)
    record = await found(call)
    release = record.release
    if bool(given.item) == bool(given.signer):
        raise Problem(
            "invalid-change", "body: `item` or `signer` says what is signed, and not both"
        )
    if release.ended:
        raise Problem("release-state", f"the release is {release.state}")
    if why := fault(given.note, approve=given.approve):
        raise Problem("invalid-change", f"body.note: {why}")
    async with call.parts.store.database.connection() as connection:
        standing = await known(connection, release)
    try:
        needs = go.to_sign(release, standing, item=given.item, role=given.signer)
    except go.NotAskedError as error:
        raise Problem("invalid-change", f"body.signer: {error}") from None
    except go.NotYetError as error:
        raise Problem("release-state", str(error)) from None
    role, actor = needs[0].role, call.author.actor
    if not go.may_sign(role, actor, call.parts.releasing.signers):
        raise Problem("forbidden-scope", f"{actor} may not sign for {role}")
    record = await call.parts.releases.sign(
        release.name, needs, approved=given.approve, text=given.note, author=call.author
    )
    return reply(await state_of(call, record))


async def events(call: Call, given: EventsOfQuery) -> web.StreamResponse:
    """A release's trail, oldest first."""
    name = (await found(call)).release.name
    async with call.parts.store.database.connection() as connection:
        rows = await trail.page(connection, name, given.after, given.limit + 1)
    items = [
        ReleaseEvent(row.seq, row.at.isoformat(), row.kind, row.actor, row.body)
        for row in rows[: given.limit]
    ]
    return reply(ReleaseEventsPage(items, items[-1].seq if len(rows) > given.limit else None))


async def verify(call: Call, _: Given) -> web.StreamResponse:
    """Go along the whole trail."""
    async with call.parts.store.database.connection() as connection:
        verifier, broken = await trail.verify(connection)
    return reply(
        ChainState(
            broken is None,
            verifier.seq,
            verifier.last,
            None if broken is None else broken.seq,
            "" if broken is None else broken.why,
        )
    )


async def found(call: Call) -> Record:
    """The release that the path names; `current` is one too. Problem 404."""
    record = await call.parts.releases.find(call.names["release"])
    if record is None:
        raise Problem("not-found", "there is no such release")
    return record


async def state_of(call: Call, record: Record) -> ReleaseState:
    """The release's form."""
    release, row = record.release, record.row
    async with call.parts.store.database.connection() as connection:
        standing = await known(connection, release)
    missing = go.missing(release, standing, call.parts.releases.rules)
    plan, ended = release.plan, row["ended_at"]
    in_canary = release.state is State.CANARY and plan.is_gradual
    dwell_left = plan.dwell_s - release.dwelt_s if in_canary else None
    in_window = release.state is State.STABILISING
    window_left = plan.window_s - release.dwelt_s if in_window else None
    return ReleaseState(
        name=release.name,
        version=release.version,
        from_version=release.from_version,
        kind=row["kind"],
        is_drill=release.is_drill,
        active=str(release.active),
        standby=str(release.standby),
        state=str(release.state),
        phase=PHASES[release.state],
        paused=release.paused,
        steps=[StepState(percent, plan.dwell_s) for percent in plan.steps],
        step=release.step + 1 if in_canary and plan.steps else 0,
        dwell_left_s=_left(dwell_left),
        window_left_s=_left(window_left),
        missing=missing,
        go=not missing,
        reason=release.reason,
        fault=release.fault,
        note=row["note"],
        started_by=row["begun_by"],
        started_at=row["begun_at"].isoformat(),
        since=row["moved_at"].isoformat(),
        ended_at=None if ended is None else ended.isoformat(),
        waits_for=release.waits_for,
        plan=msgspec.to_builtins(plan),
        gates=[_gate(line) for line in go.board(release, standing)],
        verdict=None if row["verdict"] is None else msgspec.json.decode(row["verdict"]),
        may=[str(command) for command in may(release, lacks=bool(missing))],
    )


def _left(seconds: float | None) -> float | None:
    return None if seconds is None else round(max(0.0, seconds), 3)


def _gate(line: go.Line) -> GateState:
    need = line.need
    return GateState(
        gate=need.gate or need.role,
        item=need.item,
        part=need.part,
        text=need.text,
        phase=need.phase,
        automatic=bool(need.gate),
        outcome=line.outcome,
        detail=line.detail,
        measured_at=line.at,
        signed_by=line.by,
        note=line.note,
    )


def _item(record: Record) -> ReleaseItem:
    row, ended = record.row, record.row["ended_at"]
    return ReleaseItem(
        row["name"],
        row["version"],
        row["from_version"],
        row["kind"],
        row["state"],
        row["reason"],
        row["begun_by"],
        row["begun_at"].isoformat(),
        None if ended is None else ended.isoformat(),
    )


_SUMMARIES = {
    Command.PROMOTE: "Let a release go on before its time",
    Command.PAUSE: "Have a release do nothing by itself but go back",
    Command.RESUME: "Let a paused release go on",
    Command.ABORT: "End a release; once traffic has moved, roll it back",
    Command.ROLLBACK: "Bring everybody back to the version before",
    Command.FINALISE: "Skip the rest of the stabilisation; a drill goes back",
}
_OPERATOR = Role.OPERATOR
ROUTES = (
    Route("GET", _PATH, listing, "Releases", ReleasesPage, ReleasesQuery),
    Route("POST", _PATH, begin, "Begin a release", ReleaseState, ReleaseBody, _OPERATOR, "release"),
    Route("GET", _ONE, read, "How a release stands", ReleaseState),
    Route(
        *("GET", f"{_ONE}/events", events, "A release's trail", ReleaseEventsPage, EventsOfQuery),
    ),
    Route(
        *("POST", f"{_ONE}/sign", sign, "Sign for a release", ReleaseState, SignBody, _OPERATOR),
        "release-sign",
    ),
    *(
        Route(
            *("POST", f"{_ONE}/{command}", _command(command), summary, ReleaseState, NoteBody),
            *(_OPERATOR, f"release-{command}"),
        )
        for command, summary in _SUMMARIES.items()
    ),
    Route(
        *("POST", f"{_ONE}/finalize", _command(Command.FINALISE), "The same as finalise"),
        *(ReleaseState, NoteBody, _OPERATOR, "release-finalise"),
    ),
    Route(
        "POST", "/v1/drills", drill, "Begin a drill", ReleaseState, DrillBody, _OPERATOR, "drill"
    ),
    Route("GET", "/v1/audit/verify", verify, "Whether the trail of releases holds", ChainState),
)
