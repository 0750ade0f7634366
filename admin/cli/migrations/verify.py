"""`turnout migrations verify`: the old version's queries and tests on the new schema, in a scratch clone."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from admin.cli.failures import Failure
from admin.cli.migrations.kinds import FILE, REFERENCE, VERSION
from admin.cli.migrations.scratch_options import (
    COULD_NOT,
    FOUND,
    catalogue_of,
    place_of,
    run_to_the_end,
    save,
    server_of,
)
from admin.cli.options import DURATION, as_json_option
from admin.cli.output import say, show_json, warn

if TYPE_CHECKING:
    from admin.migrations.proof.model import Proof
    from admin.migrations.proof.verify import Request


@click.command(
    epilog="""\b
Exit codes
  0    proven
  1    findings
  2    could not run
  130  interrupted; the clone is removed
"""
)
@click.option("--database", type=REFERENCE, help="The database to clone: env:NAME or file:/path.")
@click.option("--snapshot", type=FILE, help="An archive of pg_dump to restore in place of it.")
@click.option(
    "--scratch", type=REFERENCE, help="The server for the clone. Default: the database's own."
)
@click.option(
    "--maintenance-database",
    default="postgres",
    show_default=True,
    help="From which clones are made.",
)
@click.option(
    "--folder", type=FILE, default=Path("migrations"), show_default=True, help="The catalogue."
)
@click.option("--schema", default="public", show_default=True, help="The schema that is migrated.")
@click.option(
    "--by",
    type=click.Choice(["dump", "template"]),
    default="dump",
    show_default=True,
    help="How the clone is made; template needs a database that nobody uses.",
)
@click.option("--data/--schema-only", default=False, help="Whether rows are cloned. Default: not.")
@click.option(
    "--extra-schema",
    "extra_schemas",
    multiple=True,
    default=["public"],
    show_default=True,
    help="Further schemas of the search path.",
)
@click.option(
    "--only-schema",
    "only_schemas",
    multiple=True,
    help="Clone only these schemas, where each tenant has one: --schema, and what it needs.",
)
@click.option(
    "--from",
    "after",
    help="The last version that is applied, or none. Default: what the schema's own history says.",
)
@click.option("--to", type=VERSION, help="The last version to prove. Default: the last there is.")
@click.option(
    "--old-version",
    "old",
    type=VERSION,
    help="The application version that may come back. Default: what the schema is at.",
)
@click.option(
    "--queries", type=FILE, multiple=True, help="A .sql file of the old version's queries."
)
@click.option(
    "--query-log",
    type=FILE,
    multiple=True,
    help="A log of PostgreSQL's: stderr, csvlog or jsonlog.",
)
@click.option(
    "--statistics/--no-statistics",
    default=True,
    help="Take pg_stat_statements of the database. Default: if it is there.",
)
@click.option(
    "--new-queries",
    type=FILE,
    multiple=True,
    help="A .sql file or .log of the new version's queries.",
)
@click.option(
    "--command", default="", help="Run in a shell against the clone: the old version's tests."
)
@click.option(
    "--command-variable",
    default="DATABASE_URL",
    show_default=True,
    help="The variable that gets the clone's URL.",
)
@click.option(
    "--undo/--no-undo", default=True, help="Try the undo files. Default: if there are some."
)
@click.option("--strict", is_flag=True, help="Warnings are findings too.")
@click.option(
    "--evidence",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Save what was proven, for a gate.",
)
@click.option(
    "--sweep", is_flag=True, help="Only remove clones that were left behind, however old."
)
@click.option(
    "--programs",
    type=FILE,
    help="The folder of pg_dump and pg_restore. Default: PATH and the usual ones.",
)
@click.option(
    "--lock-timeout-s", type=float, default=2.0, show_default=True, help="Of each statement."
)
@click.option(
    "--statement-timeout-s", type=float, default=600.0, show_default=True, help="Of each statement."
)
@click.option(
    "--try-s", type=float, default=2.0, show_default=True, help="Of each query that is tried."
)
@click.option(
    "--copy-limit",
    "copy_s",
    type=DURATION,
    default="30m",
    show_default=True,
    help="Of making the clone.",
)
@click.option(
    "--command-limit",
    "command_s",
    type=DURATION,
    default="30m",
    show_default=True,
    help="Of the command.",
)
@click.option(
    "--clone-age",
    "clone_age_s",
    type=DURATION,
    default="6h",
    show_default=True,
    help="After which a clone counts as left behind.",
)
@click.option(
    "--max-queries",
    "queries_most",
    type=click.IntRange(1),
    default=2000,
    show_default=True,
    help="Those called most first.",
)
@as_json_option
def verify(
    *, as_json: bool, evidence: Path | None, strict: bool, sweep: bool, **given: Any
) -> None:
    """Prove that the old version works on the new schema, in a scratch clone that is removed."""
    if sweep:
        _sweep(given, as_json=as_json)
        return
    from admin.cli.migrations.verify_report import report  # noqa: PLC0415 - not needed for --help
    from admin.migrations.proof import evidence as evidences  # noqa: PLC0415

    asked = _request(given)
    proof = _proved(asked, as_json=as_json)
    document = evidences.evidence(proof, datetime.now(UTC), strict=strict)
    if evidence:
        save(document, evidence)
    if as_json:
        show_json(document)
    else:
        report(proof, strict=strict)
    if not proof.is_proven(strict=strict):
        raise SystemExit(FOUND)


def _proved(asked: "Request", *, as_json: bool) -> "Proof":
    from admin.migrations.proof.verify import verify as prove  # noqa: PLC0415 - see above

    begun = time.monotonic()

    def progress(text: str) -> None:
        if not as_json:
            warn(f"{time.monotonic() - begun:6.1f} s  {text}")

    return run_to_the_end(lambda: prove(asked, progress), as_json=as_json)


def _request(given: dict[str, Any]) -> "Request":
    """From the options to what is asked for. Failure, or wrong usage."""
    from admin.migrations.proof.verify import Request  # noqa: PLC0415 - see above

    if bool(given["database"]) == bool(given["snapshot"]):
        raise click.UsageError("give --database or --snapshot")
    if given["snapshot"] and not given["scratch"]:
        raise click.UsageError("--snapshot needs --scratch: the server that it is restored at")
    if given["by"] == "template" and (given["snapshot"] or given["scratch"]):
        raise click.UsageError("--by template copies within the database's own server")
    source = place_of(given["database"]) if given["database"] else None
    after = given["after"]
    database = source.database if source else ""
    return Request(
        catalogue=catalogue_of(given["folder"]),
        server=_server(given),
        source=source,
        snapshot=given["snapshot"],
        schema=given["schema"],
        by_template=given["by"] == "template",
        data=given["data"],
        only_schemas=given["only_schemas"],
        extra_schemas=given["extra_schemas"],
        after=VERSION.convert(after, None, None) if after and after != "none" else None,
        is_empty=after == "none",
        to=given["to"],
        old=given["old"],
        queries=_read([*given["queries"]], given["query_log"], database),
        new_queries=_read(given["new_queries"], (), database),
        statistics=given["statistics"],
        undo=given["undo"],
        command=given["command"],
        variable=given["command_variable"],
        hidden=_hidden(given),
        programs=given["programs"],
        limits=_limits(given),
    )


def _limits(given: dict[str, Any]) -> Any:
    from admin.migrations.proof.limits import Limits  # noqa: PLC0415 - see above

    names = ("lock_timeout_s", "statement_timeout_s", "try_s", "copy_s", "command_s", "clone_age_s")
    return Limits(queries=given["queries_most"], **{name: given[name] for name in names})


def _server(given: dict[str, Any]) -> Any:
    reference = given["scratch"] or given["database"]
    return server_of(reference, given["maintenance_database"], named=bool(given["scratch"]))


def _hidden(given: dict[str, Any]) -> frozenset[str]:
    """The variables in which real databases stand."""
    references = (given["database"] or "", given["scratch"] or "")
    return frozenset(each.removeprefix("env:") for each in references if each.startswith("env:"))


def _read(files: Any, query_logs: Any, database: str) -> list[Any]:
    """The queries of all files. Failure: one can't be read."""
    from admin.migrations.catalogue.grammar import GrammarError  # noqa: PLC0415 - see above
    from admin.migrations.proof.queries import files as sql_files  # noqa: PLC0415
    from admin.migrations.proof.queries import logs  # noqa: PLC0415

    found: list[Any] = []
    file = Path()
    try:
        for file in files:
            if file.suffix in {".log", ".csv", ".json"}:
                found += _read((), (file,), database)
            else:
                found += sql_files.queries_of(file.read_text("utf-8"), file.name)
        for file in query_logs:
            with file.open(encoding="utf-8", errors="replace", newline="") as lines:
                found += logs.queries_of(lines, file.name, database)
    except GrammarError as error:
        raise Failure(f"{file}:{error.line}:{error.column}: {error}", COULD_NOT) from None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise Failure(f"{file} can't be read: {reason}", COULD_NOT) from None
    return found


def _sweep(given: dict[str, Any], *, as_json: bool) -> None:
    from admin.migrations.proof.clone import Scratch  # noqa: PLC0415 - see above

    if not (given["scratch"] or given["database"]):
        raise click.UsageError("--sweep needs --scratch or --database: the server to look at")
    scratch = Scratch(_server(given), _limits(given), warn)
    removed = run_to_the_end(lambda: scratch.sweep(everything=True), as_json=as_json)
    if as_json:
        show_json({"removed": removed})
    else:
        for name in removed:
            say(f"removed {name}")
        say(f"{len(removed)} removed")
