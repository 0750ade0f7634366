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
DRILLS, REPORT = "/v1/drills", "/v1/releases/{release}/report"
"""The API's calls, and what names the release that runs."""
BEFORE_CUTOVER = 4
"""Up to this phase, what a person signs may be signed before its time."""
_NOT_YET = frozenset({"unmeasured", "awaited"})
_SETTLED = frozenset({"normal", "warning", "watched"})
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
    """A gate, or an item of a checklist. level: how its outcome is marked. open: a person has to sign it
    yet, or again, and it is due. item: of the checklist, empty for a gate that stands by itself. due: the release has come to its
    phase. signable: a person may sign it now.
    """  # noqa: D205 - one sentence a field

    name: str
    item: str
    text: str
    phase: int
    automatic: bool
    outcome: str
    level: str
    detail: str
    measured_at: str | None
    signed_by: str
    note: str
    open: bool
    due: bool
    signable: bool


@dataclass(frozen=True, slots=True)
class PartShown:
    """A part of the checklist. settled: how many of its gates stand in nobody's way."""

    title: str
    gates: Sequence[GateShown]
    settled: int


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
    is_drill: bool
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
    parts: Sequence[PartShown]
    steps: Sequence[StepShown]
    level: str
    triggers: Sequence[TriggerShown]
    may: Sequence[tuple[str, str, bool]]
    note: str

    @property
    def signable(self) -> Sequence[GateShown]:
        """What may be signed now."""
        return [gate for part in self.parts for gate in part.gates if gate.signable]


def release_shown(document: Mapping[str, Any]) -> ReleaseShown:
    """The page of a release's document."""
    verdict = document.get("verdict") or {}
    state = str(document.get("state", "unknown"))
    return ReleaseShown(
        name=_text(document, "name"),
        version=_text(document, "version"),
        from_version=_text(document, "from_version"),
        kind=_text(document, "kind"),
        is_drill=bool(document.get("is_drill")),
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
        parts=_parts(document),
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
        note=_text(document, "note"),
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
    phase, gates = _phase(document), _gates(document)
    return [
        PhaseShown(
            number,
            title,
            _standing(number, phase, state),
            [gate for gate in gates if gate.phase == number],
        )
        for number, title in enumerate(PHASES, 1)
    ]


def _parts(document: Mapping[str, Any]) -> list[PartShown]:
    """The gates by part of the checklist; those of none by their phase. In the order of their phases."""
    found: dict[str, list[GateShown]] = {}
    gates = sorted(
        zip(_gates(document), document.get("gates") or (), strict=True),
        key=lambda pair: pair[0].phase,
    )
    for gate, told in gates:
        part = _text(told, "part")
        title = part.capitalize() if part else _title(gate.phase)
        found.setdefault(title, []).append(gate)
    return [
        PartShown(title, of, sum(each.level in _SETTLED for each in of))
        for title, of in found.items()
    ]


def _title(phase: int) -> str:
    return f"{phase} {PHASES[phase - 1]}" if 1 <= phase <= len(PHASES) else "Others"


def _phase(document: Mapping[str, Any]) -> int:
    return int(document.get("phase") or 0)


def _standing(number: int, phase: int, state: str) -> str:
    if state == "done" or number < phase:
        return "done"
    if number > phase:
        return "ahead"
    return "left" if state in LEAVING else "now"


def _gates(document: Mapping[str, Any]) -> list[GateShown]:
    phase = _phase(document)
    return [_gate(each, phase) for each in document.get("gates") or ()]


def _gate(document: Mapping[str, Any], now: int) -> GateShown:
    automatic = bool(document.get("automatic"))
    outcome = _text(document, "outcome") or "unmeasured"
    signed_by, phase = _text(document, "signed_by"), int(document.get("phase") or 0)
    is_open = not automatic and (not signed_by or outcome == "refused")
    words = outcome if automatic or signed_by else "waits for a signature"
    item = _text(document, "item")
    return GateShown(
        name=_text(document, "gate") or item,
        item=item,
        text=_text(document, "text"),
        phase=phase,
        automatic=automatic,
        outcome=words if phase <= now or outcome not in _NOT_YET else f"due in phase {phase}",
        level=_SIGNS.get(outcome, "unmeasured"),
        detail=_text(document, "detail"),
        measured_at=document.get("measured_at"),
        signed_by=signed_by,
        note=_text(document, "note"),
        open=is_open and phase <= now,
        due=phase <= now,
        signable=is_open and phase <= max(now, BEFORE_CUTOVER),
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
        if document.get("state") == "canary":
            return {"cutover": {"to": standby}}
    if word in {"rollback", "abort"} or comes_back(word, document):
        if came_from and came_from != active:
            return {"cutover": {"to": came_from}}
        return {"canary": {"percent": 0}}
    return None


def comes_back(word: str, document: Mapping[str, Any]) -> bool:
    """Whether the word ends a drill's stabilisation: then all go back."""
    ends = word in {"promote", "finalise"} and document.get("state") == "stabilising"
    return ends and bool(document.get("is_drill"))


def _following(document: Mapping[str, Any]) -> float | None:
    """The percentage of the step that a promotion leads to; None: it is past the last."""
    steps = document.get("steps") or ()
    position = int(document.get("step") or 0) if document.get("state") == "canary" else 0
    return float(steps[position]["percent"]) if position < len(steps) else None


def overtaken(document: Mapping[str, Any], active: str) -> tuple[list[str], dict[str, Any] | None]:
    """What a hotfix does to the release that runs: in words, and as a what-if if it moves anybody.

    active: the slot that the table has active now.
    """
    name, state = _text(document, "name"), _text(document, "state")
    if state in LEAVING:
        return [f"{name} goes back already: the hotfix waits for that, and begins then."], None
    if document.get("state") in {"stabilising", "finalising"} and not document.get("is_drill"):
        return [
            f"{name} has everybody: it is done with, and its way back to {_text(document, 'active')} closes.",
            "The hotfix is deployed to the other slot; nobody is moved before its canary.",
        ], None
    says = [f"{name} is {state}: it goes back first, and the hotfix begins then."]
    return says, tried_by("rollback", document, active)
