"""`turnout health`: is the process on this host well? For a container's health check.

Needs no token: it asks the open health addresses. The management port answers where the proxy
runs, the admin's where the admin runs; one of them is enough.
"""

import http.client
import os
from contextlib import closing
from urllib.parse import urlsplit

import click

from admin.cli.failures import UNREACHABLE, Failure
from admin.cli.output import show_json

TIMEOUT_S = 2.0
PROBES = (
    ("TURNOUT_MANAGEMENT_URL", "http://127.0.0.1:8090", "/healthz"),
    ("TURNOUT_ADMIN_URL", "http://127.0.0.1:8081", "/healthz"),
)
"""Environment variable, default, path."""


@click.command()
@click.option("--url", help="Ask this address instead, as in http://127.0.0.1:8090/readyz.")
@click.option("--json", "as_json", is_flag=True, help="Machine output.")
def health(url: str | None, as_json: bool) -> None:
    """Ask the proxy or the admin on this host whether it is well (exit code 0 or 3)."""
    asked = [url] if url else [os.environ.get(name, base) + path for name, base, path in PROBES]
    found = {address: probe(address) for address in asked}
    well = [address for address, answer in found.items() if answer == "200"]
    if as_json:
        show_json({"healthy": bool(well), "asked": found})
    if not well:
        lines = "\n".join(f"  {address}: {answer}" for address, answer in found.items())
        raise Failure(f"nothing is well here\n{lines}", UNREACHABLE)
    if not as_json:
        click.echo(f"healthy: {well[0]}")


def probe(address: str) -> str:
    """The status of GET, or why there is none."""
    url = urlsplit(address if "://" in address else f"http://{address}")
    try:
        with closing(http.client.HTTPConnection(url.netloc, timeout=TIMEOUT_S)) as connection:
            connection.request("GET", url.path or "/healthz")
            with connection.getresponse() as response:
                return str(response.status)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return type(error).__name__
