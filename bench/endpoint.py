"""The endpoint behind the proxies: one nginx that stands for both slots, on two ports.

It is the same process for every proxy, so that what it costs is the same for all.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench import nginx
from bench.processes import free_ports
from bench.scenarios.scenario import TENANT_HEADER, Scenario
from proxy.routing.model import Slot

HEADERS_PATH = "/bench-headers"
"""Answers with what arrived: slot, tenant, forwarded-for, request id and Connection, as JSON."""


def configuration(scenario: Scenario, ports: Mapping[Slot, int]) -> str:
    """The http section: one server a slot."""
    return "\n".join(_server(scenario, slot, port) for slot, port in ports.items())


def _server(scenario: Scenario, slot: Slot, port: int) -> str:
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
        location / {{
            {scenario.location(slot)}
        }}
    }}"""


@contextmanager
def serving(scenario: Scenario, folder: Path, core: int) -> Iterator[Mapping[Slot, int]]:
    """The endpoint, until the block ends; gives each slot's port. StartError."""
    ports = dict(zip(Slot, free_ports(len(Slot)), strict=True))
    with nginx.serving(configuration(scenario, ports), folder, core, ports[Slot.BLUE]):
        yield ports
