"""`turnout migrations status`: how a plan stands."""

from typing import Any

import click

from admin.cli.failures import INCOMPLETE
from admin.cli.following import follow
from admin.cli.options import Session, connected
from admin.cli.output import bar, counted, say, show_json, show_table

_OVER = frozenset({"done", "cancelled", "stopped"})
_ENDED = ("done", "skipped", "failed", "cancelled")


@click.command()
@click.argument("name", metavar="PLAN", required=False)
@click.option("--watch", "watched", is_flag=True, help="Go on until it is over, or stopped.")
@connected
def status(session: Session, name: str | None, *, watched: bool) -> None:
    """How PLAN stands; without PLAN, all plans.

    With --watch the exit code is 0 if it is done, else 5.
    """
    if name is None:
        if watched:
            raise click.UsageError("--watch is of one plan")
        _list(session)
    elif watched:
        watch(session, name)
    else:
        state = session.client.read(f"/v1/migrations/plans/{name}")
        show_json(state) if session.as_json else show_state(state)


def watch(session: Session, name: str) -> None:
    """Show how it goes on until it is over. SystemExit 5 unless it is done."""
    state = follow(session, f"/v1/migrations/plans/{name}", line, _is_over)
    if not session.as_json:
        _failures(state)
    if state["state"] != "done" or state["failed"]:
        raise SystemExit(INCOMPLETE)


def line(state: dict[str, Any]) -> str:
    """How it stands, on one line, with a bar."""
    ended = sum(wave["jobs"].get(word, 0) for wave in state["waves"] for word in _ENDED)
    total = state["jobs"]
    wave = next((each["name"] for each in state["waves"] if each["state"] == "open"), None)
    parts = [f"{state['state']} {bar(ended, total)} {ended} of {total}"]
    if wave:
        parts.append(f"wave {wave}")
    if state["rate"]:
        parts.append(f"{state['rate']:g}/s")
    if state["left_s"] is not None:
        parts.append(f"about {state['left_s']:.0f} s left")
    failed = sum(each["jobs"].get("failed", 0) for each in state["waves"])
    if failed:
        parts.append(f"{failed} failed")
    return ", ".join(parts)


def show_state(state: dict[str, Any]) -> None:
    """All of it, for people."""
    name = state["name"] or "a plan that is not written down"
    known = f"{counted(state['targets'], 'target')}, {state['up_to_date']} up to date"
    say(f"{name}: {known}, {counted(state['jobs'], 'job')}")
    if state["estimate_s"] is not None:
        say(f"about {state['estimate_s']:.1f} s, by what it took before")
    if state["name"]:
        say(line(state))
    if state["reason"]:
        say(state["reason"])
    for each in state["runs"]:
        alone = "" if each["transactional"] else ", statement by statement"
        requires = f", requires {each['requires']}" if each["requires"] else ""
        say(f"  {each['key']} {each['path']} ({each['phase']}{requires}{alone})")
    rows = (
        (
            *(each["number"], each["name"], each["state"]),
            ", ".join(f"{count} {word}" for word, count in sorted(each["jobs"].items())),
        )
        for each in state["waves"]
    )
    if state["waves"]:
        show_table(("wave", "name", "state", "jobs"), rows)
    _failures(state)


def _failures(state: dict[str, Any]) -> None:
    """What has failed: statement, line, error, and what to do."""
    for each in state["failed"]:
        error = each["error"] or {}
        place = error.get("file", "")
        if error.get("line"):
            place += f":{error['line']}"
        code = f" [{error['sqlstate']}]" if error.get("sqlstate") else ""
        say(f"{each['target']}: {place} {error.get('message', '')}{code}")
        if error.get("statement"):
            say(f"  {error['statement']}")
        if error.get("hint"):
            say(f"  {error['hint']}")
        if error.get("remedy"):
            say(f"  {error['remedy']}")


def _is_over(state: dict[str, Any]) -> bool:
    return state["state"] in _OVER


def _list(session: Session) -> None:
    page = session.client.read("/v1/migrations/plans")
    if session.as_json:
        show_json(page)
        return
    if not page["items"]:
        say("There is no plan yet: turnout migrations plan")
        return
    names = ("name", "state", "to_version", "targets", "made_at", "reason")
    show_table(
        ("plan", "state", "to", "targets", "made", "why"),
        ([each[name] for name in names] for each in page["items"]),
    )
