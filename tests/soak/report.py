"""What a soak prints and writes."""

from typing import Any

from tests.soak.run import Result


def document(result: Result) -> dict[str, Any]:
    """Everything, for machines."""
    books, plan = result.books, result.plan
    return {
        "balanced": not books.wrong,
        "seed": plan.seed,
        "seconds": round(result.seconds, 1),
        "workers": plan.workers,
        "connections": plan.connections,
        "of": plan.of,
        "sent": dict(books.sent),
        "outcomes": dict(books.outcomes),
        "kinds": {f"{kind}: {outcome}": n for (kind, outcome), n in sorted(books.kinds.items())},
        "problem_codes": dict(books.codes),
        "faults": dict(books.faults),
        "events": result.events,
        "event_log": result.log,
        "seen_by_endpoints": books.sights,
        "seen_twice": books.repeated,
        "figures": result.figures,
        "memory": [
            {
                "pid": life.pid,
                "role": life.role,
                "watched_s": round(life.watched_s, 1),
                "median_second_fifth": fifths[0],
                "median_last_fifth": fifths[1],
                "pss_last": life.samples[-1][2],
            }
            for life in result.lives
            if len(life.samples) >= 10
            for fifths in (life.fifths(),)
        ],
        "wrong": books.wrong,
        "complaints": result.complaints,
        "proxy_log": result.proxy_log,
    }


def table(result: Result) -> str:
    """The same for people."""
    books = result.books
    sent = sum(books.sent.values())
    lines = [
        "",
        f"{result.plan.of}, seed {result.plan.seed}, {result.plan.workers} workers",
        (
            f"sent {sent} in {result.seconds:.0f} s; seen by endpoints {books.sights}, "
            f"twice {books.repeated}"
        ),
        _row("outcomes", books.outcomes),
        _row("refused", books.codes),
        _row("faults", books.faults),
        _row("events", result.events),
        _row("figures", {name: f"{value:.0f}" for name, value in result.figures.items()}),
    ]
    for life in result.lives:
        if len(life.samples) >= 10:
            before, after = life.fifths()
            lines.append(
                f"  {life.role:<11} {life.pid}: {life.watched_s:5.0f} s, RSS "
                f"{before / 1e6:.1f} -> {after / 1e6:.1f} MB, PSS {life.samples[-1][2] / 1e6:.1f} MB"
            )
    lines += result.complaints
    lines.append(
        "the books balance"
        if not books.wrong
        else f"{books.wrong} things are wrong, seed {result.plan.seed}"
    )
    return "\n".join(lines)


def _row(title: str, counts: Any) -> str:
    return f"{title}: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
