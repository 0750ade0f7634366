"""What a run leaves: one JSON document, a Markdown page, a plot, and two tables."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import plot
from bench.switch.catalogue import RELOAD
from bench.switch.figures import (
    FAST_ENOUGH,
    P50_MS,
    Figures,
    Quantiles,
    Target,
    Turn,
    ratio,
)
from bench.switch.options import ENOUGH
from bench.switch.run import Outcome

SCHEMA = 1
TIMES = (
    "ms", "ack p50", "p90", "p99", "max", "own word p50", "p99",
    "first new p50", "p99", "true p50", "p99", "÷ reload",
)  # fmt: skip
COUNTS = (
    "counts", "switches", "requests", "judged", "failed", "misrouted", "went back",
    "WebSockets", "survived", "closed", "back p50 ms", "p99",
)  # fmt: skip
NOTHING = ""
NEVER = "never"
MET = {True: "met", False: "falls short", None: "not measured"}
PLOT = "switch.svg"
WIDTH = 140


# ── the JSON document ─────────────────────────────────────────────────────────────────────────


def document(outcome: Outcome) -> dict[str, Any]:
    """The JSON document. An infinite time (it never came true) is null."""
    reload = outcome.by_name(RELOAD)
    return {
        "schema": SCHEMA,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": outcome.commit,
        "machine": outcome.machine,
        "settings": outcome.settings,
        "enough_switches": outcome.counts,
        "missing": outcome.missing,
        "contenders": [_contender(each, reload) for each in outcome.figures],
        "targets": {
            name: [{**asdict(each), "met": each.met} for each in own]
            for name, own in outcome.targets.items()
        },
    }


def _contender(own: Figures, reload: Figures | None) -> dict[str, Any]:
    against = ratio(own, reload) if reload else None
    return {
        **asdict(own.name),
        "switches": own.switches,
        "ack_ms": _finite(own.acked),
        "own_word_ms": _finite(own.told),
        "first_ms": _finite(own.first),
        "first_after_ack_ms": _finite(own.after_ack),
        "true_ms": _finite(own.true),
        "true_against_nginx_reload": against and asdict(against),
        "requests": own.requests,
        "judged": own.judged,
        "failed": dict(own.failed),
        "misrouted": own.misrouted,
        "went_back": own.went_back,
        "unacked": own.unacked,
        "requests_per_s": round(own.rate, 1),
        "websockets": {
            **asdict(own.sockets),
            "closes": {str(code): count for code, count in own.sockets.closes.items()},
            "reconnect": _finite(own.sockets.reconnect),
        },
        "faults": own.faults,
        "rounds": [_turn(turn) for turn in own.turns],
    }


def _turn(turn: Turn) -> dict[str, Any]:
    timings = turn.timings
    return {
        "faults": (*turn.said, *turn.faults),
        "requests_per_s": round(turn.rate, 1),
        "failed": dict(turn.verdict.failed) if turn.verdict else {},
        "misrouted": turn.verdict.misrouted if turn.verdict else None,
        "switches": [[_rounded(getattr(each, name)) for name in _COLUMNS] for each in timings],
        "columns": _COLUMNS,
    }


_COLUMNS = ("acked", "told", "first", "after_ack", "true")


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 3)


def _finite(found: Quantiles | None) -> dict[str, float | None] | None:
    if found is None:
        return None
    return {name: _rounded(value) for name, value in asdict(found).items()}


# ── the tables ────────────────────────────────────────────────────────────────────────────────


def times(outcome: Outcome) -> list[tuple[str, ...]]:
    """A row a contender: how long."""
    reload = outcome.by_name(RELOAD)
    return [
        (
            own.name.title,
            *_four(own.acked),
            *_two(own.told),
            *_two(own.first),
            *_two(own.true),
            _ratio(own, reload),
        )
        for own in outcome.figures
    ]


def counts(outcome: Outcome) -> list[tuple[str, ...]]:
    """A row a contender: how many."""
    return [
        (
            own.name.title,
            *(f"{count:,}" for count in (own.switches, own.requests, own.judged)),
            *(f"{count:,}" for count in (own.failed_count, own.misrouted, own.went_back)),
            f"{own.sockets.opened:,}",
            f"{own.sockets.survived:,}",
            _closes(own),
            *_two(own.sockets.reconnect),
        )
        for own in outcome.figures
    ]


def _four(found: Quantiles | None) -> tuple[str, ...]:
    if found is None:
        return (NOTHING,) * 4
    return tuple(_ms(value) for value in (found.p50, found.p90, found.p99, found.high))


def _two(found: Quantiles | None) -> tuple[str, ...]:
    return (NOTHING,) * 2 if found is None else (_ms(found.p50), _ms(found.p99))


def _ms(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else NEVER


def _ratio(own: Figures, reload: Figures | None) -> str:
    against = ratio(own, reload) if reload else None
    return f"{against.median:.3f}" if against else NOTHING


def _closes(own: Figures) -> str:
    """As in "32 of 1012"; without a close frame it was lost."""
    return ", ".join(
        f"{count} of {code}" if code else f"{count} lost"
        for code, count in sorted(own.sockets.closes.items())
    )


def target_line(target: Target) -> str:
    """A target and what became of it."""
    if target.measured is None:
        return f"{target.what}: not measured"
    digits = 0 if isinstance(target.measured, int) else 3 if target.at_most < 1 else 2
    return (
        f"{target.what}: {target.measured:.{digits}f}{target.unit}, "
        f"at most {target.at_most:g}{target.unit}: {MET[target.met]}"
    )


def remarks(outcome: Outcome) -> list[str]:
    """What a reader must know beside the tables."""
    told = [f"{own.name.title}: {fault}" for own in outcome.figures for fault in own.faults]
    told.extend(outcome.missing)
    for own in outcome.figures:
        told.extend(_of(own, outcome))
    if not outcome.counts:
        told.append(f"fewer than {ENOUGH:,} switches: a try, not figures to quote")
    return told


def _of(own: Figures, outcome: Outcome) -> list[str]:
    title, told = own.name.title, []
    if own.failed:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(own.failed.items()))
        told.append(f"{title}: requests failed: {kinds}")
    if own.unacked:
        told.append(f"{title}: {own.unacked} switches without an ack")
    if own.sockets.astray or own.sockets.away:
        told.append(
            f"{title}: WebSockets opened again in the wrong slot: {own.sockets.astray}, "
            f"not back: {own.sockets.away}"
        )
    wanted = outcome.settings["rate_per_s"]
    if isinstance(wanted, int) and 0 < own.rate < FAST_ENOUGH * wanted:
        told.append(f"{title}: the load made {own.rate:.0f} requests/s of {wanted}")
    return told


def acks(outcome: Outcome) -> list[str]:
    """What each contender's ack is."""
    return [f"{own.name.title} {own.name.version}: {own.name.ack}" for own in outcome.figures]


