"""Random interleavings of clients, endpoints and time, against what must always hold.

Each answer belongs to its request (the endpoint repeats the request's id); a POST reaches at
most one endpoint, once; nothing raises; every counter is right after each step and zero in the
end (the driver checks that). A failing run is named by its seed: TURNOUT_TEST_SEED repeats it.
"""

import random
from collections import Counter

import pytest

from tests.support.messages import Message, ask, chunked, post, take_message
from tests.support.wire import CUTS, ClientSide, EndpointSide, Wire, table

RUNS = 40
STEPS = 120
MISHAPS = ("lose client", "lose endpoint", "cut answer", "unasked", "half-close", "refuse", "table")


class Play:
    """One random run. owed: each client's requests that have no answer yet, in order."""

    def __init__(self, wire: Wire, source: random.Random) -> None:
        self.wire = wire
        self.source = source
        self.owed: dict[ClientSide, list[tuple[bytes, bytes]]] = {}
        self.asked: dict[EndpointSide, list[Message]] = {}
        self.sent: Counter[bytes] = Counter()
        self.posts: set[bytes] = set()
        self.answered = 0
        self._numbers = 0

    # ── clients ───────────────────────────────────────────────────────────────────────────────

    def client_sends(self) -> None:
        """One to three requests in a row, cut anywhere."""
        client = self._client()
        if client is None:
            return
        requests = [self._request(client) for _ in range(self.source.randrange(1, 4))]
        self._deliver(client, b"".join(requests))

    def _client(self) -> ClientSide | None:
        clients = [client for client in self.owed if client.open and not client.aborted]
        if len(clients) < 3:
            clients.append(self.wire.connects())
            self.owed.setdefault(clients[-1], [])
        return self.source.choice(clients)

    def _request(self, client: ClientSide) -> bytes:
        self._numbers += 1
        number = b"%d" % self._numbers
        name = b"X-Number: " + number
        kind = self.source.choice(["get", "get", "head", "post", "chunked", "put"])
        method = {"get": b"GET", "head": b"HEAD", "put": b"PUT"}.get(kind, b"POST")
        self.owed[client].append((number, method))
        if method == b"POST":
            self.posts.add(number)
        body = number * self.source.choice([1, 10, 3_000])
        if kind == "chunked":
            halves = (body[: len(body) // 2], body[len(body) // 2 :])
            chunks = chunked(*(half for half in halves if half))
            return ask(name, b"Transfer-Encoding: chunked", method=method) + chunks
        if kind == "post":
            return post(body, name)
        if kind == "put":
            return ask(name, b"Content-Length: %d" % len(body), method=method) + body
        return ask(name, method=method)

    def _deliver(self, side: ClientSide | EndpointSide, data: bytes) -> None:
        """All at once for one pass of the loop, or settled piece by piece."""
        if self.source.random() < 0.3:
            side.sends_at_once(data)
        else:
            side.sends(data)

    # ── endpoints ─────────────────────────────────────────────────────────────────────────────

    def endpoint_answers(self) -> None:
        """The oldest request on some connection gets its answer."""
        self._read_requests()
        waiting = [end for end, asked in self.asked.items() if asked and not end.transport.lost]
        if waiting:
            endpoint = self.source.choice(waiting)
            self._deliver(endpoint, self._answer(self.asked[endpoint].pop(0)))

    def _read_requests(self) -> None:
        for endpoint in self.wire.endpoints:
            asked = self.asked.setdefault(endpoint, [])
            while (message := take_message(endpoint.transport.arrived, b"")) is not None:
                number = message["X-Number"]
                self.sent[number] += 1
                if message.body:
                    assert set(message.body.split(number)) == {b""}
                asked.append(message)
            assert len(asked) <= 1, "two requests at a time on one connection"

    def _answer(self, request: Message) -> bytes:
        number = request["X-Number"]
        body = b"%b." % number * self.source.choice([1, 5, 2_000])
        name = b"X-Number: " + number
        line = b"HTTP/1.1 200 OK\r\n" + name
        kind = self.source.choice(["length", "length", "chunked", "close", "empty"])
        if kind == "empty":
            return b"HTTP/1.1 204 No Content\r\n" + name + b"\r\n\r\n"
        if kind == "chunked":
            head = line + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
            return head if request.method == b"HEAD" else head + chunked(body[:7], body[7:])
        if kind == "close":
            line += b"\r\nConnection: close"
        head = line + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
        return head if request.method == b"HEAD" else head + body

    # ── what goes wrong ───────────────────────────────────────────────────────────────────────

    def mishap(self) -> None:
        kind = self.source.choice(MISHAPS)
        clients = [client for client in self.owed if not client.transport.lost]
        endpoints = [each for each in self.wire.endpoints if not each.transport.lost]
        if kind == "lose client" and clients:
            self.source.choice(clients).vanishes()
        elif kind == "half-close" and clients:
            self.source.choice(clients).ends()
        elif kind == "lose endpoint" and endpoints:
            self.source.choice(endpoints).vanishes()
        elif kind == "cut answer" and endpoints:
            self._read_requests()
            endpoint = self.source.choice(endpoints)
            if self.asked[endpoint]:
                answer = self._answer(self.asked[endpoint].pop(0))
                endpoint.sends(answer[: self.source.randrange(len(answer))])
            endpoint.ends()
        elif kind == "unasked" and endpoints:
            self._unasked(self.source.choice(endpoints))
        elif kind == "refuse":
            self.wire.refuses(f"10.0.1.{self.source.randrange(3)}")
        elif kind == "table":
            self.wire.use(table(blue=self.source.randrange(1, 4)))

    def _unasked(self, endpoint: EndpointSide) -> None:
        """Only while nothing is asked: after that nobody can tell it from the answer."""
        self.wire.settle()
        self._read_requests()
        if not self.asked[endpoint] and not endpoint.transport.arrived:
            endpoint.sends_at_once(b"HTTP/1.1 200 OK\r\nX-Number: 0\r\nContent-Length: 0\r\n\r\n")
            self.wire.settle()

    # ── what must hold ────────────────────────────────────────────────────────────────────────

    def read_answers(self) -> None:
        for client, owed in self.owed.items():
            while owed:
                number, method = owed[0]
                over = client.transport.ended or client.transport.lost
                answer = take_message(client.transport.arrived, method, until_close=over)
                if answer is None:
                    break
                owed.pop(0)
                self._check_answer(answer, number)

    def _check_answer(self, answer: Message, number: bytes) -> None:
        if "X-Number" not in answer:
            assert answer.status in {408, 502, 503, 504}, answer
            return
        self.answered += 1
        assert answer["X-Number"] == number
        assert set(answer.body.split(number + b".")) == {b""}

    def step(self) -> None:
        chance = self.source.random()
        if chance < 0.40:
            self.client_sends()
        elif chance < 0.85:
            self.endpoint_answers()
        elif chance < 0.95:
            self.mishap()
        else:
            self.wire.later(self.source.choice([0.1, 1.0, 8.0]))
        self.read_answers()

    def finish(self) -> None:
        """Answer all that is still asked; then nothing may be under way."""
        self.wire.settle()
        while self._something_to_read():
            self.endpoint_answers()
            self.wire.settle()
            self.read_answers()
        for number, times in self.sent.items():
            assert times <= (1 if number in self.posts else 2), number

    def _something_to_read(self) -> bool:
        self._read_requests()
        for endpoint, asked in self.asked.items():
            if endpoint.transport.lost:
                asked.clear()
        return any(self.asked.values())


def played(source: random.Random) -> Play:
    cut = CUTS[source.choice(["whole", "random"])](source)
    with Wire(cut, routing=table(blue=3)) as wire:
        play = Play(wire, source)
        for _ in range(STEPS):
            play.step()
        play.finish()
    return play


@pytest.mark.parametrize("run", range(RUNS))
def test_every_answer_belongs_to_its_request(run: int, seeded_random: random.Random) -> None:
    played(seeded_random)


def test_the_plays_are_not_empty() -> None:
    assert sum(played(random.Random(number)).answered for number in range(5)) > 50
