"""What a release does in each state, one thing after the other. Pure.

Rule: `COURSE` says it for all states; `following` says what is next, from what is done and what is
known. An effect is named by the release's visit of the state, so whoever goes on does what is
missing, and nothing twice.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from admin.releases.model import Event, Release, State
from admin.releases.needs import SAME_VERSION


class Kind(StrEnum):
    """What kind of thing an effect is."""

    HOOK = "hook"  # something of the user's platform
    DECLARE = "declare"  # write down which version the standby slot has
    WEIGHT = "weight"  # the canary's next step, and the pilots
    CUTOVER = "cutover"  # everybody goes over
    DRAIN = "drain"  # long connections follow
    RETURN = "return"  # everybody goes back
    SETTLE = "settle"  # write down that both slots have the version


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing to do, once. name: unique in the release. what: of a hook, its name."""

    name: str
    kind: Kind
    what: str = ""


class Waits(StrEnum):
    """What a release waits for between effects."""

    TURN = "turn"  # the release before it to end
    GATES = "gates"  # what has to pass, and who has to sign
    DWELL = "dwell"  # the canary's step, watched
    WINDOW = "window"  # the stabilisation, watched


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known beside the release itself.

    done: names of the effects that are done. begun: of those that are, or may be. missing: what the
    gates and signatures of this state lack, in words. critical: why the monitor is sure that the new version is worse, empty if it
    isn't. doubts: why it would rather wait (a warning, or too little traffic to tell).
    """

    done: Collection[str] = ()
    begun: Collection[str] = ()
    missing: Sequence[str] = ()
    critical: str = ""
    doubts: str = ""


@dataclass(frozen=True, slots=True)
class Do:
    """The effect that is next."""

    effect: Effect


@dataclass(frozen=True, slots=True)
class Take:
    """The event that has happened."""

    event: Event
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is to be done now. of: what is waited for; None: somebody's word. why: in words."""

    of: Waits | None
    why: tuple[str, ...] = ()


Next = Do | Take | Wait
DRILL_OVER: Final = "the drill is over"
"""Why a drill goes back."""
Before = "before"
After = "after"
Item = Kind | Waits | str

COURSE: Final[Mapping[State, tuple[Item, ...]]] = {
    State.PLANNED: (Waits.TURN, Before, Waits.GATES, After),
    State.DEPLOYING: (Before, Kind.DECLARE, After, Waits.GATES),
    State.VALIDATING: (Before, Waits.GATES, After),
    # Somebody may take a signature back while some are served.
    State.CANARY: (Before, Kind.WEIGHT, Waits.DWELL, Waits.GATES, After),
    State.CUTTING_OVER: (Before, Waits.GATES, Kind.CUTOVER, Kind.DRAIN, After),
    State.STABILISING: (Before, Waits.WINDOW, Waits.GATES, After),
    # That both slots have the version is written down once it was seen.
    State.FINALISING: (Before, Waits.GATES, Kind.SETTLE, After),
    # Nobody waits for a hook to be back on the version that works.
    State.ROLLING_BACK: (Kind.RETURN, Kind.DRAIN, Before, After),
    # It has moved nobody: what others have done to the routing stays.
    State.ABORTING: (Before, After),
}
"""What is done in each state, in this order; before and after are its hooks."""

WATCHED: Final = frozenset({State.CANARY, State.CUTTING_OVER, State.STABILISING})
"""Where a critical verdict brings the release back, whatever it does."""

_OVER: Final[Mapping[State, Event]] = {
    State.PLANNED: Event.START,
    State.DEPLOYING: Event.DEPLOYED,
    State.VALIDATING: Event.VALIDATED,
    State.CUTTING_OVER: Event.CUT_OVER,
    State.STABILISING: Event.STABLE,
    State.FINALISING: Event.FINALISED,
    State.ROLLING_BACK: Event.RETURNED,
    State.ABORTING: Event.CLEARED,
}


@dataclass(frozen=True, slots=True)
class Hooks:
    """Names of the user's hooks. before, after: state → names, in order."""

    before: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    after: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def following(release: Release, sight: Sight, hooks: Hooks) -> Next:
    """What is next for a release that has not ended."""
    if sight.critical and release.state in WATCHED and not release.old_is_gone:
        return Take(Event.FAULT, sight.critical)
    if release.paused:
        return Wait(None, (release.reason or "it is paused",))
    items = course(release, hooks)
    for number, item in enumerate(items):
        if isinstance(item, Effect):
            if item.name not in sight.done:
                return Do(item)
        elif not _is_past(items[number + 1 :], sight) and (waiting := _WAITS[item](release, sight)):
            return waiting
    event = over(release)
    return Take(event, _WORDS.get(event, _no_words)(release, hooks))


