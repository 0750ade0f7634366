"""What a row is: bytes in, what is required of them; and how what came is held against it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from conformance.client import CLOSED, KEPT, OPEN, RESET, Saw
from conformance.reading import Message
from conformance.recorder import Script

if TYPE_CHECKING:
    from conformance.scene import Scene

HOST: Final = b"Host: erp.test\r\n"
"""A valid authority, for rows that ask about something else."""
TENANT: Final = "X-Tenant-ID"
PLAIN, QUICK, PROXIED = "plain", "quick", "proxied"
"""quick: the site with time-outs below a second, trust in loopback and few connections. proxied:
the one behind a balancer that speaks the PROXY protocol.
"""


@dataclass(frozen=True, slots=True)
class Got:
    """What one run of a row gave: what the client saw, and what reached the endpoint.

    left: how many of the connections used are still open at the endpoint.
    """

    saw: Saw
    reached: tuple[Message, ...] = ()
    streams: tuple[bytes, ...] = ()
    faults: tuple[str, ...] = ()
    overlapped: bool = False
    left: int = 0
    notes: tuple[str, ...] = ()

    @property
    def seen(self) -> str:
        """In a few words, as the report shows it."""
        statuses = " ".join(str(answer.status) for answer in self.saw.answers)
        if any(not answer.whole for answer in self.saw.answers):
            statuses += " cut"
        if self.saw.fault:
            statuses += " unreadable"
        told = f"{statuses or 'no answer'}, {self.saw.fate}; {len(self.reached)} reached"
        if self.faults:
            told += f", unreadable ({self.faults[0]})"
        return "; ".join([told, *self.notes])


@dataclass(frozen=True, slots=True)
class Expect:
    """What is required. Each part left out is not looked at.

    statuses: of the first final answer; also: of those after it. interims: all of them, in order.
    fate: of the client's connection. reached: how many whole requests the endpoint may read.
    target, body, fields: of the first of them; None as a value = the field must not be there.
    absent: bytes that must stand in no stream to the endpoint. told: bytes in what the client
    gets; untold: bytes that are not. cut: the answer must be seen to be broken off.
    dropped: the connection to the endpoint must be closed after. in_order: one at a time there.
    within_s: until the answer, or the end. after_s: not before.
    """

    statuses: frozenset[int] | None = None
    also: tuple[int, ...] = ()
    interims: tuple[int, ...] | None = None
    fate: frozenset[str] | None = None
    reached: int | None = None
    target: bytes | None = None
    body: bytes | None = None
    fields: tuple[tuple[str, bytes | None], ...] = ()
    absent: tuple[bytes, ...] = ()
    told: tuple[bytes, ...] = ()
    untold: tuple[bytes, ...] = ()
    answer_body: bytes | None = None
    cut: bool = False
    in_order: bool = False
    dropped: bool = False
    within_s: float | None = None
    after_s: float | None = None

    @property
    def words(self) -> str:
        """The same for people."""
        parts = [*self._answer_words(), *self._request_words()]
        return ", ".join(parts)

    def _answer_words(self) -> list[str]:
        parts = []
        if self.interims:
            parts.append(" ".join(map(str, self.interims)))
        if self.statuses is not None:
            first = "/".join(map(str, sorted(self.statuses))) or "no answer"
            parts.append(" ".join([first, *map(str, self.also)]))
        if self.cut:
            parts.append("cut short visibly")
        if self.fate is not None:
            parts.append("ended" if self.fate == ENDED else "/".join(sorted(self.fate)))
        if self.after_s is not None:
            parts.append(f"after {self.after_s:g} s")
        if self.within_s is not None:
            parts.append(f"within {self.within_s:g} s")
        parts.extend(f"told {data!r:.40}" for data in self.told)
        return parts

    def _request_words(self) -> list[str]:
        parts = []
        if self.reached is not None:
            parts.append(f"{self.reached} reached" if self.reached else "nothing reached")
        if self.in_order:
            parts.append("one at a time")
        if self.dropped:
            parts.append("endpoint dropped")
        if self.target is not None:
            parts.append(f"target {self.target.decode('latin-1'):.40}")
        if self.body is not None:
            parts.append(f"body {self.body!r:.30}")
        for name, value in self.fields:
            parts.append(
                f"no {name}" if value is None else f"{name}: {value.decode('latin-1'):.30}"
            )
        parts.extend(f"without {data!r:.30}" for data in self.absent)
        return parts

    def faults(self, got: Got) -> list[str]:
        """Why this is not as required; empty if it is."""
        return [
            *self._answer_faults(got.saw),
            *self._fate_faults(got.saw),
            *self._request_faults(got),
        ]

    def _answer_faults(self, saw: Saw) -> list[str]:
        found, finals = [], saw.finals
        if saw.fault and not self.cut:
            found.append(f"the answer can't be read: {saw.fault}")
        if self.statuses is not None:
            wanted = [self.statuses, *(frozenset({status}) for status in self.also)]
            if not self.statuses:
                wanted = []
            given = [answer.status for answer in finals]
            fits = len(given) == len(wanted) and all(
                one in some for one, some in zip(given, wanted, strict=True)
            )
            if not fits:
                found.append(f"answered {given}")
        interims = tuple(answer.status for answer in saw.answers if answer.status < 200)
        if self.interims is not None and interims != self.interims:
            found.append(f"interim answers {list(interims)}")
        whole = all(answer.whole for answer in finals) and not saw.fault
        if self.cut and finals and whole:
            found.append("the broken answer looks whole")
        if self.statuses is not None and not self.cut and not whole:
            found.append("the answer is not whole")
        if self.answer_body is not None and [answer.body for answer in finals[:1]] != [
            self.answer_body
        ]:
            found.append(f"the answer's body is {[answer.body[:40] for answer in finals]}")
        raw = saw.raw.lower()
        found.extend(
            f"the client is not told {data!r:.60}" for data in self.told if data.lower() not in raw
        )
        found.extend(
            f"the client is told {data!r:.60}" for data in self.untold if data.lower() in raw
        )
        return found

    def _fate_faults(self, saw: Saw) -> list[str]:
        found = []
        if self.fate is not None and saw.fate not in self.fate:
            found.append(f"the connection is {saw.fate}")
        if self.within_s is not None and saw.seconds > self.within_s:
            found.append(f"took {saw.seconds:.2f} s")
        if self.after_s is not None and saw.seconds < self.after_s:
            found.append(f"came after {saw.seconds:.2f} s")
        return found

    def _request_faults(self, got: Got) -> list[str]:
        found = []
        if self.reached is not None and len(got.reached) != self.reached:
            found.append(f"{len(got.reached)} requests reached the endpoint")
        if self.reached is not None or self.absent:
            found.extend(f"the endpoint can't read it: {fault}" for fault in got.faults)
        if self.dropped and got.left:
            found.append("the connection to the endpoint is kept")
        if self.in_order and got.overlapped:
            found.append("a request was sent before the one ahead of it was answered")
        first = got.reached[0] if got.reached else None
        if first is not None:
            found.extend(self._first_faults(first))
        everything = b"".join(got.streams).lower()
        found.extend(
            f"{data!r:.60} was sent on" for data in self.absent if data.lower() in everything
        )
        return found

    def _first_faults(self, first: Message) -> list[str]:
        found = []
        if self.target is not None and first.target != self.target:
            found.append(f"the target became {first.target!r:.60}")
        if self.body is not None and first.body != self.body:
            found.append(f"the body became {first.body!r:.60}")
        for name, value in self.fields:
            values = first.all(name)
            if values != ([] if value is None else [value]):
                found.append(f"{name} is {values}")
        return found


ENDED: Final = frozenset({CLOSED, RESET})
STAYS: Final = frozenset({KEPT})
UNDECIDED: Final = frozenset({OPEN})


def refused(*statuses: int) -> Expect:
    """An error, the connection closed, and no request at the endpoint."""
    return Expect(frozenset(statuses), fate=ENDED, reached=0)


def turned_down(*statuses: int) -> Expect:
    """An error for a request that can be read: the connection may stay."""
    return Expect(frozenset(statuses), fate=ENDED | STAYS, reached=0)


BAD: Final = refused(400)


@dataclass(frozen=True, slots=True)
class Row:
    """One row. case: of behaviour.md. required: one of these.

    sends: the client's bytes. script: the endpoint's. answers: how many final ones to wait for.
    methods: of the requests, for reading the answers. play: a dialogue in place of `sends`.
    cuts: False for a row whose size or time makes one way of feeding enough. peers: False where
    only Turnout has the thing.
    """

    id: str
    case: str
    sends: bytes
    required: tuple[Expect, ...]
    script: Script = ()
    answers: int = 1
    methods: tuple[bytes, ...] = ()
    site: str = PLAIN
    play: "Callable[[Scene], Got] | None" = field(default=None, repr=False)
    cuts: bool = True
    peers: bool = True
    limit_s: float = 5.0

    @property
    def asked(self) -> tuple[bytes, ...]:
        """The methods; by default that of the first line."""
        return self.methods or (self.sends.split(b" ")[0] or b"GET",)

    @property
    def words(self) -> str:
        """What is required."""
        return ", or ".join(each.words for each in self.required)

    def faults(self, got: Got) -> list[str]:
        """Why a run is not as required; the shortest account if several were allowed."""
        return min((each.faults(got) for each in self.required), key=len)


def one(row_id: str, case: str, sends: bytes, *required: Expect, **more: Any) -> Row:
    """A row, with its expectations last."""
    return Row(row_id, case, sends, required, **more)


def get(*lines: bytes, target: bytes = b"/", host: bytes = HOST) -> bytes:
    """A GET with these field lines, without their ends."""
    return _head(b"GET", target, host, lines)


def post(*lines: bytes, body: bytes = b"", target: bytes = b"/") -> bytes:
    """A POST; what frames the body is among the lines."""
    return _head(b"POST", target, HOST, lines) + body


def _head(method: bytes, target: bytes, host: bytes, lines: tuple[bytes, ...]) -> bytes:
    fields = b"".join(line + b"\r\n" for line in lines)
    return method + b" " + target + b" HTTP/1.1\r\n" + host + fields + b"\r\n"


CHUNKED: Final = b"Transfer-Encoding: chunked"
