"""`turnout endpoints …`: the instances of a slot."""

import click

from admin.cli.changes import report
from admin.cli.options import SLOT, Session, connected, writing
from admin.cli.output import counted, say, show_json


@click.group()
def endpoints() -> None:
    """The instances of a slot."""


@endpoints.command()
@click.argument("slot", type=SLOT, required=False)
@connected
def show(session: Session, slot: str | None) -> None:
    """Where a slot's instances listen; without SLOT, both slots'."""
    slots = [slot] if slot else ["blue", "green"]
    found = [session.client.read(f"/v1/slots/{name}/endpoints") for name in slots]
    if session.as_json:
        show_json(found[0] if slot else {document["slot"]: document for document in found})
        return
    for document in found:
        say(document["slot"], ", ".join(document["endpoints"]) or "none")


@endpoints.command("set")
@click.argument("slot", type=SLOT)
@click.argument("addresses", metavar="HOST:PORT...", nargs=-1)
@click.option("--none", "empty", is_flag=True, help="The slot has no instances any more.")
@click.option("--force", is_flag=True, help="Even if tenants are routed to the emptied slot.")
@writing
def set_endpoints(
    session: Session, slot: str, addresses: tuple[str, ...], empty: bool, force: bool
) -> None:
    """Set all instances of a slot at once. Needs the admin role."""
    if empty == bool(addresses):
        raise click.UsageError("name the slot's instances (host:port …), or --none")
    fields = {
        "endpoints": list(addresses),
        "force": True if force else None,
        "expected_version": session.expected,
    }
    result = session.client.change("PUT", f"/v1/slots/{slot}/endpoints", fields)
    report(session, f"{slot} has {counted(len(addresses), 'endpoint')}", result)
