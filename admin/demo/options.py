"""What the demo was asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

RATE, RATE_OF_BOARD = 60, 200
"""Requests a second. A release judges its steps by them."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `turnout demo`. Ports and folder are None where the demo may choose.

    load: whether its traffic has a board. rate: its requests a second; 0: no traffic, None: as many as
    suit the board, or few. duration: seconds until it ends by itself, None for never.
    """

    data: Path | None = None
    proxy_port: int | None = None
    admin_port: int | None = None
    management_port: int | None = None
    workers: int = 2
    instances: int = 1
    no_erp: bool = False
    load: bool = False
    rate: int | None = None
    tenants: int = 40
    duration: int | None = None
    as_json: bool = False

    @property
    def requests_per_s(self) -> int:
        """What traffic there is beside the user's own; 0: none."""
        if self.rate is None:
            return RATE_OF_BOARD if self.load else 0 if self.no_erp else RATE
        return self.rate

    @classmethod
    def of(cls, **values: Any) -> Self:
        """From the command line's values, by their names."""
        return cls(**values)
