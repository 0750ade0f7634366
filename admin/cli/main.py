"""`turnout`: the list of commands."""

import click

from admin.cli.group import Commands

COMMANDS = {
    "demo": ("admin.cli.launch", "Run everything on this machine, with two versions of an ERP."),
    "proxy": ("admin.cli.launch", "Run the proxy."),
    "admin": ("admin.cli.launch", "Run the admin."),
    "worker": ("admin.cli.launch", "Run a worker of migrations."),
    "routing": ("admin.cli.routing", "The routing table."),
    "tenants": ("admin.cli.tenants", "Pin, unpin, list and explain tenants."),
    "canary": ("admin.cli.canary", "The share of the unpinned that goes to standby."),
    "traffic": ("admin.cli.traffic", "Who made what share of the last hour's traffic."),
    "cutover": ("admin.cli.switch", "Move all tenants, or some, to a slot."),
    "rollback": ("admin.cli.switch", "Move all tenants, or some, back."),
    "switches": ("admin.cli.switches", "Fenced switches: list, show, cancel."),
    "endpoints": ("admin.cli.endpoints", "The instances of a slot."),
    "drain": ("admin.cli.drain", "End what lasts long on a slot."),
    "census": ("admin.cli.census", "Which devices are connected, back, or missing."),
    "versions": ("admin.cli.versions", "Which application version each slot runs."),
    "workers": ("admin.cli.fleet", "Which worker serves which version."),
    "audit": ("admin.cli.fleet", "Who changed what, newest first."),
    "events": ("admin.cli.fleet", "Follow changes and workers live."),
    "release": ("admin.cli.release", "Bring a new version to all, watched; and back."),
    "migrations": ("admin.cli.migrations", "Migrations of the tenants' databases: lint, and more."),
    "sessions": ("admin.cli.sessions", "Who is logged in to the dashboard, and ending that."),
    "token": ("admin.cli.token", "Make tokens."),
    "bench": ("admin.cli.bench", "Benchmarks, in a clone of the repository."),
    "health": ("admin.cli.health", "Is the process on this host well? For health checks."),
}
"""Command → the file it lies in, and its line in `turnout --help`, in the order of a release manager's day."""

EPILOG = """\b
Exit codes
  0  done; a change is served by every live worker
  1  refused by the admin (HTTP 4xx), or can't be done on this machine
  2  wrong usage
  3  the admin can't be reached or can't answer (HTTP 5xx)
  4  changed, but not served by every worker within --timeout-ms
  5  a drain left something, not all devices are back, a migration failed, one can't go back,
     a release was not done, or its trail doesn't hold

\b
Environment
  TURNOUT_ADMIN_URL           where the admin listens (http://127.0.0.1:8081)
  TURNOUT_TOKEN               the token to show it
  TURNOUT_ADMIN_TOKEN_SECRET  what `turnout token create` signs with
  NO_COLOR                    no colours
"""


@click.command(
    cls=Commands,
    table=COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(
    None, "-V", "--version", package_name="turnout", message="turnout %(version)s"
)
def main() -> None:
    """Turnout: a tenant-aware blue/green switch in front of your system."""
