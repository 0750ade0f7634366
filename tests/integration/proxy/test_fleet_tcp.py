"""Plain TCP through a real fleet: equipment with a port of its own, TLS by its name, switches."""

import asyncio
import datetime as dt
import ipaddress
import os
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.routing.change import Pin, SetEndpoints, Unpin
from proxy.routing.model import Endpoint, Slot
from tests.support.clients import connect as connect_http
from tests.support.devices import SECONDS, Device, client, device, ended, name_of
from tests.support.fleet import Fleet, FleetOf, Routing

_ESTABLISHED = "01"  # in /proc/net/tcp


@dataclass(slots=True)
class Devices:
    """One a slot, on one port of two addresses."""

    blue: Device
    green: Device


@pytest.fixture
async def devices() -> AsyncIterator[Devices]:
    async with device("blue") as blue, device("green", "127.0.0.2", blue.port) as green:
        yield Devices(blue, green)


async def listening(fleet: Fleet, number: int = 0) -> int:
    """The port of the number-th plain listener."""
    await fleet.child.line(r"plain TCP on \S+:\d+$")
    lines = [line for line in fleet.child.output().splitlines() if "plain TCP on" in line]
    return int(lines[number].rpartition(":")[2])


async def both_slots(routing: Routing, fleet: Fleet) -> None:
    """Blue is served at 127.0.0.1, green at 127.0.0.2 (whatever the port)."""
    slots = {Slot.BLUE: "127.0.0.1", Slot.GREEN: "127.0.0.2"}
    version = await routing.change(
        *(SetEndpoints(slot, (Endpoint(host, 9),)) for slot, host in slots.items())
    )
    await routing.acked(version, fleet.workers_wanted)


async def test_a_tenant_that_moves_takes_its_new_connections_along(
    fleet_of: FleetOf, routing: Routing, devices: Devices
) -> None:
    tcp = {"listen": "127.0.0.1:0", "tenant": "acme", "port": devices.blue.port}
    fleet = await fleet_of(tcp=[tcp])
    await both_slots(routing, fleet)
    port = await listening(fleet)
    async with client(port) as (before, to_before):
        assert await name_of(before) == "blue"
        await routing.acked(await routing.change(Pin("acme", Slot.GREEN)), fleet.workers_wanted)
        for _ in range(4):  # through every worker, most likely
            async with client(port) as (after, _):
                assert await name_of(after) == "green"
        to_before.write(b"a job that was begun")
        assert await before.readexactly(20) == b"a job that was begun"
        metrics = await fleet.metrics()
        assert metrics.value("turnout_tunnels", slot="blue") == 1
        assert metrics.value("turnout_in_flight") == 0
        to_before.write_eof()
        assert await before.read() == b"bye"
    metrics = await fleet.metrics_until(lambda m: m.value("turnout_tunnels") == 0, "all are gone")
    assert metrics.value("turnout_tunnels_opened_total", slot="green") == 4
    await fleet.metrics_until(lambda m: m.value("turnout_endpoint_connections") == 0, "none left")
    await routing.acked(await routing.change(Unpin("acme")), fleet.workers_wanted)
    async with client(port) as (again, _):
        assert await name_of(again) == "blue"


async def test_a_client_that_vanishes_frees_the_endpoints_connection(
    fleet_of: FleetOf, routing: Routing, devices: Devices
) -> None:
    own = [f"127.0.0.1:{devices.blue.port}"]
    fleet = await fleet_of(tcp=[{"listen": "127.0.0.1:0", "tenant": "acme", "blue": own}])
    async with client(await listening(fleet)) as (reader, _):
        assert await name_of(reader) == "blue"
    await asyncio.wait_for(devices.blue.left.wait(), SECONDS)
    await fleet.metrics_until(lambda m: m.value("turnout_connections") == 0, "it is gone")


