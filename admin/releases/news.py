"""What people are told of a release: which event, when, and in which words.

Rules:
1. What happens to a release is told by the state that it enters, for that is what people know; a drill
   that goes back as planned is no failure, and is told as a drill.
2. A verdict is told when its level changes, and a signature that is wanted once in each state, by the admin
   that carries the release: after another has taken it over, both may be told again.
3. Telling waits for nobody and raises nothing (`admin.notify.notifier`).
"""

from collections.abc import Sequence
from typing import Any, Final

from admin.releases.course import DRILL_OVER
from admin.releases.effects import about
from admin.releases.model import PHASES, Event, Release, State
from admin.releases.ports import Judgement, Told
from admin.releases.store import Record

_WORDS: Final = {Event.PAUSE: "paused", Event.RESUME: "resumed"}
_RAISED: Final = ("warning", "critical")


def event_of(after: Release, event: Event | None) -> tuple[str, str]:
    """What a transition is told as, and its detail. event: None as it is begun."""
    if event in _WORDS:
        return _WORDS[event], ""
    if after.is_drill:
        if event is None:
            return "drill", f"begun: {after.active} → {after.standby} and back"
        if after.state is State.ROLLING_BACK and after.fault == DRILL_OVER:
            return "drill", f"everybody goes back to {after.active}"
        if after.state is State.ROLLED_BACK and after.fault == DRILL_OVER:
            return "drill", f"over: everybody is back on {after.active}"
    return str(after.state), ""


def words(release: Release, kind: str, environment: str) -> dict[str, Any]:
    """By `admin.notify.templates.WORDS`, as far as a release knows them itself."""
    steps = release.plan.steps
    is_step = release.state is State.CANARY and release.step < len(steps)
    return {
        **about(release),
        "kind": kind,
        "phase": PHASES[release.state],
        "percent": f"{steps[release.step]:g}" if is_step else "",
        "reason": release.fault or release.reason,
        "environment": environment,
    }


class News:
    """Tells it. environment: what this installation is called."""

    def __init__(self, told: Told, environment: str) -> None:
        self._told, self._environment = told, environment
        self._levels: dict[str, str] = {}
        self._wanted: dict[str, int] = {}

    def begun(self, release: Release, kind: str, by: str, note: str) -> None:
        """It was begun."""
        name, detail = event_of(release, None)
        self._tell(name, release, kind, by=by, note=note, detail=detail)

    def moved(self, record: Record, after: Release, event: Event, by: str, reason: str) -> None:
        """It went on. by: who did it; empty: the release itself."""
        name, detail = event_of(after, event)
        self._tell(name, after, _kind(record), by=by, reason=reason or after.fault, detail=detail)
        if after.ended:
            self._levels.pop(after.name, None)
            self._wanted.pop(after.name, None)

    def judged(self, record: Record, judged: Judgement) -> None:
        """The monitor says this."""
        name = record.release.name
        before = self._levels.get(name, "")
        self._levels[name] = judged.level
        if judged.level in _RAISED and judged.level != before:
            self._tell(judged.level, record.release, _kind(record), detail=judged.why)

    def wants(self, record: Record, signers: Sequence[str]) -> None:
        """It waits for these to sign; nobody: for none."""
        release = record.release
        if signers and self._wanted.get(release.name) != release.visit:
            self._wanted[release.name] = release.visit
            self._tell("signature-wanted", release, _kind(record), missing=signers)

    def signed(self, record: Record, what: str, by: str, note: str) -> None:
        """Somebody signed, or refused. what: in words."""
        self._tell("signed", record.release, _kind(record), detail=what, by=by, note=note)

    def hook_failed(self, record: Record, why: str) -> None:
        """A hook failed: it pauses, or goes on if it is on its way back."""
        self._tell("hook-failed", record.release, _kind(record), detail=why)

    def way_back_failed(self, record: Record, why: str) -> None:
        """The first try to bring everybody back failed; it is tried again until it is done."""
        detail = f"the way back failed, and is tried again: {why}"
        self._tell("stands-still", record.release, _kind(record), detail=detail, missing=[why])

    def stands(self, record: Record, why: Sequence[str], since_s: float | None) -> None:
        """It waits for this, and stands still for so long; None: nobody is to be told."""
        if since_s is not None:
            detail = f"nothing has happened for {since_s / 60:.0f} minutes"
            self._tell("stands-still", record.release, _kind(record), detail=detail, missing=why)

    def _tell(self, event: str, release: Release, kind: str, **more: Any) -> None:
        self._told.tell(event, {**words(release, kind, self._environment), **more})


def _kind(record: Record) -> str:
    return str(record.row["kind"])
