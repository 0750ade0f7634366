"""`turnout migrations compatibility`: which versions tenants' schemas serve, and whether one can go back."""

from typing import Any

import click

from admin.cli.failures import INCOMPLETE
from admin.cli.options import TENANT, Session, connected
from admin.cli.output import counted, say, show_json, show_table

_MARKS = {True: "yes", False: "no"}


@click.command()
@click.option("--tenant", type=TENANT, help="This tenant alone.")
@click.option("--unserved", is_flag=True, help="Only tenants that one of the slots can't serve.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@connected
def compatibility(session: Session, tenant: str | None, limit: int, *, unserved: bool) -> None:
    """Tenants by version: what each tenant's schema serves; and whether all can go on, and back.

    The exit code is 0 if all could go back now (or there is nothing to go back to), else 5.
    """
    query = {"tenant": tenant, "unserved": "true" if unserved else None, "limit": limit}
    page = session.client.read("/v1/migrations/compatibility", query)
    if session.as_json:
        show_json(page)
    else:
        _show(page)
    if page["rollback"] and not page["rollback"]["safe"]:
        raise SystemExit(INCOMPLETE)


def _show(page: dict[str, Any]) -> None:
    for slot, version in page["slots"].items():
        say(f"{slot} runs {version or 'an unknown version: turnout versions set'}")
    say(move("cutover", page["cutover"]))
    if page["rollback"]:
        say(move("rollback", page["rollback"]))
    rows = (
        (
            each["tenant"] or "all others",
            *(_MARKS[each["serves"][version]] for version in page["versions"]),
        )
        for each in page["items"]
    )
    if page["items"]:
        show_table(("tenant", *page["versions"]), rows)
    if page["next"]:
        say("There are more: --limit, --unserved or --tenant")


def move(name: str, state: dict[str, Any]) -> str:
    """Whether all may go, on one line."""
    to = f"{name} to {state['to']} ({state['version'] or 'unknown version'})"
    if state["safe"]:
        return f"{to}: every schema that is known serves it"
    names = ", ".join("who has no pin" if each == "*" else each for each in state["tenants"])
    more = " and more" if state["unserved"] > len(state["tenants"]) else ""
    whom = counted(state["unserved"], "tenant")
    return f"{to} is refused because of {whom}: {names}{more}; {state['why']}"
