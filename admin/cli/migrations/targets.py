"""`turnout migrations targets`: what there is to migrate, and what each has."""

import click

from admin.cli.options import Session, connected
from admin.cli.output import say, show_json, show_table


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--cursor", help="Go on after this name.")
@connected
def targets(session: Session, limit: int, cursor: str | None) -> None:
    """Targets by name: where each lies, and the last that it got. Known from the first plan on."""
    page = session.client.read("/v1/migrations/targets", {"limit": limit, "cursor": cursor})
    if session.as_json:
        show_json(page)
        return
    rows = (
        (
            *(each["name"], each["tenant"] or "all", each["server"]),
            f"{each['database'] or '(of the URL)'}.{each['schema']}",
            each["applied"][-1] if each["applied"] else None,
            len(each["applied"]),
            (each["looked_at"] or "never")[:19],
        )
        for each in page["items"]
    )
    show_table(("target", "tenant", "server", "schema", "last", "applied", "looked at"), rows)
    if page["next"]:
        say(f"There are more: --cursor {page['next']}")
