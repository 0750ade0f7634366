"""Who signs an item of a checklist, and what is said with it. Pure."""

import re

_ROLE = re.compile(r"[a-z][a-z0-9-]{0,31}")


def is_role(text: str) -> bool:
    """Whether it can be a role's name: `release-manager`, `qa`."""
    return _ROLE.fullmatch(text) is not None


def fault(note: str, *, approve: bool) -> str:
    """Why a signature can't be kept; empty if it can. Who refuses says why."""
    return "" if approve or note.strip() else "who refuses says why, in a note"
