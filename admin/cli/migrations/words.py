"""`turnout migrations run`, `pause`, `resume`, `retry`, `cancel`: a word to a plan."""

import click

from admin.cli.migrations.status import line, watch
from admin.cli.options import Session, connected
from admin.cli.output import say, show_json


def _word(name: str, summary: str, *, watches: bool = False) -> click.Command:
    @click.command(name, help=summary)
    @click.argument("plan", metavar="PLAN")
    @connected
    def say_it(session: Session, plan: str, watched: bool = False) -> None:
        path = f"/v1/migrations/plans/{plan}/{name}"
        state = session.client.change("POST", path, {}, waits=False)
        if watched:
            watch(session, plan)
        elif session.as_json:
            show_json(state)
        else:
            say(line(state))

    if watches:
        option = click.option(
            "--watch",
            "watched",
            is_flag=True,
            help="Until it is over; exit code 5 unless it is done.",
        )
        option(say_it)
    return say_it


run = _word("run", "Begin PLAN.", watches=True)
pause = _word("pause", "Give out no more of PLAN's jobs; what runs ends.")
resume = _word(
    "resume", "Go on with PLAN; what has failed until now no longer counts.", watches=True
)
retry = _word("retry", "Try again what has failed of PLAN, and what waits for it.", watches=True)
cancel = _word("cancel", "Give PLAN up: what runs ends, what waits never runs.")
