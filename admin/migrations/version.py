"""Semantic versions: how they are written, and which is newer. Pure.

Source: Semantic Versioning 2.0.0, sections 2, 9, 10 and 11. Build metadata says nothing of which is
newer, so two versions that differ in it alone are equal, and it isn't kept.
"""

import re
from dataclasses import dataclass
from functools import total_ordering

MAX_LENGTH = 64
_NUMBER = "0|[1-9][0-9]{0,8}"
_WORD = "0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*"
_PRE = rf"(?:{_WORD})(?:\.(?:{_WORD}))*"
_TEXT = rf"v?({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_PRE}))?(?:\+[0-9A-Za-z.-]+)?"
_FORM = re.compile(_TEXT)
PATTERN = f"^{_TEXT}$"
"""The same for JSON Schema."""


class VersionError(ValueError):
    """A text that is no semantic version."""


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """`major.minor.patch`, with the words of a pre-release: `1.3.0-rc.1` has ("rc", "1")."""

    major: int
    minor: int
    patch: int
    pre: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Read it, with or without a leading v. VersionError."""
        found = _FORM.fullmatch(text) if len(text) <= MAX_LENGTH else None
        if found is None:
            raise VersionError(
                f"{text[:MAX_LENGTH]!r} is no version: write MAJOR.MINOR.PATCH, as in 1.3.0 or 1.3.0-rc.1"
            )
        pre = tuple(found[4].split(".")) if found[4] else ()
        return cls(int(found[1]), int(found[2]), int(found[3]), pre)

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        return f"{text}-{'.'.join(self.pre)}" if self.pre else text

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Version):
            return NotImplemented
        return self._rank() < other._rank()

    def _rank(self) -> tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]:
        """What compares as section 11 says: numbers before words, a release after its candidates."""
        words = tuple(
            (False, int(word), "") if word.isdigit() else (True, 0, word) for word in self.pre
        )
        return self.major, self.minor, self.patch, not self.pre, words
