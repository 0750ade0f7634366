"""A release's document and windows of figures, as the API and the nodes give them, for pages of tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from admin.dashboard.model.board import Limits
from admin.dashboard.model.row import Threshold
from proxy.routing.model import Slot

LIMITS = Limits(Threshold(0.5, 1, "%"), Threshold(200, 500, "ms"), Threshold(1, 2), 30)
"""The monitor's defaults, which are the document's."""


@dataclass(frozen=True)
class Counts:
    """Figures of a second."""

    requests: int
    statuses: Sequence[int]
    latency_us: int
    broken: int = 0


@dataclass(frozen=True)
class Window:
    """A second of a node."""

    second: int
    groups: Mapping[tuple[Slot, str], Counts]


def counts(requests: int, failures: int, ms: float) -> Counts:
    """So many requests, so many of them failed, of so many milliseconds each."""
    good = requests - failures
    return Counts(requests, (0, good, 0, 0, failures), round(requests * ms * 1000))


def windows(seconds: int = 300, begin: int = 1_795_000_000) -> list[Window]:
    """Blue with 450 requests a second at 120 ms, green with 23 at 135 ms: the document's board."""
    found = []
    for number in range(seconds):
        wave = number % 20 - 10
        blue = counts(450 + wave, 1 if number % 5 else 0, 120 + wave / 2)
        groups = {(Slot.BLUE, "rest"): blue, (Slot.GREEN, "canary"): counts(23, 0, 135 - wave)}
        if number % 90 > 80:
            groups[Slot.GREEN, "canary"] = counts(23, 1, 160)
        found.append(Window(begin + number, groups))
    return found


def release(**changed: Any) -> dict[str, Any]:
    """A minor release on the second step of its canary, which waits for a signature."""

    def gate(name: str, phase: int, outcome: str, detail: str = "", **more: Any) -> dict[str, Any]:
        signed = {"automatic": True, "measured_at": "2026-11-28T08:59:30+00:00"}
        return {"gate": name, "phase": phase, "outcome": outcome, "detail": detail} | signed | more

    waits: dict[str, Any] = {"automatic": False, "measured_at": None, "signed_by": None}
    document = {
        "name": "r-2026-11-28-1",
        "version": "1.3.0",
        "from_version": "1.2.0",
        "kind": "minor",
        "active": "blue",
        "standby": "green",
        "state": "canary",
        "phase": 3,
        "paused": False,
        "step": 2,
        "steps": [{"percent": p, "dwell_s": 600.0} for p in (1, 5, 25, 100)],
        "dwell_left_s": 412.0,
        "window_left_s": None,
        "reason": None,
        "started_by": "ada",
        "started_at": "2026-11-28T08:55:00+00:00",
        "since": "2026-11-28T09:10:00+00:00",
        "ended_at": None,
        "plan": {},
        "gates": [
            gate("health", 2, "passed", "2 of 2 endpoints and all of their parts are healthy"),
            gate("warm-up", 2, "passed", "p95 settled at 84 ms after 1 200 requests"),
            gate("smoke", 3, "passed", "14 of 14 checks hold for 3 tenants"),
            gate("schema", 3, "warned", "2 tenants' schemas lack 1.3.0; they stay on blue"),
            gate("performance", 3, "passed", "p95 84 ms against 81 ms on the same 500 requests"),
            gate("replication", 3, "unmeasured", "no database link exists"),
            gate("QA spot check", 3, "awaited", **waits),
            gate(
                *("release manager", 4, "signed"),
                automatic=False,
                signed_by="grace",
                note="quiet hour",
            ),
        ],
        "go": False,
        "missing": ["QA spot check awaits a signature", "replication was not measured"],
        "verdict": {
            "level": "warning",
            "triggers": [
                {
                    "name": "response-time",
                    "level": "warning",
                    "detail": "p95 of green 214 ms, of blue 180 ms, over 1 380 requests",
                }
            ],
        },
        "may": ["promote", "pause", "rollback", "abort"],
    }
    return {**document, **changed}


def event(seq: int, at: str, kind: str, **body: Any) -> dict[str, Any]:
    """A row of a release's trail."""
    return {
        "seq": seq,
        "at": f"2026-11-28T{at}:00+00:00",
        "kind": kind,
        "actor": "ada",
        "body": body,
    }


EVENTS = [
    event(3, "09:10", "step", percent=5, version=12, acked=2),
    event(2, "09:00", "step", percent=1, version=11, acked=2),
    event(1, "08:55", "started"),
]


def checklist() -> list[dict[str, Any]]:
    """Lines of the document's checklist: one to be signed now, one after the cutover."""

    def item(part: str, name: str, text: str, phase: int, **more: Any) -> dict[str, Any]:
        told = {"automatic": True, "outcome": "passed", "detail": "", "measured_at": None}
        about = {"gate": name, "item": name, "part": part, "text": text, "phase": phase}
        return {**about, **told, "signed_by": None, "note": "", **more}

    awaited = {"automatic": False, "outcome": "awaited"}
    return [
        item("post-deployment", "notified", "Notify the team", 5, **awaited | {"gate": "manager"}),
        item("pre-deployment", "tested", "Database migrations tested", 2)
        | awaited
        | {"gate": "dba"},
        item("pre-deployment", "drill", "Rollback plan documented", 2),
        item("validation", "smoke", "Smoke tests", 3, detail="14 of 14 checks hold"),
    ]


def moments(first: int, ms: float) -> list[dict[str, Any]]:
    """A slot's traffic as a report has it: ten minutes, five seconds a moment."""
    return [
        {
            "second": first + 5 * number,
            "length_s": 5.0,
            "requests_per_s": 20.0 + number % 7,
            "errors_percent": 0.2 if number % 9 else None,
            "average_ms": ms + number % 5,
            "p50_ms": ms - 8,
            "p95_ms": 2 * ms,
            "p99_ms": 3 * ms,
        }
        for number in range(120)
    ]


REPORT: Mapping[str, Any] = {
    "release": release(state="done", phase=6, may=[], ended_at="2026-11-28T09:40:00+00:00"),
    "events": EVENTS,
    "switches": [
        {
            "effect": f"weight-{percent}",
            "kind": "weight",
            "at": "2026-11-28T09:10:00+00:00",
            "version": 12,
            "ack_ms": 14.25,
            "percent": percent,
        }
        for percent in (1, 5, 25)
    ],
    "people": [
        {
            "at": "2026-11-28T09:05:00+00:00",
            "who": "grace",
            "what": "signed",
            "body": {"note": "quiet hour"},
        }
    ],
    "traffic": {
        "blue": moments(1_795_856_000, 120),
        "green": moments(1_795_856_000, 135),
    },
}
"""A release's report."""
