"""What a file's name says: `V1.3.0__what.sql`, `R__what.sql`, `U1.3.0__what.sql` (Flyway's naming). Pure."""

import re
from dataclasses import dataclass

from admin.migrations.catalogue.model import Kind
from admin.migrations.version import Version, VersionError

FORM = "V1.3.0__what.sql, R__what.sql or U1.3.0__what.sql"
_KINDS = {"V": Kind.VERSIONED, "R": Kind.REPEATABLE, "U": Kind.UNDO}
_NAME = re.compile(r"([VRU])(.*?)__([A-Za-z0-9_.-]{1,120})\.sql", re.ASCII)


class FileNameError(ValueError):
    """A name that doesn't fit; says why."""


@dataclass(frozen=True, slots=True)
class Name:
    """See the module."""

    kind: Kind
    version: Version | None
    words: str


def read_name(file: str) -> Name:
    """Read it. FileNameError."""
    found = _NAME.fullmatch(file)
    if found is None:
        raise FileNameError(f"a file is named {FORM}")
    kind = _KINDS[found[1]]
    if kind is Kind.REPEATABLE:
        if found[2]:
            raise FileNameError("a repeatable migration has no version: R__what.sql")
        return Name(kind, None, found[3])
    try:
        return Name(kind, Version.parse(found[2]), found[3])
    except VersionError as error:
        raise FileNameError(str(error)) from None
