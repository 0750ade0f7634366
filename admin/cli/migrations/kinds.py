"""The kinds of values that options of `turnout migrations` take. What reads them is imported on use."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from admin.migrations.version import Version


class ReferenceType(click.ParamType[str]):
    """Where a database's URL stands: never the URL itself, which others would see in `ps`."""

    name = "reference"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The reference, or wrong usage that doesn't repeat what may be a secret."""
        from admin.migrations.references import is_reference  # noqa: PLC0415 - not needed for --help

        if not is_reference(str(value)):
            self.fail("name where the URL stands: env:NAME or file:/path", param, ctx)
        return str(value)


class VersionType(click.ParamType["Version"]):
    """A semantic version."""

    name = "version"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Version":
        """The version, or wrong usage."""
        from admin.migrations.version import Version, VersionError  # noqa: PLC0415 - see above

        try:
            return value if isinstance(value, Version) else Version.parse(str(value))
        except VersionError as error:
            self.fail(str(error), param, ctx)


REFERENCE = ReferenceType()
VERSION = VersionType()
FILE = click.Path(exists=True, path_type=Path)
