"""`turnout tenants …`: who goes where, and why."""

from typing import Any

import click

from admin.cli.changes import report
from admin.cli.client import tenant_path
from admin.cli.options import (
    PERCENT,
    SLOT,
    TENANT,
    TENANT_FILE,
    Session,
    connected,
    writing,
)
from admin.cli.output import counted, percent, say, show_json, show_table


@click.group()
def tenants() -> None:
    """Pin, unpin, list and explain tenants."""


@tenants.command("list")
@click.option("--prefix", help="Only ids that begin so.")
@click.option("--slot", type=SLOT, help="Only tenants that go to this slot.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--cursor", help="Go on where an earlier list ended (its `next`).")
@connected
def list_tenants(
    session: Session, prefix: str | None, slot: str | None, limit: int, cursor: str | None
) -> None:
    """Tenants that somebody has named: pinned or registered."""
    page = session.client.read(
        "/v1/tenants", {"prefix": prefix, "slot": slot, "limit": limit, "cursor": cursor}
    )
    if session.as_json:
        show_json(page)
        return
    show_page(page)


def show_page(page: dict[str, Any]) -> None:
    """One page of tenants."""
    items = page.get("items", [])
    if not items:
        say("No tenant is pinned or registered here; all follow the canary and the active slot.")
        return
    show_table(
        ("tenant", "slot", "reason", "pinned", "registered"),
        (
            (
                item["tenant"],
                item.get("slot"),
                item.get("reason"),
                item.get("pinned"),
                "yes" if item.get("registered") else "no",
            )
            for item in items
        ),
    )
    if page.get("next"):
        say(f"There are more: --cursor {page['next']}")


_FROM = click.option(
    "--from",
    "listed",
    metavar="FILE",
    type=TENANT_FILE,
    default=(),
    help="Also the tenants that this file lists, one a line; - reads standard input.",
)


@tenants.command()
@click.argument("names", metavar="TENANT...", type=TENANT, nargs=-1)
@click.argument("slot", type=SLOT)
@_FROM
@writing
def pin(session: Session, names: tuple[str, ...], slot: str, listed: tuple[str, ...]) -> None:
    """Send tenants to a slot, whatever canary and active say. Several move in one step."""
    names = _named(names, listed)
    if len(names) == 1:
        fields = {"slot": slot, "expected_version": session.expected}
        result = session.client.change("PUT", tenant_path(names[0], "/pin"), fields)
    else:
        result = _together(session, [{"op": "pin", "tenant": name, "slot": slot} for name in names])
    report(session, f"{_subject(names)} pinned to {slot}", result)


@tenants.command()
@click.argument("names", metavar="TENANT...", type=TENANT, nargs=-1)
@_FROM
@writing
def unpin(session: Session, names: tuple[str, ...], listed: tuple[str, ...]) -> None:
    """Let tenants follow the canary and the active slot again."""
    names = _named(names, listed)
    if len(names) == 1:
        fields = {"expected_version": session.expected}
        result = session.client.change("DELETE", tenant_path(names[0], "/pin"), fields)
    else:
        result = _together(session, [{"op": "unpin", "tenant": name} for name in names])
    report(session, f"{_subject(names)} no longer pinned", result)


@tenants.command()
@click.argument("name", metavar="TENANT", type=TENANT)
@writing
def register(session: Session, name: str) -> None:
    """Make a tenant known by name, so that it is listed (and let in where strangers are not)."""
    fields = {"expected_version": session.expected}
    result = session.client.change("PUT", tenant_path(name), fields)
    report(session, f"{name} is registered", result)


@tenants.command()
@click.argument("name", metavar="TENANT", type=TENANT)
@writing
def forget(session: Session, name: str) -> None:
    """Take a tenant off the register; a pin stays."""
    fields = {"expected_version": session.expected}
    result = session.client.change("DELETE", tenant_path(name), fields)
    report(session, f"{name} is no longer registered", result)


@tenants.command()
@click.argument("name", metavar="TENANT", type=TENANT)
@click.option("--weight", type=PERCENT, help="Try this canary percentage.")
@click.option("--active", type=SLOT, help="Try this slot as the active one.")
@click.option(
    "--pin", "pin_to", type=click.Choice(["blue", "green", "none"]), help="Try this pin, or none."
)
@connected
def explain(
    session: Session, name: str, weight: float | None, active: str | None, pin_to: str | None
) -> None:
    """Why a tenant goes where it goes, and where a change would send it. Changes nothing."""
    query = {"weight": None if weight is None else f"{weight:g}", "active": active, "pin": pin_to}
    document = session.client.read(tenant_path(name, "/route"), query)
    if session.as_json:
        show_json(document)
        return
    for line in explanation(document):
        say(line)


def explanation(document: dict[str, Any]) -> list[str]:
    """A route in words."""
    lines = [f"{document.get('tenant')} → {document.get('slot')} ({document.get('reason')})"]
    if document.get("explanation"):
        lines.append(f"  {document['explanation']}")
    bucket = document.get("bucket")
    if isinstance(bucket, int):
        lines.append(
            f"  canary    {percent(document.get('percent'))} by {document.get('unit')}; this tenant "
            f"joins above {percent(bucket / 100)}"
        )
    endpoints = document.get("endpoints") or []
    lines.append(f"  endpoints {', '.join(endpoints) or 'none'}")
    lines.append(f"  version   {document.get('version')}")
    schema = document.get("schema")
    if isinstance(schema, dict):
        lines += [f"  schema    {line}" for line in _served(schema)]
    proposed = document.get("proposed")
    if isinstance(proposed, dict):
        verb = "would move to" if proposed.get("moves") else "would stay on"
        lines.append(
            f"  with that change it {verb} {proposed.get('slot')} ({proposed.get('reason')})"
        )
    return lines


def _served(schema: dict[str, Any]) -> list[str]:
    """Which slots' versions a tenant's schema serves."""
    lines = []
    for slot, state in schema["slots"].items():
        if state["version"] is None:
            lines.append(f"the version on {slot} is not known")
        else:
            verb = "serves" if state["served"] else "does not serve"
            why = f": {state['why']}" if state["why"] else ""
            lines.append(f"{verb} {state['version']} on {slot}{why}")
    return lines


def _named(names: tuple[str, ...], listed: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the command line and of the file, each once. UsageError: none, or too many."""
    from proxy.routing.codec import MAX_OPERATIONS  # noqa: PLC0415 - not needed for --help

    together = tuple(dict.fromkeys(names + listed))
    if not together:
        raise click.UsageError("name a tenant, or a file that lists some (--from FILE)")
    if len(together) > MAX_OPERATIONS:
        raise click.UsageError(
            f"{len(together)} tenants: one step takes {MAX_OPERATIONS} at most, so split the list"
        )
    return together


def _together(session: Session, operations: list[dict[str, str]]) -> dict[str, Any]:
    fields = {"operations": operations, "expected_version": session.expected}
    return session.client.change("POST", "/v1/routing/changes", fields)


def _subject(names: tuple[str, ...]) -> str:
    return f"{names[0]} is" if len(names) == 1 else f"{counted(len(names), 'tenant')} are"
