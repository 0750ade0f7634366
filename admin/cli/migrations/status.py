"""`turnout migrations status`: how a plan is getting on, wave by wave, with what failed and why."""

import time
from collections.abc import Iterator
from typing import Any

import click

from admin.cli.failures import INCOMPLETE, REFUSED, Failure
from admin.cli.options import Session, connected
from admin.cli.output import (
    console,
    counted,
    printable,
    say,
    seconds,
    show_json,
    show_json_line,
)

LOOK_S = 1.0
"""How often a plan that is watched is asked for."""
ENDED = frozenset({"done", "cancelled", "stopped"})
SHOWN = 5
"""Failures that are shown; `--json` and the API have all."""
_BAR = 24
Document = dict[str, Any]


@click.command()
@click.argument("plan", required=False)
@click.option("--watch", is_flag=True, help="Show it until it has ended, or stopped.")
@connected
def status(session: Session, plan: str | None, *, watch: bool) -> None:
    """How a plan is getting on; without its name, the newest.

    Exit codes: 0, also while it runs; 1, it is stopped or cancelled; 5, it is done, and something
    has failed.
    """
    name = plan or _newest(session)
    if watch:
        watched(session, name)
        return
    found = _read(session, name)
    failures = _failures(session, found)
    if session.as_json:
        show_json({**found, "failures": failures})
    else:
        _show(found, failures)
    _leave(found)


def watched(session: Session, name: str) -> None:
    """Show the plan until it has ended: in place on a terminal, else a line for each change."""
    found: Document = {}
    screen = console()
    if session.as_json or not screen.is_terminal:
        told: object = None
        for found in _looks(session, name):
            line = printable(lines(found)[0])
            if session.as_json:
                show_json_line(found)
            elif line != told:
                say(line)
            told = line
    else:
        from rich.live import Live  # noqa: PLC0415 - see output.console
        from rich.text import Text  # noqa: PLC0415 - see output.console

        with Live(console=screen, auto_refresh=False) as live:
            for found in _looks(session, name):
                live.update(Text("\n".join(map(printable, lines(found)))), refresh=True)
    if not session.as_json:
        for line in failure_lines(_failures(session, found)):
            say(line)
    _leave(found)


def lines(found: Document) -> list[str]:
    """A plan in lines: how it stands, then a line for each wave."""
    waves = found["waves"]
    jobs, done = sum(w["jobs"] for w in waves), sum(w["done"] for w in waves)
    failed = sum(w["failed"] for w in waves)
    told = [f"plan {found['name']}: {found['state']}", f"{done} of {counted(jobs, 'job')} done"]
    if failed:
        told.append(f"{failed} failed")
    if found["rate"]:
        told.append(f"{found['rate']:.0f} a second" if found["rate"] >= 1 else "slow")
    if found["left_s"] is not None:
        told.append(f"{seconds(found['left_s'])} left")
    text = [", ".join(told)]
    text += [f"  {_wave_line(wave)}" for wave in waves]
    if found["reason"]:
        text.append(f"  {found['reason']}: turnout migrations retry, or resume, {found['name']}")
    return text


def failure_lines(failures: list[Document]) -> list[str]:
    """What failed: where, by which statement, why, and what to do."""
    text = []
    for each in failures[:SHOWN]:
        error = each["error"] or {}
        place = f"{error.get('file') or each['path']}:{error.get('line', 0)}"
        state = f" ({error['sqlstate']})" if error.get("sqlstate") else ""
        text.append(f"{each['target']}: {place}: {error.get('message', 'failed')}{state}")
        if error.get("statement"):
            text.append(f"    {' '.join(str(error['statement']).split())[:200]}")
        if error.get("hint"):
            text.append(f"    PostgreSQL's hint: {error['hint']}")
        if error.get("remedy"):
            text.append(f"    {error['remedy']}")
    if len(failures) > SHOWN:
        text.append(f"and {len(failures) - SHOWN} more: --json shows them")
    return text


def _wave_line(wave: Document) -> str:
    ended = wave["done"] + wave["failed"] + wave["blocked"]
    filled = round(_BAR * ended / wave["jobs"]) if wave["jobs"] else _BAR
    bar = "█" * filled + "░" * (_BAR - filled)
    more = "".join(f", {wave[key]} {key}" for key in ("running", "failed", "blocked") if wave[key])
    rows = f", {wave['rows_done']} of about {wave['rows_total']} rows" if wave["rows_total"] else ""
    count = f"{wave['done']}/{wave['jobs']}"
    return f"{wave['number'] + 1}. {wave['name']:<7} {bar}  {count} {wave['state']}{more}{rows}"


def _show(found: Document, failures: list[Document]) -> None:
    for line in [*lines(found), *failure_lines(failures)]:
        say(line)


def _looks(session: Session, name: str) -> Iterator[Document]:
    """The plan again and again, until it has ended or stopped."""
    while True:
        found = _read(session, name)
        yield found
        if found["state"] in ENDED:
            return
        time.sleep(LOOK_S)


def _read(session: Session, name: str) -> Document:
    return session.client.read(f"/v1/migrations/plans/{name}")


def _failures(session: Session, found: Document) -> list[Document]:
    if not any(wave["failed"] for wave in found["waves"]):
        return []
    path = f"/v1/migrations/plans/{found['name']}/jobs"
    items: list[Document] = session.client.read(path, {"state": "failed", "limit": 1000})["items"]
    return items


def _newest(session: Session) -> str:
    items = session.client.read("/v1/migrations/plans", {"limit": 1})["items"]
    if not items:
        raise Failure("there is no plan yet: turnout migrations plan", REFUSED)
    return str(items[0]["name"])


def _leave(found: Document) -> None:
    """End with the exit code that says how the plan stands."""
    if found["state"] in {"stopped", "cancelled"}:
        raise SystemExit(REFUSED)
    if found["state"] == "done" and any(wave["failed"] for wave in found["waves"]):
        raise SystemExit(INCOMPLETE)
