"""Single requests to a proxy or an endpoint: is it up, and what arrives behind it."""

import http.client
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from subprocess import Popen

from bench.credentials import tokens
from bench.endpoint import HEADERS_PATH
from bench.peers.peer import Site
from bench.processes import StartError, check_alive, tail
from bench.scenarios.scenario import TENANT_HEADER

READY_S = 20.0
_PAUSE_S = 0.002
_ERRORS = (OSError, http.client.HTTPException)


def connect(port: int, *, tls: bool) -> http.client.HTTPConnection:
    """A connection to be opened by its first request."""
    if not tls:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    # The certificate is this run's own, made a moment ago.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=context)


def fields(tenant: str, *, token: bool) -> Mapping[str, str]:
    """The header field that names the tenant."""
    if token:
        return {"Authorization": f"Bearer {tokens([tenant])[0]}"}
    return {TENANT_HEADER: tenant}


def wait_until_answering(process: "Popen[bytes]", port: int, site: Site) -> float:
    """Ask until a tenant's request is answered with 200; gives the monotonic time of the answer.

    StartError when the process ends before, or READY_S are over.
    """
    headers = fields(next(iter(site.pins)), token=site.work.token)
    deadline = time.monotonic() + READY_S
    said = "no answer"
    while time.monotonic() < deadline:
        check_alive(process, site.folder)
        connection = connect(port, tls=site.work.tls)
        try:
            connection.request("GET", HEADERS_PATH, headers=headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                return time.monotonic()
            said = f"answers {answer.status}"
        except _ERRORS as error:
            said = repr(error)
        finally:
            connection.close()
        time.sleep(_PAUSE_S)
    raise StartError(_late(site.folder, said))


def _late(folder: Path, said: str) -> str:
    return f"{folder.name} does not answer after {READY_S:.0f} s: {said}{tail(folder)}"
