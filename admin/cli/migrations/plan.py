"""`turnout migrations plan`: what will run where, about how long, and in which waves."""

import click

from admin.cli.migrations.status import show_state, watch
from admin.cli.options import PERCENTS, TENANT_LIST, Session, connected
from admin.cli.output import say, show_json

_PHASES = ("expand", "backfill", "contract")


@click.command()
@click.option("--to", metavar="VERSION", help="The last version; without it all.")
@click.option(
    "--phase",
    "phases",
    type=click.Choice(_PHASES),
    multiple=True,
    help="Which phases; by default expansions alone. May be given more than once.",
)
@click.option("--tenants", type=TENANT_LIST, help="Only these, separated by commas.")
@click.option("--pilots", type=TENANT_LIST, help="The first wave, separated by commas.")
@click.option("--shares", type=PERCENTS, help="Of the waves after it, in percent: 1,10.")
@click.option(
    "--failure-budget",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="How many targets may fail before a wave is stopped.",
)
@click.option("--priority", type=click.IntRange(-1000, 1000), default=0, help="Higher comes first.")
@click.option("--dry-run", is_flag=True, help="Write nothing down.")
@click.option("--run", is_flag=True, help="Begin at once, and watch it.")
@connected
def plan(session: Session, dry_run: bool, run: bool, **wish: object) -> None:
    """Plan migrations of the tenants' schemas, from the folder that the admin reads.

    Nothing runs before `turnout migrations run PLAN`. The exit code is 0; with --run it is 5 if the plan
    ends otherwise than done.
    """
    if dry_run and run:
        raise click.UsageError("--dry-run or --run, not both")
    fields = {name: _plain(value) for name, value in wish.items() if value not in {None, ()}}
    fields |= {"dry_run": dry_run, "run": run}
    state = session.client.change("POST", "/v1/migrations/plans", fields, waits=False)
    if run:
        watch(session, state["name"])
        return
    if session.as_json:
        show_json(state)
        return
    show_state(state)
    if not dry_run and state["jobs"]:
        say(f"Nothing runs yet: turnout migrations run {state['name']}")


def _plain(value: object) -> object:
    return list(value) if isinstance(value, (tuple, list)) else value
