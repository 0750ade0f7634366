"""Runs a set of gates at once, within bounds.

Rules: findings come in the order of the gates. However badly one gate behaves, it has a finding and
the others theirs. Who cancels the run cancels all of them, and none is left behind.
"""

import asyncio
from collections.abc import Sequence

from admin.gates.bounded import bounded
from admin.gates.model import About, Finding, Gate, Measured

AT_ONCE = 4
LIMIT_S = 1800.0
"""No gate's own time-out lies above this."""


async def run(
    gates: Sequence[Gate], about: About, at_once: int = AT_ONCE, limit_s: float = LIMIT_S
) -> list[Finding]:
    """What each gate found, in their order. limit_s: seconds for one gate, beyond its own time-out."""
    room = asyncio.Semaphore(at_once)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_one(gate, about, room, limit_s), name=f"gate {gate.name}")
            for gate in gates
        ]
    return [task.result() for task in tasks]


async def _one(gate: Gate, about: About, room: asyncio.Semaphore, limit_s: float) -> Finding:
    """A gate promises not to raise, and to end; this holds if it breaks that."""
    async with room:
        kept: list[Finding] = []

        async def measuring() -> Measured:
            found = await gate.measure(about)
            kept.append(found)
            return Measured(found.outcome, found.detail, found.evidence)

        finding = await bounded(gate.name, limit_s, measuring())
        return kept[0] if kept else finding
