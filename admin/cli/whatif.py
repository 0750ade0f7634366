"""What a change would do, for people: asked, and told as a table. Changes nothing."""

from typing import Any

from admin.cli.options import Session
from admin.cli.output import counted, percent, printable, say, show_json, show_table

SHOWN = 20
"""Moves that are shown; with --json all that the admin gives at once."""


def ask(session: Session, tried: dict[str, object]) -> None:
    """Ask the admin, and tell what it says. tried: as the API takes it."""
    limit = {} if session.as_json else {"limit": SHOWN}
    found = session.client.ask("/v1/routing/whatif", {**tried, **limit})
    if session.as_json:
        show_json(found)
        return
    chosen = found.get("chosen")
    if isinstance(chosen, dict):
        say(sentence(chosen))
    moves = found.get("moves") or []
    if moves:
        show_table(
            ("tenant", "from", "to", "why", "requests", "share", "part"),
            (_row(move) for move in moves),
        )
    more = (found.get("moving") or 0) - len(moves)
    if more > 0:
        say(f"and {counted(more, 'tenant')} more, with less traffic")
    say(printable(found.get("explanation") or ""))
    if found.get("refusal"):
        say(f"As things are it would be refused: {printable(found['refusal'])}")


def sentence(chosen: dict[str, Any]) -> str:
    """Why this weight was chosen, as the admin says it."""
    text = printable(chosen.get("explanation") or "")
    return text[:1].upper() + text[1:]


def _row(move: dict[str, Any]) -> tuple[object, ...]:
    part = move.get("part")
    return (
        move.get("tenant"),
        move.get("from_slot"),
        move.get("to_slot"),
        f"{move.get('from_reason')} → {move.get('to_reason')}",
        move.get("requests"),
        percent(round(move.get("percent") or 0, 2)),
        "all" if part == 1 else percent(part * 100 if isinstance(part, float) else None),
    )
