"""`turnout canary …`: the share of the unpinned that goes to standby."""

import click

from admin.cli.changes import report
from admin.cli.options import PERCENT, Session, connected, writing
from admin.cli.output import percent, say, show_json


@click.group()
def canary() -> None:
    """The share of the unpinned that goes to standby."""


@canary.command()
@connected
def show(session: Session) -> None:
    """The weight, what it draws, and where it sends them."""
    document = session.client.read("/v1/canary")
    if session.as_json:
        show_json(document)
        return
    say(
        f"{percent(document.get('percent'))} by {document.get('unit')} go to "
        f"{document.get('standby')} (version {document.get('version')}, salt {document.get('salt')})"
    )


@canary.command("set")
@click.argument("share", metavar="PERCENT", type=PERCENT)
@click.option(
    "--unit",
    type=click.Choice(["tenant", "affinity", "request"]),
    help="What is drawn: whole tenants, user sessions, or single requests.",
)
@click.option("--salt", help="Draw a new order: other tenants come first.")
@writing
def set_share(session: Session, share: float, unit: str | None, salt: str | None) -> None:
    """Set the weight, 0 to 100 in steps of 0.01. Raising it only adds tenants."""
    fields = {
        "percent": share,
        "unit": unit,
        "salt": salt,
        "expected_version": session.expected,
    }
    result = session.client.change("PUT", "/v1/canary", fields)
    report(session, f"the canary is {percent(share)}", result)
