"""A release as its page shows it, made from the API's document of it.

The document is taken as it comes: a member that is missing, or has a value that isn't known here, is
shown as unknown and breaks nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PHASES = (
    "Before",
    "Deploy",
    "Validate",
    "Cut over",
    "Stabilise",
    "Clean up",
)
"""The strategy's six phases, in short."""
WORDS: Mapping[str, str] = {
    "promote": "Promote",
    "pause": "Pause",
    "resume": "Resume",
    "rollback": "Roll back",
    "abort": "Abort",
    "finalise": "Finalise",
}
"""What may be said to a release, and how its button says it."""
HARMLESS = frozenset({"pause"})
RELEASES, ONE, CURRENT = "/v1/releases", "/v1/releases/{release}", "current"
DRILLS = "/v1/drills"
"""The API's calls, and what names the release that runs."""
OVER = frozenset({"done", "rolled-back", "aborted"})
LEAVING = frozenset({"rolling-back", "rolled-back", "aborting", "aborted"})
_SIGNS: Mapping[str, str] = {
    "passed": "normal",
    "warned": "warning",
    "failed": "critical",
    "unmeasured": "unmeasured",
    "not-applicable": "watched",
    "signed": "normal",
    "awaited": "unmeasured",
    "refused": "critical",
}


@dataclass(frozen=True, slots=True)
class GateShown:
    """A thing that a release needs. name: the gate, or who signs; item: its name in the checklist.

    level: how its outcome is marked. open: a person has to sign it yet, and can by now.
    """

    name: str
    item: str
    part: str
    text: str
    automatic: bool
    outcome: str
    level: str
    detail: str
    measured_at: str | None
    signed_by: str
    note: str
    open: bool


@dataclass(frozen=True, slots=True)
class PhaseShown:
    """A phase. standing: done, now, ahead, or left (it was broken off)."""

    number: int
    title: str
    standing: str
    gates: Sequence[GateShown]


@dataclass(frozen=True, slots=True)
class StepShown:
    """A step of the canary."""

    number: int
    percent: float
    dwell_s: float
    standing: str


@dataclass(frozen=True, slots=True)
class TriggerShown:
    """What the monitor found."""

    name: str
    level: str
    detail: str


@dataclass(frozen=True, slots=True)
class ReleaseShown:
    """The whole page. may: (word, as its button says it, whether it asks first)."""

    name: str
    version: str
    from_version: str
    kind: str
    active: str
    standby: str
    state: str
    is_over: bool
    paused: bool
    go: bool
    missing: Sequence[str]
    reason: str
    fault: str
    waits_for: str
    started_by: str
    started_at: str | None
    since: str | None
    ended_at: str | None
    dwell_left_s: float | None
    window_left_s: float | None
    phases: Sequence[PhaseShown]
    steps: Sequence[StepShown]
    level: str
    triggers: Sequence[TriggerShown]
    may: Sequence[tuple[str, str, bool]]


def release_shown(document: Mapping[str, Any]) -> ReleaseShown:
    """The page of a release's document."""
    verdict = document.get("verdict") or {}
    state = str(document.get("state", "unknown"))
    return ReleaseShown(
        name=_text(document, "name"),
        version=_text(document, "version"),
        from_version=_text(document, "from_version"),
        kind=_text(document, "kind"),
        active=_text(document, "active"),
        standby=_text(document, "standby"),
        state=state,
        is_over=state in OVER,
        paused=bool(document.get("paused")),
        go=bool(document.get("go")),
        missing=[str(each) for each in document.get("missing") or ()],
        fault=_text(document, "fault"),
        waits_for=_text(document, "waits_for"),
        reason=_text(document, "reason"),
        started_by=_text(document, "started_by"),
        started_at=document.get("started_at"),
        since=document.get("since"),
        ended_at=document.get("ended_at"),
        dwell_left_s=document.get("dwell_left_s"),
        window_left_s=document.get("window_left_s"),
        phases=_phases(document, state),
        steps=_steps(document, state),
        level=str(verdict.get("level", "unmeasured")),
        triggers=[
            TriggerShown(*(_text(each, name) for name in ("name", "level", "detail")))
            for each in sorted(verdict.get("triggers") or (), key=_rank)
        ],
        may=[
            (word, WORDS[word], word not in HARMLESS)
            for word in document.get("may") or ()
            if word in WORDS
        ],
    )


