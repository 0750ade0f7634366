"""`turnout switches`: fenced switches, how they went, and a way to stop one."""

from typing import Any

import click

from admin.cli.fenced import STATES, numbers
from admin.cli.options import Session, connected
from admin.cli.output import counted, milliseconds, say, show_json, show_table


@click.group()
def switches() -> None:
    """Fenced switches: list, show, cancel."""


@switches.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@connected
def listing(session: Session, limit: int) -> None:
    """Switches, newest first."""
    page = session.client.read("/v1/switches", {"limit": limit})
    if session.as_json:
        show_json(page)
        return
    found = page.get("switches", [])
    if not found:
        say("There has been no fenced switch yet: `turnout cutover green --fenced` makes one.")
        return
    show_table(
        ("switch", "state", "who", "began", "tenants", "held for", "reason"),
        (_row(switch) for switch in found),
    )


@switches.command()
@click.argument("name")
@connected
def show(session: Session, name: str) -> None:
    """How the switch NAME stands."""
    _tell(session, session.client.read(f"/v1/switches/{name}"))


@switches.command()
@click.argument("name")
@connected
def cancel(session: Session, name: str) -> None:
    """Undo the switch NAME, while it holds or its step runs."""
    _tell(
        session, session.client.change("POST", f"/v1/switches/{name}/cancel", {"timeout_ms": None})
    )


def _tell(session: Session, switch: dict[str, Any]) -> None:
    if session.as_json:
        show_json(switch)
        return
    state = str(switch.get("state"))
    reason = switch.get("reason")
    say(f"{switch.get('switch')}: {STATES.get(state, state)}" + (f" ({reason})" if reason else ""))
    for line in numbers(switch):
        say(line)


def _row(switch: dict[str, Any]) -> tuple[object, ...]:
    tenants = switch.get("tenants")
    return (
        switch.get("switch"),
        switch.get("state"),
        switch.get("actor"),
        str(switch.get("begun_at"))[:19],
        "all" if tenants is None else counted(len(tenants), "tenant"),
        milliseconds(switch.get("held_ms")),
        switch.get("reason") or None,
    )
