"""The client's secret, looked up where a reference says: `env:NAME` or `file:/path`.

Rule: what stands there is in no error, log or row.
"""

import os
from collections.abc import Mapping
from pathlib import Path

MAX_CHARACTERS = 4096


class SecretError(Exception):
    """What the reference names is not there. The message names the reference."""


def secret(reference: str, environ: Mapping[str, str] | None = None) -> str:
    """What stands there, without white space around it. SecretError."""
    kind, _, where = reference.partition(":")
    try:
        if kind == "env":
            found = (os.environ if environ is None else environ).get(where, "").strip()
        else:
            found = Path(where).read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise SecretError(f"{reference} can't be read: {reason}") from None
    if not 0 < len(found) <= MAX_CHARACTERS:
        raise SecretError(f"{reference}: nothing stands there, or too much")
    return found
