"""`turnout census`: which equipment is connected, and after a drain which is back and which is missing."""

from typing import Any

import click

from admin.cli.failures import INCOMPLETE
from admin.cli.following import follow
from admin.cli.options import SLOT, TENANT, Session, connected
from admin.cli.output import counted, say, show_json, show_table

_OTHER = {"blue": "green", "green": "blue"}
_ENDED = {
    "complete": "all are back",
    "limit": "nobody waits for them any more",
    "stopped": "the drain was stopped",
    "replaced": "another drain began",
}


@click.command()
@click.argument("slot", type=SLOT, required=False)
@click.option("--tenant", type=TENANT, help="Only this tenant's devices.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--watch", is_flag=True, help="Of SLOT: go on until all are back, or nobody waits.")
@connected
def census(
    session: Session, slot: str | None, tenant: str | None, limit: int, *, watch: bool
) -> None:
    """Which devices are connected now; of SLOT: who is back after its drain, and who is missing.

    Devices are named by the rules of [[proxy.census]]. Of a SLOT the exit code is 0 if all who were
    there are back, else 5.
    """
    if slot is None:
        if watch:
            raise click.UsageError("--watch is of a slot's drain: turnout census blue --watch")
        _now(session, {"tenant": tenant, "limit": limit})
        return
    path = f"/v1/slots/{slot}/drain/census"
    if watch:
        follow(session, f"{path}?limit=1", lambda page: back(slot, page), _is_over)
    page = session.client.read(path, {"standing": "missing", "tenant": tenant, "limit": limit})
    if session.as_json and not watch:
        show_json(page)
    elif not session.as_json:
        _missing(slot, page, said=watch)
    if not _is_back(page):
        raise SystemExit(INCOMPLETE)


def back(slot: str, page: dict[str, Any]) -> str:
    """How a roll stands, on one line."""
    roll = page["roll"]
    parts = [f"{roll['back']} of {roll['before']} are back on {_OTHER[slot]}"]
    parts += [
        f"{roll[name]} {word}"
        for name, word in (("still", f"still on {slot}"), ("missing", "missing"), ("new", "new"))
        if roll[name]
    ]
    return ", ".join(parts)


def _is_back(page: dict[str, Any]) -> bool:
    roll = page["roll"]
    return bool(roll["back"] == roll["before"])


def _is_over(page: dict[str, Any]) -> bool:
    return bool(page["roll"]["outcome"])


def _missing(slot: str, page: dict[str, Any], *, said: bool) -> None:
    """How it stands, unless it was said, and who is missing."""
    roll = page["roll"]
    outcome = _ENDED.get(roll["outcome"], roll["outcome"])
    if not said:
        say(back(slot, page))
    if outcome and roll["outcome"] != "complete":
        say(f"It is not watched any more: {outcome}.")
    if page["items"]:
        rows = ((each["tenant"] or None, each["device"], each["since"]) for each in page["items"])
        show_table(("tenant", "missing", "since"), rows)
    if page["next"]:
        say("There are more: --limit, or --tenant")
    for worker in roll["unknown"]:
        say(f"  {worker} has not told all it knows")
    if roll["beyond"]:
        say(f"  {counted(roll['beyond'], 'device')} more were too many to be written down")


def _now(session: Session, query: dict[str, object]) -> None:
    page = session.client.read("/v1/census", query)
    if session.as_json:
        show_json(page)
        return
    if not page["taken"]:
        say("No worker names devices: see [[proxy.census]] in the settings.")
        return
    for slot, of in page["slots"].items():
        unnamed = ", ".join(f"{count} {kind}" for kind, count in sorted(of["unnamed"].items()))
        beside = f"; without a name: {unnamed}" if unnamed else ""
        connections = counted(of["connections"], "connection")
        say(f"{slot}: {counted(of['devices'], 'device')}, {connections}{beside}")
    if page["items"]:
        show_table(
            ("tenant", "device", "slot", "by", "connections", "since"),
            (
                (
                    *(each["tenant"] or None, each["device"], each["slot"]),
                    *(" ".join(each["kinds"]), each["connections"], each["since"]),
                )
                for each in page["items"]
            ),
        )
    if page["next"]:
        say("There are more: --limit, or --tenant")
