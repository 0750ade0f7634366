"""The endpoint behind the proxies: one nginx that stands for both slots, on two ports.

It is the same process for every proxy, so that what it costs is the same for all.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import nginx
from bench.processes import free_ports, running, wait_until_listening
from bench.scenarios.scenario import TENANT_HEADER
from proxy.routing.model import Slot

HEADERS_PATH = "/bench-headers"
"""Answers with what arrived: slot, tenant, forwarded-for, request id and Connection, as JSON."""


def configuration(location: Callable[[Slot], str], ports: Mapping[Slot, int]) -> str:
    """The http section: one server a slot. location: the directives that answer."""
    servers = "\n".join(_server(location, slot, port) for slot, port in ports.items())
    # Bodies stay in memory: the endpoint must not be the bottleneck.
    return f"    client_body_buffer_size 128k;\n    sendfile on;\n{servers}"


def _server(location: Callable[[Slot], str], slot: Slot, port: int) -> str:
    tenant = TENANT_HEADER.lower().replace("-", "_")
    echoed = (
        f'{{"slot":"{slot}","tenant":"$http_{tenant}","forwarded_for":"$http_x_forwarded_for",'
        '"request_id":"$http_x_request_id","connection":"$http_connection",'
        '"protocol":"$server_protocol"}'
    )
    return f"""    server {{
        listen 127.0.0.1:{port};
        location = {HEADERS_PATH} {{
            default_type application/json;
            return 200 '{echoed}';
        }}
        {location(slot)}
    }}"""


@contextmanager
def with_folder(
    location: Callable[[Slot], str], files: Mapping[str, bytes], core: int
) -> Iterator[tuple[Path, Mapping[Slot, int]]]:
    """A scenario's own folder, with the endpoint in it; both end with the block. StartError."""
    with TemporaryDirectory(prefix="turnout-bench-") as path:
        folder = Path(path)
        with serving(location, files, folder / "endpoint", core) as ports:
            yield folder, ports


@contextmanager
def serving(
    location: Callable[[Slot], str], files: Mapping[str, bytes], folder: Path, core: int
) -> Iterator[Mapping[Slot, int]]:
    """The endpoint, until the block ends; gives each slot's port. StartError.

    files: laid under the folder "files" of nginx's prefix.
    """
    ports = dict(zip(Slot, free_ports(len(Slot)), strict=True))
    argv = nginx.prepare(configuration(location, ports), folder)
    (folder / "files").mkdir()
    for name, content in files.items():
        (folder / "files" / name).write_bytes(content)
    with running(argv, core, folder) as process:
        wait_until_listening(process, ports[Slot.BLUE], folder)
        yield ports
