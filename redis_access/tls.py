"""TLS to Redis by the settings: the files are read again when they have changed."""

import ssl
from pathlib import Path

from redis.exceptions import ConnectionError as RedisConnectionError

Stamp = tuple[tuple[int, int], ...]


class Security:
    """See the module. ca: whom to believe; empty: the system's. certificate, key: ours, if any.

    check_name: whether the server's certificate has to name the host that we connected to.
    """

    def __init__(self, ca: str, certificate: str, key: str, *, check_name: bool) -> None:
        self._ca, self._certificate, self._key = ca, certificate, key
        self._check_name = check_name
        self._stamp: Stamp | None = None
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """For a connection that is made now. ConnectionError of redis-py: a file can't be used."""
        try:
            stamp = tuple(_stamp(path) for path in (self._ca, self._certificate, self._key))
            if self._context is None or stamp != self._stamp:
                self._context, self._stamp = self.made(), stamp
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            # Files are being replaced, perhaps; the message of OpenSSL names no content.
            raise RedisConnectionError(f"TLS files can't be used: {type(error).__name__}") from None
        return self._context

    def made(self) -> ssl.SSLContext:
        """A context of the files as they are now. OSError."""
        context = ssl.create_default_context(cafile=self._ca or None)
        context.check_hostname = self._check_name
        if self._certificate:
            # An encrypted key has to fail here: OpenSSL would ask the terminal for the passphrase.
            context.load_cert_chain(self._certificate, self._key, password=_no_passphrase)
        return context


def _stamp(path: str) -> tuple[int, int]:
    if not path:
        return (0, 0)
    found = Path(path).stat()
    return (found.st_mtime_ns, found.st_ino)


def _no_passphrase() -> str:
    raise ValueError("its key is encrypted")
