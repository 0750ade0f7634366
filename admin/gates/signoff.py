"""What a person signs: an item of a checklist, in a role, with a note. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime

NOTE_MAX = 2000
_ROLE = re.compile(r"[a-z][a-z0-9-]{0,31}")


def is_role(text: str) -> bool:
    """Whether it can be a role's name: `release-manager`, `qa`."""
    return _ROLE.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Signature:
    """Somebody approved, or refused. item: its name in the checklist. by: who, as the token says."""

    item: str
    role: str
    by: str
    approve: bool
    note: str = ""
    at: datetime | None = None


def fault(signature: Signature) -> str:
    """Why it can't be kept; empty if it can. Who refuses says why."""
    if not is_role(signature.role):
        return "a role is 1 to 32 of a-z, 0-9 and -, and begins with a letter"
    if len(signature.note) > NOTE_MAX:
        return f"a note has at most {NOTE_MAX} characters"
    if not signature.approve and not signature.note.strip():
        return "who refuses says why, in a note"
    return ""
