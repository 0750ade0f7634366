"""What a verdict depends on beside the statement: deployed versions, and sizes of tables. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from admin.migrations.lint.model import Cost
from admin.migrations.lint.schema import unqualified
from admin.migrations.version import Version, VersionError

SMALL_BYTES = 16 * 1024 * 1024
"""A table up to this is scanned or rewritten within a moment."""
SCAN_BYTES_PER_SECOND = 200 * 1024 * 1024
REWRITE_BYTES_PER_SECOND = 25 * 1024 * 1024
"""Rough rates of one ordinary server, so that an estimate has an order of magnitude, not more."""


class ContextError(ValueError):
    """A context that can't be used; says why."""


@dataclass(frozen=True, slots=True)
class Size:
    """A table's. bytes: with its indexes and TOAST. rows: as the planner estimates; -1: unknown."""

    bytes: int
    rows: int = -1

    @property
    def is_small(self) -> bool:
        """Whether a scan or a rewrite of it is over within a moment."""
        return self.bytes <= SMALL_BYTES

    def seconds(self, cost: Cost) -> float:
        """How long that takes, roughly."""
        rates = {Cost.SCAN: SCAN_BYTES_PER_SECOND, Cost.REWRITE: REWRITE_BYTES_PER_SECOND}
        return round(self.bytes / rates[cost], 1) if cost in rates else 0.0


@dataclass(frozen=True, slots=True)
class Context:
    """old: the versions that run, or may be rolled back to; empty: some older one, unknown.

    sizes: of tables by name, without schema.
    """

    old: tuple[Version, ...] = ()
    sizes: Mapping[str, Size] = field(default_factory=dict)

    def outlived(self, requires: Version | None) -> bool:
        """Whether no version is left that what requires this may break."""
        return bool(self.old) and requires is not None and min(self.old) >= requires

    def too_old(self, requires: Version | None) -> list[Version]:
        """The versions that are below it; all, if it says nothing."""
        return sorted(each for each in self.old if requires is None or each < requires)

    def size(self, table: str) -> Size | None:
        """The table's, if it is known."""
        return self.sizes.get(unqualified(table).strip('"'))


def how_long(size: Size | None, cost: Cost) -> str:
    """A half-sentence on how long that takes; empty if the size isn't known."""
    if size is None:
        return ""
    megabytes = size.bytes / (1024 * 1024)
    return f", for about {size.seconds(cost):g} s ({megabytes:,.0f} MiB)"


def read_context(text: str) -> tuple[Version, ...]:
    """The versions of a JSON document: `{"slots": {"blue": "1.2.0"}, "tenants": {"acme": "1.1.0"}, "rollback": ["1.0.0"]}`.

    Each part may be left out. ContextError.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ContextError(f"it is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ContextError("it is one JSON object, with slots, tenants or rollback")
    unknown = set(document) - {"slots", "tenants", "rollback"}
    if unknown:
        raise ContextError(f"{min(unknown)!r} is not known; there are slots, tenants, rollback")
    found = [
        *_values(document, "slots"),
        *_values(document, "tenants"),
        *_list(document.get("rollback", [])),
    ]
    try:
        versions = {Version.parse(each) for each in found}
    except VersionError as error:
        raise ContextError(str(error)) from None
    if not versions:
        raise ContextError("it names no version: leave it away, or say what runs")
    return tuple(sorted(versions))


def _values(document: dict[str, object], key: str) -> list[str]:
    """The versions of a map; a value may be several."""
    value = document.get(key, {})
    if not isinstance(value, dict):
        raise ContextError(f"{key} is an object: name → version, or a list of versions")
    found = []
    for each in value.values():
        found += [each] if isinstance(each, str) else _list(each)
    return found


def _list(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ContextError("versions are texts, as in ['1.2.0']")
    return value
