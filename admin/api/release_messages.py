"""What the API takes and gives about releases. See `messages`."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from admin.api.messages import NO_ZERO, Given, Limit, Text, VersionText
from admin.releases.plan import MAX_PILOTS, MAX_STEPS, Plan
from proxy.routing.codec import TENANT_FIELD

NoteText = Annotated[str, Meta(max_length=1000, extra_json_schema=NO_ZERO)]
Seq = Annotated[int, Meta(ge=0, le=2**53 - 1)]


_BOUNDS: dict[str, dict[str, Any]] = {
    "steps": {"maxItems": MAX_STEPS},
    "pilots": {"maxItems": MAX_PILOTS, "items": dict(TENANT_FIELD.schema)},
}
"""What the plan checks by itself."""


def _bare(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in schema.items() if key != "default"}
    return kept | _BOUNDS.get(name, {})


# The plan's own, in place of a reference: as what is to be otherwise, none of it has a default.
_PLAN = msgspec.json.schema_components([Plan])[1]["Plan"]
PLAN = {
    "type": "object",
    "properties": {name: _bare(name, of) for name, of in _PLAN["properties"].items()},
    "additionalProperties": False,
}
PlanValue = Annotated[
    Any,
    Meta(
        extra_json_schema={
            **PLAN,
            "description": "what of the kind's plan is to be otherwise; see [releases.minor]",
        }
    ),
]


class ReleaseBody(Given, kw_only=True):
    """A release. kind: if the versions don't say it. hotfix: it may overtake one that runs."""

    version: VersionText
    kind: Literal["patch", "minor", "major", "breaking"] | None = None
    note: NoteText = ""
    plan: PlanValue = None
    hotfix: bool = False


class DrillBody(Given, kw_only=True):
    """A planned switch to standby and back. window_s: how long all stay there, seconds."""

    window_s: Annotated[float, Meta(ge=0, le=86_400)] = 60.0
    mode: Literal["instant", "fenced"] = "instant"
    note: NoteText = ""


class NoteBody(Given, kw_only=True):
    """Why."""

    note: NoteText = ""


class SignBody(Given, kw_only=True):
    """A signature. item: of the checklist; or signer: in whose name, for all that is due by now."""

    signer: Text = ""
    item: Text = ""
    approve: bool = True
    note: NoteText = ""


class ReleasesQuery(Given, kw_only=True):
    """Which releases. before: the last one of the page before."""

    limit: Limit = 20
    before: Text = ""


class EventsOfQuery(Given, kw_only=True):
    """Which rows of the trail. after: the place of the last one seen."""

    limit: Limit = 200
    after: Seq = 0


class GateState(Struct, kw_only=True):
    """A thing that a release needs. gate: who says that it is so: a gate, or a role that signs.

    part: of the checklist, or plan. phase: the document's, that is not left without it. automatic:
    false, if somebody signs it. outcome: passed, warned, not-applicable, failed, unmeasured; signed,
    refused or awaited.
    """

    gate: str
    item: str
    part: str
    text: str
    phase: int
    automatic: bool
    outcome: str
    detail: str
    measured_at: str | None
    signed_by: str | None
    note: str


class StepState(Struct):
    """A step of the canary."""

    percent: float
    dwell_s: float


class ReleaseState(Struct, kw_only=True):
    """A release. state: where it stands, phase: the document's, 1 to 6.

    step: of the canary, from 1; 0 before it. waiting: what it waits for, in words. dwell_left_s,
    window_left_s: null where nothing of the kind is waited for. go: nothing is missing in this state.
    verdict: the monitor's, null before it watches. may: the commands that it takes now.
    """

    name: str
    version: str
    from_version: str
    kind: str
    is_drill: bool
    active: str
    standby: str
    state: str
    phase: int
    paused: bool
    steps: list[StepState]
    step: int
    dwell_left_s: float | None
    window_left_s: float | None
    missing: list[str]
    go: bool
    reason: str
    fault: str
    note: str
    started_by: str
    started_at: str
    since: str
    ended_at: str | None
    waits_for: str
    plan: Any
    gates: list[GateState]
    verdict: Any
    may: list[str]


class ReleaseItem(Struct):
    """A release, in short."""

    name: str
    version: str
    from_version: str
    kind: str
    state: str
    reason: str
    started_by: str
    started_at: str
    ended_at: str | None


class ReleasesPage(Struct):
    """Releases, newest first. next: `before` for more, null at the end."""

    releases: list[ReleaseItem]
    next: str | None


class ReleaseEvent(Struct):
    """A row of the trail. seq: its place in the chain of all releases."""

    seq: int
    at: str
    kind: str
    actor: str
    body: Any


class ReleaseEventsPage(Struct):
    """The trail, oldest first. next: `after` for more, null at the end."""

    events: list[ReleaseEvent]
    next: int | None


class ReleaseReport(Struct):
    """All that is known of a release. people: rows of the trail that are somebody's.

    switches: what was done to the routing, with the milliseconds until all workers served it. hooks: what
    was run, and what it said. roles: who was active at the end, and what each slot ran. traffic:
    slot → figures over time, from some minutes before it to some minutes after. signals: name → unit, and
    readings as (second, value). verdicts: the monitor's, where they differ from the one before.
    """

    release: ReleaseState
    events: list[Any]
    switches: list[Any]
    hooks: list[Any]
    roles: Any
    people: list[Any]
    traffic: dict[str, list[Any]]
    signals: dict[str, Any]
    verdicts: list[Any]


class ChainState(Struct):
    """Whether the trail holds. rows, last: how far it was gone along, and the hash there.

    broken_at: the place where it doesn't hold, null if it does. why: in words.
    """

    holds: bool
    rows: int
    last: str
    broken_at: int | None
    why: str


class SignalBody(Given, kw_only=True):
    """A reading."""

    value: Annotated[float, Meta(ge=-1e18, le=1e18)]


class SignalState(Struct):
    """A signal. value, at: its last reading (POSIX seconds), null before one came to any admin; by Redis' clock."""

    name: str
    unit: str
    value: float | None
    at: float | None
    warning: float
    critical: float


class SignalsState(Struct):
    """All that the settings name."""

    signals: list[SignalState]
