"""Tries the contracts that were held back, on top of the rest, with both versions' queries.

Rule: a contract that is declared to come after the old version may break it; that is counted, and no finding.
It must not break the new version.
"""

from collections.abc import Sequence
from dataclasses import replace

from admin.migrations.catalogue.model import Migration, Statement
from admin.migrations.proof.apply import Broken, apply
from admin.migrations.proof.model import (
    ContractRun,
    Counts,
    Finding,
    FindingKind,
    Ran,
    Severity,
)
from admin.migrations.proof.queries.model import Query
from admin.migrations.proof.servers import Place, connected, quiet
from admin.migrations.proof.watching import Watch
from admin.migrations.proof.work import Work


async def try_contracts(
    clone: Place,
    contracts: Sequence[Migration],
    old: Sequence[Query],
    new: Sequence[Query],
    work: Work,
) -> None:
    """Apply them in the clone, and put what is found into the proof."""
    proof, limits, progress = work.proof, work.limits, work.progress
    if not new:
        proof.notes.append(
            "no queries of the new version were given (--new-queries): whether the contracts leave it "
            "whole is not known"
        )
    async with connected(clone, limits, work.path) as connection:
        await quiet(connection)
        watch = Watch(connection, limits, progress)
        await watch.look(old, Counts())
        theirs = Watch(connection, limits, progress, invents_nulls=False)
        await theirs.look(new, Counts())
        for contract in contracts:
            both = _Both(watch, theirs)
            earlier = (watch.story.broken, len(theirs.story.findings))
            try:
                await apply(connection, clone, [contract], limits, both)
            except Broken as broken:
                proof.findings.append(_failed(contract, broken))
                return
            broken_old = watch.story.broken - earlier[0]
            fresh = [
                each
                for each in theirs.story.findings[earlier[1] :]
                if each.severity is Severity.ERROR
            ]
            proof.findings += [
                replace(each, kind=FindingKind.CONTRACT_BREAKS_NEW) for each in fresh
            ]
            proof.ran += both.done
            proof.contracts.append(_told(contract, broken_old, len(fresh)))


class _Both:
    """An observer made of two."""

    def __init__(self, one: Watch, other: Watch) -> None:
        self._both = one, other
        self._begun = len(one.done)
        self._one = one

    @property
    def done(self) -> list[Ran]:
        """What has run since."""
        return self._one.done[self._begun :]

    async def begins(self, migration: Migration) -> None:
        await self._one.begins(migration)

    async def ran(self, ran: Ran, statement: Statement, *, visible: bool) -> None:
        for each in self._both:
            await each.ran(ran, statement, visible=visible)

    async def committed(self, migration: Migration) -> None:
        for each in self._both:
            await each.committed(migration)


def _failed(contract: Migration, broken: Broken) -> Finding:
    said = f"the contract {contract.path} fails at line {broken.point.line}: {broken.error.message}"
    return Finding(
        FindingKind.MIGRATION_FAILS, Severity.ERROR, said, point=broken.point, error=broken.error
    )


def _told(contract: Migration, old: int, new: int) -> ContractRun:
    return ContractRun(contract.key, contract.path, str(contract.requires), old, new)
