"""`turnout migrations lint`: the files, the context, the report, the exit code."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from admin.cli.failures import Failure
from admin.cli.migrations.kinds import FILE, VERSION
from admin.cli.output import console, printable, show_json

if TYPE_CHECKING:
    from admin.migrations.catalogue.model import Catalogue, Migration
    from admin.migrations.lint.context import Size
    from admin.migrations.lint.model import Report
    from admin.migrations.lint.run import Beside
    from admin.migrations.lint.schema import Schema
    from admin.migrations.version import Version

FOUND = 1
UNREADABLE = 2
EPILOG = """\b
Exit codes
  0  nothing found, or all of it suppressed
  1  findings
  2  the files, the context or the database can't be read; wrong usage
"""


@click.command(epilog=EPILOG)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--after", type=VERSION, help="Only what is newer; the older is taken to be applied.")
@click.option("--old", type=VERSION, multiple=True, help="A version that runs, or may come back.")
@click.option("--context", type=FILE, help="A JSON file with these versions.")
@click.option("--database", metavar="REF", help="env:NAME or file:/path of a URL: sizes, types.")
@click.option("--schema", default="public", show_default=True, help="The schema to look at there.")
@click.option(
    "--database-timeout-s",
    type=click.FloatRange(0.1),
    default=30.0,
    show_default=True,
    help="How long that may take.",
)
@click.option("--squawk/--no-squawk", default=True, help="Squawk's findings too, if installed.")
@click.option(
    "--squawk-timeout-s",
    type=click.FloatRange(0.1),
    default=30.0,
    show_default=True,
    help="How long it may take for a file.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "sarif", "github"]),
    default="text",
    show_default=True,
    help="What is printed.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def lint(folder: Path, form: str, as_json: bool, **options: Any) -> None:
    """What each statement means for a version that may come back, and whom it blocks.

    FOLDER holds the migrations: V1.3.0__what.sql, R__what.sql, U1.3.0__what.sql.
    """
    report = _report(folder, options)
    _show(report, "json" if as_json else form)
    if report.findings:
        click.get_current_context().exit(FOUND)


def _report(folder: Path, options: Mapping[str, Any]) -> "Report":
    from admin.migrations.lint.context import Context  # noqa: PLC0415 - not needed for --help
    from admin.migrations.lint.run import lint as judge  # noqa: PLC0415 - as above

    catalogue = _catalogue(folder)
    migrations = _newer(catalogue, options["after"])
    old = _versions(options["old"], options["context"])
    schema, sizes = _known(catalogue, options)
    beside, notes = _beside(migrations, options)
    report = judge(migrations, Context(old, sizes), schema, beside)
    # Where they lie as seen from here, so that what reads the report finds them.
    statements = tuple(replace(each, file=str(folder / each.file)) for each in report.statements)
    return replace(report, statements=statements, notes=notes)


def _catalogue(folder: Path) -> "Catalogue":
    from admin.migrations.catalogue.model import CatalogueError  # noqa: PLC0415 - as above
    from admin.migrations.catalogue.read import read  # noqa: PLC0415 - as above

    try:
        return read(folder)
    except CatalogueError as error:
        said = "\n  ".join(printable(fault) for fault in error.faults)
        raise Failure(f"the migrations can't be read:\n  {said}", UNREADABLE) from None


def _newer(catalogue: "Catalogue", after: "Version | None") -> "tuple[Migration, ...]":
    """What is to be judged: what has a version above, the undos of those, and all that is repeatable."""
    return tuple(
        each
        for each in catalogue.migrations
        if after is None or each.version is None or each.version > after
    )


def _versions(old: Sequence["Version"], context: Path | None) -> "tuple[Version, ...]":
    """Those that were named, and those of the file."""
    from admin.migrations.lint.context import ContextError, read_context  # noqa: PLC0415 - as above

    if context is None:
        return tuple(old)
    try:
        return (*old, *read_context(context.read_text("utf-8")))
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise Failure(f"{context} can't be read: {reason}", UNREADABLE) from None
    except ContextError as error:
        raise Failure(f"{context}: {printable(error)}", UNREADABLE) from None


def _known(
    catalogue: "Catalogue", options: Mapping[str, Any]
) -> "tuple[Schema | None, Mapping[str, Size]]":
    """What is there before the first statement: by a database, or by the older files."""
    from admin.migrations.lint.run import schema_of  # noqa: PLC0415 - as above

    reference = options["database"]
    if reference is None:
        after = options["after"]
        return (schema_of(catalogue, after) if after else None), {}
    from admin.migrations.lint.database import DatabaseError, look  # noqa: PLC0415 - as above
    from admin.migrations.references import is_reference  # noqa: PLC0415 - as above

    if not is_reference(reference):
        # What was given may be the URL itself, with its password: it isn't repeated.
        raise click.UsageError("--database names where the URL stands: env:NAME, or file:/path")
    try:
        known = asyncio.run(look(reference, options["schema"], options["database_timeout_s"]))
    except DatabaseError as error:
        raise Failure(printable(error), UNREADABLE) from None
    return known.schema, known.sizes


def _beside(
    migrations: "Sequence[Migration]", options: Mapping[str, Any]
) -> "tuple[Beside | None, tuple[str, ...]]":
    """Squawk's findings, and why there are none."""
    from admin.migrations.lint.squawk import SquawkError, findings_of, program  # noqa: PLC0415 - as above

    if not options["squawk"]:
        return None, ()
    found = program()
    if found is None:
        return None, ("squawk is not installed; its findings would stand beside these",)
    try:
        return findings_of(migrations, found, options["squawk_timeout_s"]), ()
    except SquawkError as error:
        raise Failure(printable(error), UNREADABLE) from None


def _show(report: "Report", form: str) -> None:
    from admin.migrations.lint.output.document import document  # noqa: PLC0415 - as above
    from admin.migrations.lint.output.github import github  # noqa: PLC0415 - as above
    from admin.migrations.lint.output.sarif import sarif  # noqa: PLC0415 - as above
    from admin.migrations.lint.output.terminal import lines  # noqa: PLC0415 - as above

    match form:
        case "json":
            show_json(document(report))
        case "sarif":
            show_json(sarif(report))
        case "github":
            for line in github(report):
                click.echo(line)
        case _:
            for each in lines(report):
                console().print(printable(each.text), style=each.style or None)
