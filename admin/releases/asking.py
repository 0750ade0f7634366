"""Asks the gates that a release waits for, and knows what they and its signers have said.

Rules:
1. What a gate says is kept by the state in which it was asked; the trail has each change of its
   outcome, and what all said when the release goes on.
2. A gate that has passed is asked again once its word is stale, so that nobody goes on by what was so
   hours ago; a gate that only looks at what is known anyway is asked each time.
"""

from collections.abc import Mapping
from dataclasses import replace
from time import monotonic
from typing import Any

from admin.gates.compose import LIVE
from admin.releases import go, store
from admin.releases.config import Settings
from admin.releases.model import Release, State
from admin.releases.ports import Gates
from admin.releases.store import Record
from admin.routing.database import Connection, Database
from admin.routing.events import Hub

_LIVE_S = 5.0
"""A moment lasts so long at least."""


class Asking:
    """What this admin asks. rules: as the settings have them."""

    def __init__(self, database: Database, hub: Hub, gates: Gates, settings: Settings) -> None:
        self._database, self._hub, self._gates = database, hub, gates
        self._every_s = settings.gates_s
        self._next: dict[tuple[str, int], float] = {}
        self.rules = go.Rules(
            settings.gates.not_applicable(),
            settings.fresh_s,
            LIVE,
            max(_LIVE_S, 2 * settings.gates_s),
        )

    async def measure(self, record: Record) -> None:
        """Ask those that have not passed, or whose word is stale; not more often than is set."""
        release = record.release
        if monotonic() < self._next.get((release.name, release.visit), 0.0):
            return
        async with self._database.connection() as connection:
            before = await known(connection, release)
        names = go.to_measure(release, before, self.rules)
        phase = go.MEASURED_IN.get(release.state, 0)
        for said in await self._gates.measure(release, names) if names else ():
            await self._keep(release, said, before.said.get((said.gate, phase)))
        self._next = {(release.name, release.visit): monotonic() + self._every_s}

    async def _keep(self, release: Release, said: go.Said, before: go.Said | None) -> None:
        told = {"outcome": said.outcome, "detail": said.detail, "evidence": said.evidence}
        is_new = before is None or before.outcome != said.outcome
        async with self._database.connection() as connection:
            await store.note_gate(
                connection, release.name, release.state, said.gate, told, tell=is_new
            )
        if is_new:
            about = {"release": release.name, "event": "gate", "gate": said.gate}
            self._hub.tell("release", {**about, **told})

    async def missing(self, release: Release) -> list[str]:
        """What it lacks in its state, in words."""
        async with self._database.connection() as connection:
            return go.missing(release, await known(connection, release), self.rules)


async def known(connection: Connection, release: Release) -> go.Known:
    """What gates said last, in each phase, and who has signed what."""
    said = {
        (row["gate"], go.MEASURED_IN[State(row["state"])]): _said(row)
        for row in await store.gates(connection, release.name)
    }
    signed = {
        key: go.Signature(
            row["signer"], row["approved"], row["actor"], row["note"], row["at"].isoformat()
        )
        for key, row in (await store.signatures(connection, release.name)).items()
    }
    return go.Known(said, signed)


def _said(row: store.Row) -> go.Said:
    said = go.Said(row["gate"], row["outcome"], row["detail"], at=row["measured_at"].isoformat())
    return replace(said, age_s=max(0.0, float(row["age_s"])))


async def going(connection: Connection, release: Release) -> Mapping[str, Any]:
    """What it goes on by from its state, for the trail; empty if nothing was asked for."""
    lines = go.board(release, await known(connection, release))
    found = go.evidence(lines, go.MEASURED_IN.get(release.state, 0))
    return {"go": found} if found else {}
