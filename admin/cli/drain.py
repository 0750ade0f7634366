"""`turnout drain …`: end what lasts long on a slot, so that it begins anew where it belongs."""

from typing import Any

import click

from admin.cli.options import SLOT, TENANTS, Session, connected
from admin.cli.output import counted, say, show_json

_OUTCOMES = {
    "empty": "nothing was left",
    "limit": "its time was over",
    "stopped": "it was stopped, and what was left stays",
}


@click.group()
def drain() -> None:
    """End what lasts long on a slot: WebSockets, streams, plain TCP."""


@drain.command()
@click.argument("slot", type=SLOT)
@click.option(
    "--tenants", type=TENANTS, help="Only theirs (a,b,c). Default: who belongs elsewhere."
)
@click.option("--per-second", type=float, help="Connections ended in a second, by all workers.")
@click.option("--limit-s", type=float, help="Seconds until all that is left is ended at once.")
@click.option("--webhook", help="Told of the end; under one of admin.step_urls.")
@connected
def start(session: Session, slot: str, tenants: tuple[str, ...] | None, **options: object) -> None:
    """Begin to drain SLOT. It goes on by itself: see `turnout drain show`."""
    fields = {"tenants": list(tenants) if tenants else "all", **options}
    _tell(session, session.client.change("POST", _path(slot), fields, waits=False))


@drain.command()
@click.argument("slot", type=SLOT)
@connected
def show(session: Session, slot: str) -> None:
    """The drain of SLOT, or its last one, and how much is left."""
    _tell(session, session.client.read(_path(slot)))


@drain.command()
@click.argument("slot", type=SLOT)
@connected
def stop(session: Session, slot: str) -> None:
    """Stop the drain of SLOT; what is left stays."""
    _tell(session, session.client.change("DELETE", _path(slot), waits=False))


def _path(slot: str) -> str:
    return f"/v1/slots/{slot}/drain"


def _tell(session: Session, found: dict[str, Any]) -> None:
    if session.as_json:
        show_json(found)
        return
    state, slot, tenants = found.get("state"), found.get("slot"), found.get("tenants")
    whose = "" if tenants is None else f" of {counted(len(tenants), 'tenant')}"
    if state == "done":
        outcome = str(found.get("outcome"))
        say(f"{slot} was drained{whose}: {_OUTCOMES.get(outcome, outcome)}")
    elif found.get("left") is None:
        say(f"{slot} is being drained{whose}; the workers have not counted yet")
    else:
        hurry = ", all at once" if state == "hurrying" else ""
        say(f"{slot} is being drained{whose}{hurry}; left: {found['left']}")
    for worker in found.get("unknown") or []:
        say(f"  {worker} has not said what is left there")
    if found.get("note"):
        say(f"  {found['note']}")
