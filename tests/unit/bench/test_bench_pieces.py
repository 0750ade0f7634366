"""Small parts of the harness: credentials, WebSocket pairs, memory, copies of the tree."""

import asyncio
import os
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import pytest

from bench import trees, wheels
from bench.credentials import (
    ALGORITHM,
    AUDIENCE,
    CLAIM,
    ISSUER,
    KEY,
    certificate,
    spoilt,
    tokens,
)
from bench.memory import parse_pss, pss
from bench.scenarios.idle import SPARE_FILES, fitting
from bench.websockets import Echo, HandshakeError, accept_of, opened

ROLLUP = """561e5a6c7000-7ffd1d5f2000 ---p 00000000 00:00 0                          [rollup]
Rss:               13308 kB
Pss:                4711 kB
Pss_Dirty:          2222 kB
"""


def test_the_pss_line_is_read_in_bytes_and_not_its_parts() -> None:
    assert parse_pss(ROLLUP) == 4711 * 1024


def test_a_text_without_pss_is_refused() -> None:
    with pytest.raises(ValueError, match="Pss"):
        parse_pss("Pss_Dirty: 1 kB\n")


def test_memory_is_summed_and_a_process_that_is_gone_is_named() -> None:
    assert pss([os.getpid()]) > 1_000_000
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(ProcessLookupError, match=str(process.pid)):
        pss([process.pid])


def test_a_token_names_its_tenant_and_a_spoilt_one_does_not_verify() -> None:
    (token,) = tokens(["acme"])

    def tenant(of: str) -> object:
        claims = jwt.decode(of, KEY, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER)
        return claims[CLAIM]

    assert tenant(token) == "acme"
    with pytest.raises(jwt.InvalidSignatureError):
        tenant(spoilt(token))


def test_the_certificate_and_its_key_belong_together(tmp_path: Path) -> None:
    made = certificate(tmp_path)
    for chain, key in ((made.chain, made.key), (made.both, made.both)):
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key)
    assert made.key.stat().st_mode & 0o077 == 0


def test_the_handshakes_answer_is_the_one_of_the_rfc() -> None:
    # RFC 6455 section 1.3 has this example.
    assert accept_of(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


async def test_a_pair_is_opened_and_carries_a_message() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    def open_one() -> None:
        with opened(port, {"X-Tenant-ID": "acme"}):
            pass

    async with server:
        with ThreadPoolExecutor(1) as pool:
            await loop.run_in_executor(pool, open_one)


async def test_an_answer_that_is_no_upgrade_is_named() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with ThreadPoolExecutor(1) as pool, pytest.raises(HandshakeError, match="503"):
            await loop.run_in_executor(pool, lambda: opened(port, {}).__enter__())


def test_no_more_pairs_are_opened_than_a_process_may_have_files() -> None:
    assert fitting(10_000, 20_000 + SPARE_FILES) == 10_000
    assert fitting(10_000, 20_000) == 10_000 - SPARE_FILES // 2
    assert fitting(5, 20_000) == 5


def test_the_plain_tree_has_no_compiled_module_and_is_what_runs_there(tmp_path: Path) -> None:
    tree = trees.copy(tmp_path / "tree")
    assert not list(tree.rglob("*.so"))
    script = "import proxy.exchange.forward, config; print(proxy.exchange.forward.__file__, config.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tree, capture_output=True, text=True, check=True
    )
    assert all(Path(path).is_relative_to(tree) for path in done.stdout.split())
    assert (tree / "proxy" / "renew.lua").exists()


def test_the_compiled_tree_has_the_builds_modules_on_top(tmp_path: Path) -> None:
    build = tmp_path / "build"
    modules = [Path("proxy/http1/fields.cpython-311.so"), Path("0123__mypyc.cpython-311.so")]
    for module in modules:
        (build / module).parent.mkdir(parents=True, exist_ok=True)
        (build / module).write_bytes(b"compiled")
    tree = trees.copy(tmp_path / "tree", build)
    assert sorted(path.relative_to(tree) for path in tree.rglob("*.so")) == sorted(modules)
    assert (tree / "proxy" / "http1" / "fields.py").exists()


def test_a_module_compiled_before_its_source_changed_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "proxy" / "exchange"
    new, old = folder / "tunnel.so", folder / "forward.cpython-311.so"
    folder.mkdir(parents=True)
    for module in (new, old):
        module.write_bytes(b"compiled")
    os.utime(old, (0, 0))
    assert trees.stale(tmp_path) == ["proxy/exchange/forward"]


def test_a_wheel_that_is_not_installed_is_named() -> None:
    assert wheels.program("no-such-wheel", "bin/none") is None
    assert "no-such-wheel is not installed" in str(wheels.missing("no-such-wheel", "bin/none"))
    assert wheels.version("no-such-wheel") == "none"


def test_the_program_of_an_installed_wheel_is_found() -> None:
    found = wheels.program("ruff", "bin/ruff")
    assert found is not None
    assert found.exists()
    assert wheels.version("ruff")[0].isdigit()
