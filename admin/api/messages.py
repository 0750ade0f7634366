"""What the API takes and gives, as types: the checks, the encoder and OpenAPI read them.

What the routing contract checks (slots, percentages, endpoints, operations) is `Any` here with
the contract's own schema, so that its decoders alone say what is right.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from admin.migrations.version import MAX_LENGTH, PATTERN
from admin.routing.events import KINDS
from proxy.routing.codec import (
    CANARY_FIELDS,
    ENDPOINTS_FIELD,
    MAX_OPERATIONS,
    SLOT_FIELD,
    TENANT_FIELD,
)

MAX_TIMEOUT_MS = 60_000
MAX_VERSION = 2**53 - 1

_CANARY = {item.name: dict(item.schema) for item in CANARY_FIELDS}
SlotValue = Annotated[Any, Meta(extra_json_schema=dict(SLOT_FIELD.schema))]
PercentValue = Annotated[Any, Meta(extra_json_schema=_CANARY["percent"])]
UnitValue = Annotated[Any, Meta(extra_json_schema=_CANARY["unit"])]
SaltValue = Annotated[Any, Meta(extra_json_schema=_CANARY["salt"])]
ListValue = Annotated[Any, Meta(extra_json_schema=_CANARY["allow"])]
EndpointsValue = Annotated[Any, Meta(extra_json_schema=dict(ENDPOINTS_FIELD.schema))]
OperationsValue = Annotated[
    Any,
    Meta(
        extra_json_schema={
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_OPERATIONS,
            "items": {"$ref": "#/components/schemas/Operation"},
        }
    ),
]
TenantsValue = Annotated[
    Any,
    Meta(
        extra_json_schema={
            "oneOf": [
                {"const": "all"},
                {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MAX_OPERATIONS,
                    "items": dict(TENANT_FIELD.schema),
                },
            ]
        }
    ),
]
ByValue = Annotated[
    Literal["count", "traffic"],
    Meta(
        description='what the percentage is of: "count", of all keys that there could be; '
        '"traffic", of the last hour\'s requests',
    ),
]
ModeValue = Annotated[
    Literal["instant", "fenced"], Meta(description='"fenced": hold, drain, step, commit')
]
TimeoutMs = Annotated[
    int,
    Meta(ge=0, le=MAX_TIMEOUT_MS, description="how long to wait for the workers, milliseconds"),
]
Version = Annotated[int, Meta(ge=0, le=MAX_VERSION)]
Limit = Annotated[int, Meta(ge=1, le=1000)]
_KINDS = rf"^(?!\n)(({'|'.join(KINDS)})(,({'|'.join(KINDS)}))*(?!\n))?$"
VersionText = Annotated[
    str, Meta(min_length=5, max_length=MAX_LENGTH, extra_json_schema={"pattern": PATTERN})
]
Text = Annotated[str, Meta(max_length=200, pattern=r"^[^\u0000-\u001f\u007f-\u009f]*(?!\n)$")]


NO_ZERO = {"pattern": r"^[^\u0000]*$"}
"""Of a text that may have lines, for the document: a body with U+0000 is refused before."""


class Given(Struct, kw_only=True, forbid_unknown_fields=True):
    """Takes nothing."""


class Write(Given, kw_only=True):
    """What every write takes."""

    expected_version: Version | None = None
    timeout_ms: TimeoutMs | None = None


class StepBody(Given, kw_only=True):
    """What is done in the middle of a fenced switch: a webhook, or a command of admin.steps."""

    webhook: Annotated[str, Meta(max_length=2_000)] | None = None
    command: Text | None = None

    def __post_init__(self) -> None:
        if (self.webhook is None) == (self.command is None):
            raise ValueError("a step is either webhook or command")


class Fenced(Write, kw_only=True):
    """A write that can be a fenced switch. timeout_ms is then its limit, its step included.

    accept_lost: go on although workers fell silent, which may still serve.
    """

    mode: ModeValue = "instant"
    step: StepBody | None = None
    accept_lost: bool = False


class ChangesBody(Fenced, kw_only=True):
    """Operations, applied as one."""

    operations: OperationsValue


class PinBody(Write, kw_only=True):
    """The slot that the tenant is pinned to."""

    slot: SlotValue


class CanaryBody(Write, kw_only=True):
    """The canary's weight, and its unit, salt and lists if they change.

    by: "traffic" has the weight chosen whose tenants make at most this share of the last hour's traffic.
    """

    percent: PercentValue
    by: ByValue = "count"
    unit: UnitValue = UNSET
    salt: SaltValue = UNSET
    allow: ListValue = UNSET
    deny: ListValue = UNSET


class CutoverBody(Fenced, kw_only=True):
    """Where to, and who: all that aren't pinned, or the tenants named."""

    to: SlotValue
    tenants: TenantsValue = "all"


