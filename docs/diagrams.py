"""Draw the diagrams of docs/architecture.md from the code's own tables: `make diagrams`.

A test compares, so a diagram that lies doesn't land.
"""

import re
from pathlib import Path

from admin.canary import model as ramps
from admin.migrations import states as migrations
from admin.releases import model as releases
from admin.switches import model as switches
from proxy.exchange import tunnel
from proxy.exchange.states import TRANSITIONS
from proxy.supervision.upgrade import TRANSITIONS as UPGRADES
from proxy.upstream import health as endpoints

PAGE = Path(__file__).parent / "architecture.md"


def exchange() -> str:
    """The life of an exchange, as Mermaid."""
    lines = ["stateDiagram-v2", "    [*] --> IDLE"]
    lines += [
        f"    {state.name} --> {after.name}: {event.name.lower()}"
        for (state, event), after in TRANSITIONS.items()
    ]
    return "\n".join([*lines, "    ENDED --> [*]"])


def health() -> str:
    """What is thought of an endpoint, as Mermaid."""
    lines = ["stateDiagram-v2", "    [*] --> UNKNOWN", "    [*] --> WARMING"]
    lines += [
        f"    {state.name} --> {after.name}: {event.name.lower().replace('_', ' ')}"
        for (state, event), after in endpoints.TRANSITIONS.items()
    ]
    return "\n".join(lines)


def upgrade() -> str:
    """An upgrade, as the old supervisor sees it, as Mermaid."""
    lines = ["stateDiagram-v2", "    [*] --> NONE"]
    lines += [
        f"    {state.name} --> {after.name}: {event.name.lower()}"
        for (state, event), after in UPGRADES.items()
    ]
    return "\n".join([*lines, "    DONE --> [*]"])


def tunnels() -> str:
    """The life of a tunnel."""
    lines = ["stateDiagram-v2", "    [*] --> OPEN"]
    lines += [
        f"    {state.name} --> {after.name}: {event.name.lower()}"
        for (state, event), after in tunnel.TRANSITIONS.items()
        if state is not after
    ]
    return "\n".join([*lines, "    GONE --> [*]"])


def switch() -> str:
    """The life of a fenced switch."""
    lines = ["stateDiagram-v2", "    [*] --> HOLDING"]
    lines += [
        f"    {state.name} --> {after.name}: {event.name.lower()}"
        for (state, event), after in switches.TRANSITIONS.items()
    ]
    return "\n".join([*lines, "    DONE --> [*]", "    UNDONE --> [*]"])


def ramp() -> str:
    """The life of a ramp."""
    lines = ["stateDiagram-v2", "    [*] --> STEPPING"]
    lines += [
        f"    {state.name} --> {after.name}: {event.name.lower()}"
        for (state, event), after in ramps.TRANSITIONS.items()
    ]
    return "\n".join([*lines, "    DONE --> [*]"])


def plan() -> str:
    """The life of a plan of migrations."""
    lines = ["stateDiagram-v2", "    [*] --> PLANNED"]
    lines += [
        f"    {state.name} --> {after.name}: {event.name.lower()}"
        for (state, event), after in migrations.PLANS.items()
    ]
    return "\n".join([*lines, "    DONE --> [*]", "    CANCELLED --> [*]"])


def job() -> str:
    """The life of a job: one migration of one target."""
    lines = ["stateDiagram-v2", "    [*] --> QUEUED"]
    lines += [
        f"    {state.name} --> {after.name}: {event.name.lower().replace('_', ' ')}"
        for (state, event), after in migrations.JOBS.items()
    ]
    ends = ("DONE", "SKIPPED", "CANCELLED")
    return "\n".join([*lines, *(f"    {state} --> [*]" for state in ends)])


def release() -> str:
    """The life of a release, but for its pauses."""
    lines = ["stateDiagram-v2", "    [*] --> PLANNED"]
    ways: dict[tuple[str, str], list[str]] = {}
    for (state, event), after in releases.TRANSITIONS.items():
        if event not in {releases.Event.PAUSE, releases.Event.RESUME}:
            ways.setdefault((state.name, after.name), []).append(str(event))
    for (state, event), after in releases.DRILL.items():
        ways.setdefault((state.name, after.name), []).append(f"{event} (a drill)")
    lines += [f"    {of} --> {to}: {', '.join(events)}" for (of, to), events in ways.items()]
    ends = (state for state in releases.State if state in releases.ENDED)
    return "\n".join([*lines, *(f"    {state.name} --> [*]" for state in ends)])


DIAGRAMS = {
    "exchange": exchange,
    "health": health,
    "tunnel": tunnels,
    "upgrade": upgrade,
    "switch": switch,
    "ramp": ramp,
    "plan": plan,
    "job": job,
    "release": release,
}


def drawn(page: str) -> str:
    """The page with each diagram between its markers drawn anew."""
    for name, draw in DIAGRAMS.items():
        page = re.sub(
            rf"(<!-- diagram: {name} -->\n).*?(<!-- end -->)",
            lambda found, draw=draw: f"{found[1]}```mermaid\n{draw()}\n```\n{found[2]}",  # type: ignore[misc]
            page,
            flags=re.DOTALL,
        )
    return page


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text("utf-8")), "utf-8")
