"""`python -m proxy`: argv → settings → supervisor."""

import logging
import sys
from pathlib import Path

import click

from config import ConfigError, load
from proxy.config import Settings


@click.command(name="turnout proxy", help="Run the data plane.")
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="TURNOUT_CONFIG",
    help="turnout.toml; without it the defaults and TURNOUT_* variables.",
)
@click.option("--check", is_flag=True, help="Read the settings, say whether they are good, end.")
def main(path: Path | None, *, check: bool) -> None:
    """Run, or only check the settings."""
    if check:
        try:
            load(path, "proxy", Settings)
        except ConfigError as error:
            sys.exit(f"turnout proxy: {error}")
        click.echo("the settings are good")
        return
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(process)d %(name)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    from proxy import supervisor  # noqa: PLC0415 - --check and --help start without the data plane

    sys.exit(supervisor.main(lambda: load(path, "proxy", Settings)))


if __name__ == "__main__":
    main()
