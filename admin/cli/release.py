"""`turnout release …`: a new version brought to all, watched, and brought back."""

import json
from pathlib import Path
from typing import Any

import click

from admin.cli.failures import INCOMPLETE
from admin.cli.following import follow
from admin.cli.options import DURATION, Session, connected
from admin.cli.output import say, show_json, show_table
from admin.cli.release_board import ENDED, Document, board, line

_PATH = "/v1/releases"
_NAME = click.argument("name", metavar="[RELEASE]", default="current")
_NOTE = click.option("--note", default="", help="Why; it stands in the trail.")
_WATCH = click.option("--watch", "watched", is_flag=True, help="Show how it goes on until it ends.")


@click.group()
def release() -> None:
    """Bring a new version to all by way of the standby slot. Without RELEASE: the one that runs."""


@release.command()
@click.argument("version", metavar="MAJOR.MINOR.PATCH")
@click.option(
    "--kind",
    type=click.Choice(["patch", "minor", "major", "breaking"]),
    help="Which plan; without it, what the versions say.",
)
@click.option("--hotfix", is_flag=True, help="It may overtake a release that runs.")
@click.option("--plan", "plan_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_NOTE
@_WATCH
@connected
def start(
    session: Session, version: str, plan_file: Path | None, *, watched: bool, **more: Any
) -> None:
    """Begin a release of VERSION. It goes on by itself.

    --plan: a JSON file with what of the kind's plan is to be otherwise.
    """
    given = {"version": version, "plan": _plan(plan_file), **more}
    _begun(session, session.client.change("POST", _PATH, given, waits=False), watched=watched)


@release.command()
@click.option("--window", "window_s", type=DURATION, default="1m", show_default=True)
@click.option("--fenced", is_flag=True, help="Hold everybody meanwhile, both ways.")
@_NOTE
@_WATCH
@connected
def drill(session: Session, window_s: float, note: str, *, fenced: bool, watched: bool) -> None:
    """Send everybody to standby and back, to know that one can."""
    given = {"window_s": window_s, "mode": "fenced" if fenced else "instant", "note": note}
    found = session.client.change("POST", "/v1/drills", given, waits=False)
    _begun(session, found, watched=watched)


@release.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@connected
def listing(session: Session, limit: int) -> None:
    """Releases, newest first."""
    page = session.client.read(_PATH, {"limit": limit})
    if session.as_json:
        show_json(page)
        return
    found = page.get("releases", [])
    if not found:
        say("There has been no release yet: `turnout release start 1.3.0` begins one.")
        return
    columns = ("release", "version", "from", "kind", "state", "who", "began", "reason")
    show_table(columns, (_row(each) for each in found))


@release.command()
@_NAME
@connected
def status(session: Session, name: str) -> None:
    """How RELEASE stands, and what it lacks."""
    _tell(session, session.client.read(f"{_PATH}/{name}"))


@release.command()
@_NAME
@connected
def watch(session: Session, name: str) -> None:
    """Show how RELEASE goes on until it ends; exit code 5 unless it is done."""
    _watch(session, name)


@release.command()
@click.argument("signer", metavar="[SIGNER]", default="")
@_NAME
@click.option("--item", default="", help="Sign this item of the checklist alone.")
@click.option("--refuse", is_flag=True, help="Say no, and why (--note); the last word counts.")
@_NOTE
@connected
def approve(
    session: Session, signer: str, name: str, item: str, note: str, *, refuse: bool
) -> None:
    """Sign in the name of SIGNER, a role, all that is due by now; or --item.

    With --item, what stands in place of SIGNER is the release.
    """
    if item and signer and name == "current":
        signer, name = "", signer
    if bool(item) == bool(signer):
        raise click.UsageError("SIGNER or --item says what is signed, and not both")
    what = {"item": item} if item else {"signer": signer}
    given = {**what, "approve": not refuse, "note": note}
    _tell(session, session.client.change("POST", f"{_PATH}/{name}/sign", given, waits=False))


@release.command()
@_NAME
@click.option("--limit", type=click.IntRange(1, 1000), default=200, show_default=True)
@connected
def events(session: Session, name: str, limit: int) -> None:
    """What happened to RELEASE, oldest first."""
    page = session.client.read(f"{_PATH}/{name}/events", {"limit": limit})
    if session.as_json:
        show_json(page)
        return
    columns = ("at", "what", "who", "more")
    show_table(columns, (_event(each) for each in page.get("events", [])))


@release.command()
@_NAME
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it there: a page (.html), or the document (.json).",
)
@connected
def report(session: Session, name: str, output: Path | None) -> None:
    """All that is known of RELEASE: timeline, gates, switches, traffic, who did what."""
    found = session.client.read(f"{_PATH}/{name}/report")
    if output is None:
        if session.as_json:
            show_json(found)
            return
        _tell(session, found["release"])
        say("The whole report: --output report.html, or --json")
        return
    if output.suffix not in {".html", ".json"}:
        raise click.UsageError("--output: a file that ends in .html or .json")
    text = json.dumps(found, indent=2)
    if output.suffix == ".html":
        from admin.releases.report import page_of  # noqa: PLC0415 - its templates take a while

        text = page_of(found)
    output.write_text(text, "utf-8")
    say(f"written: {output}")


