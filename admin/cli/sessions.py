"""`turnout sessions …`: who is logged in to the dashboard, and how to end that."""

from typing import Any
from urllib.parse import quote

import click

from admin.cli.options import Session, connected
from admin.cli.output import counted, say, show_json, show_table


@click.group()
def sessions() -> None:
    """Who is logged in to the dashboard: list, end."""


@sessions.command("list")
@click.option("--subject", help="Only this person's.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--cursor", help="Go on where an earlier list ended (its `next`).")
@connected
def listing(session: Session, **filters: object) -> None:
    """Sessions, the latest log-in first."""
    page = session.client.read("/v1/sessions", filters)
    if session.as_json:
        show_json(page)
        return
    items = page.get("items", [])
    if not items:
        say("Nobody is logged in.")
        return
    columns = ("session", "who", "role", "tenants", "by", "from", "since", "last seen", "ends")
    show_table(columns, (_row(item) for item in items))
    if page.get("next"):
        say(f"There are more: --cursor {page['next']}")


@sessions.command()
@click.argument("name", required=False)
@click.option("--subject", help="All sessions of this person, in place of one by its name.")
@connected
def end(session: Session, name: str | None, subject: str | None) -> None:
    """End the session NAME, or all of a person. Their next request is refused."""
    if (name is None) == (subject is None):
        raise click.UsageError("give the NAME of a session, or --subject")
    if subject is None:
        path = f"/v1/sessions/{quote(str(name), safe='')}"
        ended = session.client.change("DELETE", path, waits=False)
    else:
        fields = {"subject": subject}
        ended = session.client.change("DELETE", "/v1/sessions", fields, waits=False)
    if session.as_json:
        show_json(ended)
        return
    names = ended.get("ended", [])
    say(f"{counted(len(names), 'session')} ended{': ' if names else ''}{', '.join(names)}")


def _row(item: dict[str, Any]) -> tuple[object, ...]:
    tenants = item.get("tenants")
    return (
        *(item.get("session"), item.get("subject"), item.get("role")),
        "all" if tenants is None else counted(len(tenants), "tenant"),
        *(item.get("method"), item.get("address")),
        *(_minute(item.get(name)) for name in ("began_at", "seen_at", "ends_at")),
    )


def _minute(at: object) -> str:
    return str(at)[:16].replace("T", " ")
