"""Prometheus' HTTP API, played by a real server on loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
import structlog
from aiohttp import web

from admin.monitor.model import Reading
from admin.monitor.settings import Settings, SignalSettings
from admin.monitor.signals import Prometheus, Signals

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
QUERY = 'sum(rate(cpu[1m])) * 100 > bool 1 or vector(0) # "ü"'


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/prefix/api/v1/query", answer)
    # It does not wait for the answer that never comes.
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/prefix/"
    finally:
        await runner.cleanup()


def settings() -> Settings:
    return Settings(
        signals=(SignalSettings("cpu", 70.0, 85.0, query=QUERY),),
        prometheus_url="env:PROMETHEUS",
        prometheus_bearer="env:TOKEN",
        prometheus_timeout_s=0.5,
    )


async def asked(told: Settings, url: str) -> tuple[dict[str, Reading], list[str]]:
    """What is known after one look, and why nothing is."""
    signals = Signals(told)
    with structlog.testing.capture_logs() as logs:
        await Prometheus(told, signals, {"PROMETHEUS": url, "TOKEN": "s3cret"}).look()
    assert "s3cret" not in str(logs)
    return dict(signals.latest()), [entry["reason"] for entry in logs if "reason" in entry]


def vector(value: str) -> dict[str, object]:
    result = [{"metric": {}, "value": [1700.5, value]}]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


async def test_a_query_is_asked_with_the_token_and_its_number_taken():
    seen = []

    async def answer(request: web.Request) -> web.Response:
        form = await request.post()
        seen.append((form["query"], request.headers["Authorization"]))
        return web.json_response(vector("71.5"))

    async with serving(answer) as url:
        assert await asked(settings(), url) == ({"cpu": Reading(71.5, 1700.5)}, [])
    assert seen == [(QUERY, "Bearer s3cret")]


async def too_long(_: web.Request) -> web.Response:
    return web.Response(body=b" " * 70_000)


async def an_error(_: web.Request) -> web.Response:
    return web.json_response({"status": "error"}, status=422)


async def elsewhere(_: web.Request) -> web.Response:
    raise web.HTTPFound("http://127.0.0.1:1/")


async def never(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    return web.Response()


async def broken(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (too_long, "the answer is too long"),
        (an_error, "the answer is 422"),
        (elsewhere, "the answer is 302"),
        (never, "TimeoutError"),
        (broken, "ServerDisconnectedError"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_what_is_no_answer_leaves_the_signal_as_it_was_and_is_said_once(answer, reason):
    async with serving(answer) as url:
        assert await asked(settings(), url) == ({}, [reason])


async def test_a_server_that_is_not_there_and_a_url_that_is_not_set():
    assert (await asked(settings(), "http://127.0.0.1:1/"))[1] == ["ClientConnectorError"]
    assert (await asked(settings(), ""))[1] == [
        "env:PROMETHEUS: the variable is not set in this process"
    ]
    assert (await asked(settings(), "no url"))[1] == ["InvalidUrlClientError"]


async def test_it_is_asked_again_and_says_when_it_is_back():
    answers, done = [web.HTTPInternalServerError(), None], asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        fault = answers.pop(0) if answers else None
        if fault:
            raise fault
        if not answers:
            done.set()
        return web.json_response(vector("1"))

    told = msgspec.structs.replace(settings(), prometheus_interval_s=0.1)
    signals = Signals(told)
    async with serving(answer) as url:
        prometheus = Prometheus(told, signals, {"PROMETHEUS": url, "TOKEN": "t"})
        with structlog.testing.capture_logs() as logs:
            running = asyncio.ensure_future(prometheus.run())
            await done.wait()
            while not any(entry["event"] == "signal is back" for entry in logs):
                await asyncio.sleep(0.01)
            running.cancel()
    assert [entry["event"] for entry in logs] == ["signal can't be had", "signal is back"]
    assert signals.latest()["cpu"].value == 1.0


async def test_without_queries_it_ends_at_once():
    await Prometheus(Settings(), Signals(Settings())).run()
