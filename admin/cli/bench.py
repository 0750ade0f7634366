"""`turnout bench …`: the benchmarks of the source tree, where this Turnout runs from one.

Rule: this process becomes `python -m bench …`, so options and exit codes are its own; nothing of it
is imported here, for no wheel carries it.
"""

import click

from admin.cli.failures import REFUSED, Failure
from admin.cli.launch import PASS_ON, ROOT, become, need


@click.group()
def bench() -> None:
    """Benchmarks, in a clone of the repository."""


@bench.command(context_settings=PASS_ON, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def switch(arguments: tuple[str, ...]) -> None:
    """Switches under load, beside other proxies (see `turnout bench switch --help`)."""
    if not (ROOT / "bench" / "switch").is_dir():
        raise Failure(
            "the benchmarks lie in the source tree, and this Turnout was installed without it.\n"
            "  git clone the repository, then in it: make bench-switch",
            REFUSED,
        )
    need("demo")
    become("bench", ("switch", *arguments))
