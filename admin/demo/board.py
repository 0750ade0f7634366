"""How the load looks: a board on a terminal, one line a second elsewhere. Pure."""

from typing import TYPE_CHECKING

from admin.cli.output import SLOT_STYLES, printable
from admin.demo.figures import SLOTS, Snapshot
from admin.demo.watch import Control

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

BAR = 40


def line(load: Snapshot, control: Control) -> str:
    """Everything that counts, on one line."""
    slots = "  ".join(
        f"{name} {slot.tenants} tenants p50 {shown(slot.p50)} p99 {shown(slot.p99)} ms"
        for name, slot in load.slots.items()
    )
    return (
        f"{load.elapsed:4.0f} s  {load.per_second:5.0f} req/s  {load.failed} errors  {slots}  "
        f"{state(control)}"
    )


def state(control: Control) -> str:
    """The control plane in a few words."""
    if not control.reachable:
        return "the admin is away"
    return (
        f"active {control.active}  canary {control.canary:g} %  version {control.version}  "
        f"workers {control.serving}/{control.workers}"
    )


def shown(milliseconds: float | None) -> str:
    """Milliseconds for people; - without any."""
    return "-" if milliseconds is None else f"{milliseconds:.1f}"


def board(load: Snapshot, control: Control) -> "RenderableType":
    """The board."""
    from rich.console import Group  # noqa: PLC0415 - a line needs no rich
    from rich.panel import Panel  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    events = Text("\n".join(printable(event) for event in control.events) or "no events yet")
    return Panel(
        Group(_totals(load), Text(), _slots(load), Text(), _bar(load), Text(), events),
        title=f"Turnout  {state(control)}",
        title_align="left",
        subtitle="Ctrl-C ends it all",
    )


def _totals(load: Snapshot) -> "Text":
    from rich.text import Text  # noqa: PLC0415 - see board

    text = Text(f"{load.per_second:.0f} requests/s   {load.answered} answered   ")
    text.append(f"{load.failed} errors", "bold red" if load.failed else "")
    for kind, count in sorted(load.errors.items(), key=lambda item: -item[1])[:3]:
        text.append(f"   {count} x {kind}", "red")
    return text


def _slots(load: Snapshot) -> "Table":
    from rich.table import Table  # noqa: PLC0415 - see board

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in ("slot", "requests/s", "p50 ms", "p99 ms", "tenants", "streams"):
        table.add_column(column, justify="left" if column == "slot" else "right")
    for name, slot in load.slots.items():
        numbers = (f"{slot.per_second:.0f}", shown(slot.p50), shown(slot.p99))
        table.add_row(name, *numbers, str(slot.tenants), str(slot.streams), style=SLOT_STYLES[name])
    return table


def _bar(load: Snapshot) -> "Text":
    """The tenants by slot, as a bar of BAR cells."""
    from rich.text import Text  # noqa: PLC0415 - see board

    text = Text("tenants ")
    for name, cells in zip(SLOTS, bar_cells(load), strict=True):
        text.append("█" * cells, SLOT_STYLES[name])
    return text


def bar_cells(load: Snapshot) -> tuple[int, int]:
    """Cells of blue and of green. Whoever has a tenant has a cell."""
    blue, green = (load.slots[name].tenants for name in SLOTS)
    if not blue + green:
        return 0, 0
    cells = round(BAR * blue / (blue + green))
    cells = min(max(cells, 1 if blue else 0), BAR - 1 if green else BAR)
    return cells, BAR - cells
