"""What is said of migrations: plans, their waves and jobs, targets and history."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from admin.api.messages import NO_ZERO, Given, Limit, Text

Share = Annotated[float, Meta(gt=0, le=100)]


class PlanBody(Given, kw_only=True):
    """What is to be migrated.

    to: the last version; all without it. tenants: all without it. pilots: the tenants of the first
    wave. shares: of the waves after it, in percent of all tenants, rising; the rest comes last.
    failure_budget: how many targets may fail before a wave is stopped. run: begin at once. dry_run:
    nothing is written down.
    """

    to: Text | None = None
    phases: Annotated[
        tuple[Literal["expand", "backfill", "contract"], ...], Meta(min_length=1, max_length=3)
    ] = ("expand",)
    tenants: Annotated[list[Text], Meta(min_length=1, max_length=20_000)] | None = None
    pilots: Annotated[tuple[Text, ...], Meta(max_length=1000)] = ()
    shares: Annotated[list[Share], Meta(max_length=16)] | None = None
    failure_budget: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    priority: Annotated[int, Meta(ge=-1000, le=1000)] = 0
    run: bool = False
    dry_run: bool = False


class WaveState(Struct):
    """A wave. jobs: how many are in each state."""

    number: int
    name: str
    state: str
    jobs: dict[str, int]


class RunsFile(Struct):
    """A migration that the plan applies."""

    key: str
    path: str
    phase: str
    requires: str | None
    transactional: bool


class FailedJob(Struct):
    """A job that failed. error: message, remedy, and as far as known file, line, statement, sqlstate."""

    target: str
    key: str
    wave: int
    tries: int
    error: Any


class PlanState(Struct, kw_only=True):
    """How a plan stands. name: null if it was only tried.

    estimate_s: about how long all of it takes, null: nothing of it was applied before. rate: jobs that
    end in a second, of late. left_s: time left at that rate. failed: the first failures.
    """

    name: str | None
    state: str
    reason: str = ""
    targets: int
    up_to_date: int
    jobs: int
    estimate_s: float | None = None
    rate: float = 0.0
    left_s: float | None = None
    waves: list[WaveState]
    runs: list[RunsFile]
    failed: list[FailedJob] = []
    made_at: str | None = None
    begun_at: str | None = None
    ended_at: str | None = None


class PlansQuery(Given, kw_only=True):
    """How many, and before which number."""

    cursor: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    limit: Limit = 100


class PlanItem(Struct):
    """A plan in a list."""

    name: str
    number: int
    state: str
    reason: str
    to_version: str | None
    targets: int
    made_at: str
    begun_at: str | None
    ended_at: str | None


class PlansPage(Struct):
    """Plans, newest first. next: the cursor of the next page."""

    items: list[PlanItem]
    next: int | None


class MigrationHistoryQuery(Given, kw_only=True):
    """Which rows: of a plan, of a target."""

    plan: Text | None = None
    target: Text | None = None
    cursor: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    limit: Limit = 100


class MigrationHistoryItem(Struct):
    """Something that happened. actor: who asked, or which worker."""

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
    detail: Any


class MigrationHistoryPage(Struct):
    """Newest first."""

    items: list[MigrationHistoryItem]
    next: int | None


class TargetsQuery(Given, kw_only=True):
    """Whose targets."""

    tenant: Text | None = None
    cursor: Text = ""
    limit: Limit = 100


class RetireBody(Given, kw_only=True):
    """Why."""

    note: Annotated[str, Meta(min_length=1, max_length=1000, extra_json_schema=NO_ZERO)]


class BringBackBody(Given, kw_only=True):
    """Why."""

    note: Annotated[str, Meta(max_length=1000, extra_json_schema=NO_ZERO)] = ""


class TargetItem(Struct):
    """A schema to migrate. tenant: null, all share it. looked_at: when a worker looked last.

    retired_at: null, it counts.
    """

    name: str
    tenant: str | None
    server: str
    database: str
    schema: str
    looked_at: str | None
    applied: list[str]
    retired_at: str | None = None
    retired_by: str | None = None
    retired_why: str | None = None


class TargetsPage(Struct):
    """Targets by name."""

    items: list[TargetItem]
    next: str | None
