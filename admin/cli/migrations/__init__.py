"""`turnout migrations`: the list of its commands."""

import click

from admin.cli.group import Commands, Table

COMMANDS: Table = {
    "lint": (
        "admin.cli.migrations.lint",
        "What each statement means for a version that may come back, and whom it blocks.",
    ),
    "compatibility": (
        "admin.cli.migrations.compatibility",
        "Which versions tenants' schemas serve.",
    ),
}
"""Command → the file it lies in, and its line in `--help`, in the order in which one needs them."""


@click.command(cls=Commands, table=COMMANDS)
def migrations() -> None:
    """Migrations of the tenants' databases."""
