"""The words of the gates: Outcome, Finding, About, Gate. Pure.

Rules:
1. A gate says what it measured. If it could not measure, it says UNMEASURED, which never passes.
2. NOT_APPLICABLE is said only where the settings say that there is nothing to measure, and passes
   only where they do (`admin.releases.go`).
3. Evidence is plain JSON, small, and holds no secret: no header, no body, no URL with a password.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from proxy.routing.model import Slot

NAMED = 20
"""How many tenants, endpoints or checks evidence names."""


class Outcome(StrEnum):
    """What a measurement came to."""

    PASSED = "passed"
    WARNED = "warned"  # passes, and somebody should look
    FAILED = "failed"
    UNMEASURED = "unmeasured"  # it could not be measured: never passes
    NOT_APPLICABLE = "not-applicable"  # the settings say that there is nothing to measure


class UnmeasuredError(Exception):
    """A gate can't measure; the message says why, in words that may be shown."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one gate found. detail: a sentence with the numbers. evidence: see the module's rules."""

    outcome: Outcome
    detail: str
    evidence: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is kept of a measurement. took_s: seconds."""

    gate: str
    outcome: Outcome
    detail: str
    evidence: Mapping[str, object]
    took_s: float


@dataclass(frozen=True, slots=True)
class About:
    """The release that is looked at. version: what standby is to run; from_version: what active runs.

    standby, active: the slots' roles as the release began. tenants: all that are known, in order.
    """

    release: str
    version: str
    from_version: str
    standby: Slot
    active: Slot
    tenants: tuple[str, ...] = ()


class Gate(Protocol):
    """Measures one thing. What it needs is given to its constructor."""

    @property
    def name(self) -> str:
        """By which checklists name it."""

    async def measure(self, about: About) -> Finding:
        """Within the gate's own time-out. Raises nothing but CancelledError."""


def few(names: list[str], most: int = NAMED) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
