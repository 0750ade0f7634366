"""`turnout migrations history`: who did what, and what became of it."""

import click

from admin.cli.options import Session, connected
from admin.cli.output import milliseconds, say, show_json, show_table


@click.command()
@click.option("--plan", help="Of this plan alone.")
@click.option("--target", help="Of this target alone: a tenant's name, mostly.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--cursor", type=click.IntRange(min=1), help="Go on from here.")
@connected
def history(
    session: Session, plan: str | None, target: str | None, limit: int, cursor: int | None
) -> None:
    """What has happened, newest first. It can't be altered."""
    query = {"plan": plan, "target": target, "limit": limit, "cursor": cursor}
    page = session.client.read("/v1/migrations/history", query)
    if session.as_json:
        show_json(page)
        return
    rows = (
        (
            *(each["at"][:19], each["plan"], each["target"], each["key"], each["event"]),
            *(milliseconds(each["duration_ms"]), each["actor"]),
            (each["detail"] or {}).get("message", ""),
        )
        for each in page["items"]
    )
    show_table(("at", "plan", "target", "version", "event", "took", "by", ""), rows)
    if page["next"]:
        say(f"There is more: --cursor {page['next']}")
