"""A history: one JSON object a line, each of one of these types.

Pure but for `read`. Rules: times are seconds of the machine's monotonic clock, the same for all
processes of a run. A line is written when what it tells is over, so lines stand in the order of
their ends.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

OK = "ok"
"""It was done: of a request, an endpoint answered it; of a change, it was made."""
FAIL = "fail"
"""It was refused: no endpoint got it, nothing was changed."""
INFO = "info"
"""Nobody knows: the connection broke, or nothing came in time."""


class _Line(msgspec.Struct, frozen=True, tag_field="type", kw_only=True):
    """What all have in common."""


class Plan(_Line, frozen=True, tag="plan"):
    """The run. policies: node → what its workers do without a lease, "serve" or "park"."""

    seed: int
    seconds: float
    policies: dict[str, str]
    lease_s: float
    tenants: tuple[str, ...]
    mutation: str = ""


class Request(_Line, frozen=True, tag="request"):
    """One request of a client. worker: the beginning that its worker's request ids share; empty: unknown.

    code: of the proxy's own answer. said: what the endpoint says that it was asked for:
    "id tenant slot". kept: its connection had answered before.
    """

    id: str
    tenant: str
    method: str
    node: str
    worker: str
    began: float
    ended: float
    outcome: str
    status: int = 0
    code: str = ""
    slot: str = ""
    said: str = ""
    error: str = ""
    kept: bool = False


class Served(_Line, frozen=True, tag="served"):
    """One request as an endpoint saw it. cut: its connection broke before the answer was given."""

    id: str
    tenant: str
    method: str
    slot: str
    began: float
    ended: float
    cut: bool = False


class Step(_Line, frozen=True, tag="step"):
    """The step of a fenced switch, as who was called saw it."""

    switch: str
    tenants: tuple[str, ...]
    began: float
    ended: float
    cut: bool = False


class Changed(_Line, frozen=True, tag="change"):
    """One call that changes the routing. op: unlike any other's; the record knows its author by it.

    wants: what the table is to show: {"pin": {tenant: slot or null}}, {"percent": …}, {"active": …}.
    acked, pending: workers by name.
    """

    op: str
    admin: str
    what: str
    began: float
    ended: float
    outcome: str
    wants: dict[str, Any]
    fenced: bool = False
    expected: int | None = None
    status: int = 0
    code: str = ""
    detail: str = ""
    converged: bool = False
    version: int = 0
    acked: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    switch: str = ""


class Version(_Line, frozen=True, tag="version"):
    """One version as the system of record has it, read at the end. author: the op that made it."""

    version: int
    author: str
    action: str
    operations: tuple[dict[str, Any], ...]


class Sample(_Line, frozen=True, tag="sample"):
    """What a worker's node says of it. leased: and its lease has time left."""

    node: str
    pid: int
    version: int
    leased: bool
    state: str
    began: float
    ended: float


class Worker(_Line, frozen=True, tag="worker"):
    """Whose request ids begin so."""

    node: str
    pid: int
    prefix: str


class Fault(_Line, frozen=True, tag="fault"):
    """What the nemesis did, until it was undone. nodes, admins: who can't reach a store, or whose
    processes are hit. store: it is Redis that they can't reach. dead, paused, retired: processes;
    the retired finish what is under way, and end idle connections.
    """

    name: str
    began: float
    ended: float
    nodes: tuple[str, ...] = ()
    admins: tuple[str, ...] = ()
    store: bool = False
    dead: tuple[int, ...] = ()
    paused: tuple[int, ...] = ()
    retired: tuple[int, ...] = ()
    detail: str = ""


class End(_Line, frozen=True, tag="end"):
    """After all is healed. healed: every part came back; if not, why.

    tables: admin → the routing that it shows. workers: admin → worker → version. switches: name →
    state.
    """

    at: float
    healed: bool
    why: str
    nodes: dict[str, int]
    tables: dict[str, dict[str, Any]]
    workers: dict[str, dict[str, int]]
    switches: dict[str, str]


Line = Plan | Request | Served | Step | Changed | Version | Sample | Worker | Fault | End
Kind = TypeVar("Kind", bound=_Line)
_DECODER = msgspec.json.Decoder(Line)


class History:
    """The lines by their type, each type in the order of its lines."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._by_type: dict[type, list[Any]] = {}
        for line in lines:
            self._by_type.setdefault(type(line), []).append(line)

    def all(self, kind: type[Kind]) -> list[Kind]:
        """All lines of this type."""
        return self._by_type.get(kind, [])

    @property
    def plan(self) -> Plan:
        """The run's. ValueError if there is none."""
        plans = self.all(Plan)
        if len(plans) != 1:
            raise ValueError(f"a history has one plan, this one {len(plans)}")
        return plans[0]


def encode(line: Line) -> bytes:
    """The line as it is written, with its end."""
    return msgspec.json.encode(line) + b"\n"


def read(path: Path) -> History:
    """The history in a file. OSError, msgspec.ValidationError."""
    with path.open("rb") as file:
        return History(_DECODER.decode(line) for line in file)
