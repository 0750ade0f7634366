"""What is done for a release, by its kind. Pure.

Source: blue-green-strategy.md: canaries of 1, 5, 25, 100 % for major releases ("Gradual Rollouts"),
stabilisation of 30 minutes, 2 to 4 hours, 24 hours ("Monitor Longer for Major Releases"), what is
looked at before each phase ("Implementation Checklist").
"""

from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from admin.migrations.version import Version
from proxy.routing.model import Unit, is_tenant

Percent = Annotated[float, Meta(gt=0, le=100)]
Seconds = Annotated[float, Meta(ge=0, le=30 * 86_400)]
MAX_STEPS: Final = 100
MAX_PILOTS: Final = 1000
MAX_WORDS: Final = 100
"""In a list of gates, signers or items."""
Word = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}(?!\n)$")]
Taken = Annotated[str, Meta(pattern=r"^(\*|-?[a-z0-9][a-z0-9-]{0,63})(?!\n)$")]
Words = Annotated[tuple[Word, ...], Meta(max_length=MAX_WORDS)]
Items = Annotated[tuple[Taken, ...], Meta(max_length=MAX_WORDS)]
Mode = Literal["instant", "fenced"]
OnUnknown = Literal["pause", "back"]


class Kind(StrEnum):
    """How much a release changes."""

    PATCH = "patch"
    MINOR = "minor"
    MAJOR = "major"
    BREAKING = "breaking"


def kind_of(before: Version | None, version: Version) -> Kind:
    """What two versions say of it. A breaking one (data that can't be read by both) is declared."""
    if before is None or version.major != before.major:
        return Kind.MAJOR
    return Kind.MINOR if version.minor != before.minor else Kind.PATCH


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One plan. steps: the canary's, in percent; empty: none. dwell_s: how long each lasts.

    window_s: of stabilisation. cutover, rollback: "instant", or "fenced" (nobody is served by two
    versions at once). pilots: tenants that are pinned to the new version from the first step on; without steps for one `dwell_s`. checklist: the items
    that it takes: "*" for all, parts, items; with "-" before it, not these. gates: have to pass before
    the canary, beside them. cutover_gates: before the cutover, measured anew. signers,
    cutover_signers: whose signature either needs. drain_per_s: at which pace long connections follow
    after the cutover and the way back; 0: they stay. on_unknown: whether an effect whose outcome
    isn't known, for the admin died, pauses the release or brings it back. unmeasured: whether a step
    whose traffic is too little to judge it goes on after its time ("go"), or waits ("wait").
    """

    steps: tuple[Percent, ...] = ()
    dwell_s: Seconds = 600.0
    window_s: Seconds = 1800.0
    unit: Literal["tenant", "affinity", "request"] = "tenant"
    cutover: Mode = "instant"
    rollback: Mode = "instant"
    pilots: tuple[str, ...] = ()
    checklist: Items = ()
    gates: Words = ("health", "schema")
    cutover_gates: Words = ("health", "schema")
    signers: Words = ()
    cutover_signers: Words = ()
    drain_per_s: Annotated[float, Meta(ge=0, le=100_000)] = 100.0
    on_unknown: OnUnknown = "pause"
    unmeasured: Literal["go", "wait"] = "wait"

    @property
    def is_gradual(self) -> bool:
        """Whether some are served by the version before all are, and it is watched meanwhile."""
        return bool(self.steps or self.pilots)

    def __post_init__(self) -> None:
        if len(self.steps) > MAX_STEPS:
            raise ValueError(f"`steps` are at most {MAX_STEPS}")
        if any(low >= high for low, high in pairwise(self.steps)):
            raise ValueError("`steps` rise, each above the one before")
        if len(self.pilots) > MAX_PILOTS or not all(map(is_tenant, self.pilots)):
            raise ValueError(f"`pilots` are at most {MAX_PILOTS} tenants' ids")

    @property
    def of_unit(self) -> Unit:
        """What the canary counts."""
        return Unit(self.unit)


MEASURED: Final = (
    "instant-switch",
    "deployed",
    "migrated",
    "switched",
    "error-rate",
    "response-time",
)
"""The automatic items that need no file of the user's, and no link or equipment."""


class PatchPlan(Plan, frozen=True, forbid_unknown_fields=True):
    """A patch's, by default. A class of its own, as the others: a table of settings that says one
    thing leaves the kind's other values as they are.
    """  # noqa: D205 - one sentence

    checklist: Items = MEASURED


class MinorPlan(Plan, frozen=True, forbid_unknown_fields=True):
    """A minor release's, by default."""

    steps: tuple[Percent, ...] = (5.0, 25.0)
    checklist: Items = (*MEASURED, "qa")


class MajorPlan(Plan, frozen=True, forbid_unknown_fields=True):
    """A major release's, by default."""

    steps: tuple[Percent, ...] = (1.0, 5.0, 25.0, 100.0)
    dwell_s: Seconds = 1800.0
    window_s: Seconds = 4 * 3600.0
    checklist: Items = ("*",)


class BreakingPlan(MajorPlan, frozen=True, forbid_unknown_fields=True):
    """A breaking release's, by default."""

    dwell_s: Seconds = 3600.0
    window_s: Seconds = 24 * 3600.0
    cutover: Mode = "fenced"
    rollback: Mode = "fenced"


class PlanError(ValueError):
    """What was asked for is no plan; the message names the place."""


def with_wishes(plan: Plan, wishes: dict[str, object]) -> Plan:
    """The plan, with some of it as the caller wants it. PlanError."""
    try:
        given = {name: msgspec.to_builtins(getattr(plan, name)) for name in plan.__struct_fields__}
        return msgspec.convert(given | wishes, Plan)
    except (msgspec.ValidationError, ValueError) as error:
        raise PlanError(f"body.plan: {error}") from None
