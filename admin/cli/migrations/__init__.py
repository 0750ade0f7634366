"""`turnout migrations`: the list of its commands."""

import click

from admin.cli.group import Commands, Table

COMMANDS: Table = {
    "plan": ("admin.cli.migrations.plan", "What would run where, written down to be run."),
    "run": ("admin.cli.migrations.words", "Begin a plan."),
    "status": ("admin.cli.migrations.status", "How a plan is getting on, wave by wave."),
    "pause": ("admin.cli.migrations.words", "Have a plan wait."),
    "resume": ("admin.cli.migrations.words", "Let a plan go on."),
    "retry": ("admin.cli.migrations.words", "Try again what has failed of a plan."),
    "cancel": ("admin.cli.migrations.words", "End a plan; what is applied stays."),
    "history": ("admin.cli.migrations.history", "What has happened, newest first."),
    "targets": ("admin.cli.migrations.targets", "What there is to migrate, and what each has."),
    "compatibility": (
        "admin.cli.migrations.compatibility",
        "Which versions tenants' schemas serve.",
    ),
}
"""Command → the file it lies in, and its line in `--help`, in the order in which one needs them."""


@click.command(cls=Commands, table=COMMANDS)
def migrations() -> None:
    """Migrations of the tenants' databases."""
