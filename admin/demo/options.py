"""What the demo was asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `turnout demo`. Ports and folder are None where the demo may choose.

    rate: requests a second of --load. duration: seconds until it ends by itself, None for never.
    """

    data: Path | None = None
    proxy_port: int | None = None
    admin_port: int | None = None
    management_port: int | None = None
    workers: int = 2
    instances: int = 1
    no_erp: bool = False
    load: bool = False
    rate: int = 200
    tenants: int = 40
    duration: int | None = None
    as_json: bool = False

    @classmethod
    def of(cls, **values: Any) -> Self:
        """From the command line's values, by their names."""
        return cls(**values)
