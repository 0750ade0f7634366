"""`turnout traffic`: who made what share of the last hour's traffic."""

import click

from admin.cli.options import Session, connected
from admin.cli.output import counted, percent, say, show_json, show_table


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--cursor", type=click.IntRange(0), help="Go on where an earlier list ended.")
@connected
def traffic(session: Session, limit: int, cursor: int | None) -> None:
    """Who made what share of the last hour's traffic, the busiest first."""
    page = session.client.read("/v1/traffic", {"limit": limit, "cursor": cursor})
    if session.as_json:
        show_json(page)
        return
    items = page.get("items") or []
    if not items:
        say("No figures of the last hour: they come with requests that name a tenant.")
        return
    show_table(
        ("tenant", "requests", "share", "slot", "reason"),
        (
            (
                item.get("tenant"),
                item.get("requests"),
                percent(round(item.get("percent") or 0, 2)),
                item.get("slot"),
                item.get("reason"),
            )
            for item in items
        ),
    )
    say(
        f"{counted(page.get('requests') or 0, 'request')} of {counted(page.get('tenants') or 0, 'tenant')}"
        f" in {counted(page.get('minutes') or 0, 'minute')}; "
        f"{percent(page.get('others_percent'))} of tenants that are not named here."
    )
    if page.get("next"):
        say(f"There are more: --cursor {page['next']}")
