"""`turnout canary …`: the share of the unpinned that goes to standby."""

from collections.abc import Callable
from typing import Any

import click

from admin.cli.changes import report
from admin.cli.options import PERCENT, TENANT_LIST, Session, connected, writing
from admin.cli.output import percent, say, show_json
from admin.cli.ramp import ramp
from admin.cli.whatif import ask, sentence


@click.group()
def canary() -> None:
    """The share of the unpinned that goes to standby."""


canary.add_command(ramp)


def drawing(function: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that say what a canary draws."""
    for option in reversed(_DRAWING):
        function = option(function)
    return function


_DRAWING = (
    click.option(
        "--by",
        type=click.Choice(["count", "traffic"]),
        help="What the percentage is of: of all tenants, or of the last hour's traffic.",
    ),
    click.option(
        "--unit",
        type=click.Choice(["tenant", "affinity", "request"]),
        help="What is drawn: whole tenants, user sessions, or single requests.",
    ),
    click.option("--salt", help="Draw a new order: other tenants come first."),
    click.option("--allow", type=TENANT_LIST, help="Draw only these (a,b,c); empty: all."),
    click.option("--deny", type=TENANT_LIST, help="Never draw these (a,b,c)."),
)


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
@drawing
@writing
def set_share(session: Session, share: float, **drawn: Any) -> None:
    """Set the weight, 0 to 100 in steps of 0.01. Raising it only adds tenants."""
    fields = {"percent": share, **drawn, "expected_version": session.expected}
    result = session.client.change("PUT", "/v1/canary", fields)
    chosen = result.get("chosen")
    if not isinstance(chosen, dict):
        report(session, f"the canary is {percent(share)}", result)
        return
    report(session, f"the canary is {percent(chosen.get('percent'))}", result, sentence(chosen))


@canary.command("what-if")
@click.argument("share", metavar="PERCENT", type=PERCENT)
@drawing
@connected
def what_if(session: Session, share: float, **drawn: Any) -> None:
    """Who would move at that weight, and how much traffic that is. Changes nothing."""
    given = {name: value for name, value in drawn.items() if value is not None}
    ask(session, {"canary": {"percent": share, **given}})
