"""Go or no-go: what a release still lacks in its state. Pure.

Rule: nothing passes that was not measured. A gate that has not spoken, or could not measure, is as
missing as one that has failed; a signature counts until its signer takes it back.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from admin.releases.model import Release, State

PASSING: Final = frozenset({"passed", "warned", "not-applicable"})
UNMEASURED: Final = "unmeasured"


@dataclass(frozen=True, slots=True)
class Said:
    """What a gate says. outcome: passed, warned, not-applicable, failed or unmeasured."""

    gate: str
    outcome: str
    detail: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passes(self) -> bool:
        """Whether the release may go on by it."""
        return self.outcome in PASSING


@dataclass(frozen=True, slots=True)
class Signature:
    """A signer's last word. signer: in whose name; actor: who. at: ISO 8601."""

    signer: str
    approved: bool
    actor: str
    note: str = ""
    at: str = ""


def gates_of(release: Release) -> Sequence[str]:
    """The gates that are measured in the release's state."""
    plan = release.plan
    return {State.VALIDATING: plan.gates, State.CUTTING_OVER: plan.cutover_gates}.get(
        release.state, ()
    )


def signers_of(release: Release) -> Sequence[str]:
    """Who has to sign in the release's state; before the cutover also who had to before."""
    plan = release.plan
    if release.state is State.CUTTING_OVER:
        return tuple(dict.fromkeys((*plan.signers, *plan.cutover_signers)))
    return plan.signers if release.state is State.VALIDATING else ()


def missing(
    release: Release, said: Mapping[str, Said], signed: Mapping[str, Signature]
) -> list[str]:
    """What is lacking, in words. said, signed: in this state, by gate and signer."""
    found = []
    for gate in gates_of(release):
        word = said.get(gate, Said(gate, UNMEASURED, "not measured yet"))
        if not word.passes:
            found.append(f"{gate}: {word.outcome}" + (f" ({word.detail})" if word.detail else ""))
    for signer in signers_of(release):
        signature = signed.get(signer)
        if signature is None:
            found.append(f"{signer} has not signed")
        elif not signature.approved:
            found.append(f"{signer} refuses" + (f" ({signature.note})" if signature.note else ""))
    return found


def may_sign(signer: str, actor: str, signers: Mapping[str, Collection[str]]) -> bool:
    """Whether this person may sign in that name. signers: name → people; empty: everybody may."""
    people = signers.get(signer, ())
    return not people or actor in people
