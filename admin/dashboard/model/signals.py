"""The board's lines of figures from outside: readings, thresholds, and what to set up. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from admin.dashboard.model.row import NOT_MEASURED, Row, Threshold
from admin.dashboard.model.verdict import Judged
from admin.dashboard.model.words import duration

SIGNAL = "signal:"
"""Before a signal's name, it is the monitor's name for it."""
EXAMPLES: Mapping[str, str] = {
    "database-connections": "warning = 80\ncritical = 95\nleak = true",
    "cache-hit-rate": 'unit = "%"\nis_bad = "below"\nwarning = 85\ncritical = 70',
}
"""What may be written into the settings, where the strategy's board has a figure that they lack."""


@dataclass(frozen=True, slots=True)
class SignalKnown:
    """A signal that the settings name. value: its last reading, age_s seconds old; None: none came.

    stale_s: an older reading counts as none. is_asked: Prometheus is asked for it; else it is pushed.
    """

    unit: str
    threshold: Threshold
    value: float | None = None
    age_s: float = 0.0
    stale_s: float = 60.0
    is_asked: bool = False


def signal_rows(
    signals: Mapping[str, SignalKnown], verdict: Judged | None, names: Iterable[str]
) -> list[tuple[str, Row]]:
    """The monitor's name and the row of each."""
    return [(SIGNAL + name, _row(name, signals.get(name), verdict)) for name in names]


def _row(name: str, known: SignalKnown | None, verdict: Judged | None) -> Row:
    title = name.replace("-", " ").capitalize().replace("cpu", "CPU").replace("logins", "log-ins")
    if known is None:
        example = f'[[monitor.signals]]\nname = "{name}"\n{EXAMPLES.get(name, "")}'
        return _without(title, "not set up", setting=example)
    found = {each.name: each for each in (verdict.triggers if verdict else ())}
    trigger, told = found.get(SIGNAL + name), known.value
    is_old = told is not None and known.age_s > known.stale_s
    if trigger is not None and (told is None or is_old) and trigger.level != "unmeasured":
        told, is_old = trigger.standby, False  # another admin was told, and watches
    warning, critical = known.threshold.words
    if told is None or is_old:
        return _without(title, _why(name, known), warning, critical)
    unit = f"\u202f{known.unit}" if known.unit else ""
    level = known.threshold.level(told)
    both = f"{told:.6g}{unit}"
    return Row(title, "", "", level, both=both, warning=warning, critical=critical)


def _without(
    title: str, detail: str, warning: str = "", critical: str = "", setting: str = ""
) -> Row:
    told = (title, "", "", "unmeasured", detail, NOT_MEASURED, "", warning, critical, setting)
    return Row(*told)


def _why(name: str, known: SignalKnown) -> str:
    """Why there is no reading, and whose turn it is."""
    if known.value is not None:
        return f"the last reading, {known.value:.6g}, is {duration(known.age_s)} old"
    if known.is_asked:
        return "Prometheus has given no reading yet"
    return f"no reading yet: PUT /v1/signals/{name}"
