"""What lies in the simulated PostgreSQL, and what the statements of the admin do to it.

Rules: a state is never changed, a commit makes the next one; so a snapshot is a state, and a failover
goes back to one. A statement is known by its text: one that the admin's code changes is not found
here. tests/contract/test_postgres_twin.py runs the admin's own stores on these and on the real ones.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from admin.drains import store as drains
from admin.routing import audit
from admin.routing import store as routing
from admin.switches import store as switches

Args = tuple[Any, ...]


class Row(dict[str, Any]):
    """asyncpg's Record: values by name; iterating gives the values."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values())


def _first_head() -> Row:
    return Row(
        version=0,
        active="blue",
        fallback="blue",
        canary_basis_points=0,
        canary_unit="tenant",
        canary_salt="turnout",
        blue_endpoints=[],
        green_endpoints=[],
        canary_allow=[],
        canary_deny=[],
        hold_all="",
        drains="[]",
        blue_affinities_since=0,
        green_affinities_since=0,
        commit_id="",
        timeline="1/00000001",
        schema_generation=0,
    )


@dataclass(frozen=True, slots=True)
class Data:
    """All tables. changes: version → body, commit. keys: (actor, key) → row. audit: oldest first.

    timeline: how often the server was promoted.
    """

    head: Row = field(default_factory=_first_head)
    pins: Mapping[str, str] = field(default_factory=dict)
    tenants: frozenset[str] = frozenset()
    holds: Mapping[str, str] = field(default_factory=dict)
    affinities: Mapping[str, int] = field(default_factory=dict)
    changes: Mapping[int, tuple[bytes, str]] = field(default_factory=dict)
    keys: Mapping[tuple[str, str], Row] = field(default_factory=dict)
    audit: tuple[Row, ...] = ()
    switches: Mapping[str, Row] = field(default_factory=dict)
    timeline: int = 1


def _head(data: Data, _: datetime, __: Args) -> list[Row]:
    return [Row({**data.head, "current_timeline": _timeline(data)})]


def _timeline(data: Data) -> str:
    return f"1/{data.timeline:08X}"


Read = Callable[[Data, datetime, Args], list[Row]]
Write = Callable[[Data, datetime, Args], tuple[Data, int]]
"""The state after it, and how many rows it touched."""


def _commit(data: Data, now: datetime, args: Args) -> tuple[Data, int]:
    """admin/routing/commit.sql; its parameters by their numbers less one."""
    head = data.head
    if (head["version"], head["commit_id"], _timeline(data)) != (args[23], args[34], args[37]):
        return data, 0
    if args[38] not in {None, head["schema_generation"]}:
        return data, 0
    version = args[0]
    names = ("version", "active", "fallback", "canary_basis_points", "canary_unit", "canary_salt")
    more = ("blue_endpoints", "green_endpoints")
    tail = ("canary_allow", "canary_deny", "hold_all", "drains")
    since = ("blue_affinities_since", "green_affinities_since")
    following = Row(
        {**head, **dict(zip((*names, *more), args[:8], strict=True))}
        | dict(zip((*tail, *since), args[24:30], strict=True))
        | {"commit_id": args[33], "timeline": args[37]}
    )
    made = Row(version=version, action=args[16], actor=args[14], request_id=args[20], at=now)
    keys = dict(data.keys)
    if args[21] is not None:
        kept = Row(fingerprint=args[22], version=version, status=None, body=None)
        keys[args[14], args[21]] = kept
    return replace(
        data,
        head=following,
        pins=_without({**data.pins, **dict(zip(args[8], args[9], strict=True))}, args[10]),
        tenants=(data.tenants | set(args[11])) - set(args[12]),
        holds=_without({**data.holds, **dict(zip(args[30], args[31], strict=True))}, args[32]),
        affinities=_without({**data.affinities, **dict.fromkeys(args[35], version)}, args[36]),
        changes={**data.changes, version: (args[13], args[33])},
        keys=keys,
        audit=(*data.audit, made),
    ), 1


