"""Go or no-go: what a release still lacks in its state, and all that it needs in any. Pure.

Rules:
1. Nothing passes that was not measured. A gate that has not spoken, or could not measure, is as
   missing as one that has failed; NOT_APPLICABLE passes only for gates of which the settings say so.
2. To leave a phase all is needed that is due by then. What a gate said counts in the phase in which
   it is due, as long as it is fresh; what passed in an earlier phase has passed.
3. Of several signatures of an item the last counts. A refusal stands until the same role approves.
4. What is on its way back needs nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from admin.releases.model import PHASES, Release, State
from admin.releases.needs import BEFORE_CUTOVER, Need

PASSING: Final = frozenset({"passed", "warned"})
NOT_APPLICABLE: Final = "not-applicable"
UNMEASURED: Final = "unmeasured"
MEASURED_IN: Final[Mapping[State, int]] = {
    State.PLANNED: 1,
    State.DEPLOYING: 2,
    State.VALIDATING: 3,
    State.CUTTING_OVER: 4,
    State.STABILISING: 5,
    State.FINALISING: 6,
}
"""The states in which gates are measured, and the phase of those that are."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a gate says. outcome: passed, warned, not-applicable, failed or unmeasured.

    age_s: how long ago it said so. at: when, ISO 8601.
    """

    gate: str
    outcome: str
    detail: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    age_s: float = 0.0
    at: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """A signer's last word. signer: in whose name; actor: who. at: ISO 8601."""

    signer: str
    approved: bool
    actor: str
    note: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say of gates.

    not_applicable: those that have nothing to measure. fresh_s: so long a measurement counts in its
    phase. live: gates that tell only of the moment, and count for live_s.
    """

    not_applicable: Collection[str] = ()
    fresh_s: float = float("inf")
    live: Collection[str] = ()
    live_s: float = float("inf")

    def passes(self, said: Said) -> bool:
        """Whether the release may go on by it."""
        if said.outcome == NOT_APPLICABLE:
            return said.gate in self.not_applicable
        return said.outcome in PASSING

    def is_stale(self, said: Said) -> bool:
        """Whether it was said too long ago."""
        return said.age_s > (self.live_s if said.gate in self.live else self.fresh_s)


@dataclass(frozen=True, slots=True)
class Known:
    """What was said so far. said: by gate and phase; signed: by item and role."""

    said: Mapping[tuple[str, int], Said] = field(default_factory=dict)
    signed: Mapping[tuple[str, str], Signature] = field(default_factory=dict)


NOTHING: Final = Known()


def gates_of(release: Release) -> list[str]:
    """The gates that are measured in the release's state, once each."""
    phase = MEASURED_IN.get(release.state)
    return list(
        dict.fromkeys(each.gate for each in release.needs if each.gate and each.phase == phase)
    )


def to_measure(release: Release, known: Known, rules: Rules) -> list[str]:
    """Those of them that have not passed, or have to be asked again."""
    phase = PHASES[release.state]

    def is_wanted(gate: str) -> bool:
        said = known.said.get((gate, phase))
        return said is None or gate in rules.live or not rules.passes(said) or rules.is_stale(said)

    return [gate for gate in gates_of(release) if is_wanted(gate)]


def missing(release: Release, known: Known, rules: Rules) -> list[str]:
    """What the release lacks to leave its state, in words; nothing: go."""
    if release.ended or release.is_back:
        return []
    phase = PHASES[release.state]
    measured_now = MEASURED_IN.get(release.state)
    found = []
    for need in release.needs:
        if need.phase > phase:
            continue
        if need.gate:
            why = _unmeasured(need, known, rules, is_now=need.phase == measured_now)
        else:
            why = _unsigned(need, known)
        if why:
            found.append(why)
    return found


