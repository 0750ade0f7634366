"""What a release needs before it may go on: the items of the checklist that its plan takes, and the
plan's own. Pure.

Rule: it is made up when the release begins, and stays what it was, whatever becomes of the settings.
"""  # noqa: D205 - one sentence

from collections.abc import Iterable

import msgspec

from admin.gates.checklist import Checklist
from admin.releases.plan import Plan

PLANS_OWN = "plan"
"""The part of what a plan needs beside the checklist."""
BEFORE_CANARY, BEFORE_CUTOVER = 3, 4
"""The phases of a plan's own gates and signatures."""
SAME_VERSION = "health-old"
"""The gate that sees the version on the slot before."""
_DRILL = "drill"
"""The gate that a drill is there for."""


class Need(msgspec.Struct, frozen=True):
    """One thing that has to be so. item: its name, unique in the release. phase: the one, 1 to 6, that
    is not left without it. gate or role: who says that it is so.
    """  # noqa: D205 - one sentence a field

    item: str
    part: str
    text: str
    phase: int
    gate: str = ""
    role: str = ""


def needs_of(plan: Plan, checklist: Checklist) -> tuple[Need, ...]:
    """All that a plan needs. checklist.NoItemError."""
    found = [
        Need(item.name, item.part, item.text, item.due, item.gate, item.role)
        for item in checklist.taken(plan.checklist)
    ]
    for gates, phase in ((plan.gates, BEFORE_CANARY), (plan.cutover_gates, BEFORE_CUTOVER)):
        for gate in dict.fromkeys(gates):
            if not any((each.gate, each.phase) == (gate, phase) for each in found):
                text = f"{gate}, measured {_WHEN[phase]}"
                found.append(Need(_free(gate, phase, found), PLANS_OWN, text, phase, gate=gate))
    for roles, phase in ((plan.signers, BEFORE_CANARY), (plan.cutover_signers, BEFORE_CUTOVER)):
        for role in dict.fromkeys(roles):
            if not any(_is_signed_by(role, phase, each) for each in found):
                text = f"{role} signs {_WHEN[phase]}"
                found.append(Need(_free(role, phase, found), PLANS_OWN, text, phase, role=role))
    return tuple(found)


def of_drill(needs: Iterable[Need]) -> tuple[Need, ...]:
    """What a drill needs of them: what is measured before all go over. It comes back by itself, so
    nothing may keep it there; and it asks nobody to sign.
    """  # noqa: D205 - one sentence
    return tuple(
        each for each in needs if each.gate not in {"", _DRILL} and each.phase <= BEFORE_CUTOVER
    )


_WHEN = {BEFORE_CANARY: "before the canary", BEFORE_CUTOVER: "before all go over"}


def _is_signed_by(role: str, phase: int, need: Need) -> bool:
    """Whether it is this signature, by then."""
    return need.item == need.role == role and need.phase <= phase


def _free(name: str, phase: int, found: Iterable[Need]) -> str:
    """A name that no other has."""
    taken = {each.item for each in found}
    names = (name, f"{name}-{phase}", f"{name}-{phase}-of-the-plan")
    return next(each for each in names if each not in taken)
