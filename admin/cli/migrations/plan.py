"""`turnout migrations plan`: what would run where, written down, so that it can be run."""

from typing import Any

import click

from admin.cli.migrations.status import lines, watched
from admin.cli.options import PERCENTS, TENANTS, Session, connected
from admin.cli.output import counted, say, seconds, show_json

PLANS = "/v1/migrations/plans"
PHASES = ("expand", "backfill", "contract")


class PhasesType(click.ParamType[tuple[str, ...]]):
    """Phases with commas between."""

    name = "phase,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The phases in order, or wrong usage."""
        if isinstance(value, tuple):
            return value
        named = tuple(part.strip() for part in str(value).split(","))
        if not named or set(named) - set(PHASES):
            self.fail(f"{value!r}: phases are {', '.join(PHASES)}", param, ctx)
        return named


@click.command()
@click.option("--to", metavar="VERSION", help="The last version. Default: all.")
@click.option(
    "--phase",
    "phases",
    type=PhasesType(),
    default="expand",
    show_default=True,
    help="expand, backfill, contract; with commas between.",
)
@click.option("--tenants", type=TENANTS, help="These alone (a,b,c). Default: every target.")
@click.option("--pilots", type=TENANTS, help="Who comes first (a,b,c).")
@click.option(
    "--shares",
    type=PERCENTS,
    default="1,10",
    show_default=True,
    help="The waves after the pilots, in percent of all tenants; the rest come last.",
)
@click.option(
    "--failure-budget",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="How many may fail in a wave before it stops.",
)
@click.option("--priority", type=click.IntRange(-1000, 1000), default=0, help="The higher, first.")
@click.option("--run", is_flag=True, help="Begin at once.")
@click.option("--watch", is_flag=True, help="With --run: show it until it has ended.")
@connected
def plan(session: Session, *, run: bool, watch: bool, **wish: Any) -> None:
    """Plan migrations: the admin's folder against what each target has. Nothing runs before `run`."""
    if watch and not run:
        raise click.UsageError("--watch is for --run: nothing happens to a plan that is not run")
    tenants = wish.pop("tenants")
    given = {**wish, "tenants": "all" if tenants is None else list(tenants), "run": run}
    made = session.client.change("POST", PLANS, given, waits=False)
    if watch:
        watched(session, made["name"])
    elif session.as_json:
        show_json(made)
    else:
        show(made)


def show(made: dict[str, Any]) -> None:
    """A new plan, for people: what runs, where, about how long, and how to begin."""
    for line in lines(made):
        say(line)
    for file in made["files"]:
        requires = f", needs app >= {file['requires']} after it" if file["requires"] else ""
        how = "" if file["transactional"] else ", step by step"
        say(f"  {file['phase']:<9} {file['path']}{how}{requires}")
    if made["up_to_date"]:
        say(f"{counted(made['up_to_date'], 'target')} have nothing to do")
    if made["estimate_s"] is not None:
        unknown = f", and {counted(made['unknown'], 'job')} of unknown length"
        about = f"about {seconds(made['estimate_s'])}"
        say(f"{about}{unknown if made['unknown'] else ''}, by what it took elsewhere")
    if made["state"] == "planned":
        say(f"Begin: turnout migrations run {made['name']} --watch")
