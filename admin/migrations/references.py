"""Where a secret stands, in place of the secret: `env:NAME` or `file:/path`.

Rule: what a reference stands for is looked up when it is needed, and is in no error, log or row.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

MAX_CHARACTERS = 4096
"""What is longer is no secret, but another file."""
_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:/.+")


class ReferenceFault(Exception):  # noqa: N818 - a fault of the settings, not of this program
    """What the reference names is not there, or is no URL. The message names the reference."""


def is_reference(text: str) -> bool:
    """Whether it names a place, so that it can't be the secret itself."""
    return _REFERENCE.fullmatch(text) is not None


def secret(reference: str, environ: Mapping[str, str] | None = None) -> str:
    """What stands there, without white space around it. ReferenceFault; what is empty is not there."""
    text = _text(reference, environ)
    if len(text) > MAX_CHARACTERS:
        raise ReferenceFault(f"{reference}: more than {MAX_CHARACTERS} characters stand there")
    return text


def _text(reference: str, environ: Mapping[str, str] | None) -> str:
    kind, _, where = reference.partition(":")
    if kind == "env":
        text = (os.environ if environ is None else environ).get(where, "").strip()
        if not text:
            raise ReferenceFault(f"{reference}: the variable is not set in this process")
        return text
    try:
        text = Path(where).read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ReferenceFault(f"{reference} can't be read: {reason}") from None
    if not text:
        raise ReferenceFault(f"{reference}: the file is empty")
    return text


def database_url(reference: str, environ: Mapping[str, str] | None = None) -> str:
    """The URL of a server that stands there. ReferenceFault."""
    url = secret(reference, environ)
    try:
        good = urlsplit(url).scheme in {"postgres", "postgresql"}
    except ValueError:
        good = False
    if not good:
        raise ReferenceFault(f"{reference}: what stands there is no postgresql:// URL")
    return url