def _word(name: str, text: str) -> None:
    """A command that is one word to the release."""

    def say_it(session: Session, of: str, note: str) -> None:
        path = f"{_PATH}/{of}/{name}"
        _tell(session, session.client.change("POST", path, {"note": note}, waits=False))

    say_it.__doc__ = text
    command = connected(say_it)
    argument = click.argument("of", metavar="[RELEASE]", default="current")
    release.command(name)(argument(_NOTE(command)))


for _name, _text in {
    "promote": "Go on before its time: the next step, or the end of the stabilisation.",
    "pause": "Have it do nothing by itself but go back.",
    "resume": "Let it go on; what failed is tried again.",
    "abort": "End it; once traffic has moved it is rolled back.",
    "rollback": "Bring everybody back to the version before.",
    "finalise": "Skip the rest of the stabilisation; a drill goes back.",
    "finalize": "The same as finalise.",
}.items():
    _word(_name, _text)


def _plan(path: Path | None) -> Document:
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise click.UsageError(f"--plan: {path} can't be read as JSON: {error}") from None
    if not isinstance(found, dict):
        raise click.UsageError(f"--plan: {path} holds no object")
    return found


def _begun(session: Session, found: Document, *, watched: bool) -> None:
    if watched:
        _watch(session, str(found["name"]))
        return
    _tell(session, found)
    if not session.as_json:
        say("It goes on by itself: `turnout release watch`")


def _watch(session: Session, name: str) -> None:
    found = follow(session, f"{_PATH}/{name}", line, _is_over, board)
    ended_well = found.get("state") == ("rolled-back" if found.get("is_drill") else "done")
    if not ended_well:
        raise SystemExit(INCOMPLETE)


def _is_over(found: Document) -> bool:
    return found.get("state") in ENDED


def _tell(session: Session, found: Document) -> None:
    if session.as_json:
        show_json(found)
        return
    for each in board(found):
        say(each)


def _row(found: Document) -> tuple[object, ...]:
    names = ("name", "version", "from_version", "kind", "state", "started_by")
    began = str(found.get("started_at"))[:19].replace("T", " ")
    return (*(found.get(name) for name in names), began, found.get("reason") or None)


def _event(event: Document) -> tuple[object, ...]:
    body = event.get("body") or {}
    at = str(event.get("at"))[:19].replace("T", " ")
    more = " ".join(f"{name}={value}" for name, value in body.items() if value not in ("", None))
    return at, event.get("kind"), event.get("actor"), more[:120]
