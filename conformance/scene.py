"""One run of a row against one proxy: what a dialogue may use, and what is kept of it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from conformance.client import PROBE_REQUEST, Client, Saw, exchange
from conformance.cutting import Cut, whole
from conformance.recorder import Recorder, Take
from conformance.rows.row import PROXIED, Got, Row

_FLUSH_S: Final = 0.1
PROXY_HEADER: Final = b"PROXY UNKNOWN\r\n"
"""Before the harness's own questions, where the site wants one."""
_DROP_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Scene:
    """port: the proxy's. limit_s: how long to wait for what should come."""

    row: Row
    port: int
    recorder: Recorder
    take: Take
    cut: Cut
    limit_s: float

    def client(self, *methods: bytes) -> Client:
        """A new connection to the proxy."""
        return Client(self.port, methods or self.row.asked)

    def wait_reached(self, count: int) -> bool:
        """Whether so many requests have reached the endpoint in time."""
        return self.recorder.wait_for(lambda take: len(take.requests) >= count, self.limit_s)

    def got(self, saw: Saw, *notes: str) -> Got:
        """What is judged: what the client saw, with what is on record."""
        take = self.take
        used = [line for line in take.lines if len(line.data) > take.marks[line.number]]
        if any(each.dropped for each in self.row.required):
            self.recorder.wait_for(lambda _: all(line.ended for line in used), _DROP_S)
        return Got(
            saw,
            tuple(take.requests),
            tuple(take.streams()),
            tuple(take.faults()),
            take.overlapped,
            sum(not line.ended for line in used),
            tuple(note for note in notes if note),
        )


def run(row: Row, port: int, recorder: Recorder, cut: Cut, limit_s: float) -> Got:
    """Play the row once, on no connection that an earlier run has left."""
    _flush(port, recorder, PROXY_HEADER if row.site == PROXIED else b"", limit_s)
    with recorder.take(row.script, cut) as take:
        scene = Scene(row, port, recorder, take, cut, limit_s)
        if row.play is not None:
            return row.play(scene)
        saw = exchange(port, pieces(row.sends, cut), row.asked, row.answers, limit_s)
        return scene.got(saw)


def _flush(port: int, recorder: Recorder, header: bytes, limit_s: float) -> None:
    """Have the proxy use up what it pools: the endpoint's answer to a probe ends its connection."""
    if not recorder.open_lines():
        return
    with recorder.take((), whole), suppress(OSError), Client(port) as client:
        client.send([header + PROBE_REQUEST])
        client.wait_answers(1, limit_s)
        recorder.wait_for(lambda _: not recorder.open_lines(), _FLUSH_S)
    recorder.end_lines()


def pieces(data: bytes, cut: Cut) -> Sequence[bytes]:
    """The client's bytes as they are fed."""
    return cut(data)
