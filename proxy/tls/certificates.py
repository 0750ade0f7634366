"""The certificates that clients are shown: loaded, chosen by name, renewed while serving.

Rules:
1. `front` is made before the workers are forked and never replaced. The keys of its session
   tickets are OpenSSL's own, drawn when it is made: what one worker issued another resumes, and
   a reload of the settings (SIGHUP) draws new ones.
2. A client's name (SNI) chooses an entry: exactly, then by wildcard, then the first entry. Each
   has a context of its own, put in place of `front` while the handshake runs.
3. A pair that can't be used keeps the one before it. What is logged names files, never content.
"""

import datetime as dt
import logging
import os
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config import ConfigError
from proxy.tls.settings import Certificate, Tls

log = logging.getLogger("turnout.tls")

Stamp = tuple[tuple[int, int, int], ...]
"""What tells that a pair of files has changed: inode, size and time of each."""

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_VERIFY = {
    "off": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
_DAY_S = 86_400
_GONE = (0, 0, 0)


class CertificateError(Exception):
    """A certificate and its key can't be used; the message names the file and the reason."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A usable pair. names: lower case, `*.` in front of a wildcard. expires: POSIX seconds."""

    context: ssl.SSLContext
    names: frozenset[str]
    expires: int


class Certificates:
    """See the module. ConfigError when a pair can't be used at the start."""

    def __init__(self, settings: Tls) -> None:
        self._settings = settings
        self._client_ca = _read_ca(settings.client_ca) if settings.client_ca else ""
        self._stamps: list[Stamp] = []
        self._entries: list[Entry] = []
        self._warned_on: dt.date | None = None
        if not settings.certificates:
            raise ConfigError("`tls_listen` needs `tls.certificates`")
        for pair in settings.certificates:
            self._stamps.append(_stamp(pair))
            try:
                self._entries.append(self._load(pair))
            except CertificateError as error:
                raise ConfigError(str(error)) from None
        self._by_name = _index(self._entries)
        self.front = self._new_context()
        self.front.sni_callback = self._choose_for

    @property
    def expires(self) -> int:
        """When the first of them ends, in POSIX seconds."""
        return min(entry.expires for entry in self._entries)

    def choose(self, name: str) -> Entry | None:
        """The entry for a server name, or None: only the default would do."""
        name = name.lower().rstrip(".")
        found = self._by_name.get(name)
        if found is None:
            _, dot, parent = name.partition(".")
            found = self._by_name.get(f"*.{parent}") if dot else None
        return found

    def reload(self) -> None:
        """Load the pairs whose files have changed; keep what can't be replaced."""
        changed = False
        for index, pair in enumerate(self._settings.certificates):
            stamp = _stamp(pair)
            if stamp == self._stamps[index]:
                continue
            self._stamps[index] = stamp  # before loading: what changes meanwhile is seen next time
            try:
                self._entries[index] = self._load(pair)
            except CertificateError as error:
                log.error("the certificate is not renewed: %s", error)  # noqa: TRY400 - said to people
            else:
                log.info("renewed: %s", pair.certificate)
                changed = True
        if changed:
            self._by_name = _index(self._entries)

    def warn_of_expiry(self) -> None:
        """Log, once a day, which certificates end soon or have ended."""
        now = dt.datetime.now(dt.UTC)
        if self._warned_on == now.date():
            return
        self._warned_on = now.date()
        for pair, entry in zip(self._settings.certificates, self._entries, strict=True):
            days = (entry.expires - now.timestamp()) / _DAY_S
            if days < 0:
                log.error("%s has expired", pair.certificate)
            elif days < self._settings.warn_days:
                log.warning("%s expires in %d days", pair.certificate, days)

    def _choose_for(
        self,
        connection: ssl.SSLSocket | ssl.SSLObject,
        name: str | None,
        _context: ssl.SSLContext,
    ) -> int | None:
        found = self.choose(name) if name else None
        connection.server_name = name  # type: ignore[union-attr] # Python keeps it nowhere
        if found is None:
            if name and self._settings.unknown_names == "refuse":
                return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            found = self._entries[0]
        connection.context = found.context
        return None

    def _load(self, pair: Certificate) -> Entry:
        from proxy.tls import x509  # noqa: PLC0415 - see there

        context = self._new_context()
        try:
            own = x509.read_pem(read_file(pair.certificate))
        except ValueError:
            raise CertificateError(f"{pair.certificate} holds no certificate in PEM") from None
        try:
            context.load_cert_chain(pair.certificate, pair.key, no_passphrase)
        except FileNotFoundError:
            raise CertificateError(f"{pair.key} can't be read") from None
        except (ssl.SSLError, OSError, ValueError) as error:
            raise CertificateError(f"{pair.certificate} with {pair.key}: {_why(error)}") from None
        names = x509.names_in(own) | {name.lower().rstrip(".") for name in pair.names}
        return Entry(context, frozenset(names), x509.expires(own))

    def _new_context(self) -> ssl.SSLContext:
        """What all contexts have in common: a switch at the name leaves no rule behind."""
        settings = self._settings
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _VERSIONS[settings.min_version]
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        try:
            context.set_ciphers(settings.ciphers)
        except ssl.SSLError:
            raise ConfigError("`tls.ciphers` names no cipher that OpenSSL has") from None
        context.set_alpn_protocols(["http/1.1"])
        context.verify_mode = _VERIFY[settings.verify_clients]
        if self._client_ca:
            context.load_verify_locations(cadata=self._client_ca)
        return context


def drop_unreadable_names() -> None:
    """Keep handshakes that ask for a name that is not ASCII out of the log.

    They fail as they should, but CPython prints a trace of each, which any client can cause.
    """
    before = sys.unraisablehook

    def hook(given: "sys.UnraisableHookArgs") -> None:
        unreadable = isinstance(given.exc_value, UnicodeDecodeError)
        if not (unreadable and isinstance(given.object, bytes)):
            before(given)

    sys.unraisablehook = hook


def read_file(path: str) -> bytes:
    """A file of the settings. CertificateError names it."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CertificateError(f"{path} can't be read: {error.strerror}") from None


def _read_ca(path: str) -> str:
    """Certificates that sign clients', checked once. ConfigError."""
    try:
        text = read_file(path).decode("ascii")
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=text)
    except CertificateError as error:
        raise ConfigError(str(error)) from None
    except (ssl.SSLError, ValueError):
        raise ConfigError(f"{path} holds no certificates in PEM") from None
    return text


def _index(entries: Sequence[Entry]) -> dict[str, Entry]:
    """Name → entry; of two with one name the first counts."""
    return {name: entry for entry in reversed(entries) for name in entry.names}


def _stamp(pair: Certificate) -> Stamp:
    return tuple(_stamp_of(path) for path in (pair.certificate, pair.key))


def _stamp_of(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path would be made every few seconds
    except OSError:
        return _GONE
    return found.st_ino, found.st_size, found.st_mtime_ns


def no_passphrase() -> str:
    """OpenSSL would ask on the terminal."""
    raise ValueError("the key is encrypted")


def _why(error: Exception) -> str:
    """The library's word for it; it holds nothing of the files."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not usable").lower().replace("_", " ")
    return str(error.strerror) if isinstance(error, OSError) else str(error)
