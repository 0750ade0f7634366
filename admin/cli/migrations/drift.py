"""`turnout migrations drift`: the real schema against the expected one, or the schemas of many targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from admin.cli.migrations.kinds import FILE, REFERENCE, VERSION
from admin.cli.migrations.scratch_options import (
    FOUND,
    catalogue_of,
    place_of,
    run_to_the_end,
    save,
    saved_fingerprint,
    server_of,
    text_of,
)
from admin.cli.options import TENANT_LIST, as_json_option
from admin.cli.output import counted, say, show_json, warn

if TYPE_CHECKING:
    from admin.migrations.catalogue.model import Catalogue
    from admin.migrations.drift.model import Drifted, Fingerprint
    from admin.migrations.proof.servers import Place
    from admin.migrations.version import Version


@dataclass(frozen=True, slots=True)
class Asked:
    """What is compared with what."""

    source: "Place"
    schema: str
    server: "Place"
    other: "Place | None"
    other_schema: str
    saved: "Fingerprint | None"
    catalogue: "Catalogue | None"
    at: "Version | None"
    baseline: str
    ignored: Sequence[str]
    grants: bool


@click.command(
    epilog="""\b
Exit codes
  0  as expected
  1  there is drift
  2  could not look: at all, or at one of many targets
"""
)
@click.option(
    "--database",
    type=REFERENCE,
    help="One database: env:NAME or file:/path. Without it, the targets that the settings tell.",
)
@click.option("--schema", help="Its schema. Default: public.")
@click.option(
    "--config",
    "config_path",
    envvar="TURNOUT_CONFIG",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The settings that tell of the targets, as a worker has them (TURNOUT_CONFIG).",
)
@click.option("--tenants", type=TENANT_LIST, help="Only theirs, separated by commas.")
@click.option(
    "--server",
    "servers",
    multiple=True,
    help="Only targets on this one of migrations.servers. May be given more than once.",
)
@click.option(
    "--at-once",
    type=click.IntRange(1, 1000),
    help="How many of a server's targets at a time. Default: the server's at_once.",
)
@click.option(
    "--folder",
    type=FILE,
    help="The catalogue, applied to an empty scratch database. Default: migrations, or that of the settings.",
)
@click.option(
    "--at",
    type=VERSION,
    help="Up to this version. Default: what the schema's history says, or all.",
)
@click.option(
    "--baseline", type=FILE, help="A script of SQL that makes what the catalogue begins with."
)
@click.option(
    "--expected",
    type=REFERENCE,
    help="Another database to compare with, in place of the catalogue.",
)
@click.option("--expected-schema", help="Its schema. Default: that of --schema.")
@click.option(
    "--expected-file",
    type=FILE,
    help="A fingerprint that --save has written, in place of the catalogue.",
)
@click.option(
    "--save",
    "saved",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the fingerprint, and compare with nothing.",
)
@click.option("--grants", is_flag=True, help="Compare who may do what, too.")
@click.option(
    "--ignore", "ignored", multiple=True, help="A table or other object that doesn't count."
)
@click.option(
    "--scratch",
    type=REFERENCE,
    help="The server for the scratch database. Default: the database's own.",
)
@click.option(
    "--maintenance-database", default="postgres", show_default=True, help="From which it is made."
)
@as_json_option
def drift(*, as_json: bool, **given: Any) -> None:
    """Compare schemas with the expected one: what is there that should not be, is missing, or differs.

    With --database one schema; without it those of all targets, or of some.
    """
    ways = [given[name] for name in ("folder", "expected", "expected_file") if given[name]]
    if len(ways) > 1:
        raise click.UsageError("give one of --folder, --expected and --expected-file")
    if given["database"] is None:
        from admin.cli.migrations.drift_many import drift_many  # noqa: PLC0415 - of many alone

        drift_many(given, as_json=as_json)
        return
    if given["tenants"] or given["servers"] or given["at_once"]:
        raise click.UsageError("--tenants, --server and --at-once are of many: no --database then")
    _drift_one(given, as_json=as_json)


def _drift_one(given: dict[str, Any], *, as_json: bool) -> None:
    saved, given["schema"] = given["saved"], given["schema"] or "public"
    asked = _asked(given, only_saves=saved is not None)
    if saved:
        found = run_to_the_end(lambda: _here(asked), as_json=as_json)
        save(found.document(), saved)
        if as_json:
            show_json({"digest": found.digest, "objects": len(found.objects)})
        else:
            say(f"{len(found.objects)} objects, digest {found.digest[:16]}…")
        return
    here, expected, drifted = run_to_the_end(lambda: _compared(asked), as_json=as_json)
    if as_json:
        show_json(_document(here, expected, drifted))
    else:
        _show(drifted, len(here.objects))
    if drifted:
        raise SystemExit(FOUND)


def _asked(given: dict[str, Any], *, only_saves: bool) -> Asked:
    uses_catalogue = not (only_saves or given["expected"] or given["expected_file"])
    return Asked(
        source=place_of(given["database"]),
        schema=given["schema"],
        server=server_of(
            given["scratch"] or given["database"],
            given["maintenance_database"],
            named=bool(given["scratch"]),
        ),
        other=place_of(given["expected"]) if given["expected"] else None,
        other_schema=given["expected_schema"] or given["schema"],
        saved=saved_fingerprint(given["expected_file"]) if given["expected_file"] else None,
        catalogue=catalogue_of(given["folder"] or Path("migrations")) if uses_catalogue else None,
        at=given["at"],
        baseline=text_of(given["baseline"]) if given["baseline"] else "",
        ignored=given["ignored"],
        grants=given["grants"],
    )


async def _here(asked: Asked) -> "Fingerprint":
    return await _of(asked.source, asked.schema, asked)


async def _of(place: "Place", schema: str, asked: Asked) -> "Fingerprint":
    return await fingerprint_of(place, schema, grants=asked.grants, ignored=asked.ignored)


async def fingerprint_of(
    place: "Place", schema: str, *, grants: bool, ignored: Sequence[str]
) -> "Fingerprint":
    """What lies in this schema. CannotProve."""
    from admin.migrations.drift.read import fingerprint  # noqa: PLC0415 - not needed for --help
    from admin.migrations.proof.limits import CannotProve, Limits  # noqa: PLC0415
    from admin.migrations.proof.servers import connected  # noqa: PLC0415

    async with connected(place, Limits(), default_transaction_read_only="on") as connection:
        if not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema
        ):
            raise CannotProve(f"{place.name} has no schema {schema}: name it with --schema")
        return await fingerprint(connection, schema, grants=grants, ignored=ignored)


async def _compared(asked: Asked) -> "tuple[Fingerprint, Fingerprint, list[Drifted]]":
    from admin.migrations.drift import model  # noqa: PLC0415 - not needed for --help

    here = await _here(asked)
    expected = await _expected(asked)
    return here, expected, model.drift(here, expected)


async def _expected(asked: Asked) -> "Fingerprint":
    from admin.migrations.drift import expected  # noqa: PLC0415 - not needed for --help
    from admin.migrations.proof.clone import Scratch  # noqa: PLC0415
    from admin.migrations.proof.history import applied  # noqa: PLC0415
    from admin.migrations.proof.limits import Limits  # noqa: PLC0415
    from admin.migrations.proof.servers import connected  # noqa: PLC0415

    if asked.saved is not None:
        return asked.saved.without(asked.ignored)
    if asked.other:
        return await _of(asked.other, asked.other_schema, asked)
    assert asked.catalogue is not None  # noqa: S101 - the only way left
    limits = Limits()
    async with connected(asked.source, limits, default_transaction_read_only="on") as connection:
        have = await applied(connection, asked.schema)
    scratch = Scratch(asked.server, limits, warn)
    await scratch.sweep()
    return await expected.expected(
        *(scratch, expected.wanted(asked.catalogue, asked.at, have), (asked.schema,)),
        *(asked.baseline, limits),
        grants=asked.grants,
        ignored=asked.ignored,
    )


def _document(
    here: "Fingerprint", expected: "Fingerprint", drifted: "Sequence[Drifted]"
) -> dict[str, Any]:
    return {
        "drift": bool(drifted),
        "digest": here.digest,
        "expected_digest": expected.digest,
        "differences": [difference_document(each) for each in drifted],
    }


def difference_document(each: "Drifted") -> dict[str, Any]:
    """One difference, as JSON has it."""
    return {
        "what": each.what,
        "kind": each.kind,
        "name": each.name,
        "changed": [
            {"trait": trait, "expected": should, "here": does}
            for trait, should, does in each.changed
        ],
    }


def _show(drifted: "Sequence[Drifted]", objects: int) -> None:
    if not drifted:
        say(f"no drift: {counted(objects, 'object')} as expected")
        return
    for each in drifted:
        say(f"{each.what}: {each.kind} {each.name}")
        if each.what != "missing":
            for trait, should, does in each.changed:
                beside = "" if each.what == "unexpected" else f", expected {_line(should)}"
                say(f"  {trait}: {_line(does)}{beside}")
    say(counted(len(drifted), "difference"))


def _line(text: str) -> str:
    return " ".join(text.split())
