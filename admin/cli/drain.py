"""`turnout drain …`: end what lasts long on a slot, so that it begins anew where it belongs."""

from typing import Any

import click

from admin.cli.failures import INCOMPLETE
from admin.cli.following import follow
from admin.cli.options import SLOT, TENANTS, Session, connected
from admin.cli.output import counted, say, show_json

_OUTCOMES = {
    "empty": "nothing was left",
    "limit": "its time was over",
    "stopped": "it was stopped, and what was left stays",
}


_TENANTS_SHOWN = 3


@click.group()
def drain() -> None:
    """End what lasts long on a slot: WebSockets, streams, plain TCP."""


@drain.command()
@click.argument("slot", type=SLOT)
@click.option(
    "--tenants", type=TENANTS, help="Only theirs (a,b,c). Default: who belongs elsewhere."
)
@click.option("--per-second", type=float, help="Connections ended in a second, by all workers.")
@click.option("--tenant-per-second", type=float, help="Of these, a single tenant's at most.")
@click.option("--limit-s", type=float, help="Seconds until all that is left is ended at once.")
@click.option("--webhook", help="Told of the end; under one of admin.step_urls.")
@click.option("--watch", is_flag=True, help="Show how it goes, until it ends.")
@connected
def start(
    session: Session, slot: str, tenants: tuple[str, ...] | None, *, watch: bool, **options: object
) -> None:
    """Begin to drain SLOT. It goes on by itself: see `turnout drain show`."""
    fields = {"tenants": list(tenants) if tenants else "all", **options}
    begun = session.client.change("POST", _path(slot), fields, waits=False)
    if watch:
        _watch(session, slot)
    else:
        _tell(session, begun)


@drain.command()
@click.argument("slot", type=SLOT)
@connected
def show(session: Session, slot: str) -> None:
    """The drain of SLOT, or its last one, and how much is left."""
    _tell(session, session.client.read(_path(slot)))


@drain.command()
@click.argument("slot", type=SLOT)
@connected
def watch(session: Session, slot: str) -> None:
    """Show how the drain of SLOT goes, until it ends. Exit code 5 if something was left."""
    _watch(session, slot)


@drain.command()
@click.argument("slot", type=SLOT)
@connected
def stop(session: Session, slot: str) -> None:
    """Stop the drain of SLOT; what is left stays."""
    _tell(session, session.client.change("DELETE", _path(slot), waits=False))


def _path(slot: str) -> str:
    return f"/v1/slots/{slot}/drain"


def _watch(session: Session, slot: str) -> None:
    ended = follow(session, _path(slot), standing, lambda found: found["state"] == "done")
    if not session.as_json:
        for line in _beside(ended):
            say(line)
    if ended["outcome"] != "empty":
        raise SystemExit(INCOMPLETE)


def _tell(session: Session, found: dict[str, Any]) -> None:
    if session.as_json:
        show_json(found)
        return
    say(standing(found))
    for line in _beside(found):
        say(line)


def standing(found: dict[str, Any]) -> str:
    """How a drain stands, on one line."""
    state, slot, tenants = found.get("state"), found.get("slot"), found.get("tenants")
    whose = "" if tenants is None else f" of {counted(len(tenants), 'tenant')}"
    if state == "done":
        outcome = str(found.get("outcome"))
        return f"{slot} was drained{whose}: {_OUTCOMES.get(outcome, outcome)}{_back(found)}"
    if found.get("left") is None:
        return f"{slot} is being drained{whose}; the workers have not counted yet"
    hurry = ", all at once" if state == "hurrying" else ""
    return f"{slot} is being drained{whose}{hurry}; left: {_left(found)}{_back(found)}"


def _left(found: dict[str, Any]) -> str:
    """How much, by kind and by the tenants that have most."""
    parts = [f"{count} {kind}" for kind, count in _most(found.get("kinds"))]
    tenants = _most(found.get("by_tenant"))
    shown = [f"{tenant or 'nobody'} {count}" for tenant, count in tenants[:_TENANTS_SHOWN]]
    if len(tenants) > _TENANTS_SHOWN or found.get("others"):
        shown.append("…")
    beside = f" ({', '.join(parts)}; {', '.join(shown)})" if parts and shown else ""
    return f"{found['left']}{beside}"


def _most(counts: dict[str, int] | None) -> list[tuple[str, int]]:
    return sorted((counts or {}).items(), key=lambda each: (-each[1], each[0]))


def _back(found: dict[str, Any]) -> str:
    roll = found.get("census")
    return f"; {roll['back']} of {roll['before']} devices are back" if roll else ""


def _beside(found: dict[str, Any]) -> list[str]:
    """What else there is to say."""
    unknown = found.get("unknown") or []
    said = [f"  {worker} has not said what is left there" for worker in unknown]
    return said + ([f"  {found['note']}"] if found.get("note") else [])
