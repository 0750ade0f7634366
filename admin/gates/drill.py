"""Drill: going back was tried lately."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from admin.gates.bounded import bounded
from admin.gates.config import Drill
from admin.gates.model import About, Finding, Measured, Outcome

Last = Callable[[], Awaitable[datetime | None]]
"""When the last drill ended well; None: there was none."""
DAY_S = 86_400.0


def _now() -> datetime:
    return datetime.now(UTC)


class DrillGate:
    """Looks when the last drill was."""

    name = "drill"

    def __init__(self, settings: Drill, last: Last, now: Callable[[], datetime] = _now) -> None:
        self._settings, self._last, self._now = settings, last, now

    async def measure(self, about: About) -> Finding:
        """See `Gate`."""
        return await bounded(self.name, self._settings.limit_s, self._measure(about))

    async def _measure(self, _: About) -> Measured:
        last, most = await self._last(), self._settings.days
        if last is None:
            detail = "no drill was ever done: `turnout release drill`"
            return Measured(Outcome.FAILED, detail, {"last": None, "most_days": most})
        days = (self._now() - last).total_seconds() / DAY_S
        evidence = {"last": last.isoformat(), "days": round(days, 2), "most_days": most}
        outcome = Outcome.PASSED if days <= most else Outcome.FAILED
        return Measured(outcome, f"the last drill was {days:.1f} days ago, of {most:g}", evidence)