def _unmeasured(need: Need, known: Known, rules: Rules, *, is_now: bool) -> str:
    what = need.item if need.item == need.gate else f"{need.item}: {need.gate}"
    said = known.said.get((need.gate, need.phase))
    if said is None:
        return f"{what}: {UNMEASURED} (not measured yet)"
    if not rules.passes(said):
        return f"{what}: {said.outcome}" + (f" ({said.detail})" if said.detail else "")
    if is_now and rules.is_stale(said):
        return f"{what}: {UNMEASURED} (measured {said.age_s:.0f} s ago, and is measured anew)"
    return ""


def _unsigned(need: Need, known: Known) -> str:
    what = need.role if need.item == need.role else f"{need.item}: {need.role}"
    signature = known.signed.get((need.item, need.role))
    if signature is None:
        return f"{what} has not signed"
    if signature.approved:
        return ""
    return f"{what} refuses" + (f" ({signature.note})" if signature.note else "")


@dataclass(frozen=True, slots=True)
class Line:
    """A need with what is known of it. outcome: a gate's, or signed, refused or awaited."""

    need: Need
    outcome: str
    detail: str = ""
    at: str | None = None
    by: str | None = None
    note: str = ""


def board(release: Release, known: Known) -> list[Line]:
    """All that the release needs, in all phases: the whole go/no-go."""
    return [_measured(each, known) if each.gate else _signed(each, known) for each in release.needs]


def _measured(need: Need, known: Known) -> Line:
    said = known.said.get((need.gate, need.phase))
    if said is None:
        return Line(need, UNMEASURED, "not measured yet")
    return Line(need, said.outcome, said.detail, said.at)


def _signed(need: Need, known: Known) -> Line:
    said = known.signed.get((need.item, need.role))
    if said is None:
        return Line(need, "awaited")
    outcome = "signed" if said.approved else "refused"
    return Line(need, outcome, "", said.at, said.actor, said.note)


def unsigned(release: Release, known: Known) -> list[str]:
    """What has to be signed to leave the release's state, and nobody has said anything of."""
    if release.ended or release.is_back:
        return []
    due = [each for each in board(release, known) if each.need.phase <= PHASES[release.state]]
    return [
        each.need.role
        if each.need.item == each.need.role
        else f"{each.need.item}: {each.need.role}"
        for each in due
        if each.outcome == "awaited"
    ]


class NotAskedError(Exception):
    """Nobody is asked to sign that; the message says who is, for what."""


class NotYetError(Exception):
    """It can't be known yet; the message says in which phase."""


def to_sign(release: Release, known: Known, *, item: str = "", role: str = "") -> tuple[Need, ...]:
    """What is signed by this item, or in this role. NotAskedError, NotYetError.

    A role signs what is due by now: its last phase, and what it has not approved before. If none is
    due yet, its next: but what a person sees after the cutover is not signed before.
    """
    of = [each for each in release.needs if each.role and (each.item == item or each.role == role)]
    if not of:
        known_by = [each.item if item else each.role for each in release.needs if each.role]
        names = ", ".join(dict.fromkeys(known_by)) or "nobody"
        raise NotAskedError(f"the plan asks {names} to sign")
    phase = PHASES[release.state]
    due = [each for each in of if each.phase <= phase]
    at = max((each.phase for each in due), default=min(each.phase for each in of))
    if at > max(phase, BEFORE_CUTOVER):
        raise NotYetError(f"{of[0].item} is signed in phase {at}, and the release is in {phase}")
    if not due:
        return tuple(each for each in of if each.phase == at)
    return tuple(each for each in due if each.phase == at or _unsigned(each, known))


def may_sign(signer: str, actor: str, signers: Mapping[str, Collection[str]]) -> bool:
    """Whether this person may sign in that name. signers: name → people; empty: everybody may."""
    people: Collection[str] = signers.get(signer, ())
    return not people or actor in people


def evidence(lines: Sequence[Line], phase: int) -> list[dict[str, Any]]:
    """What a release goes on by, for the trail: all that was due in this phase."""
    return [
        {
            "item": each.need.item,
            "outcome": each.outcome,
            "detail": each.detail,
            "at": each.at,
            "by": each.by,
        }
        for each in lines
        if each.need.phase == phase
    ]
