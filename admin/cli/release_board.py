"""A release as lines: what it is, where it stands, what it lacks. Pure."""

from typing import Any, Final

from admin.cli.output import percent, printable, seconds

Document = dict[str, Any]
ENDED: Final = frozenset({"done", "aborted", "rolled-back"})
_WAY: Final = (
    *("planned", "deploying", "validating", "canary", "cutting-over", "stabilising"),
    *("finalising", "done"),
)
_MARKS: Final = {
    "passed": "✓",
    "signed": "✓",
    "warned": "!",
    "not-applicable": "-",
    "failed": "✗",
    "refused": "✗",
}


def line(found: Document) -> str:
    """How it stands, on one line."""
    parts = [f"{printable(found.get('name'))}: {standing(found)}"]
    if found.get("missing"):
        parts.append(f"lacks {'; '.join(map(printable, found['missing']))}")
    if found.get("reason"):
        parts.append(printable(found["reason"]))
    return " · ".join(parts)


def standing(found: Document) -> str:
    """Its state, and what is left of what it waits for."""
    state = str(found.get("state"))
    if found.get("paused"):
        return f"{state}, paused"
    if state == "canary" and found.get("step"):
        steps = found.get("steps") or []
        number = int(found["step"])
        share = percent(steps[number - 1]["percent"]) if number <= len(steps) else ""
        return f"canary {share} (step {number} of {len(steps)}){_left(found, 'dwell_left_s')}"
    if state == "canary":
        return f"canary{_left(found, 'dwell_left_s')}"
    if state == "stabilising":
        return f"stabilising{_left(found, 'window_left_s')}"
    return state


def board(found: Document) -> list[str]:
    """All of it, for people."""
    versions = f"{found.get('from_version') or '?'} → {found.get('version')}"
    slots = f"{found.get('active')} → {found.get('standby')}"
    kind = "drill" if found.get("is_drill") else found.get("kind")
    lines = [
        f"{printable(found.get('name'))}  {kind}, {versions}, {slots}, by {found.get('started_by')}",
        f"  {_way(str(found.get('state')))}",
        f"  {standing(found)}",
    ]
    lines += [f"  {each}" for each in checklist(found)]
    lines += [f"  ✗ {printable(each)}" for each in found.get("missing") or []]
    verdict = found.get("verdict") or {}
    if verdict.get("level"):
        lines.append(f"  monitor: {printable(verdict['level'])}")
        lines += [f"    {_trigger(each)}" for each in verdict.get("triggers") or []]
    for name in ("reason", "fault", "note"):
        if found.get(name):
            lines.append(f"  {name}: {printable(found[name])}")
    if found.get("may"):
        lines.append(f"  may: {', '.join(found['may'])}")
    return lines


def _way(state: str) -> str:
    """The way of a release, with where it stands; the way back stands for itself."""
    if state not in _WAY:
        return state
    at = _WAY.index(state)
    marks = ("●" if number < at else "◉" if number == at else "○" for number in range(len(_WAY)))
    return "  ".join(f"{mark} {name}" for mark, name in zip(marks, _WAY, strict=True))


def checklist(found: Document) -> list[str]:
    """All that it needs, by phase; what is not due yet has its words, and no mark."""
    lines, gates = [], found.get("gates") or []
    for phase in sorted({int(gate.get("phase") or 0) for gate in gates}):
        lines.append(f"phase {phase}")
        lines += [f"  {_gate(gate)}" for gate in gates if gate.get("phase") == phase]
    return lines


def _gate(gate: Document) -> str:
    mark = _MARKS.get(str(gate.get("outcome")), "·")
    item, by = printable(gate.get("item") or gate.get("gate")), printable(gate.get("gate"))
    whose = "" if item == by else f" ({by})"
    who = f", {printable(gate['signed_by'])}" if gate.get("signed_by") else ""
    told = gate.get("detail") or gate.get("note")
    detail = f": {printable(told)}" if told else ""
    return f"{mark} {item}{whose} {gate.get('outcome')}{who}{detail}"


def _trigger(trigger: Document) -> str:
    name, level = printable(trigger.get("name")), printable(trigger.get("level"))
    return f"{name} {level}: {printable(trigger.get('detail'))}"


def _left(found: Document, name: str) -> str:
    left = found.get(name)
    return f", {seconds(float(left))} left" if left else ""