class RollbackBody(Fenced, kw_only=True):
    """Who returns: all that aren't pinned, or the tenants named."""

    tenants: TenantsValue = "all"


class SwitchesQuery(Given, kw_only=True):
    """A page of switches. before: the last one of the page before."""

    before: Text | None = None
    limit: Limit = 50


class DrainBody(Given, kw_only=True):
    """Whose connections end: of all who belong elsewhere by now, or of the tenants named.

    per_second: how many in a second, at all workers together. tenant_per_second: how many of these
    may be one tenant's; null: all. limit_s: after so many seconds all that is left is ended at
    once. webhook: under one of admin.step_urls, told of the end.
    """

    tenants: TenantsValue = "all"
    per_second: Annotated[float, Meta(gt=0, le=100_000)] = 100.0
    tenant_per_second: Annotated[float, Meta(gt=0, le=100_000)] | None = None
    limit_s: Annotated[float, Meta(gt=0, le=86_400)] | None = None
    webhook: Annotated[str, Meta(max_length=2_000)] | None = None


class CensusQuery(Given, kw_only=True):
    """Which devices, and how many. cursor: `next` of the page before."""

    slot: SlotValue = None
    tenant: Text | None = None
    kind: Text | None = None
    limit: Limit = 100
    cursor: Text = ""


class RollQuery(Given, kw_only=True):
    """Which devices of a drain's roll, and how many. cursor: `next` of the page before."""

    standing: Literal["back", "still", "missing", "new"] | None = None
    tenant: Text | None = None
    limit: Limit = 100
    cursor: Text = ""


class EndpointsBody(Write, kw_only=True):
    """All instances of the slot. force: empty it although it serves requests."""

    endpoints: EndpointsValue
    force: bool = False


class WaitQuery(Given, kw_only=True):
    """How long to wait for the workers."""

    timeout_ms: TimeoutMs = 0


class TenantsQuery(Given, kw_only=True):
    """Which tenants, and how many. cursor: `next` of the page before."""

    prefix: Text = ""
    slot: SlotValue = None
    limit: Limit = 100
    cursor: Text = ""


class ExplainQuery(Given, kw_only=True):
    """A change to try: nothing is changed. weight: percent; pin: a slot or "none"."""

    weight: Annotated[float, Meta(ge=0, le=100)] | None = None
    active: SlotValue = None
    pin: Literal["blue", "green", "none"] | None = None


class AuditQuery(Given, kw_only=True):
    """Which rows, and how many. cursor: `next` of the page before."""

    limit: Limit = 100
    cursor: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None = None
    actor: Text | None = None
    action: Text | None = None
    tenant: Text | None = None


class EventsQuery(Given, kw_only=True):
    """Which events, separated by commas; all without it."""

    types: Annotated[str, Meta(max_length=200, pattern=_KINDS)] = ""


class Chosen(Struct):
    """The weight that was chosen for a share of the last hour's traffic.

    asked, percent: the share that was asked for, and the weight. share: what the weight draws, in
    percent of the traffic. tenants: how many made it; null if single keys are drawn. others_percent: of
    tenants that no figure names; the weight draws its own share of them.
    """

    asked: float
    percent: float
    share: float
    tenants: int | None
    others_percent: float
    explanation: str


class NodeServed(Struct):
    """How many of a node's workers serve the change, and how many are waited for."""

    acked: int
    pending: int


class Laggard(Struct):
    """A worker that is waited for, where it runs, and which version it serves meanwhile."""

    worker: str
    node: str
    pid: int
    version: int
    state: str
    error: str


class ChangeResult(Struct):
    """What became of a change, and who serves it.

    ack_ms: from the start of the request to the last ack, null unless converged. refused: worker
    to why it did not take the version. published: Redis has it. nodes: who serves it by node.
    laggards: the pending, with their nodes. held_back: tenants that a pin to the other slot kept
    from a cutover. chosen: with a canary by traffic.
    """

    version: int
    converged: bool
    acked: list[str]
    pending: list[str]
    refused: dict[str, str]
    ack_ms: float | None
    published: bool
    nodes: dict[str, NodeServed]
    laggards: list[Laggard]
    held_back: int | UnsetType = UNSET
    chosen: Chosen | UnsetType = UNSET


