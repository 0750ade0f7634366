"""`turnout canary ramp …`: a canary that is walked through steps, each for a time."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from admin.cli.failures import REFUSED
from admin.cli.options import DURATIONS, PERCENTS, TENANT_LIST, Session, connected, writing
from admin.cli.output import console, percent, printable, say, seconds, show_json, show_json_line

LOOK_S = 1.0
"""How often a ramp that is watched is asked for."""
_PATH = "/v1/canary/ramp"
_BAR = 24
_OUTCOMES = {
    "arrived": "it has walked all its steps",
    "stop": "it was stopped; the canary stays as it is",
    "switched": "a cutover or a rollback ended it",
}
Document = dict[str, Any]


class _Ramp(click.Group):
    """`ramp 1,5,25` is `ramp start 1,5,25`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command, and what is left for it."""
        begins = bool(args) and args[0][:1].isdigit()
        return super().resolve_command(ctx, ["start", *args] if begins else args)


@click.group(cls=_Ramp)
def ramp() -> None:
    """Walk the canary through steps: start (or just 1,5,25,100), show, pause, reverse, stop."""


@ramp.command()
@click.argument("steps", metavar="PERCENT,…", type=PERCENTS)
@click.option(
    "--dwell",
    "dwell_s",
    metavar="TIME,…",
    type=DURATIONS,
    required=True,
    help="How long each step lasts: one for all, or one for each but the last (10m,30m,1h).",
)
@click.option(
    "--by",
    type=click.Choice(["count", "traffic"]),
    help="What the steps are of: of all tenants, or of the last hour's traffic.",
)
@click.option(
    "--unit",
    type=click.Choice(["tenant", "affinity", "request"]),
    help="What is drawn: whole tenants, user sessions, or single requests.",
)
@click.option("--salt", help="Draw a new order: other tenants come first.")
@click.option("--allow", type=TENANT_LIST, help="Draw only these (a,b,c); empty: all.")
@click.option("--deny", type=TENANT_LIST, help="Never draw these (a,b,c).")
@writing
def start(session: Session, **fields: Any) -> None:
    """Begin a ramp. It goes on by itself: see `turnout canary ramp show --watch`."""
    given = {**fields, "expected_version": session.expected}
    _tell(session, session.client.change("POST", _PATH, given, waits=False))


@ramp.command()
@click.option("--watch", is_flag=True, help="Go on until it ends; exit code 1 unless it arrives.")
@connected
def show(session: Session, watch: bool) -> None:
    """The ramp, or the last one, and how far it is."""
    if not watch:
        _tell(session, session.client.read(_PATH))
        return
    last = _watch(session)
    if last.get("outcome") != "arrived":
        click.get_current_context().exit(REFUSED)


def _word(name: str, text: str) -> None:
    """A command that is one word to the ramp."""

    def say_it(session: Session) -> None:
        _tell(session, session.client.change("POST", f"{_PATH}/{name}", waits=False))

    say_it.__doc__ = text
    ramp.command(name)(connected(say_it))


for _name, _text in {
    "pause": "Have it wait; the canary stays as it is.",
    "resume": "Let it go on, with the rest of the step's time.",
    "reverse": "Turn it around: back down, step by step, to where it began; or up again.",
    "stop": "End it; the canary stays as it is.",
}.items():
    _word(_name, _text)


def _tell(session: Session, found: Document) -> None:
    if session.as_json:
        show_json(found)
        return
    for line in lines(found):
        say(line)


def _watch(session: Session) -> Document:
    """Show it until it has ended: in place on a terminal, else a line for each thing that happens."""
    screen = console()
    if session.as_json or not screen.is_terminal:
        return _follow(session, show_json_line if session.as_json else _tell_change)
    from rich.live import Live  # noqa: PLC0415 - see output.console
    from rich.text import Text  # noqa: PLC0415 - see output.console

    with Live(console=screen, auto_refresh=False) as live:
        found: Document = {}
        for found in _looks(session):
            live.update(Text("\n".join(lines(found))), refresh=True)
    return found


def _follow(session: Session, tell: Callable[[Document], None]) -> Document:
    told: object = None
    found: Document = {}
    for found in _looks(session):
        what = (found.get("state"), found.get("step"), found.get("direction"))
        if what != told:
            told = what
            tell(found)
    return found


def _looks(session: Session) -> Iterator[Document]:
    """The ramp again and again, until it has ended."""
    while True:
        found = session.client.read(_PATH)
        yield found
        if found.get("state") == "done":
            return
        time.sleep(LOOK_S)


def _tell_change(found: Document) -> None:
    say(lines(found)[0])


def lines(found: Document) -> list[str]:
    """A ramp in lines: how it stands, then a line for each step."""
    steps = found.get("steps") or []
    text = [f"ramp {printable(found.get('ramp'))}: {_standing(found)}"]
    for number, step in enumerate(steps, 1):
        text.append(f"  {_step_line(found, number, step)}")
    if found.get("reason"):
        text.append(f"  {printable(found['reason'])}")
    return text


def _standing(found: Document) -> str:
    """How it stands, on one line."""
    state, number = found.get("state"), found.get("step") or 0
    if state == "done":
        outcome = str(found.get("outcome"))
        return f"{_OUTCOMES.get(outcome, outcome)}, at {percent(found.get('weight'))}"
    where = f"step {number} of {len(found.get('steps') or [])}" if number else "where it began"
    way = "" if found.get("direction") == "up" else ", on the way down"
    weight = f", weight {percent(found.get('weight'))}" if found.get("weight") is not None else ""
    asked = f"{percent(found.get('percent'))} by {found.get('by')}"
    doing = {
        "stepping": _waiting(found),
        "dwelling": f"{seconds(found.get('left_s') or 0)} left",
        "paused": "paused",
    }
    return f"{where}{way}, {asked}{weight}: {doing.get(str(state), state)}"


def _waiting(found: Document) -> str:
    pending = [printable(worker) for worker in found.get("pending") or []]
    return f"waiting for {', '.join(pending)}" if pending else "being set"


def _step_line(found: Document, number: int, step: Document) -> str:
    """One step: its share, a bar of its time, the time."""
    current, dwell_s = found.get("step") or 0, float(step.get("dwell_s") or 0)
    share = 0.0
    if number < current or found.get("outcome") == "arrived":
        share = 1.0
    elif number == current and dwell_s:
        share = min(1.0, float(found.get("dwelt_s") or 0) / dwell_s)
    if found.get("direction") == "down" and number != current:
        share = 0.0
    filled = round(share * _BAR)
    marker = "→" if number == current and found.get("state") != "done" else " "
    last = seconds(dwell_s) if dwell_s else "-"
    bar = "█" * filled + "░" * (_BAR - filled)
    return f"{marker} {percent(step.get('percent')):>7}  {bar}  {last}"
