"""`turnout migrations retire`, `turnout migrations bring-back`: targets that are gone, or there again."""

import click

from admin.cli.options import Session, connected
from admin.cli.output import say, show_json


@click.command()
@click.argument("target", metavar="TARGET")
@click.option("--note", required=True, help="Why; it stands in the history.")
@connected
def retire(session: Session, target: str, note: str) -> None:
    """TARGET is gone: no plan takes it and no slot's version is compared with it."""
    _say(session, target, "retire", note)


@click.command("bring-back")
@click.argument("target", metavar="TARGET")
@click.option("--note", default="", help="Why; it stands in the history.")
@connected
def bring_back(session: Session, target: str, note: str) -> None:
    """TARGET is there again, and counts."""
    _say(session, target, "bring-back", note)


def _say(session: Session, target: str, word: str, note: str) -> None:
    path = f"/v1/migrations/targets/{target}/{word}"
    found = session.client.change("POST", path, {"note": note}, waits=False)
    if session.as_json:
        show_json(found)
    elif found["retired_at"]:
        say(f"{target} is retired; `turnout migrations bring-back {target}` brings it back")
    else:
        say(f"{target} counts again; `turnout migrations plan` says what it lacks")
