"""What a release needs of other parts: gates, the monitor, hooks, and who is told.

The controller knows them by these shapes alone; the composition root gives it the real ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from admin.gates.checklist import Checklist
from admin.releases import course
from admin.releases.go import Said
from admin.releases.model import Release


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the monitor says of a release. level: normal, warning, critical or unmeasured.

    why: in words, for a warning and a critical one. document: the whole verdict, as plain JSON.
    """

    level: str = "unmeasured"
    why: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HookResult:
    """How a hook ended. detail: in words, without secrets. known: it surely did not do it, or did."""

    ok: bool
    detail: str = ""
    known: bool = True


class Gates(Protocol):
    """The gates by name."""

    @property
    def names(self) -> frozenset[str]:
        """All that there are."""

    @property
    def checklist(self) -> Checklist:
        """The checklist that the settings name."""

    async def measure(self, release: Release, names: Sequence[str]) -> Sequence[Said]:
        """What these say now; each bounded in time. Raises nothing of its own."""


class Monitor(Protocol):
    """Watches what a release does to traffic. latest: what it said last."""

    latest: Judgement

    async def judge(
        self, release: Release, moved: Sequence[float], devices: int | None
    ) -> Judgement:
        """What it says now.

        moved: how long ago the release changed where requests go, in seconds, the first time first;
        empty: it didn't yet. devices: how many were connected when it began; None: nobody counted.
        """

    async def news(self, limit_s: float) -> None:
        """Until it is critical and `latest` doesn't say so yet; at most so many seconds."""

    def rest(self, release: Release) -> None:
        """There is nothing to be watched of it; another one may be watched."""


class Hooks(Protocol):
    """The user's hooks."""

    @property
    def names(self) -> course.Hooks:
        """By state."""

    def on_unknown(self, name: str) -> str:
        """What to do if nobody knows how it ended: "repeat", "pause", "back", or "" (as planned)."""

    async def run(self, name: str, about: Mapping[str, Any], effect: str) -> HookResult:
        """Run it. effect: its idempotency key. Raises nothing of its own."""


class Told(Protocol):
    """Who wants to know how releases go."""

    def tell(self, event: str, about: Mapping[str, Any]) -> None:
        """Tell them; never waits, never raises."""


@dataclass(frozen=True, slots=True)
class Ports:
    """All of them."""

    gates: Gates
    monitor: Monitor
    hooks: Hooks
    told: Told
