"""Hooks against real servers and processes."""

import asyncio
import hashlib
import hmac
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from admin.hooks.model import Hook
from admin.hooks.run import SIGNATURE, run

ABOUT = {"release": "r-1", "version": "1.3.0", "state": "deploying"}
EFFECT = "r-1.deploy"
ENVIRON = {"PATH": os.environ["PATH"], "DEPLOY_SECRET": "s3cret-of-the-hook"}


@dataclass
class Receiver:
    """A web server that answers with one status after the other, the last one for ever."""

    statuses: list[int]
    url: str = ""
    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    held: asyncio.Event | None = None

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append((dict(request.headers), await request.read()))
        if self.held:
            await self.held.wait()
        status = self.statuses[min(len(self.seen), len(self.statuses)) - 1]
        headers = {"Location": self.url} if status == 307 else {}
        return web.Response(status=status, headers=headers, text="s3cret answer")

    @property
    def keys(self) -> list[str]:
        return [headers["Idempotency-Key"] for headers, _ in self.seen]


@asynccontextmanager
async def receiving(*statuses: int, port: int = 0) -> AsyncIterator[Receiver]:
    receiver = Receiver(list(statuses))
    app = web.Application()
    app.router.add_post("/hook", receiver.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        if receiver.held:
            receiver.held.set()
        await runner.cleanup()


def hook(**given: Any) -> Hook:
    return Hook(**{"name": "deploy", "before": "validating", "backoff_s": 0.01, **given})


async def webhook(receiver: Receiver, **given: Any) -> Any:
    own = hook(webhook=receiver.url, **given)
    return await run(own, ABOUT, EFFECT, prefixes=["http://127.0.0.1:"], environ=ENVIRON)


# ── webhooks ──────────────────────────────────────────────────────────────────────────────────


async def test_a_webhook_is_told_under_its_key_and_signed() -> None:
    async with receiving(204) as receiver:
        result = await webhook(receiver, secret="env:DEPLOY_SECRET")
    assert (result.ok, result.detail, result.tries) == (True, "the webhook answered 204", 1)
    headers, body = receiver.seen[0]
    assert json.loads(body) == {"hook": "deploy", "effect": EFFECT, **ABOUT}
    assert headers["Idempotency-Key"] == EFFECT
    signed = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", headers[SIGNATURE])
    assert signed
    told = f"{signed[1]}.{EFFECT}.".encode() + body
    secret = ENVIRON["DEPLOY_SECRET"].encode()
    assert signed[2] == hmac.new(secret, told, hashlib.sha256).hexdigest()
    assert "s3cret" not in repr(result)


async def test_without_a_secret_nothing_is_signed() -> None:
    async with receiving(200) as receiver:
        assert (await webhook(receiver)).ok
    assert SIGNATURE not in receiver.seen[0][0]


@pytest.mark.parametrize(
    ("statuses", "ok", "known", "asked"),
    [
        ((503, 500, 200), True, True, 3),
        ((429, 200), True, True, 2),
        ((500,), False, False, 3),
        ((429,), False, True, 3),
        ((400, 200), False, True, 1),
        ((404, 200), False, True, 1),
        ((307, 200), False, True, 1),  # a redirect is not followed
    ],
)
async def test_what_is_tried_again(
    statuses: tuple[int, ...], *, ok: bool, known: bool, asked: int
) -> None:
    async with receiving(*statuses) as receiver:
        result = await webhook(receiver)
    assert (result.ok, result.known, result.tries) == (ok, known, asked)
    assert receiver.keys == [EFFECT] * asked
    assert "s3cret" not in repr(result)


async def test_where_nobody_listens_it_is_tried_again_until_somebody_does() -> None:
    async with receiving(200) as receiver:
        url, port = receiver.url, int(receiver.url.split(":")[2].partition("/")[0])
    refused = hook(webhook=url, tries=2)
    result = await run(refused, ABOUT, EFFECT, prefixes=[url], environ=ENVIRON)
    assert (result.ok, result.known, result.tries) == (False, True, 2)
    assert result.detail == "the webhook can't be asked (ClientConnectorError)"
    patient = hook(webhook=url, tries=20, backoff_s=0.05)
    task = asyncio.create_task(run(patient, ABOUT, EFFECT, prefixes=[url], environ=ENVIRON))
    await asyncio.sleep(0)
    async with receiving(200, port=port) as late:
        result = await task
        assert result.ok
        assert late.keys == [EFFECT]


async def test_no_answer_in_time_may_mean_that_it_was_done() -> None:
    async with receiving(200) as receiver:
        receiver.held = asyncio.Event()
        result = await webhook(receiver, timeout_s=0.2)
        assert (result.ok, result.known, result.tries) == (False, False, 1)
        assert result.detail == "the webhook did not answer within 0.2 s"
    assert receiver.keys == [EFFECT]


@pytest.mark.parametrize("prefixes", [[], ["https://127.0.0.1:"], ["http://127.0.0.1:1/"]])
async def test_only_configured_urls_are_called(prefixes: list[str]) -> None:
    async with receiving(200) as receiver:
        own = hook(webhook=receiver.url)
        result = await run(own, ABOUT, EFFECT, prefixes=prefixes, environ=ENVIRON)
    assert (result.ok, result.known, receiver.seen) == (False, True, [])
    assert result.detail == "the webhook lies under none of step_urls"


async def test_a_secret_that_is_not_there_does_nothing() -> None:
    async with receiving(200) as receiver:
        result = await webhook(receiver, secret="env:NOBODY_SET_THIS")
    assert (result.ok, result.known, receiver.seen) == (False, True, [])
    assert result.detail == "env:NOBODY_SET_THIS: the variable is not set in this process"


# ── commands ──────────────────────────────────────────────────────────────────────────────────


async def command(*arguments: str, **given: Any) -> Any:
    own = hook(command=arguments, **given)
    environ = {**ENVIRON, "TURNOUT_ADMIN_TOKEN_SECRET": "s3cret-of-ours", "CI_TOKEN": "s3cret-ci"}
    return await run(own, ABOUT, EFFECT, environ=environ)


async def test_a_command_is_told_and_its_end_is_kept_without_secrets() -> None:
    script = (
        "cat; echo; echo effect=$TURNOUT_EFFECT; echo ours=$TURNOUT_ADMIN_TOKEN_SECRET;"
        " echo secret $TURNOUT_SECRET; echo ci $CI_TOKEN >&2"
    )
    result = await command("sh", "-c", script, secret="env:DEPLOY_SECRET")
    assert (result.ok, result.detail) == (True, "the command ended with 0")
    first, *rest = result.output_tail.splitlines()
    assert json.loads(first) == {"hook": "deploy", "effect": EFFECT, **ABOUT}
    assert rest[:2] == [f"effect={EFFECT}", "ours="]
    assert "s3cret" not in repr(result)


async def test_a_command_that_fails_says_how() -> None:
    result = await command("sh", "-c", "echo no space left >&2; exit 7")
    assert (result.ok, result.known) == (False, True)
    assert (result.detail, result.output_tail) == ("the command ended with 7", "no space left")
    killed = await command("sh", "-c", "kill -9 $$")
    assert (killed.ok, killed.known) == (False, False)
    assert killed.detail == "the command was ended by signal 9"
    missing = await command("/nowhere/deploy")
    assert (missing.ok, missing.known) == (False, True)
    assert missing.detail == "the command can't be started (No such file or directory)"


def runs(pid: int) -> bool:
    """Whether the process has not ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def is_gone(pid: int) -> None:
    """Wait until the process has ended; one that goes on is ended here, and a fault."""
    try:
        async with asyncio.timeout(15):
            while runs(pid):
                await asyncio.sleep(0.01)
    except TimeoutError:
        os.kill(pid, 9)
        raise


async def test_out_of_time_all_that_it_started_is_ended(tmp_path: Path) -> None:
    # The child ignores SIGTERM, and its parent ends at once by it.
    script = (
        f"(trap '' TERM; sh -c 'echo $PPID' > {tmp_path}/child.new; mv {tmp_path}/child.new"
        f" {tmp_path}/child; echo begun; while :; do sleep 1; done) & wait"
    )
    result = await command("sh", "-c", script, timeout_s=1.0)
    assert (result.ok, result.known) == (False, False)
    assert result.detail == "the command did not end within 1.0 s"
    assert result.output_tail == "begun"
    await is_gone(int((tmp_path / "child").read_text()))


async def test_who_cancels_ends_it_too(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    task = asyncio.create_task(
        command("sh", "-c", f"echo $$ > {pid}.new; mv {pid}.new {pid}; sleep 60")
    )
    while not pid.exists():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await is_gone(int(pid.read_text()))


async def test_much_output_is_read_and_little_kept() -> None:
    script = "i=0; while [ $i -lt 20000 ]; do echo line $i of the output; i=$((i+1)); done"
    result = await command("sh", "-c", script, timeout_s=60)
    assert result.ok
    assert result.output_tail.endswith("line 19999 of the output")
    assert len(result.output_tail) <= 2000


async def test_half_a_line_may_be_half_a_secret(tmp_path: Path) -> None:
    text = "x" * 20_000 + "s3cret-ci\n" + "the end\n"
    (tmp_path / "text").write_text(text)
    result = await command("cat", str(tmp_path / "text"))
    assert result.output_tail == "the end"


async def test_what_is_left_running_is_not_waited_for(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    result = await command("sh", "-c", f"sleep 60 & echo $! > {pid}; echo started")
    assert (result.ok, result.output_tail) == (True, "started")
    os.kill(int(pid.read_text()), 9)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_descriptors_are_given_back() -> None:
    await command("true")
    before = descriptors()
    for _ in range(5):
        await command("sh", "-c", "echo x")
        await command("/nowhere/deploy")
    assert descriptors() == before
