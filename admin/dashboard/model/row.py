"""A line of the deployment board, and the threshold that its figure is held against. Pure."""

from dataclasses import dataclass

NOT_MEASURED = "not measured"
RANK = ("unmeasured", "watched", "normal", "warning", "critical")
"""Levels, from what says the least to the worst."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """From where on a figure is bad: beyond these, in the figure's own unit. below: what is too low is
    bad.
    """  # noqa: D205 - one sentence a field

    warning: float
    critical: float
    unit: str = ""
    below: bool = False

    def level(self, value: float) -> str:
        """normal, warning or critical."""
        for name, bound in (("critical", self.critical), ("warning", self.warning)):
            if value < bound if self.below else value > bound:
                return name
        return "normal"

    @property
    def words(self) -> tuple[str, str]:
        """Both bounds, as they are read."""
        sign, unit = "<" if self.below else ">", f"\u202f{self.unit}" if self.unit else ""
        return f"{sign}\u202f{self.warning:.6g}{unit}", f"{sign}\u202f{self.critical:.6g}{unit}"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the board. both: one figure for the two slots, instead of theirs. change: from active to
    standby. level: normal, warning, critical, unmeasured, or watched: measured, and held against
    nothing. detail: the monitor's words, or why there is no figure. setting: what to write into the
    settings, where that is missing.
    """  # noqa: D205 - one sentence a field

    name: str
    active: str
    standby: str
    level: str
    detail: str = ""
    both: str = ""
    change: str = ""
    warning: str = ""
    critical: str = ""
    setting: str = ""
