"""A schema as its objects, and what tells two of them apart. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

FORMAT: Final = 1
KINDS: Final = (
    *("type", "sequence", "table", "column", "constraint", "index", "view", "function", "trigger"),
    *("policy", "rule", "grant"),
)
"""Of objects, in the order in which differences are told."""
Object = tuple[str, str]
"""Kind and name: `("column", "jobs.quantity")`."""
Traits = Mapping[str, str]


class FingerprintError(ValueError):
    """A saved fingerprint that can't be read; says why."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A schema. objects: each with what is to be known of it."""

    objects: Mapping[Object, Traits]

    @property
    def digest(self) -> str:
        """SHA-256 of all of it, hexadecimal: the same for the same schema."""
        lines = [[*key, sorted(traits.items())] for key, traits in sorted(self.objects.items())]
        return sha256(json.dumps(lines, ensure_ascii=False).encode()).hexdigest()

    def without(self, ignored: Iterable[str]) -> "Fingerprint":
        """Without the objects of these names, and what is theirs (columns, indexes, …)."""
        names = frozenset(ignored)
        kept = {
            key: traits
            for key, traits in self.objects.items()
            if key[1].partition(".")[0] not in names and key[1] not in names
        }
        return Fingerprint(kept)

    def document(self) -> dict[str, Any]:
        """For a file."""
        objects = [[*key, dict(traits)] for key, traits in sorted(self.objects.items())]
        return {"format": FORMAT, "digest": self.digest, "objects": objects}


def read_fingerprint(document: Any) -> Fingerprint:
    """From `Fingerprint.document`. FingerprintError."""
    try:
        if document["format"] != FORMAT:
            raise FingerprintError(
                f"it has format {document['format']}, this program reads {FORMAT}"
            )
        found = Fingerprint(
            {(str(kind), str(name)): dict(traits) for kind, name, traits in document["objects"]}
        )
        if found.digest != document["digest"]:
            raise FingerprintError("its digest doesn't fit: it was changed by hand, or cut off")
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, FingerprintError):
            raise
        raise FingerprintError("it is no fingerprint that `--save` has written") from None
    return found


@dataclass(frozen=True, slots=True)
class Drifted:
    """One difference. here: what the schema has; expected: what it should have. None: nothing."""

    kind: str
    name: str
    here: Traits | None
    expected: Traits | None

    @property
    def what(self) -> str:
        """unexpected, missing or different."""
        if self.expected is None:
            return "unexpected"
        return "missing" if self.here is None else "different"

    @property
    def changed(self) -> list[tuple[str, str, str]]:
        """Of what is different: the trait, what it should be, and what it is."""
        here, expected = self.here or {}, self.expected or {}
        return [
            (trait, expected.get(trait, "-"), here.get(trait, "-"))
            for trait in sorted(here.keys() | expected.keys())
            if here.get(trait) != expected.get(trait)
        ]


def drift(here: Fingerprint, expected: Fingerprint) -> list[Drifted]:
    """All differences, by kind and name. What belongs to a missing (or unexpected) table isn't told again."""
    keys = here.objects.keys() | expected.objects.keys()
    found = [
        Drifted(*key, here.objects.get(key), expected.objects.get(key))
        for key in sorted(keys, key=lambda key: (KINDS.index(key[0]), key[1]))
        if here.objects.get(key) != expected.objects.get(key)
    ]
    whole = {
        each.name for each in found if each.kind in {"table", "view"} and each.what != "different"
    }
    return [each for each in found if not _is_part(each, whole)]


def _is_part(each: Drifted, whole: set[str]) -> bool:
    owner, dot, _ = each.name.partition(".")
    return bool(dot) and owner in whole and each.what != "different"
