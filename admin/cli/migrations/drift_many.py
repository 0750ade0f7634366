"""`turnout migrations drift` without a database: all targets, or some, each on a line if it drifted."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from admin.cli.failures import Failure
from admin.cli.following import one_line
from admin.cli.migrations.scratch_options import (
    COULD_NOT,
    FOUND,
    catalogue_of,
    place_of,
    run_to_the_end,
    saved_fingerprint,
    server_of,
    text_of,
)
from admin.cli.output import bar, counted, say, show_json, warn
from admin.migrations.references import ReferenceFault, database_url

if TYPE_CHECKING:
    from admin.migrations.config import Settings
    from admin.migrations.drift.many import Always, Expectations, Looked, Server
    from admin.migrations.drift.model import Drifted, Fingerprint
    from admin.migrations.proof.servers import Place
    from admin.migrations.targets import Target
    from config import Shared

_SHOWN: Final = 5
"""How many differences a target's line names."""
_VALUE: Final = 40
_STEPS: Final = 10
"""Where there is no terminal, progress is told so often."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is compared. fixed: what all should have, in place of a catalogue."""

    shared: "Shared"
    settings: "Settings"
    given: dict[str, Any]
    fixed: "Fingerprint | None"
    other: "Place | None"
    scratch: "Place | None"
    baseline: str


def drift_many(given: dict[str, Any], *, as_json: bool) -> None:
    """Look at the targets and tell. SystemExit 1: some have drifted; 2: some could not be looked at."""
    asked = _asked(given)
    found = run_to_the_end(lambda: _looked(asked, as_json=as_json), as_json=as_json)
    found.sort(key=lambda looked: looked.target.name)
    if as_json:
        show_json(_document(found))
    else:
        _show(found)
    if any(looked.why for looked in found):
        raise SystemExit(COULD_NOT)
    if any(looked.differences for looked in found):
        raise SystemExit(FOUND)


def _asked(given: dict[str, Any]) -> Asked:
    from admin.migrations.config import Settings  # noqa: PLC0415 - not needed for --help
    from config import ConfigError, load  # noqa: PLC0415

    for name, option in (("schema", "--schema"), ("saved", "--save")):
        if given[name]:
            raise click.UsageError(f"{option} is of one database: name it with --database")
    try:
        shared, settings = load(given["config_path"], "migrations", Settings)
    except (ConfigError, ValueError) as error:
        raise Failure(str(error), COULD_NOT) from None
    if not settings.servers:
        raise click.UsageError(
            "give --database, or with --config (or TURNOUT_CONFIG) the settings whose"
            " [migrations.servers] says where the targets lie"
        )
    return Asked(
        *(shared, settings, given),
        saved_fingerprint(given["expected_file"]) if given["expected_file"] else None,
        place_of(given["expected"]) if given["expected"] else None,
        server_of(given["scratch"], given["maintenance_database"], named=True)
        if given["scratch"]
        else None,
        text_of(given["baseline"]) if given["baseline"] else "",
    )


async def _looked(asked: Asked, *, as_json: bool) -> "list[Looked]":
    from admin.migrations.drift.many import Looking  # noqa: PLC0415 - not needed for --help
    from admin.migrations.proof.limits import Limits  # noqa: PLC0415

    targets = await _targets(asked)
    expectations = await _expectations(asked)
    found: list[Looked] = []
    with nullcontext(_nothing) if as_json else one_line(stderr=True) as show:
        told = _progress(len(targets), show)

        def tell(looked: "Looked") -> None:
            found.append(looked)
            told(found)

        grants, ignored = asked.given["grants"], asked.given["ignored"]
        looking = Looking(expectations, Limits(), grants=grants, ignored=ignored, say=tell)
        await looking.at(targets, _servers(asked))
    return found


async def _targets(asked: Asked) -> "list[Target]":
    """Those that are asked for. CannotProve."""
    from admin.migrations.planning import registered  # noqa: PLC0415 - not needed for --help
    from admin.migrations.proof.limits import CannotProve, Limits  # noqa: PLC0415
    from admin.migrations.proof.servers import Place, connected  # noqa: PLC0415
    from admin.migrations.targets import TargetFault  # noqa: PLC0415

    ledger = Place("Turnout's own database (database_url)", asked.shared.database_url)
    names, servers = asked.given["tenants"], asked.given["servers"]
    async with connected(ledger, Limits(), default_transaction_read_only="on") as connection:
        try:
            known = await registered(connection, asked.settings)
        except TargetFault as error:
            raise CannotProve(str(error)) from None
    strange = {name for name in names or () if not any(each.is_one_of({name}) for each in known)}
    strange |= set(servers) - asked.settings.servers.keys()
    if strange:
        raise CannotProve(f"no target, tenant or server is called {', '.join(sorted(strange))}")
    chosen = [
        each
        for each in known
        if not names or each.is_one_of(names)
        if not servers or each.server in servers
    ]
    if not chosen:
        raise CannotProve("there is no target to look at: is the tenant registered?")
    return chosen


