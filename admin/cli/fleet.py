"""`turnout workers`, `audit`, `events`: what the fleet does, and who did what."""

import time
from collections.abc import Iterator
from typing import Any

import click

from admin.cli.client import Event, Unreachable
from admin.cli.failures import INCOMPLETE
from admin.cli.options import TENANT, Session, connected
from admin.cli.output import (
    counted,
    milliseconds,
    say,
    show_json,
    show_json_line,
    show_table,
    warn,
)

PATIENCE_S = 30.0
"""How long `events` waits for an admin that went away."""
PAUSE_S = 0.5
MAX_DIFFERENCES = 4
"""How many values of one audited change are shown on its line."""


@click.command()
@connected
def workers(session: Session) -> None:
    """Which worker serves which version."""
    document = session.client.read("/v1/workers")
    if session.as_json:
        show_json(document)
        return
    fleet = document.get("workers", [])
    if not fleet:
        say("No worker has reported: is a proxy running (`turnout proxy`), with the same Redis?")
        return
    show_table(
        (
            "node",
            "worker",
            "pid",
            "state",
            "version",
            "behind",
            "in flight",
            "lease",
            "without",
            "error",
        ),
        (worker_row(worker) for worker in sorted(fleet, key=_place)),
    )
    for line in node_lines(document):
        say(line)
    current = sum(bool(worker.get("current")) for worker in fleet)
    say(f"{current} of {counted(len(fleet), 'worker')} serve version {document.get('version')}.")


def worker_row(worker: dict[str, Any]) -> tuple[object, ...]:
    """One worker as the table shows it."""
    lease = worker.get("lease_ms") or 0
    return (
        worker.get("node"),
        worker.get("worker"),
        worker.get("pid"),
        worker.get("state"),
        f"{worker.get('version')} (disk)" if worker.get("from_disk") else worker.get("version"),
        worker.get("behind") or None,
        worker.get("in_flight"),
        milliseconds(lease) if lease > 0 else "lost",
        worker.get("without_lease"),
        worker.get("error") or None,
    )


def node_lines(document: dict[str, Any]) -> list[str]:
    """How each node stands, where there are several: "node-b: 1 of 2 current, 1 lost"."""
    nodes = document.get("nodes") or {}
    if len(nodes) < 2:
        return []
    lines = []
    for name, node in nodes.items():
        lost = node.get("lost") or 0
        said = f"  {name}: {node.get('current')} of {node.get('live')} current"
        lines.append(said + (f", {lost} lost" if lost else ""))
    return lines


def _place(worker: dict[str, Any]) -> tuple[str, str]:
    return str(worker.get("node")), str(worker.get("worker"))


@click.group(invoke_without_command=True)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--cursor", help="Go on where an earlier list ended (its `next`).")
@click.option("--actor", help="Only what this subject did.")
@click.option("--action", help="Only this action.")
@click.option("--tenant", type=TENANT, help="Only what concerned this tenant.")
@connected
def audit(session: Session, **filters: object) -> None:
    """Who changed what, newest first."""
    if click.get_current_context().invoked_subcommand:
        return
    page = session.client.read("/v1/audit", filters)
    if session.as_json:
        show_json(page)
        return
    items = page.get("items", [])
    if not items:
        say("Nothing has been recorded that fits.")
        return
    show_table(
        ("at", "actor", "action", "what", "version", "outcome"),
        (audit_row(item) for item in items),
    )
    if page.get("next"):
        say(f"There are more: --cursor {page['next']}")


@audit.command()
@connected
def verify(session: Session) -> None:
    """Go along the trail of releases, and see that nobody has changed it; exit code 5 if somebody has."""
    found = session.client.read("/v1/audit/verify")
    if session.as_json:
        show_json(found)
    elif found["holds"]:
        say(f"the trail holds: {found['rows']} rows, the last is {found['last']}")
    else:
        say(f"the trail does NOT hold at row {found['broken_at']}: {found['why']}")
    if not found["holds"]:
        raise SystemExit(INCOMPLETE)


def audit_row(item: dict[str, Any]) -> tuple[object, ...]:
    """One record as the table shows it."""
    outcome = item.get("outcome")
    if outcome != "committed" and item.get("code"):
        outcome = f"{outcome} ({item['code']})"
    return (
        str(item.get("at", ""))[:19].replace("T", " "),
        item.get("actor"),
        item.get("action"),
        difference(item.get("from"), item.get("to")) or " ".join(item.get("tenants") or []),
        item.get("version"),
        outcome,
    )


def difference(before: object, after: object) -> str | None:
    """What a change changed, on one line: `active blue → green, canary percent 25 → 0`."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    parts = [
        f"{name} {_flat(old.get(name))} → {_flat(new.get(name))}".strip()
        for name in dict.fromkeys([*old, *new])
        if name != "version" and old.get(name) != new.get(name)
    ]
    shown = ", ".join(parts[:MAX_DIFFERENCES])
    more = len(parts) - MAX_DIFFERENCES
    return f"{shown}, and {more} more" if more > 0 else shown or None


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """A document's values, each with the way to it."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path} {name}".strip())
    elif value is not None:
        yield path, value


def _flat(value: object) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, list):
        return " ".join(_flat(inner) for inner in value)
    return str(value)


@click.command()
@click.option("--types", help="Only these, with commas between: change,converged,worker…")
@click.option("--count", type=click.IntRange(min=1), help="End after so many events.")
@connected
def events(session: Session, types: str | None, count: int | None) -> None:
    """Follow changes and workers live, until Ctrl-C."""
    for number, event in enumerate(_follow(session, types), 1):
        if session.as_json:
            show_json_line({"event": event.kind, "data": event.data})
        else:
            say(event_line(event))
        if number == count:
            return


def event_line(event: Event) -> str:
    """One event on one line."""
    if not isinstance(event.data, dict):
        return f"{event.kind:12} {event.data}"
    return f"{event.kind:12} " + "  ".join(
        f"{name}={_flat(value)}" for name, value in event.data.items() if value not in ("", None)
    )


def _follow(session: Session, types: str | None) -> Iterator[Event]:
    """The feed, taken up again when it breaks off; given up when the admin stays away."""
    yield from session.client.follow("/v1/events", {"types": types})
    deadline = time.monotonic() + PATIENCE_S
    warn("turnout: the feed broke off; waiting for the admin to return.")
    while True:
        time.sleep(PAUSE_S)
        try:
            for event in session.client.follow("/v1/events", {"types": types}):
                deadline = time.monotonic() + PATIENCE_S
                yield event
        except Unreachable:
            if time.monotonic() > deadline:
                raise
