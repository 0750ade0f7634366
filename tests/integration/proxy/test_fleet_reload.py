"""SIGHUP: new workers by new settings, while the old ones finish what they have."""

import secrets
import signal

import aiohttp

from proxy.supervision.supervisor import GENERATIONS
from tests.support.clients import Load, connect, opened
from tests.support.endpoint import Endpoints
from tests.support.fleet import Fleet, FleetOf, Routing, Settings
from tests.support.processes import wait_gone

WORKERS = 2


async def test_a_reload_under_load_loses_nothing(
    fleet_of: FleetOf, routing: Routing, endpoints: Endpoints
) -> None:
    fleet = await fleet_of(workers=WORKERS)
    old = await fleet.pids()
    before = await fleet.metrics()
    key = secrets.token_hex(4)
    connections = await fleet.connections(each=3)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{fleet.port}/ws/{key}") as socket,
        connect(fleet.port) as slow,
        Load(fleet.port, connections=connections) as load,
    ):
        slow.send("GET", f"/hold/{key}")
        await endpoints.blue.arrived(key)
        fleet.child.send(signal.SIGHUP)
        new = await _serving_new(fleet, old)
        await fleet.child.line("settings reloaded: 2 new workers serve")
        await load.everyone()
        await socket.send_str("still here")
        assert await socket.receive_str() == "still here"
        await endpoints.blue.release(key)
        answer = await slow.answer()
        assert (answer.status, answer.last) == (200, True)
        await slow.close()
        await fleet.until(
            lambda workers: len(workers) == WORKERS + 1,
            "of the old only the WebSocket's worker is left",
        )
        await socket.send_str("and still")
        assert await socket.receive_str() == "and still"
    assert not load.failures
    assert await fleet.serving() == new, "with its WebSocket the last old worker ends"
    assert all(wait_gone(pid) for pid in old)
    await routing.acked(routing.table.version, WORKERS)
    after = await fleet.metrics()
    answered = after.value("turnout_requests_total") - before.value("turnout_requests_total")
    # The connections' own first requests, the slow one and the upgrade.
    assert answered >= len(load.asked) + 2


async def _serving_new(fleet: Fleet, old: set[int], count: int = WORKERS) -> set[int]:
    """Wait until new workers serve and no old one does."""

    def renewed(workers: list[dict[str, int | str]]) -> bool:
        serving = {each["pid"] for each in workers if each["state"] == "serving"}
        return len(serving) == count and not serving & old

    await fleet.until(renewed, "new workers serve")
    return await fleet.pids()


async def test_new_settings_are_used(fleet_of: FleetOf) -> None:
    fleet = await fleet_of(workers=WORKERS)
    old = await fleet.pids()
    assert (await fleet.get(f"/{'x' * 2000}")).status == 200
    limits = {"request_line_bytes": 1000}
    rewrite(fleet, {**fleet.settings.proxy, "limits": limits, "workers": 3})
    fleet.child.send(signal.SIGHUP)
    new = await fleet.serving(unlike=old)
    assert len(new) == 3
    assert (await fleet.get(f"/{'x' * 2000}")).status == 414
    assert all(wait_gone(pid) for pid in old)


def rewrite(fleet: Fleet, proxy: dict[str, object]) -> None:
    fleet.settings = Settings(fleet.settings.path, fleet.settings.shared, proxy)
    fleet.settings.write()


BROKEN = (
    ("[proxy", "is not valid TOML"),
    ("[proxy]\nworkers = 1000\n", r"turnout.toml:2: \[proxy\] workers: lies between"),
    (
        "[proxy]\nwork = 1\n",
        r"turnout.toml:2: \[proxy\] work: unknown setting; did you mean workers\?",
    ),
    ('[proxy]\nlisten = "127.0.0.1:1"\n', "listening addresses change only at a restart"),
    (None, "can't be read: No such file"),
)
"""The file's text (None: it is gone), what is said of it."""


async def test_a_broken_file_changes_nothing_and_the_log_says_why(fleet_of: FleetOf) -> None:
    fleet = await fleet_of(workers=WORKERS)
    old = await fleet.pids()
    for text, said in BROKEN:
        if text is None:
            fleet.settings.path.unlink()
        else:
            fleet.settings.path.write_text(text)
        fleet.child.send(signal.SIGHUP)
        await fleet.child.line(f"settings are not reloaded: .*{said}")
        assert await fleet.serving() == old
        assert (await fleet.get()).status == 200


async def test_workers_that_do_not_come_up_change_nothing(fleet_of: FleetOf) -> None:
    fleet = await fleet_of(workers=WORKERS)
    old = await fleet.pids()
    jwt = {"algorithms": ["HS256"], "key_file": "/missing", "issuer": "i", "audiences": ["a"]}
    rewrite(fleet, {**fleet.settings.proxy, "identity": {"jwt": jwt}})
    fleet.child.send(signal.SIGHUP)
    await fleet.child.line("settings are not reloaded: the new workers did not come up")
    assert await fleet.serving() == old
    # A worker that dies now is replaced by one with the settings that work; by one only.
    fleet.child.send(signal.SIGHUP)
    await fleet.child.until(
        lambda: fleet.child.output().count("did not come up") == 2, "failed a second time"
    )
    assert await fleet.serving() == old
    assert fleet.processes() > old
    assert len(fleet.processes()) == WORKERS + 1
    assert (await fleet.get()).status == 200


async def test_five_reloads_at_once_end_in_one_whole_fleet(
    fleet_of: FleetOf, routing: Routing
) -> None:
    fleet = await fleet_of(workers=WORKERS)
    old = await fleet.pids()
    async with Load(fleet.port) as load:
        for number in range(5):
            fleet.child.send(signal.SIGHUP)
            # Signals that wait are one signal: the next is sent when this one was taken.
            await fleet.child.line(f"(?s)(reload asked for.*){{{number + 1}}}")
        new = await fleet.serving(unlike=old)
        await load.everyone()
    assert not load.failures
    assert "not reloaded" not in fleet.child.output()
    assert len(fleet.processes()) == WORKERS + 1
    assert fleet.processes() > new
    await routing.acked(routing.table.version, WORKERS)


async def test_a_sigterm_during_a_reload_ends_everything(fleet_of: FleetOf) -> None:
    fleet = await fleet_of(workers=WORKERS)
    fleet.child.send(signal.SIGHUP)
    fleet.child.send(signal.SIGTERM)
    assert await fleet.child.ended() == 0


async def test_reloads_whose_workers_drain_are_bounded_and_the_log_says_so(
    fleet_of: FleetOf, endpoints: Endpoints
) -> None:
    fleet = await fleet_of(workers=1)
    keys = [secrets.token_hex(4) for _ in range(GENERATIONS)]
    clients = []
    for generation, key in enumerate(keys):
        client = await opened(fleet.port)
        clients.append(client)
        client.send("GET", f"/hold/{key}")
        await endpoints.blue.arrived(key)
        old = await fleet.pids()
        fleet.child.send(signal.SIGHUP)
        if generation < GENERATIONS - 1:
            await _serving_new(fleet, old, 1)
    await fleet.child.line(
        r"settings are not reloaded: 1 new workers need room and there is some for 0, 3 workers of "
        r"earlier reloads still drain \(until proxy.timeouts.drain_reload_s; SIGTERM ends one sooner\)"
    )
    assert await fleet.pids() == old
    for key, client in zip(keys, clients, strict=True):
        await endpoints.blue.release(key)
        assert (await client.answer()).status == 200
        await client.close()
    await fleet.serving()
    fleet.child.send(signal.SIGHUP)
    await fleet.serving(unlike=old)
