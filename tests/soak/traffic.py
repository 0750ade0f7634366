"""The clients of the soak: each asks for one thing after the other, in a seeded order.

Rules: what a client will do is drawn before it is done, from its own source, so that a seed
repeats each client's plan. A client repeats nothing and never waits longer than its time-out. It
leaves a connection that has idled before the proxy may: a request then crosses no close.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tests.soak.books import BAD_TOKEN, Books, Line, Outcome, Plan, Record
from tests.soak.doors import Door, opened
from tests.soak.messages import (
    CLOSE,
    TEXT,
    checksum_of,
    content,
    event,
    frame,
    read_frame,
    receipt,
    request,
    small,
)
from tests.soak.secure import BAD_TOKEN as BAD_TOKENS
from tests.soak.secure import BY_TOKEN, Secure
from tests.soak.sending import Sending
from tests.support.clients import Answer, Connection, reset

IDLE_S = 1.0
ANSWER_S = 20.0
PAUSE_S = 0.04
WEBSOCKET = {"Connection": "Upgrade", "Upgrade": "websocket"}
WEBSOCKET |= {"Sec-WebSocket-Key": "c29hayBzb2FrIHNvYWsgIQ==", "Sec-WebSocket-Version": "13"}
_BODY_PLANS = (Plan.RESET_BODY, Plan.STALL_BODY)
_PLANS = (
    *(Plan.RESET_BEFORE, Plan.RESET_BEFORE, Plan.RESET_HEAD, Plan.RESET_BODY, Plan.STALL_HEAD),
    *(Plan.STALL_BODY, Plan.GARBAGE, Plan.CLOSE_IDLE, Plan.CLOSE_IDLE, Plan.EARLY),
)


class Gone(Exception):  # noqa: N818 - an event, not an error
    """The client leaves, as it meant to."""


@dataclass(frozen=True, slots=True)
class World:
    """What all clients share. doors: drawn from. secure: tokens, if there are any. fault: the
    share of requests whose endpoint breaks.
    """

    doors: Sequence[Door]
    tenants: Sequence[str]
    books: Books
    fault: float
    secure: Secure | None = None


class Client:
    """One client."""

    def __init__(self, number: int, seed: int, world: World) -> None:
        self.number, self.world, self.books = number, world, world.books
        self.rng = random.Random(f"{seed}:{number}")
        self.stopping = False
        self._ids = 0
        self._used = 0.0
        self._connection: Connection | None = None
        self._line = Line((0, 0))

    async def run(self) -> None:
        """Ask until told to stop."""
        kinds = list(KINDS)
        weights = [weight for weight, _ in KINDS.values()]
        try:
            while not self.stopping:
                (kind,) = self.rng.choices(kinds, weights)
                await KINDS[kind][1](self, kind)
                await asyncio.sleep(self.rng.expovariate(1 / PAUSE_S))
        finally:
            await self.leave()

    # ── connections ───────────────────────────────────────────────────────────────────────────

    async def connected(self) -> Connection:
        """The kept connection, or a new one."""
        now = _now()
        if self._connection is not None and now - self._used > IDLE_S:
            await self.leave()
        while self._connection is None:
            door = self.rng.choice(self.world.doors)
            self._line, self._connection = await opened(door, self.books)
        self._used = _now()
        return self._connection

    async def leave(self, *, by_reset: bool = False) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            del self.books.lines[self._line.ports]
            if by_reset:
                reset(connection.writer)
            await connection.close()

    # ── one request ───────────────────────────────────────────────────────────────────────────

    def record(self, kind: str, *, repeatable: bool, fault: bool = True) -> Record:
        """The next request, with what its endpoint will do."""
        self._ids += 1
        plan, expects = Plan.NONE, ""
        if fault and self.rng.random() < self.world.fault:
            plan = self.rng.choice(_PLANS)
        elif fault and self.world.secure and self.rng.random() < BAD_TOKENS:
            expects = BAD_TOKEN
        if plan is Plan.EARLY and repeatable:
            plan = Plan.NONE
        return Record(
            f"{self.number}-{self._ids}",
            kind,
            self.rng.choice(self.world.tenants),
            repeatable,
            _now(),
            plan,
            plan_once=self.rng.random() < 0.5,
            expects=expects,
        )

    def head(self, record: Record, method: str, path: str, **more: object) -> bytes:
        """Its head. more: length, chunked, and fields."""
        length, chunked = more.pop("length", None), bool(more.pop("chunked", False))
        fields = {"X-Id": record.name, **self._identity(record)}
        fields |= {name.replace("_", "-"): str(value) for name, value in more.items()}
        assert length is None or isinstance(length, int)
        return request(method, path, fields, length=length, chunked=chunked)

    def _identity(self, record: Record) -> dict[str, str]:
        """The field that names the tenant."""
        secure = self.world.secure
        if secure is not None and record.expects == BAD_TOKEN:
            return {"Authorization": secure.bad(self.rng, record.tenant, record.name)}
        if secure is not None and self.rng.random() < BY_TOKEN:
            return {"Authorization": secure.good(self.rng, record.tenant, record.name)}
        return {"X-Tenant-ID": record.tenant}

    async def ask(
        self, record: Record, talk: "Callable[[Connection], Awaitable[Answer | None]]"
    ) -> bool:
        """Carry one request out and close its record; whether the connection goes on.

        talk: sends it and gives its answer; None if `record.wrong` says it all. Gone: it left.
        """
        connection = await self.connected()
        if record.name not in self.books.open:
            record.began = _now()
            self.books.start(record)
        outcome, kept = Outcome.LOST, False
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await talk(connection)
            outcome, kept = self._judge(record, answer), answer is not None and not answer.last
        except Gone:
            outcome = Outcome.ABANDONED
        except TimeoutError:
            outcome = Outcome.LOST
        except (OSError, EOFError):
            outcome = Outcome.CUT
        except ValueError as error:
            outcome, record.wrong = Outcome.CUT, f"can't be read: {error}"
        self._used = _now()
        self.books.close(record, outcome, self._line, self._used)
        if not kept:
            await self.leave(by_reset=outcome is Outcome.ABANDONED and self.rng.random() < 0.5)
        return kept

    def _judge(self, record: Record, answer: Answer | None) -> Outcome:
        if answer is None:
            return Outcome.ANSWERED
        record.status = answer.status
        self._line.worker = answer.worker
        if answer.fields.get("content-type") == "application/problem+json":
            record.code = answer.json["code"]
            return Outcome.REFUSED
        record.slot = answer.slot
        if answer.fields.get("x-seen") != f"{record.name} {answer.slot}":
            record.wrong = f"another's answer: {answer.fields.get('x-seen')}, {answer.slot}"
        return Outcome.ANSWERED

    def expect(self, record: Record, answer: Answer, body: bytes) -> Answer:
        """Note it if an endpoint's answer has another body."""
        if answer.slot and answer.body != body:
            record.wrong = f"another body: {len(answer.body)} bytes, not {len(body)}"
        return answer

    # ── kinds ─────────────────────────────────────────────────────────────────────────────────

    async def get(self, kind: str) -> None:
        """A small GET on the kept connection, or on one of its own."""
        record = self.record(kind, repeatable=True)

        async def talk(connection: Connection) -> Answer:
            fields = {"Connection": "close"} if kind == "fresh" else {}
            connection.writer.write(self.head(record, "GET", "/", **fields))
            return self.expect(record, await connection.answer(), small(record.name, record.tenant))

        if kind == "fresh":
            await self.leave()
        await self.ask(record, talk)

    async def download(self, kind: str) -> None:
        """A large answer, taken at once or in sips."""
        record = self.record(kind, repeatable=True)
        size = self.rng.randrange(1, 1 << 20)

        async def talk(connection: Connection) -> Answer:
            connection.writer.write(self.head(record, "GET", f"/down/{size}"))
            if kind == "slow reader":
                await asyncio.sleep(self.rng.uniform(0.1, 1.5))
            answer = await connection.answer()
            return self.expect(record, answer, b"".join(content(record.name, size)))

        await self.ask(record, talk)

    async def upload(self, kind: str) -> None:
        """POST: small or large, by length or in chunks, at once or slowly."""
        record = self.record(kind, repeatable=False)
        chunked = kind == "post chunked" or self.rng.random() < 0.3
        size = self.rng.randrange(1, 1 << 10 if kind.startswith("post") else 1 << 20)
        pause_s = self.rng.uniform(0.01, 0.1) if kind == "slow sender" else 0.0

        async def talk(connection: Connection) -> Answer:
            more = {"chunked": True} if chunked else {"length": size}
            connection.writer.write(self.head(record, "POST", "/up", **more))
            pieces = content(record.name, size)
            async with Sending(connection, pieces, chunked=chunked, pause_s=pause_s):
                answer = await connection.answer()
            if record.plan_here() is Plan.EARLY:
                return self.expect(record, answer, small(record.name, record.tenant))
            checksum = checksum_of(record.name, size)
            return self.expect(record, answer, receipt(record.name, size, checksum))

        await self.ask(record, talk)

    async def pipeline(self, kind: str) -> None:
        """Several GETs at once; their answers come in order."""
        records = [self.record(kind, repeatable=True) for _ in range(self.rng.randrange(2, 5))]
        connection = await self.connected()
        for record in records:
            self.books.start(record)
        connection.writer.write(b"".join(self.head(record, "GET", "/") for record in records))
        going_on = True
        for record in records:

            async def talk(connection: Connection, record: Record = record) -> Answer:
                body = small(record.name, record.tenant)
                return self.expect(record, await connection.answer(), body)

            if not going_on:
                self._unserved(record)
                continue
            going_on = await self.ask(record, talk)

    def _unserved(self, record: Record) -> None:
        """It stood behind the connection's last answer, or behind what was cut with it."""
        self.books.close(record, Outcome.UNSERVED, self._line, _now())

    async def stream(self, kind: str) -> None:
        """Server-sent events."""
        record = self.record(kind, repeatable=True)
        count = self.rng.randrange(2, 20)

        async def talk(connection: Connection) -> Answer:
            connection.writer.write(self.head(record, "GET", f"/events/{count}"))
            body = b"".join(event(record.name, number) for number in range(count))
            return self.expect(record, await connection.answer(), body)

        await self.ask(record, talk)

    async def websocket(self, kind: str) -> None:
        """Messages that come back, then a close from this side; or the client vanishes."""
        record = self.record(kind, repeatable=True)  # until 101 it is a GET like any other
        count, leaves = self.rng.randrange(3, 12), self.rng.random() < 0.1

        async def talk(connection: Connection) -> Answer | None:
            fields = WEBSOCKET
            connection.writer.write(self.head(record, "GET", "/ws", **fields))
            answer = await connection.head()
            if answer.status != 101:
                return Answer(answer.status, answer.fields, await connection._body(answer))
            self._judge(record, answer)
            record.upgraded = True
            for number in range(count):
                sent = f"{record.name} {number} ".encode() * self.rng.randrange(1, 1000)
                connection.writer.write(frame(TEXT, sent, masked=True))
                if leaves and number == 2:
                    raise Gone
                if await read_frame(connection.reader) != (TEXT, sent):
                    record.wrong = "another echo"
            connection.writer.write(frame(CLOSE, b"\x03\xe8", masked=True))
            if await read_frame(connection.reader) != (CLOSE, b"\x03\xe8"):
                record.wrong = "another close"
            if not await connection.ended():
                record.wrong = "bytes after the close"
            return None

        await self.leave()
        await self.ask(record, talk)

    async def vanish(self, kind: str) -> None:
        """Leave within the head, within the body, before the answer, or within it."""
        where = self.rng.choice(("head", "body", "answer", "within the answer"))
        record = self.record(f"{kind} ({where})", repeatable=where == "answer", fault=False)
        wait_s = self.rng.choice((0.0, 0.0, 0.02))

        async def talk(connection: Connection) -> Answer:
            writer = connection.writer
            if where == "head":
                record.head_sent = False
                writer.write(self.head(record, "GET", "/")[:-3])
            elif where == "body":
                writer.write(self.head(record, "POST", "/up", length=5000) + b"x" * 1000)
            elif where == "answer":
                writer.write(self.head(record, "GET", "/"))
            else:
                record.repeatable = True
                writer.write(self.head(record, "GET", f"/down/{1 << 20}"))
                await connection.reader.read(1000)
            await asyncio.sleep(wait_s)
            raise Gone

        await self.leave()
        await self.ask(record, talk)

    async def stall(self, kind: str) -> None:
        """Stop within the head or within the body, or send more than is allowed."""
        where = self.rng.choice(("head", "body", "too much"))
        record = self.record(f"{kind} ({where})", repeatable=False, fault=False)

        async def talk(connection: Connection) -> Answer:
            writer = connection.writer
            if where == "head":
                record.head_sent, record.expects = False, "head-timeout"
                writer.write(self.head(record, "GET", "/")[:-3])
            elif where == "body":
                record.expects = "body-timeout"
                writer.write(self.head(record, "POST", "/up", length=5000) + b"x" * 1000)
            else:
                record.expects = "body-too-large"
                writer.write(self.head(record, "POST", "/up", chunked=True))
                pieces = content(record.name, MAX_BODY + (1 << 17))
                async with Sending(connection, pieces, chunked=True):
                    return await connection.answer()
            return await connection.answer()

        await self.leave()
        await self.ask(record, talk)


MAX_BODY = 1 << 20
"""The proxy's limit in the soak."""
KINDS: dict[str, tuple[float, Callable[[Client, str], Awaitable[None]]]] = {
    "get": (40, Client.get),
    "fresh": (8, Client.get),
    "post": (15, Client.upload),
    "post chunked": (8, Client.upload),
    "upload": (2, Client.upload),
    "slow sender": (1, Client.upload),
    "download": (3, Client.download),
    "slow reader": (1, Client.download),
    "pipeline": (5, Client.pipeline),
    "stream": (1.5, Client.stream),
    "websocket": (4, Client.websocket),
    "vanish": (3, Client.vanish),
    "stall": (0.3, Client.stall),
}


def _now() -> float:
    return asyncio.get_running_loop().time()
