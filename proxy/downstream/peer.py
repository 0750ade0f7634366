"""Who connected, with the lines that tell it to endpoints."""


class Peer:
    """Who connected. address: as text. lines: X-Forwarded-For and, after it, -Proto."""

    __slots__ = ("address", "lines", "trusted")

    def __init__(self, address: str, *, trusted: bool, secure: bool = False) -> None:
        self.address = address.encode()
        self.trusted = trusted
        self.lines = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b" % (
            self.address,
            b"https" if secure else b"http",
        )