async def test_a_large_transfer_both_ways_arrives_whole(
    fleet_of: FleetOf, devices: Devices
) -> None:
    own = [f"127.0.0.1:{devices.blue.port}"]
    fleet = await fleet_of(tcp=[{"listen": "127.0.0.1:0", "tenant": "acme", "blue": own}])
    data = bytes(range(256)) * 40_000
    async with client(await listening(fleet)) as (reader, writer):
        assert await name_of(reader) == "blue"
        reading = asyncio.get_running_loop().create_task(reader.read(-1))
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        assert await reading == data + b"bye"


async def test_endpoints_that_refuse_and_silence_end_the_connection(
    fleet_of: FleetOf, devices: Devices
) -> None:
    async with device("soon gone") as gone:
        dead = f"127.0.0.1:{gone.port}"
    tcp = [
        {"listen": "127.0.0.1:0", "tenant": "acme", "blue": [dead]},
        {
            "listen": "127.0.0.1:0",
            "tenant": "acme",
            "blue": [f"127.0.0.1:{devices.blue.port}"],
            "idle_s": 0.5,
        },
    ]  # fmt: skip
    fleet = await fleet_of(tcp=tcp)
    async with client(await listening(fleet, 0)) as (reader, _):
        assert await ended(reader.read)
    async with client(await listening(fleet, 1)) as (reader, _):
        assert await name_of(reader) == "blue"
        assert await ended(reader.read), "after half a second of silence"
    metrics = await fleet.metrics()
    assert metrics.value("turnout_requests_total", slot="local", class_="5xx") == 1
    assert metrics.value("turnout_connect_failures_total", slot="blue") == 1


async def test_an_endpoint_that_refuses_is_ejected_and_comes_back(
    fleet_of: FleetOf, devices: Devices
) -> None:
    async with device("soon gone") as gone:
        dead = f"127.0.0.1:{gone.port}"
    own = [dead, f"127.0.0.1:{devices.blue.port}"]
    fleet = await fleet_of(
        workers=1,
        tcp=[{"listen": "127.0.0.1:0", "tenant": "acme", "blue": own}],
        ejection={"failures": 3, "base_s": 0.5},
        balancing={"slow_start_s": 0},
    )
    port = await listening(fleet)
    async with AsyncExitStack() as held:
        for _ in range(6):  # each next one would go to the one that has none
            reader, _ = await held.enter_async_context(client(port))
            assert await name_of(reader) == "blue"
        await fleet.child.line(rf"endpoint {dead} of blue: ejected")
        metrics = await fleet.metrics_until(
            lambda m: m.value("turnout_ejections_total", slot="blue") >= 1, "it is counted"
        )
        assert metrics.value("turnout_connect_failures_total", slot="blue") >= 3
        async with device("back", port=gone.port):
            found = ""
            async with asyncio.timeout(SECONDS):
                while found != "back":
                    reader, _ = await held.enter_async_context(client(port))
                    found = await name_of(reader)
            await fleet.child.line(rf"endpoint {dead} of blue: (warming|healthy)")


async def test_a_burst_is_spread_over_the_workers(fleet_of: FleetOf, devices: Devices) -> None:
    own = [f"127.0.0.1:{devices.blue.port}"]
    fleet = await fleet_of(
        workers=4, tcp=[{"listen": "127.0.0.1:0", "tenant": "acme", "blue": own}]
    )
    port = await listening(fleet)
    async with AsyncExitStack() as held:
        clients = [client(port) for _ in range(40)]
        opened = await asyncio.gather(*(held.enter_async_context(each) for each in clients))
        for reader, _ in opened:
            assert await name_of(reader) == "blue"
        shares = [sockets_of(pid, port) for pid in await fleet.pids()]
    print("shares of 40:", sorted(shares))
    assert sum(shares) == 40
    assert max(shares) <= 20


def sockets_of(pid: int, port: int) -> int:
    """How many clients of this port a process holds."""
    held = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()}  # noqa: PTH115 - text
    lines = [line.split() for line in Path("/proc/net/tcp").read_text("utf-8").splitlines()[1:]]
    return sum(
        f"socket:[{line[9]}]" in held
        for line in lines
        if int(line[1].rpartition(":")[2], 16) == port and line[3] == _ESTABLISHED
    )


