"""The monitor's verdict, as pages take it from a release's document. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

UNMEASURED = "unmeasured"


@dataclass(frozen=True, slots=True)
class Trigger:
    """One thing that the monitor watches. detail: in words. active, standby: its figures."""

    name: str
    level: str
    detail: str
    active: float | None = None
    standby: float | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """The monitor's verdict. level: the worst. measured: names of what was looked at."""

    level: str
    triggers: Sequence[Trigger] = ()
    measured: Sequence[str] = ()


def judged(document: Mapping[str, Any] | None) -> Judged | None:
    """A verdict as plain JSON has it; None without one."""
    if not document:
        return None
    triggers = tuple(_trigger(each) for each in document.get("triggers") or ())
    measured = tuple(str(each) for each in document.get("measured") or ())
    return Judged(str(document.get("level", UNMEASURED)), triggers, measured)


def _trigger(document: Mapping[str, Any]) -> Trigger:
    name, level, detail = (str(document.get(each) or "") for each in ("name", "level", "detail"))
    return Trigger(name, level, detail, document.get("active"), document.get("standby"))
