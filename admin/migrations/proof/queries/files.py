"""Queries from `.sql` files: one after the other, with $n or a driver's own placeholders. Pure."""

import postgast

from admin.migrations.catalogue.grammar import GrammarError, statements
from admin.migrations.proof.queries.model import Query, Untried, query
from admin.migrations.proof.queries.placeholders import numbered


def queries_of(text: str, file: str) -> list[Query | Untried]:
    """All of them. GrammarError: the file has something that PostgreSQL would not understand."""
    try:
        pieces = statements(text)
    except GrammarError as error:
        changed = numbered(text)
        if changed == text:
            raise
        try:
            pieces = statements(changed)
        except GrammarError:
            raise error from None
    found = []
    for piece in pieces:
        own = _renumbered(piece.text)
        found.append(query(own, f"{file}:{piece.line}"))
    return found


def _renumbered(text: str) -> str:
    """Its placeholders from $1, where the file's are counted through."""
    tokens = postgast.scan(text).tokens
    raw = text.encode()
    spots = [each for each in tokens if raw[each.start : each.end].startswith(b"$")]
    spots = [each for each in spots if raw[each.start + 1 : each.end].isdigit()]
    seen = sorted({int(raw[each.start + 1 : each.end]) for each in spots})
    if not seen or seen[0] == 1:
        return text
    numbers = {old: new for new, old in enumerate(seen, 1)}
    for each in reversed(spots):
        number = numbers[int(raw[each.start + 1 : each.end])]
        raw = raw[: each.start] + f"${number}".encode() + raw[each.end :]
    return raw.decode()
