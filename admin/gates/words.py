"""Words in braces that stand for what is known of a release. Pure.

Only the words of a given vocabulary are looked for, so that JSON may be written as it is; nothing is
evaluated.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from admin.gates.model import About

CHECK_WORDS = ("release", "version", "from_version", "slot", "tenant", "endpoint")
"""The words that checks may use. slot: the one that is checked."""
_WORD = re.compile(r"\{([a-z_]+)\}")


def fill(text: str, words: Mapping[str, str]) -> str:
    """The text with what its words stand for; braces around anything else are left alone."""
    return _WORD.sub(lambda found: words.get(found[1], found[0]), text)


def fill_all(value: Any, words: Mapping[str, str]) -> Any:
    """The same in every string of a JSON value."""
    if isinstance(value, str):
        return fill(value, words)
    if isinstance(value, list):
        return [fill_all(item, words) for item in value]
    if isinstance(value, dict):
        return {name: fill_all(item, words) for name, item in value.items()}
    return value


def unknown(text: str, known: Collection[str]) -> Iterator[str]:
    """The words in braces that nothing stands for."""
    return (found[1] for found in _WORD.finditer(text) if found[1] not in known)


def words_of(about: About, tenant: str = "", endpoint: str = "") -> dict[str, str]:
    """What the words of a check stand for."""
    return {
        "release": about.release,
        "version": about.version,
        "from_version": about.from_version,
        "slot": str(about.standby),
        "tenant": tenant,
        "endpoint": endpoint,
    }
