"""Who serves which version: a worker's status, and when the fleet has converged.

Rules: a worker takes a lease before it loads the table, so no change can be called served
without it. It says a version only once requests are decided by it. *Converged* at a version
means that every worker whose lease runs has said that version or a later one.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from proxy.routing.change import ContractError
from proxy.routing.model import is_name, is_tenant

_ID = re.compile(r"[!-~]{1,200}")
MAX_ERROR = 500
"""Characters of a refusal's reason that are kept."""
MAX_NODE = 255
MAX_COUNTS = 1_000
"""Switches, or drains, that one status tells of."""
MAX_DETAILED = 8
"""Drains of which one status tells by kind and tenant."""
MAX_TENANTS_TOLD = 20
"""Tenants that it names of one drain: those that have most. A status goes with each renewal."""
_MAX_KINDS = 16
STATES = frozenset({"starting", "serving", "draining", "gone"})
POLICIES = frozenset({"serve", "park", "mixed"})
_REQUIRED = frozenset({"worker", "node", "pid", "version", "state"})
_NUMBERS = frozenset({"pid", "version", "in_flight", "parked", "age_ms"})
_FLAGS = frozenset({"from_disk", "census"})
_COUNTS = frozenset({"holding", "draining"})
_PARTS = frozenset({"left"})


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What a worker says of itself.

    worker: unique for each start. node, pid: where it runs. version: of the table it decides
    by, 0 while it has none. state: one of STATES. in_flight: requests under way. error: why it
    refused a later version (a nack), empty if it did not. parked: requests that wait for a
    switch to end. holding: switch → what is still under way of those that it holds. draining:
    drain → what is left on its slot of those that it means. `holding` names all that the version
    above has; of a drain nothing is said before the worker has looked for what it means.
    left: drain → what is left of it, as "kinds" (of `lasting.KINDS`) and as "tenants" (the largest;
    empty: nobody's): what they lack to the drain's count is others'. Not of all drains.
    from_disk: its table is the one that was kept on disk, and the store has not confirmed it.
    age_ms: how long ago it was known to be the newest. without_lease: what becomes of requests when
    its lease is over, one of POLICIES. census: whether it tells who is connected; see `census`.
    """

    worker: str
    node: str
    pid: int
    version: int
    state: str
    in_flight: int = 0
    error: str = ""
    parked: int = 0
    holding: Mapping[str, int] = field(default_factory=dict)
    draining: Mapping[str, int] = field(default_factory=dict)
    left: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    from_disk: bool = False
    age_ms: int = 0
    without_lease: str = "serve"
    census: bool = False


@dataclass(frozen=True, slots=True)
class Convergence:
    """Who serves a version. refused: worker → reason, for those that reported one.

    live: what all of them last said.
    """

    version: int
    acked: tuple[str, ...]
    pending: tuple[str, ...]
    refused: dict[str, str]
    live: tuple[WorkerStatus, ...] = ()

    @property
    def converged(self) -> bool:
        """Whether no live worker is waited for."""
        return not self.pending


def converge(version: int, live: Iterable[WorkerStatus]) -> Convergence:
    """Who of the live workers serves this version or a later one. Sorted by name."""
    statuses = sorted(live, key=lambda status: status.worker)
    pending = [status for status in statuses if status.version < version]
    return Convergence(
        version,
        tuple(status.worker for status in statuses if status.version >= version),
        tuple(status.worker for status in pending),
        {status.worker: status.error for status in pending if status.error},
        tuple(statuses),
    )


def encode_status(status: WorkerStatus) -> bytes:
    """The status's written form."""
    document = {each.name: getattr(status, each.name) for each in fields(status)}
    return json.dumps(document, separators=(",", ":")).encode()


def decode_status(body: bytes) -> WorkerStatus:
    """The status from its written form; unknown fields of newer workers are passed over."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ContractError("a worker's status is not JSON") from None
    if not isinstance(document, dict):
        raise ContractError("a worker's status is an object")
    values: dict[str, Any] = {}
    for each in fields(WorkerStatus):
        if each.name in document:
            values[each.name] = document[each.name]
        elif each.name in _REQUIRED:
            raise ContractError(f"a worker's status has no {each.name}")
    for name, value in values.items():
        if type(value) is not _type_of(name) or not _in_bounds(name, value):
            raise ContractError(f"a worker's status has a bad {name}")
    return WorkerStatus(**values)


def _type_of(name: str) -> type:
    if name in _COUNTS or name in _PARTS:
        return dict
    if name in _FLAGS:
        return bool
    return int if name in _NUMBERS else str


def _is_detailed(detail: Any) -> bool:
    """Whether it is what is left of a drain, by kind and tenant. Kinds of newer workers are let by."""
    if not isinstance(detail, dict) or detail.keys() != {"kinds", "tenants"}:
        return False
    kinds, tenants = detail["kinds"], detail["tenants"]
    if not isinstance(kinds, dict) or not isinstance(tenants, dict):
        return False
    counts = [*kinds.values(), *tenants.values()]
    return (
        len(kinds) <= _MAX_KINDS
        and len(tenants) <= MAX_TENANTS_TOLD
        and all(map(is_name, kinds))
        and all(not tenant or is_tenant(tenant) for tenant in tenants)
        and all(type(count) is int and 0 <= count < 2**53 for count in counts)
    )


def _are_counts(value: dict[Any, Any]) -> bool:
    return len(value) <= MAX_COUNTS and all(
        is_name(key) and type(count) is int and 0 <= count < 2**53 for key, count in value.items()
    )


def _are_details(value: dict[Any, Any]) -> bool:
    return len(value) <= MAX_DETAILED and all(
        is_name(drain) and _is_detailed(detail) for drain, detail in value.items()
    )


def _in_bounds(name: str, value: Any) -> bool:
    if isinstance(value, dict):
        return _are_details(value) if name in _PARTS else _are_counts(value)
    if isinstance(value, int):
        return 0 <= value < 2**53
    if name == "worker":
        return _ID.fullmatch(value) is not None
    if name == "state":
        return value in STATES
    if name == "without_lease":
        return value in POLICIES
    return len(value) <= (MAX_ERROR if name == "error" else MAX_NODE) and value.isprintable()
