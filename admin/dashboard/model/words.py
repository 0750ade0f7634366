"""Numbers and times as a person reads them."""

from datetime import UTC, datetime

NOTHING = "\u2013"
"""Stands for what there is none of."""


def moment(text: str | None) -> str:
    """A time of the API, which is UTC, to the second."""
    if not text:
        return NOTHING
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}"


def clock(seconds: float) -> str:
    """POSIX seconds as the time of the day in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S}"


def thousands(number: float) -> str:
    """12 345: groups of three, apart by a narrow space that doesn't break."""
    return f"{number:,}".replace(",", "\u202f")


def percent(value: float | None) -> str:
    """A percentage, as short as it can be said."""
    return NOTHING if value is None else f"{value:.4g}\u202f%"


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: 45 s, 12 min 30 s, 3 h 5 min, 2 d 4 h."""
    if seconds is None:
        return NOTHING
    whole = round(seconds)
    for size, name, under, below in _SCALES:
        if whole >= size:
            more, rest = divmod(whole, size)[0], whole % size // under
            return f"{more} {name}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s" if whole or not seconds else f"{seconds * 1000:.0f} ms"


_SCALES = ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def counted(number: int, one: str, many: str = "") -> str:
    """1 tenant, 2 tenants."""
    return f"{thousands(number)} {one if number == 1 else many or one + 's'}"


FILTERS = {
    "clock": clock,
    "counted": counted,
    "duration": duration,
    "moment": moment,
    "percent": percent,
    "thousands": thousands,
}
"""For templates."""