async def _expectations(asked: Asked) -> "Expectations | Always":
    """By the catalogue, or what was given in place of it."""
    from admin.cli.migrations.drift import fingerprint_of  # noqa: PLC0415 - it imports this file
    from admin.migrations.drift import expected  # noqa: PLC0415 - not needed for --help
    from admin.migrations.drift.many import Always, Expectations  # noqa: PLC0415
    from admin.migrations.proof.clone import Scratch  # noqa: PLC0415
    from admin.migrations.proof.limits import Limits  # noqa: PLC0415

    given, limits, swept = asked.given, Limits(), set[str]()
    counts = {"grants": given["grants"], "ignored": given["ignored"]}
    if asked.fixed is not None:
        return Always(asked.fixed.without(given["ignored"]))
    if asked.other is not None:
        schema = given["expected_schema"] or "public"
        return Always(await fingerprint_of(asked.other, schema, **counts))
    catalogue = catalogue_of(given["folder"] or Path(asked.settings.folder))

    async def make(migrations: Sequence[Any], target: "Target", place: "Place") -> "Fingerprint":
        server = asked.scratch or place.sibling(given["maintenance_database"])
        scratch = Scratch(server, limits, warn)
        if server.url not in swept:
            swept.add(server.url)
            await scratch.sweep()
        return await expected.expected(
            *(scratch, migrations, (target.schema, *asked.settings.extra_schemas)),
            *(asked.baseline, limits),
            **counts,
        )

    return Expectations(lambda had: expected.wanted(catalogue, given["at"], had), make)


def _servers(asked: Asked) -> "dict[str, Server]":
    """Those of the settings; of one whose URL isn't there, why."""
    from admin.migrations.drift.many import Server  # noqa: PLC0415 - not needed for --help
    from admin.migrations.proof.servers import Place  # noqa: PLC0415

    found = {}
    for name, each in asked.settings.servers.items():
        at_once = asked.given["at_once"] or each.at_once
        try:
            place = Place(name, database_url(each.url))
        except ReferenceFault as error:
            found[name] = Server(name, None, at_once, str(error))
        else:
            found[name] = Server(name, place, at_once)
    return found


def _nothing(_: str) -> None:
    """With --json only the answer is said."""


def _progress(total: int, show: Callable[[str], None]) -> "Callable[[Sequence[Looked]], None]":
    """Tells how far it is: on a terminal each target, elsewhere each tenth."""
    from admin.cli.output import console  # noqa: PLC0415 - only here

    every = 1 if console(stderr=True).is_terminal else max(1, total // _STEPS)

    def tell(found: "Sequence[Looked]") -> None:
        done = len(found)
        if done % every and done != total:
            return
        parts = [f"{bar(done, total)} {done} of {total}"]
        drifted = sum(bool(looked.differences) for looked in found)
        unseen = sum(bool(looked.why) for looked in found)
        parts += [f"{drifted} drifted"] if drifted else []
        parts += [f"{unseen} could not be looked at"] if unseen else []
        show(", ".join(parts))

    return tell


def _show(found: "Sequence[Looked]") -> None:
    for looked in found:
        if looked.why:
            say(f"{looked.target.name}: could not be looked at: {looked.why}")
        elif looked.differences:
            version = f" ({looked.version})" if looked.version else ""
            say(f"{looked.target.name}{version}: {differences(looked.differences)}")
    say(summary(found))


def summary(found: "Sequence[Looked]") -> str:
    """All of it on one line."""
    drifted = sum(bool(looked.differences) for looked in found)
    unseen = sum(bool(looked.why) for looked in found)
    parts = [f"{len(found) - drifted - unseen} as expected"]
    parts += [f"{drifted} drifted"] if drifted else []
    parts += [f"{unseen} could not be looked at"] if unseen else []
    return f"{counted(len(found), 'target')}: {', '.join(parts)}"


def differences(found: "Sequence[Drifted]") -> str:
    """What differs, on one line."""
    told = "; ".join(_difference(each) for each in found[:_SHOWN])
    return told if len(found) <= _SHOWN else f"{told}; and {len(found) - _SHOWN} more"


def _difference(each: "Drifted") -> str:
    what = f"{each.what} {each.kind} {each.name}"
    if each.what != "different":
        return what
    changed = (
        f"{trait} {_short(does)}, expected {_short(should)}" for trait, should, does in each.changed
    )
    return f"{what} ({', '.join(changed)})"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _VALUE else f"{line[: _VALUE - 1]}…"


def _document(found: "Sequence[Looked]") -> dict[str, Any]:
    from admin.cli.migrations.drift import difference_document  # noqa: PLC0415 - it imports this file

    drifted = [looked for looked in found if looked.differences]
    unseen = [looked for looked in found if looked.why]
    return {
        "drift": bool(drifted),
        "targets": len(found),
        "as_expected": len(found) - len(drifted) - len(unseen),
        "drifted": [
            {
                **_place(looked.target),
                "version": looked.version,
                "digest": looked.digest,
                "expected_digest": looked.expected_digest,
                "differences": [difference_document(each) for each in looked.differences],
            }
            for looked in drifted
        ],
        "not_looked_at": [{**_place(looked.target), "why": looked.why} for looked in unseen],
    }


def _place(target: "Target") -> dict[str, Any]:
    return {
        "target": target.name,
        "tenant": target.tenant,
        "server": target.server,
        "database": target.database,
        "schema": target.schema,
    }
