"""`turnout routing …`: the table."""

from typing import Any

import click

from admin.cli.changes import report
from admin.cli.options import Session, connected
from admin.cli.output import counted, percent, say, show_json, show_table

SHOWN_PINS = 20


@click.group()
def routing() -> None:
    """The routing table."""


@routing.command()
@connected
def show(session: Session) -> None:
    """The table, and whether every worker serves it."""
    document = session.client.read("/v1/routing")
    if session.as_json:
        show_json(document)
        return
    for line in summary(document):
        say(line)
    pins = sorted((document.get("pins") or {}).items())
    if pins:
        show_table(("pinned", "to"), pins[:SHOWN_PINS])
    if len(pins) > SHOWN_PINS:
        say(f"and {len(pins) - SHOWN_PINS} more: turnout tenants list")


def summary(document: dict[str, Any]) -> list[str]:
    """The table in a few lines."""
    active = document.get("active")
    standby = "green" if active == "blue" else "blue"
    canary = document.get("canary") or {}
    lines = [
        f"version   {document.get('version')} ({state(document)})",
        f"active    {active}",
        f"standby   {standby}",
        f"fallback  {document.get('fallback')} (where a rollback leads)",
        f"canary    {percent(canary.get('percent'))} by {canary.get('unit')} to {standby}",
    ]
    for slot, found in (document.get("endpoints") or {}).items():
        lines.append(f"endpoints {slot} {', '.join(found) or 'none'}")
    pins, named = len(document.get("pins") or {}), len(document.get("tenants") or [])
    lines.append(f"tenants   {pins} pinned, {named} registered")
    return lines


def state(document: dict[str, Any]) -> str:
    """Whether the table's version is served, in words."""
    if document.get("published_version") != document.get("version"):
        return "not published to the workers yet"
    if document.get("converged"):
        return "served by every worker"
    return f"waiting for {counted(len(document.get('pending') or []), 'worker')}"


@routing.command()
@click.argument("version", type=click.IntRange(min=0))
@connected
def wait(session: Session, version: int) -> None:
    """Wait up to --timeout-ms until every live worker serves VERSION (or a later one)."""
    result = session.client.wait(version)
    report(session, "every worker serves it" if result.get("converged") else "not yet", result)
