"""The ramp of the canary: begun, looked at, paused, resumed, reversed, stopped."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from aiohttp import web
from msgspec import UNSET

from admin.api.canary import merged
from admin.api.canary_messages import RampBody, RampReport, RampStep
from admin.api.changing import check, one, permitted
from admin.api.messages import Given
from admin.api.problems import Problem
from admin.api.route import Call, Route, reply
from admin.canary.controller import RunningError, name_of_new
from admin.canary.model import Event, NotNowError, Ramp, State, Step
from admin.canary.store import Record
from admin.canary.weights import By
from admin.tokens import Role
from proxy.routing.change import Change, ContractError, SetCanary
from proxy.routing.model import RoutingTable
from proxy.routing.values import decode_percent, percent

_PATH = "/v1/canary/ramp"
_ANY = SetCanary(0)
"""What stands for all that a ramp does, when it is asked who may."""


async def begin(call: Call, given: RampBody) -> web.StreamResponse:
    """Begin a ramp. It goes on by itself: look at it, or follow the events."""
    permitted(call.principal, (_ANY,))
    steps = _steps(given)
    table = await call.parts.store.current()
    if given.expected_version not in {None, table.version}:
        raise Problem("version-conflict", f"the table is at version {table.version}")
    ramp = _ramp(given, steps, table)
    _foresee(call, ramp, table)
    try:
        record = await call.parts.ramps.begin(ramp, call.author)
    except RunningError:
        raise Problem("ramp-running", "another ramp runs: wait, or stop it") from None
    return reply(_report(call, record), 202, {"Location": _PATH})


async def read(call: Call, _: Given) -> web.StreamResponse:
    """The ramp that runs, or the last."""
    record = await call.parts.ramps.latest()
    if record is None:
        raise Problem("not-found", "there has been no ramp")
    return reply(_report(call, record))


def _command(event: Event) -> Callable[[Call, Given], Awaitable[web.StreamResponse]]:
    """The handler of an operator's word."""

    async def handle(call: Call, _: Given) -> web.StreamResponse:
        permitted(call.principal, (_ANY,))
        try:
            record = await call.parts.ramps.command(event, call.author)
        except NotNowError as error:
            raise Problem("ramp-state", str(error)) from None
        if record is None:
            raise Problem("not-found", "there has been no ramp")
        return reply(_report(call, record))

    return handle


def _steps(given: RampBody) -> tuple[Step, ...]:
    """The steps that the body names. ContractError."""
    if not isinstance(given.steps, list) or not given.steps:
        raise ContractError("body.steps: a list of percentages")
    shares = [decode_percent(value) for value in given.steps]
    if any(low >= high for low, high in zip([0, *shares], shares, strict=False)):
        raise ContractError("body.steps: above 0, and each above the one before")
    dwells = _dwells(given.dwell_s, len(shares))
    return tuple(Step(*each) for each in zip(shares, dwells, strict=True))


def _dwells(given: Sequence[float], steps: int) -> list[float]:
    """How long each step lasts; the last is not waited for, unless it is said."""
    if len(given) == steps:
        return list(given)
    if len(given) == steps - 1:
        return [*given, 0.0]
    if len(given) == 1:
        return [*[given[0]] * (steps - 1), 0.0]
    raise ContractError("body.dwell_s: one for all, or one for each step but the last, or for each")


def _ramp(given: RampBody, steps: tuple[Step, ...], table: RoutingTable) -> Ramp:
    fields = {name: getattr(given, name) for name in ("unit", "salt", "allow", "deny")}
    fields = {name: value for name, value in fields.items() if value is not UNSET}
    before = table.canary
    asked = one("canary", percent=percent(before.basis_points), **fields)
    assert isinstance(asked, SetCanary)  # noqa: S101 - it is that shape
    by, canary = By(given.by), merged(table, asked)
    if by is By.COUNT and steps[0].share < before.basis_points:
        raise Problem("canary-above", f"the canary is at {percent(before.basis_points):g} %")
    return Ramp(name_of_new(), steps, by, canary, table.active, table.version, before)


def _foresee(call: Call, ramp: Ramp, table: RoutingTable) -> None:
    """Refuse now what would only pause it. Problem."""
    first = replace(ramp, weight=ramp.steps[0].share).change()
    made = Change(table.version + 1, (first,))
    check(table, made, call.parts.settings.endpoint_networks, force=False)


def _report(call: Call, record: Record) -> RampReport:
    row, ramp, fleet = record.row, record.ramp, call.parts.control.fleet
    is_published = ramp.state is State.STEPPING and ramp.version is not None
    ended = row["ended_at"]
    return RampReport(
        ramp=ramp.name,
        state=str(ramp.state),
        by=str(ramp.by),
        unit=str(ramp.canary.unit),
        steps=[RampStep(percent(step.share), step.dwell_s) for step in ramp.steps],
        step=ramp.position + 1,
        direction="up" if ramp.rises else "down",
        percent=percent(ramp.share),
        weight=None if ramp.weight is None else percent(ramp.weight),
        version=ramp.version,
        pending=list(fleet.convergence(ramp.version or 0).pending) if is_published else [],
        dwelt_s=round(ramp.dwelt_s, 3),
        left_s=round(max(0.0, ramp.dwell_s - ramp.dwelt_s), 3),
        reason=ramp.reason,
        outcome=ramp.outcome,
        actor=row["begun_by"],
        by_last=row["actor"],
        begun_at=row["begun_at"].isoformat(),
        moved_at=row["moved_at"].isoformat(),
        ended_at=None if ended is None else ended.isoformat(),
    )


_SUMMARIES = {
    Event.PAUSE: "Pause the ramp: the canary stays as it is",
    Event.RESUME: "Let a paused ramp go on",
    Event.REVERSE: "Turn the ramp around",
    Event.STOP: "End the ramp: the canary stays as it is",
}
ROUTES = (
    Route("GET", _PATH, read, "The canary's ramp", RampReport),
    Route("POST", _PATH, begin, "Begin a ramp", RampReport, RampBody, Role.OPERATOR, "ramp-begin"),
    *(
        Route(
            "POST",
            f"{_PATH}/{event}",
            _command(event),
            summary,
            RampReport,
            role=Role.OPERATOR,
            action=f"ramp-{event}",
        )
        for event, summary in _SUMMARIES.items()
    ),
)