def _is_past(later: Sequence[Effect | Waits], sight: Sight) -> bool:
    """Whether what follows a wait has begun: then it is over, whatever has come up since."""
    return any(isinstance(each, Effect) and each.name in sight.begun for each in later)


def _no_words(_: Release, __: Hooks) -> str:
    return ""


def _drill_over(_: Release, __: Hooks) -> str:
    return DRILL_OVER


def _by_hand(release: Release, hooks: Hooks) -> str:
    """What is left to do once it is done."""
    if settles(release, hooks) or release.from_version == release.version:
        return ""
    old = release.from_version or "the version before"
    return (
        f"left to do by hand: {release.active} still has {old}, for no hook before finalising brings"
        f" it to {release.version}"
    )


_WORDS: Final[Mapping[Event, Callable[[Release, Hooks], str]]] = {
    Event.ROLLBACK: _drill_over,
    Event.FINALISED: _by_hand,
}
"""What is to be said of an event that comes of itself."""


def settles(release: Release, hooks: Hooks) -> bool:
    """Whether the slot before gets the version: by a hook, or it is waited for until it is seen there."""
    by_hook = bool(hooks.before.get(str(State.FINALISING)))
    return by_hook or any(each.gate == SAME_VERSION for each in release.needs)


def over(release: Release) -> Event:
    """The event that ends the release's state of its own."""
    if release.state is State.CANARY:
        return Event.ARRIVED if release.is_last_step else Event.STEPPED
    if release.state is State.STABILISING and release.is_drill:
        return Event.ROLLBACK
    return _OVER[release.state]


def course(release: Release, hooks: Hooks) -> list[Effect | Waits]:
    """All that is done and waited for in the release's state, in order."""
    found: list[Effect | Waits] = []
    for item in COURSE.get(release.state, ()):
        match item:
            case Waits():
                found.append(item)
            case Kind():
                if _is_of_use(item, release, hooks):
                    found.append(Effect(f"{release.visit}-{item}", item))
            case _:
                found += _hooks(item, release, hooks)
    return found


def _is_of_use(kind: Kind, release: Release, hooks: Hooks) -> bool:
    if kind is Kind.WEIGHT:
        return release.plan.is_gradual
    if kind is Kind.SETTLE:
        return settles(release, hooks)
    if kind is Kind.DRAIN:
        return release.plan.drain_per_s > 0
    return not (kind is Kind.DECLARE and release.is_drill)


def _hooks(when: str, release: Release, hooks: Hooks) -> list[Effect]:
    """Those of this moment; a canary's before its first step, and after its last."""
    if release.state is State.CANARY and (
        release.step > 0 if when == Before else not release.is_last_step
    ):
        return []
    of = hooks.before if when == Before else hooks.after
    names = of.get(str(release.state), ())
    return [Effect(f"{release.visit}-{when}-{name}", Kind.HOOK, name) for name in names]


def _turn(release: Release, _: Sight) -> Wait | None:
    if not release.waits_for:
        return None
    return Wait(Waits.TURN, (f"{release.waits_for} has not ended",))


def _gates(_: Release, sight: Sight) -> Wait | None:
    return Wait(Waits.GATES, tuple(sight.missing)) if sight.missing else None


def _dwell(release: Release, sight: Sight) -> Wait | None:
    if not release.plan.is_gradual:
        return None
    if release.dwelt_s < release.plan.dwell_s:
        return Wait(Waits.DWELL)
    # Its time is over, but nothing passes that was not measured.
    return Wait(Waits.DWELL, (sight.doubts,)) if sight.doubts else None


def _window(release: Release, sight: Sight) -> Wait | None:
    if release.dwelt_s < release.plan.window_s:
        return Wait(Waits.WINDOW)
    # A drill that is over comes back, whatever is thought of it.
    if sight.doubts and not release.is_drill:
        return Wait(Waits.WINDOW, (sight.doubts,))
    return None


_WAITS: Final[Mapping[Waits, Callable[[Release, Sight], Wait | None]]] = {
    Waits.TURN: _turn,
    Waits.GATES: _gates,
    Waits.DWELL: _dwell,
    Waits.WINDOW: _window,
}
