"""`python -m proxy`: argv → settings → supervisor."""

import logging
import sys
from pathlib import Path

import click

from config import examine
from proxy.config import Settings


@click.command(name="turnout proxy", help="Run the data plane.")
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="TURNOUT_CONFIG",
    help="turnout.toml; without it the defaults and TURNOUT_* variables.",
)
@click.option(
    "--check", is_flag=True, help="Say what is wrong with the settings, line by line, and end."
)
@click.option("--json", "as_json", is_flag=True, help="With --check: machine output.")
def main(path: Path | None, *, check: bool, as_json: bool) -> None:
    """Run, or only check the settings (exit code 2: they can't be used)."""
    if check:
        from proxy.supervision.check import look  # noqa: PLC0415 - the data plane starts without it

        report = examine(path, "proxy", Settings)
        look(report)
        click.echo(
            report.as_json() if as_json else report.text(),
            nl=False,
            err=not (report.good or as_json),
        )
        sys.exit(0 if report.good else 2)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(process)d %(name)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    from proxy.supervision import supervisor  # noqa: PLC0415 - --check and --help start without it

    sys.exit(supervisor.main(lambda: examine(path, "proxy", Settings).settings()))


if __name__ == "__main__":
    main()