def _rank(trigger: Mapping[str, Any]) -> int:
    """The worst first."""
    order = ("critical", "warning", "unmeasured", "normal")
    level = trigger.get("level")
    return order.index(level) if level in order else len(order)


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    return "" if value is None else str(value)


def _phases(document: Mapping[str, Any], state: str) -> list[PhaseShown]:
    phase = int(document.get("phase") or 0)
    gates = [_gate(each, phase) for each in _gates(document)]
    by_phase = [int(each.get("phase") or 0) for each in _gates(document)]
    return [
        PhaseShown(
            number,
            title,
            _standing(number, phase, state),
            [gate for gate, of in zip(gates, by_phase, strict=True) if of == number],
        )
        for number, title in enumerate(PHASES, 1)
    ]


def _standing(number: int, phase: int, state: str) -> str:
    if state == "done" or number < phase:
        return "done"
    if number > phase:
        return "ahead"
    return "left" if state in LEAVING else "now"


def _gates(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return list(document.get("gates") or ())


def _gate(document: Mapping[str, Any], phase: int) -> GateShown:
    automatic = bool(document.get("automatic"))
    outcome = _text(document, "outcome") or "unmeasured"
    signed_by = _text(document, "signed_by")
    is_due = int(document.get("phase") or 0) <= phase
    is_open = not automatic and is_due and (not signed_by or outcome == "refused")
    name = _text(document, "gate")
    return GateShown(
        name,
        _text(document, "item") or name,
        _text(document, "part"),
        _text(document, "text"),
        automatic,
        outcome if automatic or signed_by else "waits for a signature",
        _SIGNS.get(outcome, "unmeasured"),
        _text(document, "detail"),
        document.get("measured_at"),
        signed_by,
        _text(document, "note"),
        is_open,
    )


def _steps(document: Mapping[str, Any], state: str) -> list[StepShown]:
    """step: the one that stands, from 1; 0 where none does."""
    at, found = int(document.get("step") or 0), document.get("steps") or ()
    phase = int(document.get("phase") or 0)
    past = phase > 3 or state in {"cutting-over", "done"}
    return [
        StepShown(
            number,
            float(each.get("percent") or 0),
            float(each.get("dwell_s") or 0),
            "done" if past else _step_standing(number, at, state),
        )
        for number, each in enumerate(found, 1)
    ]


def _step_standing(number: int, at: int, state: str) -> str:
    if not at or number > at or state not in {"canary", *LEAVING}:
        return "ahead"
    if number < at:
        return "done"
    return "left" if state in LEAVING else "now"


def tried_by(word: str, document: Mapping[str, Any], active: str) -> dict[str, Any] | None:
    """The what-if of a word: what it will move. None: it moves nobody.

    active: the slot that the table has active now.
    """
    standby = _text(document, "standby")
    came_from = _text(document, "active")
    if word == "promote":
        following = _following(document)
        if document.get("state") in {"validating", "canary"} and following is not None:
            return {"canary": {"percent": following}}
        return {"cutover": {"to": standby}} if document.get("state") == "canary" else None
    if word in {"rollback", "abort"}:
        if came_from and came_from != active:
            return {"cutover": {"to": came_from}}
        return {"canary": {"percent": 0}}
    return None


def _following(document: Mapping[str, Any]) -> float | None:
    """The percentage of the step that a promotion leads to; None: it is past the last."""
    steps = document.get("steps") or ()
    position = int(document.get("step") or 0) if document.get("state") == "canary" else 0
    return float(steps[position]["percent"]) if position < len(steps) else None
