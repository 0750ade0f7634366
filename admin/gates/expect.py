"""Whether an answer is as expected. Pure.

Rule: what is said of an answer shows a value only where the expectation names one, and little of it:
answers may hold secrets.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from admin.gates.checks import Expect
from admin.gates.pointer import AbsentError, at
from admin.gates.words import fill, fill_all

SHOWN = 60
_NOTHING = object()


def faults(
    expect: Expect,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    words: Mapping[str, str],
) -> list[str]:
    """What is not as expected, a sentence each. headers: by lower-case name. words: see `words`."""
    found = list(_of_head(expect, status, headers, words))
    text = body.decode("utf-8", "replace")
    found += [
        f"the body does not contain {_shown(piece)}"
        for piece in (fill(each, words) for each in expect.contains)
        if piece not in text
    ]
    found += _of_patterns_of_text(expect, text)
    if expect.json or expect.absent or any(expect.matches):
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return [*found, "the body is no JSON"]
        found += _of_document(expect, document, words)
    return found


def _of_head(
    expect: Expect, status: int, headers: Mapping[str, str], words: Mapping[str, str]
) -> Iterator[str]:
    if status not in expect.statuses:
        yield f"status {status}, not {' or '.join(map(str, expect.statuses))}"
    for name, value in expect.headers.items():
        wanted, said = fill(value, words), headers.get(name.lower())
        if said is None:
            yield f"the header {name} is missing"
        elif said != wanted:
            yield f"the header {name} is {_shown(said)}, not {_shown(wanted)}"


def _of_patterns_of_text(expect: Expect, text: str) -> Iterator[str]:
    pattern = expect.matches.get("")
    if pattern is not None and not re.search(pattern, text):
        yield f"the body does not match {_shown(pattern)}"


def _of_document(expect: Expect, document: Any, words: Mapping[str, str]) -> Iterator[str]:
    for pointer, value in expect.json.items():
        wanted, said = fill_all(value, words), _at(document, pointer)
        if said is _NOTHING:
            yield f"{pointer} is missing"
        elif not _equal(said, wanted):
            yield f"{pointer} is {_shown(said)}, not {_shown(wanted)}"
    for pointer, pattern in expect.matches.items():
        said = _at(document, pointer) if pointer else ""
        if said is _NOTHING:
            yield f"{pointer} is missing"
        elif pointer and not re.fullmatch(pattern, _text(said)):
            yield f"{pointer} does not match {_shown(pattern)}"
    for pointer in expect.absent:
        if _at(document, pointer) is not _NOTHING:
            yield f"{pointer} is there"


def _at(document: Any, pointer: str) -> Any:
    try:
        return at(document, pointer)
    except AbsentError:
        return _NOTHING


def _equal(said: Any, wanted: Any) -> bool:
    """As JSON: true is not 1, and 1 is 1.0."""
    if isinstance(said, bool) or isinstance(wanted, bool):
        return said is wanted
    if isinstance(said, list) and isinstance(wanted, list):
        pairs = zip(said, wanted, strict=False)
        return len(said) == len(wanted) and all(_equal(one, other) for one, other in pairs)
    if isinstance(said, dict) and isinstance(wanted, dict):
        return said.keys() == wanted.keys() and all(_equal(said[k], wanted[k]) for k in said)
    return bool(said == wanted)


def _text(value: Any) -> str:
    """What a pattern is compared with: a string itself, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _shown(value: Any) -> str:
    """A little of it."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
