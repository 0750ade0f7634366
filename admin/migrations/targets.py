"""Targets: the schemas that are to be migrated, each in a database on a server. Pure.

Rule: names of schemas and databases come from the settings' patterns and the registry, are bounded
here, and reach SQL only through `quoted`.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from admin.migrations.config import TENANT, Settings
from admin.migrations.identifiers import MAX_NAME_BYTES
from admin.migrations.identifiers import literal as literal  # noqa: PLC0414 - used by its old name
from admin.migrations.identifiers import quoted as quoted  # noqa: PLC0414 - see above

SHARED: Final = "shared"
"""The target's name where all tenants share a schema. It is no tenant's: see `targets`."""


class TargetFault(Exception):  # noqa: N818 - a fault of settings or registry, not of this program
    """The targets can't be told; the message names the setting or the tenant."""


@dataclass(frozen=True, slots=True)
class Target:
    """One schema to migrate. tenant: whose it is; None: all share it.

    server: its name in the settings. database: empty, the one of the server's URL.
    """

    name: str
    tenant: str | None
    server: str
    database: str
    schema: str

    @property
    def place(self) -> tuple[str, str, str]:
        """Where it lies; two targets can't lie in one place."""
        return self.server, self.database, self.schema

    def is_one_of(self, names: Collection[str]) -> bool:
        """Whether it, or whose it is, is named there."""
        return self.name in names or self.tenant in names


def targets(settings: Settings, tenants: Iterable[str]) -> tuple[Target, ...]:
    """All targets, by name: of the layout, and the explicit ones over them. TargetFault.

    tenants: those of the registry.
    """
    if not settings.servers:
        raise TargetFault("[migrations.servers] names no server")
    explicit = [
        Target(each.name, each.tenant or None, each.server, each.database, each.schema)
        for each in settings.targets
    ]
    named = {each.name for each in explicit}
    owners = {each.tenant for each in explicit if each.tenant}
    derived = [
        each
        for each in _derived(settings, tenants)
        if each.name not in named and each.tenant not in owners
    ]
    found = sorted([*explicit, *derived], key=lambda target: target.name)
    _refuse_doubles(found)
    return tuple(found)


def _derived(settings: Settings, tenants: Iterable[str]) -> Iterable[Target]:
    """What the layout gives; nothing, if its server isn't there: all are explicit then."""
    if settings.server not in settings.servers:
        return
    if settings.layout == "shared":
        yield _checked(Target(SHARED, None, settings.server, settings.database, settings.schema))
        return
    for tenant in tenants:
        database = settings.database.replace(TENANT, tenant)
        schema = settings.schema.replace(TENANT, tenant)
        yield _checked(Target(tenant, tenant, settings.server, database, schema))


def _checked(target: Target) -> Target:
    for kind, name in (("schema", target.schema), ("database", target.database)):
        if len(name.encode()) > MAX_NAME_BYTES:
            raise TargetFault(
                f"{target.name}: its {kind}'s name would have more than {MAX_NAME_BYTES} bytes: "
                f"shorten the pattern [migrations] {kind}, or name the target in [migrations] targets"
            )
    return target


def _refuse_doubles(found: Iterable[Target]) -> None:
    by_place: dict[tuple[str, str, str], Target] = {}
    names: set[str] = set()
    for target in found:
        other = by_place.setdefault(target.place, target)
        if target.name in names:
            raise TargetFault(f"[migrations] targets: {target.name} stands there twice")
        if other is not target:
            raise TargetFault(f"{target.name} and {other.name} are one schema of one database")
        names.add(target.name)
