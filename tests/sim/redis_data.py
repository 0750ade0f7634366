"""What lies in the simulated Redis, and what the scripts of both planes do to it, said again in Python.

Rules: no more than our code uses. tests/contract/test_redis_twin.py compares each script, and each
command of `redis_server`, with the real ones on states drawn by lot.
"""

import copy
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from admin.routing.publish import _lua
from proxy.store import script

Fields = dict[bytes, bytes]
_NUMBER = re.compile(rb"\d+")


@dataclass
class Stream:
    """Entries by their version: the id `<version>-0`."""

    entries: list[tuple[int, Fields]] = field(default_factory=list)


@dataclass
class Data:
    """All keys. published: what PUBLISH was called with, for the server to pass on."""

    hashes: dict[str, Fields] = field(default_factory=dict)
    leases: dict[str, dict[bytes, float]] = field(default_factory=dict)
    streams: dict[str, Stream] = field(default_factory=dict)
    published: list[tuple[str, bytes]] = field(default_factory=list)

    def copied(self) -> "Data":
        """As it is now: what a replica has, or a server that will come back from its disk."""
        return copy.deepcopy(self)

    def hget(self, key: str, name: bytes) -> bytes | None:
        return self.hashes.get(key, {}).get(name)

    def hset(self, key: str, values: Fields) -> None:
        self.hashes.setdefault(key, {}).update(values)

    def hdel(self, key: str, name: bytes) -> None:
        self.hashes.get(key, {}).pop(name, None)

    def zadd(self, key: str, score: float, member: bytes) -> None:
        self.leases.setdefault(key, {})[member] = score

    def zrem(self, key: str, member: bytes) -> None:
        self.leases.get(key, {}).pop(member, None)

    def delete(self, key: str) -> None:
        for kind in (self.hashes, self.leases, self.streams):
            kind.pop(key, None)

    def xadd(self, key: str, version: int, fields: Fields, most: int) -> None:
        entries = self.streams.setdefault(key, Stream()).entries
        if entries and version <= entries[-1][0]:
            raise ValueError("the ID is equal or smaller than the target stream top item")
        entries.append((version, fields))
        del entries[:-most]

    def xread(self, key: str, after: int, count: int) -> list[tuple[bytes, Fields]]:
        entries = self.streams.get(key, Stream()).entries
        found = [entry for entry in entries if entry[0] > after][:count]
        return [(b"%d-0" % version, dict(fields)) for version, fields in found]


def renew(data: Data, now_ms: int, keys: Sequence[str], args: Sequence[bytes]) -> Any:
    """proxy/renew.lua"""
    worker, status, lease_ms, news, table = args
    data.zadd(keys[0], now_ms + int(lease_ms), worker)
    data.hset(keys[1], {worker: status})
    data.published.append((news.decode(), status))
    return data.hget(table.decode(), b"version")


def leave(data: Data, now_ms: int, keys: Sequence[str], args: Sequence[bytes]) -> Any:
    """proxy/leave.lua"""
    worker, status, news = args
    data.zadd(keys[0], now_ms, worker)
    data.hset(keys[1], {worker: status})
    data.published.append((news.decode(), status))
    return 1


def look(data: Data, now_ms: int, keys: Sequence[str], args: Sequence[bytes]) -> Any:
    """admin/routing/look.lua"""
    return [*_standing(data, keys), _fleet(data, now_ms, keys, int(args[0]))]


def publish(data: Data, now_ms: int, keys: Sequence[str], args: Sequence[bytes]) -> Any:
    """admin/routing/publish.lua"""
    expected, target_text, body, mac, most, tail, forget_ms, commit, after = args[:9]
    version, last, there, at = _standing(data, keys)
    target = int(target_text)
    word = b""
    if expected == b"reset":
        data.delete(keys[1])
    elif expected == b"any":
        word = b"ahead" if version >= target or last >= target else b""
    elif version >= target:
        word = b"ahead"
    elif version != int(expected) or last != version or (after and there and there != after):
        word = b"behind"
    elif not body and (at < 0 or at > version or target - at > int(tail)):
        word = b"whole"
    if not word:
        for index in range(9, len(args), 3):
            fields = {b"body": args[index + 1], b"mac": args[index + 2]}
            data.xadd(keys[1], int(args[index]), fields, int(most))
        if body:
            data.delete(keys[0])
            data.hset(keys[0], {b"body": body, b"mac": mac})
            at = target
        row = {b"version": target_text, b"commit": commit, b"at": b"%d" % at}
        data.hset(keys[0], row)
        word, version, last, there = b"published", target, target, commit
    return [word, version, last, there, at, _fleet(data, now_ms, keys, int(forget_ms))]


def checkpoint(data: Data, now_ms: int, keys: Sequence[str], args: Sequence[bytes]) -> Any:
    """admin/routing/checkpoint.lua"""
    version, body, mac, commit = args
    there = (data.hget(keys[0], b"version"), data.hget(keys[0], b"commit"))
    if there != (version, commit):
        return 0
    data.hset(keys[0], {b"at": version, b"body": body, b"mac": mac})
    return 1


def load(data: Data, now_ms: int, keys: Sequence[str], args: Sequence[bytes]) -> Any:
    """proxy/load.lua"""
    table, log, count = args[0].decode(), args[1].decode(), int(args[2])
    names = (b"version", b"at", b"body", b"mac")
    version, at, body, mac = (data.hget(table, name) for name in names)
    at = version if at is None else at
    tail: list[Any] = []
    if at is not None and version != at and _NUMBER.fullmatch(at):
        for entry_id, fields in data.xread(log, int(at), count):
            tail.append([entry_id, [each for pair in fields.items() for each in pair]])
    return [version, at, body, mac, tail]


def _standing(data: Data, keys: Sequence[str]) -> tuple[int, int, bytes, int]:
    version = _number(data.hget(keys[0], b"version"))
    at = data.hget(keys[0], b"at")
    entries = data.streams.get(keys[1], Stream()).entries
    last = entries[-1][0] if entries else -1
    commit = data.hget(keys[0], b"commit") or b""
    return version, last, commit, version if at is None else _number(at)


def _number(text: bytes | None) -> int:
    return int(text) if text is not None and _NUMBER.fullmatch(text) else -1


def _fleet(data: Data, now_ms: int, keys: Sequence[str], forget_ms: int) -> list[Any]:
    leases = data.leases.get(keys[2], {})
    for worker in [each for each, ends in leases.items() if ends < now_ms - forget_ms]:
        data.zrem(keys[2], worker)
        data.hdel(keys[3], worker)
    found: list[Any] = []
    for ends, worker in sorted((ends, worker) for worker, ends in leases.items()):
        found += (worker, math.floor(ends) - now_ms, data.hget(keys[3], worker) or b"")
    return found


Twin = Callable[[Data, int, Sequence[str], Sequence[bytes]], Any]
TWINS: dict[str, Twin] = {
    script("renew"): renew,
    script("leave"): leave,
    script("load"): load,
    _lua("checkpoint"): checkpoint,
    _lua("snapshot") + _lua("look"): look,
    _lua("snapshot") + _lua("publish"): publish,
}
"""The text of each script that our code sends → its twin."""