async def test_the_name_in_tls_tells_the_tenant_and_tls_is_not_opened(
    fleet_of: FleetOf, routing: Routing, tmp_path: Path
) -> None:
    inside, outside = certificate(tmp_path)
    async with device("blue", tls=inside) as blue, device("green", tls=inside) as green:
        tcp = {
            "listen": "127.0.0.1:0",
            "tenant_by": "sni",
            "names": {"rip.bodoni.example": "bodoni"},
            "blue": [f"127.0.0.1:{blue.port}"],
            "green": [f"127.0.0.1:{green.port}"],
        }
        fleet = await fleet_of(tcp=[tcp], identity={"domains": ["print.example"]})
        await routing.acked(await routing.change(Pin("bodoni", Slot.GREEN)), fleet.workers_wanted)
        port = await listening(fleet)
        for name, slot in (("acme.print.example", "blue"), ("rip.bodoni.example", "green")):
            async with client(port, outside, name) as (reader, writer):
                assert await name_of(reader) == slot
                writer.write(b"job")
                assert await reader.readexactly(3) == b"job"
        async with client(port) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert await ended(reader.read), "no TLS"


async def test_open_connections_are_closed_at_the_drain_limit(
    fleet_of: FleetOf, devices: Devices
) -> None:
    own = [f"127.0.0.1:{devices.blue.port}"]
    listen = {"listen": "127.0.0.1:0", "tenant": "acme", "blue": own}
    fleet = await fleet_of(tcp=[listen], timeouts={"drain_s": 0.5})
    port = await listening(fleet)
    async with client(port) as (reader, writer):
        assert await name_of(reader) == "blue"
        fleet.child.send(signal.SIGTERM)
        await fleet.child.line("draining")
        writer.write(b"goes on")
        assert await reader.readexactly(7) == b"goes on"
        assert await ended(reader.read)
    assert await fleet.child.ended() == 0
    await asyncio.wait_for(devices.blue.left.wait(), SECONDS)


async def test_a_reload_keeps_the_port_and_refuses_another(
    fleet_of: FleetOf, routing: Routing, devices: Devices
) -> None:
    address = f"127.0.0.1:{devices.blue.port}"
    green = f"127.0.0.2:{devices.blue.port}"
    fleet = await fleet_of(
        tcp=[{"listen": "127.0.0.1:0", "tenant": "acme", "blue": [address], "green": [green]}]
    )
    port, before = await listening(fleet), await fleet.pids()
    own = fleet.settings.proxy["tcp"]
    assert isinstance(own, list)
    await routing.acked(await routing.change(Pin("bodoni", Slot.GREEN)), fleet.workers_wanted)
    write(fleet, {**own[0], "tenant": "bodoni"})
    async with client(port) as (open_before, writer):
        assert await name_of(open_before) == "blue"
        fleet.child.send(signal.SIGHUP)
        await fleet.until(
            lambda workers: (
                all(w["state"] == "draining" for w in workers if w["pid"] in before)
                and sum(w["state"] == "serving" for w in workers) == fleet.workers_wanted
            ),
            "only the new workers accept",
        )
        async with client(port) as (reader, _):
            assert await name_of(reader) == "green"
        writer.write(b"on")
        assert await open_before.readexactly(2) == b"on"
    await fleet.serving(unlike=before)
    write(fleet, {**own[0], "listen": "127.0.0.2:0"})
    fleet.child.send(signal.SIGHUP)
    await fleet.child.line("not reloaded: listening addresses change only at a restart")
    async with connect_http(fleet.port) as http:
        assert (await http.get()).status == 200


def write(fleet: Fleet, tcp: object) -> None:
    settings = fleet.settings
    assert isinstance(settings.proxy, dict)
    settings.proxy["tcp"] = [tcp]
    settings.write()


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context, and a client's that trusts it, for the names of these tests."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "devices")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName(name) for name in ("acme.print.example", "rip.bodoni.example")]
    alternatives = [*names, x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "device.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inside.load_cert_chain(path)
    outside = ssl.create_default_context(cafile=str(path))
    return inside, outside
