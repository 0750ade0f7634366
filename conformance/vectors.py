"""Files of public vectors: bytes of requests, and whether they must be refused or be safe.

What is sent on is judged by its bytes at the endpoint, read by everybody there is.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from conformance import scene
from conformance.cutting import whole
from conformance.peers.peer import DOMAIN, Peer
from conformance.readers import REFUSES, NginxReader, disagreements, nginx_reader
from conformance.rows.row import PLAIN, Got, one
from conformance.run import Lane, gathered, lane, temporary_folder

REJECT, REJECT_OR_WAIT, SAFE = "reject", "reject-or-wait", "safe"
LIMIT_S: Final = 1.0
_ANY_TOKEN: Final = (
    "RFC 9110 §9.1: a method is any token, and a proxy passes on those that it does not know "
    "(§9.3). A reader that refuses it reads nothing else into it."
)
REASONS: Final[Mapping[str, str]] = {
    "MAL-URL-PERCENT-NULL": "RFC 3986 §2.1 and RFC 9112 §3.2: %00 is three valid characters of a "
    "target, which goes on as it came (behaviour.md, path). nginx refuses to decode it, and reads "
    "nothing else into it.",
    "COMP-UNKNOWN-METHOD": _ANY_TOKEN,
    "COMP-METHOD-CASE": _ANY_TOKEN,
}
"""id → why a reader may refuse what was sent on. Nothing is explained that is read differently."""
_SELECTOR: Final = "X-Tenant-ID: acme\r\n"
_PLACES: Final = {
    "%H%": f"Host: {DOMAIN}\r\n{_SELECTOR}",
    "%X%": _SELECTOR,
    "%HOST%": DOMAIN,
}


class Vector(msgspec.Struct, frozen=True):
    """One row of a file. raw: with places to be filled in."""

    id: str
    raw: str
    expect: str
    level: str = ""
    ref: str = ""

    @property
    def data(self) -> bytes:
        """The bytes to send."""
        text = self.raw
        for place, value in _PLACES.items():
            text = text.replace(place, value)
        return b"".join(_byte(character) for character in text)


def _byte(character: str) -> bytes:
    """The files hold bytes as the first 256 characters."""
    return character.encode("latin-1") if ord(character) < 256 else character.encode()


@dataclass(frozen=True, slots=True)
class Judged:
    """A vector at a proxy. reason: why it is not as expected, if that is right."""

    file: str
    vector: Vector
    proxy: str
    got: str
    faults: tuple[str, ...]

    @property
    def reason(self) -> str:
        """From the table of reasons."""
        refused_only = all(REFUSES in fault for fault in self.faults)
        return REASONS.get(self.vector.id, "") if self.faults and refused_only else ""

    @property
    def passed(self) -> bool:
        """As expected, or explained."""
        return not self.faults or bool(self.reason)


def load(folder: Path, only: frozenset[str] = frozenset()) -> dict[str, list[Vector]]:
    """Name → vectors, of all files in the folder that hold such. ValueError if there are none.

    only: their ids, empty for all.
    """
    found = {}
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_bytes())
        if isinstance(content, list) and content and "raw" in content[0]:
            vectors = msgspec.convert(content, list[Vector])
            found[path.stem] = [each for each in vectors if not only or each.id in only]
    if not any(found.values()):
        raise ValueError(f"{folder} holds no file of vectors{' with these ids' if only else ''}")
    return found


def results(peers: Sequence[Peer], files: Mapping[str, Sequence[Vector]]) -> Iterator[Judged]:
    """All vectors at all proxies, as they are done. StartError."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(temporary_folder()))
        works = []
        for peer in peers:
            reader = stack.enter_context(nginx_reader(folder / f"reader-{peer.name}"))
            at = stack.enter_context(lane(peer, folder, PLAIN))
            works.append(partial(_play_all, at, reader, files))
        yield from gathered(works)


def _play_all(
    at: Lane,
    reader: NginxReader | None,
    files: Mapping[str, Sequence[Vector]],
    put: Callable[[Judged], None],
) -> None:
    for file, vectors in files.items():
        for vector in vectors:
            put(_play(file, vector, at, reader))


def _play(file: str, vector: Vector, at: Lane, reader: NginxReader | None) -> Judged:
    row = one(vector.id, file, vector.data)
    got = scene.run(row, at.port, at.recorder, whole, LIMIT_S)
    return Judged(file, vector, at.peer.name, got.seen, tuple(judge(vector, got, reader)))


def judge(vector: Vector, got: Got, reader: NginxReader | None) -> list[str]:
    """Why this is not as the vector expects; empty if it is."""
    if vector.expect == SAFE:
        return [fault for stream in got.streams for fault in disagreements(stream, reader)]
    found = [f"the endpoint can't read it: {fault}" for fault in got.faults]
    if got.reached:
        found.append(f"{len(got.reached)} requests reached the endpoint")
    finals = got.saw.finals
    if finals and finals[0].status < 400:
        found.append(f"answered {finals[0].status}")
    if not finals and got.saw.fate == "open" and vector.expect == REJECT:
        found.append("waits for more")
    return found
