"""Fenced switches as their page shows them, and what a fence means. Pure."""

from dataclasses import dataclass

from admin.api.messages import SwitchState
from admin.switches.model import State

MODES = ("instant", "fenced")
_LEVELS = {State.DONE: "normal", State.UNDONE: "warning", State.UNDOING: "warning"}
_OVER = frozenset({State.DONE, State.UNDONE})


@dataclass(frozen=True, slots=True)
class SwitchShown:
    """A switch. may_cancel: it is not too late to undo it."""

    state: SwitchState
    level: str
    whom: str
    is_over: bool
    may_cancel: bool


def switch_shown(of: SwitchState) -> SwitchShown:
    """The switch as a line."""
    state = State(of.state)
    if of.tenants is None:
        whom = "everybody"
    else:
        whom = ", ".join(of.tenants[:3])
        whom += f" and {len(of.tenants) - 3} more" if len(of.tenants) > 3 else ""
    cancellable = state in {State.HOLDING, State.STEPPING}
    return SwitchShown(of, _LEVELS.get(state, "now"), whom, state in _OVER, cancellable)


def fence_says(limit_ms: int) -> list[str]:
    """What is done to the requests of those who move."""
    return [
        "Fenced: new requests of those who move wait, and what is under way ends first.",
        "Then all go on at the other slot; no tenant is served by both at a time.",
        f"If that takes longer than {limit_ms / 1000:g} s, it is undone and they go on where they were.",
    ]
