"""The settings of the [releases] section, each with its unit, its default and its bounds."""

from typing import Annotated

import msgspec
from msgspec import Meta

from admin.gates.config import Gates
from admin.hooks.model import Hook, check_names
from admin.notify.config import Notify
from admin.releases.plan import (
    BreakingPlan,
    Kind,
    MajorPlan,
    MinorPlan,
    PatchPlan,
    Plan,
    Word,
)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What admins are told of releases. patch, minor, major, breaking: the plan of each kind.

    gates_s: how often a gate that has not passed is measured again. fresh_s: how long one that has
    passed counts while the release waits for something else. switch_s: of a fenced cutover.
    drain_s: until what is left on the slot before is ended at once. traffic_before_s, traffic_after_s: so much
    around a release is kept of its traffic. traffic_kept_days: for so long; 0: for ever. signers: name → people.
    """

    environment: Annotated[str, Meta(min_length=1, max_length=63)] = "production"
    gates_s: Annotated[float, Meta(ge=0.1, le=3600)] = 10.0
    fresh_s: Annotated[float, Meta(ge=60, le=30 * 86_400)] = 900.0
    switch_s: Annotated[float, Meta(gt=0, le=60)] = 20.0
    drain_s: Annotated[float, Meta(gt=0, le=86_400)] = 600.0
    traffic_before_s: Annotated[float, Meta(ge=0, le=3_000)] = 300.0
    traffic_after_s: Annotated[float, Meta(ge=0, le=3_000)] = 300.0
    traffic_kept_days: Annotated[int, Meta(ge=0, le=36_500)] = 400
    signers: dict[Word, tuple[str, ...]] = {}
    hooks: tuple[Hook, ...] = ()
    patch: PatchPlan = PatchPlan()
    minor: MinorPlan = MinorPlan()
    major: MajorPlan = MajorPlan()
    breaking: BreakingPlan = BreakingPlan()

    gates: Gates = Gates()
    notify: Notify = Notify()

    def __post_init__(self) -> None:
        check_names(self.hooks)

    def plan_of(self, kind: Kind) -> Plan:
        """The plan of this kind."""
        return {
            Kind.PATCH: self.patch,
            Kind.MINOR: self.minor,
            Kind.MAJOR: self.major,
            Kind.BREAKING: self.breaking,
        }[kind]
