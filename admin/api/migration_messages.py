"""What is said of migrations: plans, waves, jobs, targets, and what has happened."""

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from admin.api.messages import Given, Limit, TenantsValue, Text

Share = Annotated[float, Meta(gt=0, lt=100)]
Phase = Annotated[str, Meta(pattern="^(expand|backfill|contract)$")]
JobStateValue = Annotated[
    str, Meta(pattern="^(queued|running|done|skipped|failed|blocked|cancelled)$")
]
After = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class PlanBody(Given, kw_only=True):
    """What is to be migrated. to: the last version; null: all. tenants: "all", or some.

    pilots: who comes first. shares: the rings after them, rising percentages of all tenants, in the
    canary's order. failure_budget: how many may fail in a wave before it stops. priority: which of
    two running plans comes first, the higher. run: begin at once.
    """

    to: Text | None = None
    phases: Annotated[list[Phase], Meta(min_length=1, max_length=3)] = field(
        default_factory=lambda: ["expand"]
    )
    tenants: TenantsValue = "all"
    pilots: Annotated[list[Text], Meta(max_length=10_000)] = field(default_factory=list)
    shares: Annotated[list[Share], Meta(max_length=16)] = field(default_factory=lambda: [1.0, 10.0])
    failure_budget: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    priority: Annotated[int, Meta(ge=-1000, le=1000)] = 0
    run: bool = False


class PlansQuery(Given, kw_only=True):
    """How many plans. cursor: `next` of the page before."""

    limit: Limit = 20
    cursor: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None = None


class JobsQuery(Given, kw_only=True):
    """Which jobs, and how many. cursor: `next` of the page before."""

    state: JobStateValue | None = None
    limit: Limit = 100
    cursor: After = 0


class MigrationHistoryQuery(Given, kw_only=True):
    """Which rows, and how many. cursor: `next` of the page before."""

    plan: Text | None = None
    target: Text | None = None
    limit: Limit = 100
    cursor: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None = None


class TargetsQuery(Given, kw_only=True):
    """How many targets. cursor: `next` of the page before."""

    limit: Limit = 100
    cursor: Text = ""


class MigrationFile(Struct):
    """A file that the plan applies, as it was when the plan was made. requires: the oldest
    application version that may run once it is applied. transactional: it is applied whole or not.
    """  # noqa: D205 - one sentence a field

    key: str
    name: str
    kind: str
    phase: str
    requires: str | None
    path: str
    checksum: str
    transactional: bool


class MigrationWave(Struct):
    """A wave, and how many of its jobs are in each state. rows: of backfills that are under way."""

    number: int
    name: str
    state: str
    targets: int
    jobs: int
    done: int
    running: int
    failed: int
    blocked: int
    queued: int
    cancelled: int
    rows_done: int
    rows_total: int
    opened_at: str | None
    ended_at: str | None


class PlanItem(Struct):
    """A plan. up_to_date: how many of its targets had nothing to do. reason: why it stopped."""

    name: str
    number: int
    state: str
    wave: int
    priority: int
    failure_budget: int
    to: str | None
    phases: list[str]
    targets: int
    up_to_date: int
    reason: str
    actor: str
    made_at: str
    begun_at: str | None
    moved_at: str
    ended_at: str | None


class PlanReport(PlanItem, kw_only=True):
    """A plan with its files and waves. rate: jobs a second of late. left_s: at this rate.

    estimate_s: when it is made, about how long it may take, by what its files took elsewhere;
    unknown: how many jobs have no such figure.
    """

    files: list[MigrationFile]
    waves: list[MigrationWave]
    rate: float
    left_s: float | None
    estimate_s: float | None = None
    unknown: int | None = None


class PlanPage(Struct):
    """Plans, newest first. next: the cursor for more, null at the end."""

    items: list[PlanItem]
    next: int | None


class JobItem(Struct):
    """One migration of one target. error: why it failed, or was tried again: message, remedy, file,
    line, column, statement, sqlstate, hint.
    """  # noqa: D205 - one sentence a field

    id: int
    target: str
    tenant: str | None
    key: str
    path: str
    wave: int
    state: str
    worker: str | None
    fence: int | None
    tries: int
    deaths: int
    begun_at: str | None
    ended_at: str | None
    duration_ms: float | None
    rows_done: int | None
    rows_total: int | None
    error: dict[str, Any] | None


class JobPage(Struct):
    """Jobs. next: the cursor for more, null at the end."""

    items: list[JobItem]
    next: int | None


class MigrationEvent(Struct):
    """Something that has happened. actor: who, or which worker. detail: of a failure, as `error`."""

    id: int
    at: str
    actor: str
    event: str
    plan: str
    target: str | None
    key: str | None
    wave: int | None
    fence: int | None
    duration_ms: float | None
    detail: dict[str, Any] | None


class MigrationEvents(Struct):
    """What has happened, newest first. next: the cursor for more, null at the end."""

    items: list[MigrationEvent]
    next: int | None


class TargetItem(Struct):
    """A schema that is migrated. looked_at: when a worker read its own table last; null: never.

    applied: what it has, in the order in which it got it.
    """

    name: str
    tenant: str | None
    server: str
    database: str
    schema: str
    fence: int
    looked_at: str | None
    applied: list[str]


class TargetPage(Struct):
    """Targets by name. next: the cursor for more, null at the end."""

    items: list[TargetItem]
    next: str | None
