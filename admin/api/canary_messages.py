"""What the API takes and gives about canaries: traffic, what-if, ramps. See `messages`."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from admin.api.messages import (
    ByValue,
    Chosen,
    Given,
    Limit,
    ListValue,
    OperationsValue,
    PercentValue,
    SaltValue,
    SlotValue,
    TenantsValue,
    UnitValue,
    Version,
)
from proxy.routing.codec import CANARY_FIELDS

MAX_STEPS = 100
MAX_DWELL_S = 30 * 86_400
Offset = Annotated[int, Meta(ge=0, le=2**53 - 1)]
_PERCENT = next(dict(item.schema) for item in CANARY_FIELDS if item.name == "percent")
StepsValue = Annotated[
    Any,
    Meta(
        extra_json_schema={
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_STEPS,
            "items": _PERCENT,
            "description": "above 0, each above the one before",
        }
    ),
]
Dwell = Annotated[float, Meta(ge=0, le=MAX_DWELL_S)]
Dwells = Annotated[list[Dwell], Meta(min_length=1, max_length=MAX_STEPS)]


class TrafficQuery(Given, kw_only=True):
    """Which tenants. cursor: `next` of the page before."""

    limit: Limit = 100
    cursor: Offset = 0


class TrafficItem(Struct):
    """A tenant's requests in the last hour, at least. percent: of all. slot, reason: by the table."""

    tenant: str
    requests: int
    percent: float
    slot: str
    reason: str


class TrafficPage(Struct):
    """Who made what share of the last hour's requests, the busiest first.

    requests: all that named a tenant. others: those of tenants that aren't named here; each tenant
    had at most so many more. minutes: of the hour, in how many there were any. next: the cursor
    for more, null at the end.
    """

    items: list[TrafficItem]
    tenants: int
    requests: int
    others: int
    others_percent: float
    minutes: int
    next: int | None


class CanaryTry(Given, kw_only=True):
    """A canary to try."""

    percent: PercentValue
    by: ByValue = "count"
    unit: UnitValue = UNSET
    salt: SaltValue = UNSET
    allow: ListValue = UNSET
    deny: ListValue = UNSET


class CutoverTry(Given, kw_only=True):
    """A cutover to try."""

    to: SlotValue
    tenants: TenantsValue = "all"


class WhatIfBody(Given, kw_only=True):
    """A change to try: one of canary, cutover and operations. limit, cursor: of its moves."""

    canary: CanaryTry | None = None
    cutover: CutoverTry | None = None
    operations: OperationsValue = None
    limit: Limit = 100
    cursor: Offset = 0


class MoveItem(Struct):
    """A tenant that would move. part: of its traffic, 1 for all. requests: of the last hour."""

    tenant: str
    from_slot: str
    from_reason: str
    to_slot: str
    to_reason: str
    part: float
    requests: int
    percent: float


class WhatIfState(Struct, kw_only=True):
    """What the change would do to the table of this version; nothing is changed.

    refusal: why it would be refused, null if it wouldn't. moving: tenants that would move, of those
    that are known (pinned, registered, or seen in the last hour). requests: of the last hour;
    moving_percent: of them what would go elsewhere; others_percent: of tenants that aren't known,
    of which moving_others_percent may be expected to.
    """

    version: int
    active: str
    percent: float
    moves: list[MoveItem]
    next: int | None
    moving: int
    known: int
    requests: int
    moving_percent: float
    others_percent: float
    moving_others_percent: float
    refusal: str | None
    explanation: str
    chosen: Chosen | UnsetType = UNSET


class RampBody(Given, kw_only=True):
    """A ramp. steps: percentages. dwell_s: how long each lasts, seconds: one for all, one for each,
    or one for each but the last, which is not waited for. unit, salt, allow, deny: if they change.
    """  # noqa: D205 - one sentence a field

    steps: StepsValue
    dwell_s: Dwells
    by: ByValue = "count"
    unit: UnitValue = UNSET
    salt: SaltValue = UNSET
    allow: ListValue = UNSET
    deny: ListValue = UNSET
    expected_version: Version | None = None


class RampStep(Struct):
    """One step of a ramp."""

    percent: float
    dwell_s: float


class RampReport(Struct, kw_only=True):
    """A ramp. step: from 1; 0 where it began. direction: "up" or "down".

    percent: what the step asks for. weight: the canary's, null until it is chosen. version: of the
    step's change. pending: workers that don't serve it yet. dwelt_s, left_s: of the step's time, as
    of the last look. reason: why it is paused, or has ended. outcome: the event that ended it.
    actor: who began it. by_last: who has last set it off.
    """

    ramp: str
    state: str
    by: str
    unit: str
    steps: list[RampStep]
    step: int
    direction: str
    percent: float
    weight: float | None
    version: int | None
    pending: list[str]
    dwelt_s: float
    left_s: float
    reason: str
    outcome: str
    actor: str
    by_last: str
    begun_at: str
    moved_at: str
    ended_at: str | None
