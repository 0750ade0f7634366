"""`turnout migrations run`, `pause`, `resume`, `retry`, `cancel`: an operator's word to a plan."""

from collections.abc import Callable

import click

from admin.cli.migrations.status import lines, watched
from admin.cli.options import Session, connected
from admin.cli.output import say, show_json


class PlanType(click.ParamType[str]):
    """A plan's name."""

    name = "plan"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """The name, or wrong usage."""
        text = str(value)
        if not text or not all(char.isascii() and (char.isalnum() or char == "-") for char in text):
            self.fail(f"{value!r} is no plan's name: see `turnout migrations status`", param, ctx)
        return text


PLAN = PlanType()


def _word(name: str, text: str) -> click.Command:
    """The command that says this word."""

    def say_it(session: Session, plan: str, *, watch: bool) -> None:
        found = session.client.change("POST", f"/v1/migrations/plans/{plan}/{name}", waits=False)
        if watch:
            watched(session, plan)
        elif session.as_json:
            show_json(found)
        else:
            for line in lines(found):
                say(line)

    say_it.__doc__ = text
    command: Callable[..., None] = connected(say_it)
    for option in (
        click.option("--watch", is_flag=True, help="Show it until it has ended."),
        click.argument("plan", type=PLAN),
    ):
        command = option(command)
    return click.command(name)(command)


run = _word("run", "Begin a plan. It goes on by itself, wave by wave, as long as workers run.")
pause = _word("pause", "Have a plan wait. What runs ends first; a backfill after its batch.")
resume = _word("resume", "Let a plan go on. What has failed until now no longer counts.")
retry = _word("retry", "Try again what has failed of a plan, and what was blocked by it.")
cancel = _word("cancel", "End a plan. What is applied stays.")