def _without(values: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _bodies(data: Data, _: datetime, args: Args) -> list[Row]:
    found = sorted(version for version in data.changes if args[0] < version <= args[1])
    return [Row(version=version, body=data.changes[version][0]) for version in found]


def _commit_at(data: Data, _: datetime, args: Args) -> list[Row]:
    return [Row(commit_id=data.changes[args[0]][1])] if args[0] in data.changes else []


def _find_key(data: Data, _: datetime, args: Args) -> list[Row]:
    found = data.keys.get((args[0], args[1]))
    return [] if found is None else [found]


def _since(data: Data, _: datetime, args: Args) -> list[Row]:
    return [row for row in data.audit if row["version"] > args[0]]


def _republished(data: Data, now: datetime, _: Args) -> list[Row]:
    anew = [row for row in data.audit if row["action"] == "republish" and row["version"] > 1]
    return [Row(ago=(now - anew[-1]["at"]) / timedelta(seconds=1))] if anew else []


def _prune_changes(data: Data, _: datetime, args: Args) -> tuple[Data, int]:
    lowest = data.head["version"] - args[0]
    kept = {version: change for version, change in data.changes.items() if version > lowest}
    return replace(data, changes=kept), len(data.changes) - len(kept)


# ── switches ──────────────────────────────────────────────────────────────────────────────────


def _begin(data: Data, now: datetime, args: Args) -> tuple[Data, int]:
    names = ("name", "action", "operations", "tenants", "step_kind", "step_target", "limit_s")
    more = ("per_second", "accept_lost", "actor", "role", "request_id")
    row = Row(zip((*names, *more), args, strict=True))
    nulls = ("held", "held_at", "drained_at", "stepped_at", "ended_at", "committed", "cancelled_by")
    row |= dict.fromkeys(nulls) | {"state": "holding", "reason": "", "step_begun": False}
    row["begun_at"] = now
    if row["name"] in data.switches:
        return data, 0
    return _with_switch(data, row), 1


def _with_switch(data: Data, row: Row) -> Data:
    return replace(data, switches={**data.switches, row["name"]: row})


def _changed(data: Data, name: str, **values: Any) -> tuple[Data, int]:
    row = data.switches.get(name)
    return (data, 0) if row is None else (_with_switch(data, Row({**_plain(row), **values})), 1)


def _plain(row: Row) -> dict[str, Any]:
    return dict(row.items())


def _move(data: Data, now: datetime, args: Args) -> tuple[Data, int]:
    name, state, following, reason = args
    row = data.switches.get(name)
    if row is None or row["state"] != state:
        return data, 0
    values: dict[str, Any] = {"state": following}
    if reason is not None:
        values["reason"] = reason
    column = _MOMENTS.get(following)
    if column is not None:
        values[column] = now
    return _changed(data, name, **values)


_MOMENTS = {
    "stepping": "drained_at",
    "committing": "stepped_at",
    "done": "ended_at",
    "undone": "ended_at",
}


def _cancel(data: Data, _: datetime, args: Args) -> tuple[Data, int]:
    row = data.switches.get(args[0])
    if row is None or row["cancelled_by"] or row["state"] not in {"holding", "stepping"}:
        return data, 0
    return _changed(data, args[0], cancelled_by=args[1])


def _age(data: Data, now: datetime, args: Args) -> list[Row]:
    row = data.switches.get(args[0])
    return [] if row is None else [Row(age=(now - row["begun_at"]) / timedelta(seconds=1))]


def _open(data: Data, _: datetime, __: Args) -> list[Row]:
    left = [row for row in data.switches.values() if row["state"] not in {"done", "undone"}]
    return sorted(left, key=lambda row: row["begun_at"])


def _found(data: Data, _: datetime, args: Args) -> list[Row]:
    return [data.switches[args[0]]] if args[0] in data.switches else []


def _by_tenant(name: str, column: str) -> Read:
    def read(data: Data, _: datetime, __: Args) -> list[Row]:
        return [Row({"tenant": key, column: value}) for key, value in getattr(data, name).items()]

    return read


READS: dict[str, Read] = {
    routing._HEAD: _head,
    routing._LOCK_HEAD: _head,
    routing._FIND_KEY: _find_key,
    routing._COMMIT_AT: _commit_at,
    routing._REPUBLISHED: _republished,
    "SELECT tenant, slot FROM turnout.pins": _by_tenant("pins", "slot"),
    "SELECT tenant FROM turnout.tenants": lambda data, _, __: [
        Row(tenant=tenant) for tenant in sorted(data.tenants)
    ],
    "SELECT tenant, switch FROM turnout.holds": _by_tenant("holds", "switch"),
    "SELECT tenant, since FROM turnout.affinities": _by_tenant("affinities", "since"),
    "SELECT version, body FROM turnout.changes"
    " WHERE version > $1 AND version <= $2 ORDER BY version": _bodies,
    audit._SINCE: _since,
    switches._FIND: _found,
    switches._OPEN: _open,
    switches._AGE: _age,
    drains._OPEN: lambda _, __, ___: [],
    "SELECT 1": lambda _, __, ___: [Row(one=1)],
}
WRITES: dict[str, Write] = {
    routing._COMMIT: _commit,
    "DELETE FROM turnout.idempotency WHERE at < now() - make_interval(hours => $1)": (
        lambda data, _, __: (data, 0)
    ),
    "DELETE FROM turnout.changes WHERE version <="
    " (SELECT version FROM turnout.routing_head) - $1": _prune_changes,
    switches._BEGIN: _begin,
    switches._MOVE: _move,
    switches._HELD: lambda data, now, args: _changed(data, args[0], held=args[1], held_at=now),
    switches._COMMITTED: lambda data, _, args: _changed(data, args[0], committed=args[1]),
    switches._STEP_BEGUN: lambda data, _, args: _changed(data, args[0], step_begun=True),
    switches._CANCEL: _cancel,
}
NEEDS_HEAD = frozenset({routing._LOCK_HEAD, routing._COMMIT})
"""Those that wait for whoever is changing the head row."""
LOCK = "SELECT pg_advisory_lock($1)"
TRY_LOCK = "SELECT pg_try_advisory_lock($1)"
UNLOCK = "SELECT pg_advisory_unlock($1)"
EPOCH = datetime(2027, 1, 1, tzinfo=UTC)