class SwitchState(Struct):
    """A fenced switch. tenants: who is held, null for all. reason: why it was undone.

    held_version, committed_version: of its changes. drain_ms: from the hold to nothing under way.
    step_ms: of the step. held_ms: from the hold to its end, the longest that a request waited.
    """

    switch: str
    state: str
    action: str
    tenants: list[str] | None
    reason: str
    actor: str
    step: str | None
    held_version: int | None
    committed_version: int | None
    begun_at: str | None
    ended_at: str | None
    drain_ms: float | None
    step_ms: float | None
    held_ms: float | None


class SwitchResult(Struct, omit_defaults=True):
    """What became of a fenced switch, and who serves what it committed."""

    switch: SwitchState
    change: ChangeResult | None = None


class SwitchesPage(Struct):
    """Switches, newest first. next: what to give as before for the page after; null at the end."""

    switches: list[SwitchState]
    next: str | None


class RollReport(Struct):
    """Who was connected when a drain began, by the names of devices; see [[proxy.census]].

    before: on the slot. back: of these, on the other slot alone. still: on the slot. missing: nowhere.
    new: on the other slot, and not there before. outcome: "complete", "limit", "stopped" or
    "replaced"; empty while it is watched. Once it is not, the numbers are those of its end. beyond: devices
    that were too many to be written down. unknown: workers that have not told all they know.
    """

    before: int
    back: int
    still: int
    missing: int
    new: int
    outcome: str
    beyond: int
    unknown: list[str]
    taken_at: str | None
    ended_at: str | None


class RollDevice(Struct):
    """A device of a roll. since: when it was found missing, or has been connected since."""

    tenant: str
    device: str
    standing: str
    since: str | None


class RollPage(Struct):
    """Devices of a drain's roll as of now, by tenant and name. next: the cursor for more."""

    drain: str
    roll: RollReport
    items: list[RollDevice]
    next: str | None


class SlotCensus(Struct):
    """A slot's census. devices: how many. connections: of them. unnamed: others, by kind."""

    devices: int
    connections: int
    unnamed: dict[str, int]


class CensusDevice(Struct):
    """A device on a slot. since: when the first of its connections there was seen."""

    tenant: str
    device: str
    slot: str
    kinds: list[str]
    connections: int
    since: str


class CensusPage(Struct):
    """Who is connected for long. by_tenant: devices of the tenants that have most. next: the cursor
    for more. taken: whether any worker tells (has rules). unknown: those that have not told all.
    """  # noqa: D205 - one sentence

    taken: bool
    slots: dict[str, SlotCensus]
    by_tenant: dict[str, int]
    unknown: list[str]
    items: list[CensusDevice]
    next: str | None


class DrainReport(Struct):
    """A slot's drain. outcome: "empty", "limit" or "stopped" once it ends. note: what went wrong.

    left: how much is left, by those who said so; null before it is known, and after the end.
    workers: by worker. kinds: by kind. by_tenant: of the tenants that have most (empty: of nobody);
    others: of the rest. unknown: workers that have not said yet, or fell silent. census: who is back; null if
    no worker names devices, or Redis can't be asked.
    """

    drain: str
    slot: str
    state: str
    tenants: list[str] | None
    per_second: float
    tenant_per_second: float | None
    limit_s: float
    outcome: str
    note: str
    actor: str
    stopped_by: str | None
    version: int | None
    begun_at: str | None
    hurried_at: str | None
    ended_at: str | None
    left: int | None
    workers: dict[str, int]
    kinds: dict[str, int]
    by_tenant: dict[str, int]
    others: int
    unknown: list[str]
    census: RollReport | None = None


class CanaryState(Struct):
    """The canary as it is."""

    percent: float
    unit: str
    salt: str
    allow: list[str]
    deny: list[str]
    standby: str
    version: int


class CanaryWeight(Struct):
    """The canary as the table carries it."""

    percent: float
    unit: str
    salt: str
    allow: list[str]
    deny: list[str]


