"""`turnout migrations`: the list of its commands."""

import click

from admin.cli.group import Commands, Table

COMMANDS: Table = {
    "verify": (
        "admin.cli.migrations.verify",
        "Prove by the old version's queries and tests, in a clone.",
    ),
    "drift": ("admin.cli.migrations.drift", "What a schema has that it should not have, or lacks."),
    "compatibility": (
        "admin.cli.migrations.compatibility",
        "Which versions tenants' schemas serve.",
    ),
}
"""Command → the file it lies in, and its line in `--help`, in the order in which one needs them."""


@click.command(cls=Commands, table=COMMANDS)
def migrations() -> None:
    """Migrations of the tenants' databases."""
