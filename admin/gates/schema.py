"""Schema: every tenant's schema serves the new version, and the old one too, so that one can go back.

What a schema serves is the ledger's to say (`admin.migrations.compatibility`); this looks at all tenants
at once, before anything is moved. Files of the folder that no plan knows count as pending.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from admin.gates.bounded import bounded
from admin.gates.config import Schema
from admin.gates.model import NAMED, About, Finding, Measured, Outcome, UnmeasuredError, few
from admin.migrations.catalogue.model import CatalogueError, Phase
from admin.migrations.catalogue.read import read as read_catalogue
from admin.migrations.compatibility import Schemas
from admin.migrations.config import Settings as Migrating
from admin.migrations.guard import SchemaLimits, read, with_version
from admin.migrations.version import Version, VersionError
from admin.routing.database import Database
from proxy.routing.model import Slot

_NO_SCHEMA = (
    "the ledger knows no schema: plan the migrations; or, if Turnout migrates none, say "
    "releases.gates.schema.applies = false"
)


@dataclass(frozen=True, slots=True)
class Served:
    """Who is served by what. forward: tenants whose schema does not serve the new version, with why;
    back: the old one. unknown: tenants of whose schema nothing is known.
    """  # noqa: D205 - one sentence a field

    tenants: int
    forward: tuple[tuple[str, str], ...] = ()
    back: tuple[tuple[str, str], ...] = ()
    unknown: tuple[str, ...] = ()


class SchemaGate:
    """Asks the ledger of every tenant. migrating: where the files of migrations lie."""

    name = "schema"

    def __init__(self, settings: Schema, database: Database, migrating: Migrating) -> None:
        self._settings, self._database, self._migrating = settings, database, migrating

    async def measure(self, about: About) -> Finding:
        """See `Gate`."""
        return await bounded(self.name, self._settings.limit_s, self._measure(about))

    async def _measure(self, about: About) -> Measured:
        if not self._settings.applies:
            return Measured(Outcome.NOT_APPLICABLE, "the settings say that there are no schemas")
        if not about.from_version:
            raise UnmeasuredError(
                f"nobody has said what {about.active} runs: `turnout versions set {about.active} …`, "
                "then begin the release anew"
            )
        new, old = _version(about.version), _version(about.from_version)
        async with self._database.connection() as connection:
            limits = await read(connection)
        pending = await self._unplanned(limits, new)
        return judge(limits.schemas, about, new, old, pending)

    async def _unplanned(self, limits: SchemaLimits, new: Version) -> list[str]:
        """The expansions up to the new version that no plan knows."""
        if not self._migrating.servers:
            return []
        try:
            found = await asyncio.to_thread(read_catalogue, Path(self._migrating.folder))
        except CatalogueError as error:
            raise UnmeasuredError(f"the folder of migrations has faults: {error}") from None
        return [
            each.path
            for each in found.versioned
            if each.phase is Phase.EXPAND and each.version is not None
            if each.version <= new and each.version not in limits.known
        ]


def judge(
    schemas: Schemas, about: About, new: Version, old: Version, pending: Sequence[str]
) -> Measured:
    """What the ledger's knowledge comes to. pending: files that no plan knows."""
    said = schemas.versions.get(about.standby)
    schemas = with_version(with_version(schemas, about.standby, new), about.active, old)
    served = look(schemas, about)
    evidence = {
        "tenants": served.tenants,
        "standby_says": None if said is None else str(said),
        "unserved_by_new": dict(served.forward[:NAMED]),
        "unserved_by_old": dict(served.back[:NAMED]),
        "unknown": list(served.unknown[:NAMED]),
        "pending": list(pending[:NAMED]),
    }
    for outcome, detail in _faults(served, about, said, new, old, pending):
        return Measured(outcome, detail, evidence)
    detail = f"the schemas of all {served.tenants} tenants serve {new}, and {old} if one goes back"
    return Measured(Outcome.PASSED, detail, evidence)


def _faults(
    served: Served,
    about: About,
    said: Version | None,
    new: Version,
    old: Version,
    pending: Collection[str],
) -> list[tuple[Outcome, str]]:
    """What is wrong, the worst first."""
    found = []
    for version, slot, unserved in (
        (new, about.standby, served.forward),
        (old, about.active, served.back),
    ):
        if unserved:
            names = few(
                [tenant or "tenants without a schema of their own" for tenant, _ in unserved]
            )
            detail = f"{version} on {slot} is not served by the schema of {names}: {unserved[0][1]}"
            found.append((Outcome.FAILED, detail))
    if pending:
        detail = f"{len(pending)} migrations are in no plan: {few(list(pending))}"
        found.append((Outcome.FAILED, detail))
    if said is not None and said != new:
        found.append((Outcome.FAILED, f"{about.standby} is said to run {said}, not {new}"))
    if served.unknown:
        detail = f"nothing is known of the schema of {few(list(served.unknown))}"
        found.append((Outcome.UNMEASURED, detail))
    if not served.tenants:
        found.append((Outcome.UNMEASURED, _NO_SCHEMA))
    return found


def look(schemas: Schemas, about: About) -> Served:
    """Every tenant's schema, at both versions."""
    if not schemas.of and schemas.of_all is None:
        return Served(0)
    tenants = sorted({*schemas.of, *about.tenants}) or [""]
    known = [tenant for tenant in tenants if schemas.serving(tenant) is not None]

    def unserved(slot: Slot) -> tuple[tuple[str, str], ...]:
        whys = ((tenant, schemas.why_not(tenant, slot)) for tenant in known)
        return tuple((tenant, why) for tenant, why in whys if why)

    unknown = tuple(tenant for tenant in tenants if schemas.serving(tenant) is None)
    return Served(len(tenants), unserved(about.standby), unserved(about.active), unknown)


def _version(text: str) -> Version:
    try:
        return Version.parse(text)
    except VersionError as error:
        raise UnmeasuredError(str(error)) from None
