"""`turnout migrations`: the list of its commands."""

import click

from admin.cli.group import Commands, Table

COMMANDS: Table = {
    "lint": (
        "admin.cli.migrations.lint",
        "What each statement means for a version that may come back, and whom it blocks.",
    ),
    "verify": (
        "admin.cli.migrations.verify",
        "Prove by the old version's queries and tests, in a clone.",
    ),
    "drift": ("admin.cli.migrations.drift", "What a schema has that it should not have, or lacks."),
    "plan": ("admin.cli.migrations.plan", "What will run where; and write it down."),
    "run": ("admin.cli.migrations.words", "Begin a plan."),
    "status": ("admin.cli.migrations.status", "How a plan stands: waves, rate, what has failed."),
    "pause": ("admin.cli.migrations.words", "Give out no more of a plan's jobs."),
    "resume": ("admin.cli.migrations.words", "Go on; what has failed no longer counts."),
    "retry": ("admin.cli.migrations.words", "Try again what has failed."),
    "cancel": ("admin.cli.migrations.words", "Give a plan up; what runs ends."),
    "history": ("admin.cli.migrations.looking", "What was migrated, newest first."),
    "targets": ("admin.cli.migrations.looking", "The schemas to migrate, and what each has."),
    "retire": ("admin.cli.migrations.retiring", "A target is gone, and counts no more."),
    "bring-back": ("admin.cli.migrations.retiring", "It is there again."),
    "compatibility": (
        "admin.cli.migrations.compatibility",
        "Which versions tenants' schemas serve.",
    ),
}
"""Command → the file it lies in, and its line in `--help`, in the order in which one needs them."""


@click.command(cls=Commands, table=COMMANDS)
def migrations() -> None:
    """Migrations of the tenants' databases."""
