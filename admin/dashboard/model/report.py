"""A release's report as its page shows it, and when the last drill was. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from admin.dashboard.model.release import release_shown
from admin.dashboard.model.words import duration
from admin.releases.report import PICTURE, plots

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Drilled:
    """When going back was last tried. fresh: not longer ago than the gate lets it be."""

    words: str
    fresh: bool


def drilled(last: datetime | None, now: datetime, most_days: float) -> Drilled:
    """The last drill, in words. most_days: how old it may be."""
    if last is None:
        return Drilled("no drill was ever done", fresh=False)
    ago_s = (now - last).total_seconds()
    words = f"the last was {duration(ago_s)} ago, of {most_days:g} days"
    return Drilled(words, fresh=ago_s <= most_days * DAY_S)


def reported(document: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The page of a report's document. now: until when a release took that has not ended."""
    release, switches = document["release"], list(document["switches"])
    began, ended = (release.get(name) for name in ("started_at", "ended_at"))
    until = datetime.fromisoformat(ended) if ended else now
    acks = [each["ack_ms"] for each in switches if each.get("ack_ms") is not None]
    seconds = [each["second"] for of_slot in document["traffic"].values() for each in of_slot]
    return {
        "release": release_shown(release),
        "took_s": (until - datetime.fromisoformat(began)).total_seconds() if began else None,
        "switches": switches,
        "slowest_ms": max(acks, default=None),
        "events": document["events"],
        "people": document["people"],
        "plots": plots(document),
        "picture": PICTURE,
        "span": (min(seconds), max(seconds)) if seconds else None,
    }
