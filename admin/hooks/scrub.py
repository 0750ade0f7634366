"""What may be kept of a command's output: a short end of it, without secrets. Pure.

Two nets: the values of secrets that are known, and what looks like one. A secret that is neither
known nor written as one goes through; hence `KEPT` is short, and nothing of it is logged.
"""

import re
from collections.abc import Iterable, Mapping

KEPT = 2_000
"""Characters of output that are kept."""
GONE = "[…]"
_LEAST = 6
"""Shorter values are in every text by chance."""
_NAMES = re.compile(
    r"(?i)(secret|passw|token|credential|api_?key|private|dsn|(?:^|_)(url|uri|key)$)"
)
# Each keeps what names the secret, so that the line can be understood.
_LOOKS = (
    re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://)[^\s/@]+(?=@)"),
    re.compile(r"(?i)(\b(?:authorization|cookie|set-cookie)\b[\"']?\s*[:=]\s*).+"),
    re.compile(r"(?i)(\bbearer\s+)\S+"),
    re.compile(
        r"(?i)(\b[\w-]*(?:secret|password|passwd|token|api[_-]?key)[\w-]*[\"']?\s*[:=]\s*)"
        r"(?:\"[^\"]*\"|'[^']*'|\S+)"
    ),
    re.compile(r"()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*\.?[A-Za-z0-9_-]*"),
    re.compile(
        r"(?s)(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"
    ),
)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def secrets_of(environ: Mapping[str, str]) -> list[str]:
    """The values in an environment whose names say that they are secrets, or URLs that may hold one."""
    return [value for name, value in environ.items() if _NAMES.search(name)]


def scrub(text: str, secrets: Iterable[str], most: int = KEPT) -> str:
    """The end of the text, at most this many characters, without these and without their like."""
    text = _CONTROL.sub("", text.replace("\r\n", "\n"))
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= _LEAST:
            text = text.replace(secret, GONE)
            for line in secret.splitlines():
                if len(line) >= _LEAST:
                    text = text.replace(line, GONE)
    for look in _LOOKS:
        text = look.sub(rf"\g<1>{GONE}", text)
    text = text.strip()
    return text if len(text) <= most else f"…{text[-most + 1 :]}"