def where(outcome: Outcome) -> str:
    """The commit, the machine and the settings, in one line."""
    identifier = str(outcome.commit.get("id", ""))[:10] or "no commit"
    changed = " with changes" if outcome.commit.get("changed") else ""
    machine = f"{outcome.machine['cpu']}, {outcome.machine['cores']} cores"
    chosen = ", ".join(f"{name} {value}" for name, value in outcome.settings.items())
    return f"{identifier}{changed}; {machine}; {chosen}"


def markdown(outcome: Outcome) -> str:
    """The page that goes beside the JSON file."""
    targeted = [
        f"- {outcome_title(outcome, name)}: {target_line(each)}"
        for name, own in outcome.targets.items()
        for each in own
    ]
    lines = [
        "# Switches under load",
        "",
        f"{where(outcome)}.",
        "",
        *_table(TIMES, times(outcome)),
        "",
        *_table(COUNTS, counts(outcome)),
        "",
        *targeted,
        "",
        "An ack is:",
        "",
        *(f"- {line}" for line in acks(outcome)),
        "",
        *(f"- {remark}" for remark in remarks(outcome)),
        "",
        f"![switch]({PLOT})",
    ]
    return "\n".join(lines) + "\n"


def outcome_title(outcome: Outcome, name: str) -> str:
    """The contender's title."""
    own = outcome.by_name(name)
    return own.name.title if own else name


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def show(outcome: Outcome, console: Console) -> None:
    """The tables, the targets and the remarks on the terminal."""
    console.width = max(console.width, WIDTH)
    for headings, rows in ((TIMES, times(outcome)), (COUNTS, counts(outcome))):
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for number, heading in enumerate(headings):
            table.add_column(heading, justify="right" if number else "left", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        console.print(table)
        console.print()
    colours = {True: "green", False: "red", None: ""}
    for name, own in outcome.targets.items():
        for each in own:
            line = f"{outcome_title(outcome, name)}: {target_line(each)}"
            console.print(line, style=colours[each.met], highlight=False, soft_wrap=True)
    console.print(f"{where(outcome)}", style="dim", highlight=False, soft_wrap=True)
    for line in acks(outcome):
        console.print(f"ack of {line}", style="dim", highlight=False, soft_wrap=True)
    for remark in remarks(outcome):
        console.print(f"! {remark}", style="yellow", highlight=False, soft_wrap=True, markup=False)


# ── the files ─────────────────────────────────────────────────────────────────────────────────


def write(outcome: Outcome, folder: Path) -> list[Path]:
    """switch.json, switch.md and the plot; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    subtitle = where(outcome).partition("; switches")[0]
    texts = {
        "switch.json": json.dumps(document(outcome), indent=2, ensure_ascii=False) + "\n",
        "switch.md": markdown(outcome),
        PLOT: plot.draw("A switch under load", subtitle, panels(outcome)),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def panels(outcome: Outcome) -> list[plot.Panel]:
    """Until it is true, for all and for those near the target; then what went wrong."""
    found = [_true("Until a switch is true", outcome.figures, None)]
    near = [own for own in outcome.figures if own.true and own.true.p50 <= 10 * P50_MS]
    if 0 < len(near) < len(outcome.figures):
        found.append(_true("The same, without the slow ones", near, P50_MS))
    wrong = [
        plot.Bar(own.name.title, [_wrong(turn) for turn in own.turns if turn.verdict])
        for own in outcome.figures
    ]
    return [
        *found,
        plot.Panel("Failed or misrouted after the ack", "requests a round", wrong, None),
    ]


def _true(heading: str, shown: Sequence[Figures], mark: float | None) -> plot.Panel:
    bars = [plot.Bar(own.name.title, _medians(own)) for own in shown]
    return plot.Panel(heading, "ms, median of each round", bars, mark)


def _medians(own: Figures) -> list[float]:
    found = []
    for turn in own.turns:
        finite = sorted(each.true for each in turn.timings if math.isfinite(each.true))
        found.extend([finite[len(finite) // 2]] if finite else [])
    return found


def _wrong(turn: Turn) -> int:
    verdict = turn.verdict
    return sum(verdict.failed.values()) + verdict.misrouted if verdict else 0
