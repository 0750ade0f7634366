"""`turnout migrations history`, `turnout migrations targets`."""

import click

from admin.cli.options import TENANT, Session, connected
from admin.cli.output import say, show_json, show_table


@click.command()
@click.option("--plan", help="Of this plan.")
@click.option("--target", help="Of this target.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@connected
def history(session: Session, plan: str | None, target: str | None, limit: int) -> None:
    """What was migrated, and who asked for it, newest first."""
    query = {"plan": plan, "target": target, "limit": limit}
    page = session.client.read("/v1/migrations/history", query)
    if session.as_json:
        show_json(page)
        return
    names = ("at", "actor", "event", "plan", "target", "key", "duration_ms")
    show_table(names, ([each[name] for name in names] for each in page["items"]))


@click.command()
@click.option("--tenant", type=TENANT, help="Of this tenant.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@connected
def targets(session: Session, tenant: str | None, limit: int) -> None:
    """The schemas to migrate, where they lie, and what each has."""
    page = session.client.read("/v1/migrations/targets", {"tenant": tenant, "limit": limit})
    if session.as_json:
        show_json(page)
        return
    rows = (
        (
            *(each["name"], each["tenant"], each["server"], each["database"], each["schema"]),
            each["applied"][-1] if each["applied"] else None,
            len(each["applied"]),
            f"{each['retired_at'][:10]}: {each['retired_why']}" if each["retired_at"] else None,
        )
        for each in page["items"]
    )
    show_table(
        ("target", "tenant", "server", "database", "schema", "last", "applied", "retired"), rows
    )
    if page["next"]:
        say("There are more: --limit, or --tenant")
