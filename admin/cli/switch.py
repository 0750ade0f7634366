"""`turnout cutover` and `turnout rollback`: move the pointer, or some tenants."""

from typing import Any

import click

from admin.cli.changes import report
from admin.cli.client import Refused, Unreachable
from admin.cli.fenced import Fence, carry_out, fencing
from admin.cli.options import SLOT, TENANTS, Session, writing
from admin.cli.output import counted, percent
from admin.cli.whatif import ask

_TENANTS = click.option(
    "--tenants", type=TENANTS, help="Only these (a,b,c): each is pinned. Default: all."
)


@click.command()
@click.argument("to", type=SLOT)
@_TENANTS
@click.option("--what-if", "tried", is_flag=True, help="Only say who would move; changes nothing.")
@fencing
@writing
def cutover(
    session: Session, to: str, tenants: tuple[str, ...] | None, tried: bool, fence: Fence | None
) -> None:
    """Make TO the active slot, for all or for some; the canary ends, pins stay."""
    if tried:
        ask(session, {"cutover": {"to": to, "tenants": list(tenants) if tenants else "all"}})
        return
    fields = {"to": to, **_fields(session, tenants)}
    if fence is not None:
        whose = f"{counted(len(tenants), 'tenant')} cut over" if tenants else "cut over"
        carry_out(session, "/v1/cutover", fields, fence, f"{whose} to {to}")
        return
    before = _table(session, tenants)
    result = session.client.change("POST", "/v1/cutover", fields)
    if tenants:
        report(session, f"{counted(len(tenants), 'tenant')} cut over to {to}", result)
        return
    lines = moved(before, _table(session, tenants))
    held = result.get("held_back")
    if held:
        lines.append(f"  {counted(held, 'tenant')} held back by a pin to the other slot")
    report(session, f"cut over to {to}", result, *lines)


@click.command()
@_TENANTS
@fencing
@writing
def rollback(session: Session, tenants: tuple[str, ...] | None, fence: Fence | None) -> None:
    """Go back to the slot before the cutover, for all or for some; the canary ends, pins stay."""
    fields = _fields(session, tenants)
    if fence is not None:
        whose = f"{counted(len(tenants), 'tenant')} rolled back" if tenants else "rolled back"
        carry_out(session, "/v1/rollback", fields, fence, whose)
        return
    before = _table(session, tenants)
    result = session.client.change("POST", "/v1/rollback", fields)
    if tenants:
        report(session, f"{counted(len(tenants), 'tenant')} rolled back", result)
        return
    after = _table(session, tenants)
    slot = after.get("active") if after else None
    done = f"rolled back to {slot}" if slot else "rolled back"
    report(session, done, result, *moved(before, after))


def moved(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[str]:
    """What a switch of all changed, in numbers; nothing if a table could not be read."""
    if before is None or after is None:
        return []
    old, new = before.get("active"), after.get("active")
    lines = [f"  active    {old} → {new}" if old != new else f"  active    {new}, as before"]
    weight = (before.get("canary") or {}).get("percent") or 0
    if weight:
        lines.append(f"  canary    {percent(weight)} → 0 %")
    pins = list((after.get("pins") or {}).values())
    by_slot = ", ".join(f"{pins.count(slot)} to {slot}" for slot in ("blue", "green"))
    lines.append(f"  pinned    {counted(len(pins), 'tenant')}" + (f": {by_slot}" if pins else ""))
    ports = {slot: len(found) for slot, found in (after.get("endpoints") or {}).items()}
    lines.append(f"  endpoints {ports.get(str(new), 0)} in {new}")
    return lines


def _fields(session: Session, tenants: tuple[str, ...] | None) -> dict[str, object]:
    return {
        "tenants": list(tenants) if tenants else "all",
        "mode": "instant",
        "expected_version": session.expected,
    }


def _table(session: Session, tenants: tuple[str, ...] | None) -> dict[str, Any] | None:
    """The table, to say in numbers what a switch of all did. It is not worth failing for."""
    if session.as_json or tenants:
        return None
    try:
        return session.client.read("/v1/routing")
    except (Refused, Unreachable):
        return None
