"""`turnout token create`: bearer tokens, signed here; the admin is not asked.

Rule: the secret comes from the configuration or the environment, never from an argument, and is
never shown.
"""

import getpass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from admin.cli.failures import USAGE, Failure
from admin.cli.options import DURATION, TENANTS, as_json_option
from admin.cli.output import show_json
from admin.config import Settings
from admin.tokens import Role, create_token
from config import ConfigError, load


@click.group()
def token() -> None:
    """Make tokens."""


@token.command()
@click.option("--subject", help="Who will use it; the audit names them. Default: your login name.")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default="operator",
    show_default=True,
)
@click.option("--ttl", type=DURATION, default="12h", show_default=True, help="90s, 30m, 12h, 7d.")
@click.option("--tenants", type=TENANTS, help="May only change these tenants (a,b,c).")
@click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The admin's configuration; the secret is its [admin] token_secret.",
)
@as_json_option
def create(
    subject: str | None,
    role: str,
    ttl: int,
    tenants: tuple[str, ...] | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Sign a token with the admin's secret (--config, or TURNOUT_ADMIN_TOKEN_SECRET)."""
    subject = subject or _login()
    try:
        signed = create_token(_secret(config_path), subject, role, ttl, tenants)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if not as_json:
        click.echo(signed)
        return
    expires = (datetime.now(UTC) + timedelta(seconds=ttl)).isoformat(timespec="seconds")
    scope = list(tenants) if tenants else None
    fields = {"subject": subject, "role": role, "tenants": scope, "expires_at": expires}
    show_json({"token": signed, **fields})


def _secret(config_path: Path | None) -> str:
    """The admin's secret, or wrong usage with the ways to name it."""
    try:
        settings = load(config_path, "admin", Settings)[1]
    except ConfigError as error:
        raise Failure(str(error), USAGE) from None
    fault = settings.secret_fault()
    if fault:
        raise Failure(_explain_secret(fault, config_path), USAGE)
    return settings.token_secret


def _explain_secret(fault: str, config_path: Path | None) -> str:
    lines = [f"no token was made: {fault}."]
    if config_path is None:
        lines.append("  Name the admin's configuration (--config FILE), or put its secret into the")
        lines.append("  environment as TURNOUT_ADMIN_TOKEN_SECRET.")
    else:
        lines.append(f'  {config_path} should have, under [admin], token_secret = "…".')
    lines.append("  A demo keeps its own in .turnout/demo/turnout.toml.")
    return "\n".join(lines)


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
