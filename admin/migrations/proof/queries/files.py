"""Queries from `.sql` files: one after the other, with $n or a driver's own placeholders. Pure."""

from admin.migrations.catalogue.grammar import GrammarError, statements
from admin.migrations.proof.queries.model import Query, Untried, query
from admin.migrations.proof.queries.placeholders import numbered, parameters, with_values


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
    seen = sorted({number for _, _, number in parameters(text)})
    if not seen or seen[0] == 1:
        return text
    literals = [""] * seen[-1]
    for new, old in enumerate(seen, 1):
        literals[old - 1] = f"${new}"
    return with_values(text, literals)