class DrainState(Struct, omit_defaults=True):
    """A drain as the table carries it. tenants: left out: all whose route leads elsewhere."""

    drain: str
    slot: str
    per_second: float
    hurry: bool
    tenants: list[str] | None = None
    tenant_per_second: float | None = None


class TableState(Struct):
    """The table, and who serves it. published_version: Redis', null while unknown.

    holds: tenant → the switch that parks its requests. hold_all: the switch that parks all.
    affinities_since: of each slot, the version since which affinities to it count;
    tenant_affinities_since: the same of single tenants.
    """

    version: int
    active: str
    fallback: str
    canary: CanaryWeight
    pins: dict[str, str]
    tenants: list[str]
    endpoints: dict[str, list[str]]
    holds: dict[str, str]
    hold_all: str
    drains: list[DrainState]
    affinities_since: dict[str, int]
    tenant_affinities_since: dict[str, int]
    published_version: int | None
    converged: bool
    pending: list[str]


class TenantItem(Struct):
    """A tenant that is registered or pinned, and where it goes."""

    tenant: str
    pinned: str | None
    registered: bool
    slot: str
    reason: str


class TenantsPage(Struct):
    """Tenants by name. next: the cursor for more, null at the end."""

    items: list[TenantItem]
    next: str | None


class Proposed(Struct):
    """Where the tenant would go after the tried change."""

    slot: str
    reason: str
    weight: float
    active: str
    moves: bool


class ServedBySlot(Struct):
    """Whether the tenant's schema serves what a slot runs. why: what keeps it from that, else empty."""

    version: str | None
    served: bool
    why: str


class SchemaState(Struct):
    """What the tenant's schema serves.

    oldest: the oldest version that lives with what is applied; null: any. lacking: the first
    version that needs what isn't applied; null: none.
    """

    oldest: str | None
    lacking: str | None
    slots: dict[str, ServedBySlot]


class Explanation(Struct):
    """Where the tenant goes, and why. bucket: 0 to 9999, in the canary below 100 times percent."""

    tenant: str
    slot: str
    reason: str
    version: int
    bucket: int
    percent: float
    unit: str
    pinned: str | None
    endpoints: list[str]
    explanation: str
    proposed: Proposed | UnsetType = UNSET
    schema: SchemaState | UnsetType = UNSET


class SlotEndpoints(Struct):
    """The instances of a slot."""

    slot: str
    endpoints: list[str]
    version: int


class WorkerItem(Struct):
    """A worker as the registry knows it. lease_ms: what is left, 0 or less: lost.

    parked: requests that wait for a switch. holding: switch to what is under way of those that it
    holds. draining: drain to the connections that are left; left: these by kind and by tenant. behind: versions that it lacks.
    from_disk: its table was kept on disk, and Redis has not confirmed it. age_ms: since it was last
    known to be the newest. without_lease: what becomes of requests once its lease is over: serve, park, or
    mixed, by tenant. census: whether it tells who is connected.
    """

    worker: str
    node: str
    pid: int
    version: int
    state: str
    in_flight: int
    error: str
    parked: int
    holding: dict[str, int]
    draining: dict[str, int]
    left: dict[str, dict[str, dict[str, int]]]
    from_disk: bool
    age_ms: int
    without_lease: str
    census: bool
    lease_ms: int
    current: bool
    behind: int


class NodeItem(Struct):
    """A node's workers. live: with a lease; current: of these, on the published version.

    lost: without a lease; they may still serve.
    """

    live: int
    current: int
    lost: int


class WorkersState(Struct):
    """The fleet, by node and worker. version: what is published. nodes: by name."""

    version: int
    converged: bool
    workers: list[WorkerItem]
    nodes: dict[str, NodeItem]


class AuditItem(Struct):
    """One row of the audit trail. tenants: the first 100 of tenants_total."""

    id: int
    at: str
    actor: str
    role: str
    action: str
    tenants: list[str]
    tenants_total: int
    version: int | None
    outcome: str
    code: str
    request_id: str
    from_: Any = field(name="from", default=None)
    to: Any = None


class AuditPage(Struct):
    """Rows, newest first. next: the cursor for more, null at the end."""

    items: list[AuditItem]
    next: int | None


class Health(Struct):
    """The process runs."""

    status: str


class PartState(Struct):
    """Whether a part answers."""

    ok: bool


class Readiness(Struct):
    """Whether changes can be made: each part must answer."""

    status: str
    parts: dict[str, PartState]
