"""`turnout versions …`: which application version each slot runs."""

import click

from admin.cli.options import SLOT, Session, connected
from admin.cli.output import say, show_json

_SLOTS = ("blue", "green")


@click.group()
def versions() -> None:
    """Which application version each slot runs; schemas are compared with it."""


@versions.command()
@connected
def show(session: Session) -> None:
    """What the slots run, as far as somebody said so."""
    found = {slot: session.client.read(f"/v1/slots/{slot}/version")["version"] for slot in _SLOTS}
    if session.as_json:
        show_json(found)
        return
    for slot, version in found.items():
        say(slot, version or "unknown: nothing is refused because of it")


@versions.command("set")
@click.argument("slot", type=SLOT)
@click.argument("version", metavar="MAJOR.MINOR.PATCH")
@connected
def set_version(session: Session, slot: str, version: str) -> None:
    """Say what SLOT runs, before it is deployed there.

    Refused while tenants are routed to SLOT whose schema doesn't serve that version.
    """
    result = session.client.change(
        "PUT", f"/v1/slots/{slot}/version", {"version": version}, waits=False
    )
    if session.as_json:
        show_json(result)
    else:
        say(f"{slot} runs {result['version']}")


@versions.command()
@click.argument("slot", type=SLOT)
@connected
def forget(session: Session, slot: str) -> None:
    """It isn't known any more what SLOT runs: nobody means to go back to it, or it is empty."""
    result = session.client.change("DELETE", f"/v1/slots/{slot}/version", {}, waits=False)
    if session.as_json:
        show_json(result)
    else:
        say(f"what {slot} runs is not known any more; nothing is refused because of it")
