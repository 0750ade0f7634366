"""TLS of a whole fleet: renewal and reload while it serves, sessions across workers, the start."""

import asyncio
import json
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.clients import SECONDS
from tests.support.endpoint import Endpoints
from tests.support.fleet import Fleet, FleetOf, launch, settings
from tests.support.front import client, talk
from tests.support.processes import Children
from tests.support.tls import ASK, pair, subject

WORKERS = 2


async def tls_fleet(fleet_of: FleetOf, files: tuple[Path, Path], **proxy: Any) -> tuple[Fleet, int]:
    """A fleet that serves erp.test by this pair, and its port for TLS."""
    tls = {"certificates": [pair(files)], "reload_s": 0.1}
    fleet = await fleet_of(workers=WORKERS, tls_listen="127.0.0.1:0", tls=tls, **proxy)
    found = await fleet.child.line(r"listening for TLS on \S+:(\d+)$")
    return fleet, int(found[1])


def rewrite(fleet: Fleet, **proxy: Any) -> None:
    replace(fleet.settings, proxy={**fleet.settings.proxy, **proxy}).write()


async def test_any_worker_resumes_what_another_began(
    fleet_of: FleetOf, authority: Authority
) -> None:
    _, port = await tls_fleet(fleet_of, authority.issue("erp", "erp.test"))
    context = authority.trusted()
    first = await talk(port, context, "erp.test", ASK)
    workers = {first.got.partition(b"X-Request-ID: ")[2][:16]}
    for _ in range(200):
        said = await talk(port, context, "erp.test", ASK, first.session)
        assert said.resumed
        workers.add(said.got.partition(b"X-Request-ID: ")[2][:16])
        if len(workers) == WORKERS:
            return
    raise AssertionError("one worker took all connections")


async def test_the_access_log_tells_version_and_cipher(
    fleet_of: FleetOf, authority: Authority, tmp_path: Path
) -> None:
    path = tmp_path / "access.log"
    log = {"format": "json", "path": str(path), "flush_s": 0.001}
    fleet, port = await tls_fleet(fleet_of, authority.issue("erp", "erp.test"), access_log=log)
    await talk(port, authority.trusted(), "erp.test", ASK)
    await fleet.child.until(lambda: path.exists() and path.read_bytes(), "logged the request")
    assert re.fullmatch(r"TLSv1\.3 TLS_\w+", json.loads(path.read_text("ascii"))["tls"])


async def test_a_renewed_file_is_used_by_every_worker_without_a_signal(
    fleet_of: FleetOf, authority: Authority
) -> None:
    fleet, port = await tls_fleet(fleet_of, authority.issue("erp", "erp.test"))
    name = "turnout_certificate_expires_seconds"
    before = (await fleet.metrics()).value(name)
    pids = await fleet.pids()
    async with client(port, authority.trusted(), "erp.test") as kept:
        await kept.get(host="erp.test")
        authority.issue("erp", "erp.test", common_name="renewed", days=(-1, 30))
        later = 2 * 50 * 86_400  # both workers', 60 days earlier than before
        await fleet.metrics_until(
            lambda metrics: metrics.value(name) < before - later, "both workers have it"
        )
        for _ in range(4):
            said = await talk(port, authority.trusted(), "erp.test", ASK)
            assert subject(said.shown) == "CN=renewed"
        assert (await kept.get(host="erp.test")).status == 200
    assert await fleet.pids() == pids


async def test_a_reload_under_tls_load_loses_nothing(
    fleet_of: FleetOf, authority: Authority
) -> None:
    fleet, port = await tls_fleet(fleet_of, authority.issue("erp", "erp.test"))
    old, context = await fleet.pids(), authority.trusted()
    failures: list[str] = []
    shown: set[str] = set()
    done, renewed = asyncio.Event(), asyncio.Event()

    async def load() -> None:
        while not done.is_set():
            try:
                said = await talk(port, context, "erp.test", ASK)
            except (OSError, EOFError) as error:
                failures.append(repr(error))
            else:
                shown.add(subject(said.shown))
                if "CN=second" in shown:
                    renewed.set()
                if not said.got.startswith(b"HTTP/1.1 200") or said.end != "close_notify":
                    failures.append(f"{said.end} {said.got[:80]!r}")

    tasks = [asyncio.get_running_loop().create_task(load()) for _ in range(3)]
    try:
        certificate = pair(authority.issue("second", "erp.test"))
        rewrite(fleet, tls={"certificates": [certificate]})
        fleet.child.send(signal.SIGHUP)
        await fleet.serving(unlike=old)
        async with asyncio.timeout(SECONDS):
            await renewed.wait()
    finally:
        done.set()
        await asyncio.gather(*tasks)
    assert not failures
    assert shown == {"CN=erp", "CN=second"}


async def test_a_reload_with_a_bad_pair_changes_nothing(
    fleet_of: FleetOf, authority: Authority, tmp_path: Path
) -> None:
    fleet, port = await tls_fleet(fleet_of, authority.issue("erp", "erp.test"))
    pids = await fleet.pids()
    certificate, _ = authority.issue("second", "erp.test")
    rewrite(fleet, tls={"certificates": [pair((certificate, tmp_path / "erp.key"))]})
    fleet.child.send(signal.SIGHUP)
    await fleet.child.line(r"settings are not reloaded: \S+second\.pem with .*key values mismatch")
    said = await talk(port, authority.trusted(), "erp.test", ASK)
    assert subject(said.shown) == "CN=erp"
    assert await fleet.pids() == pids


async def test_the_plain_listener_can_be_off(
    spawn: Children, tmp_path: Path, redis_url: str, authority: Authority
) -> None:
    tls = {"certificates": [pair(authority.issue("erp", "erp.test"))]}
    given = settings(tmp_path, redis_url, listen="", tls_listen="127.0.0.1:0", tls=tls)
    given.write()
    child = launch(spawn, given.path)
    found = await child.line(r"listening for TLS on \S+:(\d+)$")
    said = await talk(int(found[1]), authority.trusted(), "erp.test", ASK)
    assert b"no-routing-table" in said.got
    assert child.find(r"listening on") is None


async def test_a_bad_pair_stops_the_start(
    spawn: Children, tmp_path: Path, redis_url: str, authority: Authority
) -> None:
    certificate, key = authority.issue("erp", "erp.test")
    secret = key.read_text("ascii").splitlines()[1]
    key.write_text(f"-----BEGIN PRIVATE KEY-----\n{secret}\n", "ascii")
    given = settings(
        tmp_path,
        redis_url,
        tls_listen="127.0.0.1:0",
        tls={"certificates": [pair((certificate, key))]},
    )
    given.write()
    child = launch(spawn, given.path)
    assert await child.ended() == 2
    assert str(key) in child.output()
    assert secret not in child.output()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_gets_its_answer(
    fleet_of: FleetOf, authority: Authority, endpoints: Endpoints
) -> None:
    _, port = await tls_fleet(fleet_of, authority.issue("erp", "erp.test"))
    process = await asyncio.create_subprocess_exec(
        *("curl", "--silent", "--show-error", "--max-time", "10", "--cacert", str(authority.ca)),
        *("--resolve", f"erp.test:{port}:127.0.0.1", f"https://erp.test:{port}/"),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert (process.returncode, said.decode()) == (0, endpoints.blue.name)
