"""The fault matrix as data: what goes wrong, what the client gets, what the endpoint sees.

Words of `got`: a status; with the problem's code if the proxy answered itself; "reset" when the
connection is cut by RST, within or before an answer; "closed" when it ends without an answer.
"; " stands between the answers to two pipelined requests; "not sent" is the second's fate when the
connection ended before. Words of `saw`: nothing, part (the head, not the whole body), once, twice.

`python -m tests.support.fault_rows` writes docs/faults.md; `make faults` does that and plays the rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
GET, POST, CHUNKED, GET_AGAIN, POST_AGAIN, PAIR = SHAPES = (
    "GET",
    "POST",
    "chunked POST",
    "GET, reused",
    "POST, reused",
    "pipelined",
)
"""What is asked. Reused: on a connection to the endpoint that has served a request before.
Pipelined: two GETs in one write, the first meets the fault."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One shape of request meeting a fault."""

    shape: str
    got: str
    saw: str


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """A fault of the endpoint. play: its name in `tests.support.faults`."""

    fault: str
    play: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class ClientRow:
    """A fault of the client. act: its name in `tests.support.faults`."""

    fault: str
    where: str
    act: str
    got: str
    saw: str


def _all(
    got: str, saw: str = "once", *, pair: str, again: str = "", twice: str = ""
) -> tuple[Cell, ...]:
    """The same for each shape, but for a pair; for a reused GET `again`, if it is given."""
    return (
        Cell(GET, got, saw),
        Cell(POST, got, saw),
        Cell(CHUNKED, got, saw),
        Cell(GET_AGAIN, again or got, twice or saw),
        Cell(POST_AGAIN, got, saw),
        Cell(PAIR, pair, saw),
    )


_LOST = "502 no-answer"
ENDPOINT_ROWS = (
    EndpointRow(
        "refuses the connection",
        "refuse",
        (
            Cell(GET, "502 connect-failed", "nothing"),
            Cell(POST, "502 connect-failed", "nothing"),
            Cell(CHUNKED, "502 connect-failed", "nothing"),
            Cell(PAIR, "502 connect-failed; 502 connect-failed", "nothing"),
        ),
    ),
    EndpointRow(
        "resets before the head",
        "reset-before",
        _all(_LOST, pair=f"{_LOST}; 200", again="200", twice="twice"),
    ),
    EndpointRow(
        "ends the connection before the head",
        "end-before",
        _all(_LOST, pair=f"{_LOST}; 200", again="200", twice="twice"),
    ),
    EndpointRow("resets within the head", "reset-head", _all(_LOST, pair=f"{_LOST}; 200")),
    EndpointRow("resets within the body", "reset-body", _all("reset", pair="reset; not sent")),
    EndpointRow(
        "resets within a chunked body", "reset-chunks", _all("reset", pair="reset; not sent")
    ),
    EndpointRow("ends within the body", "end-body", _all("reset", pair="reset; not sent")),
    EndpointRow(
        "ends a chunked body without its last chunk",
        "end-chunks",
        _all("reset", pair="reset; not sent"),
    ),
    EndpointRow(
        "stalls before the head",
        "stall-before",
        _all("504 answer-timeout", pair="504 answer-timeout; not sent"),
    ),
    EndpointRow("stalls within the body", "stall-body", _all("reset", pair="reset; not sent")),
    EndpointRow("sends garbage", "garbage", _all("502 bad-answer", pair="502 bad-answer; 200")),
    EndpointRow("sends bytes after its answer", "more", _all("200", pair="200; 200")),
    EndpointRow(
        "closes the connection once it idles",
        "close-idle",
        (Cell(GET_AGAIN, "200", "once"), Cell(POST_AGAIN, "200", "once")),
    ),
    EndpointRow(
        "answers before it has read the body",
        "early",
        (Cell(POST, "200, last", "part"), Cell(CHUNKED, "200, last", "part")),
    ),
)
CLIENT_ROWS = (
    ClientRow("stalls", "before the head", "stall-before", "closed", "nothing"),
    ClientRow("stalls", "within the head", "stall-head", "408 head-timeout", "nothing"),
    ClientRow("stalls", "within the body", "stall-body", "408 body-timeout", "part"),
    ClientRow("stalls", "within a chunked body", "stall-chunks", "408 body-timeout", "part"),
    ClientRow("stalls", "during the answer", "stall-answer", "reset", "once"),
    ClientRow("stalls", "between requests", "stall-between", "200; closed", "once"),
    ClientRow("vanishes", "before the head", "vanish-before", "", "nothing"),
    ClientRow("vanishes", "within the head", "vanish-head", "", "nothing"),
    ClientRow("vanishes", "within the body", "vanish-body", "", "part"),
    ClientRow("vanishes", "within a chunked body", "vanish-chunks", "", "part"),
    ClientRow("vanishes", "before the answer", "vanish-wait", "", "once"),
    ClientRow("vanishes", "during the answer", "vanish-answer", "", "once"),
    ClientRow("vanishes", "between requests", "vanish-between", "200", "once"),
    ClientRow("sends slowly", "the head", "slow-head", "200", "once"),
    ClientRow("sends slowly", "the body", "slow-body", "200", "once"),
    ClientRow("reads slowly", "the answer", "slow-answer", "200", "once"),
    ClientRow(
        "reads slowly", "the connection's last answer", "slow-last-answer", "200; closed", "once"
    ),
    ClientRow("sends too much", "a target", "long-target", "414 target-too-long", "nothing"),
    ClientRow("sends too much", "a head", "long-head", "431 head-too-large", "nothing"),
    ClientRow(
        "sends too much", "a body, by its length", "long-body", "413 body-too-large", "nothing"
    ),
    ClientRow("sends too much", "a chunked body", "long-chunks", "413 body-too-large", "part"),
    ClientRow("sends too much", "after the body", "after-body", "200; 400 bad-request", "once"),
)


def page() -> str:
    """docs/faults.md, from the rows."""
    return "\n".join([_HEAD, *_endpoint_table(), _MIDDLE, *_client_table(), ""])


def _endpoint_table() -> list[str]:
    lines = [
        "| the endpoint … | request | the client gets | the endpoint saw |",
        "|---|---|---|---|",
    ]
    for row in ENDPOINT_ROWS:
        for names, cell in _merged(row.cells):
            lines.append(f"| {row.fault} | {names} | {cell.got} | {cell.saw} |")
    return lines


def _merged(cells: Sequence[Cell]) -> list[tuple[str, Cell]]:
    """The cells that say the same, once, with all their shapes."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        found.setdefault((cell.got, cell.saw), []).append(cell)
    return [("; ".join(cell.shape for cell in same), same[0]) for same in found.values()]


def _client_table() -> list[str]:
    lines = ["| the client … | where | it gets | the endpoint saw |", "|---|---|---|---|"]
    return lines + [
        f"| {row.fault} | {row.where} | {row.got or 'it is gone'} | {row.saw} |"
        for row in CLIENT_ROWS
    ]


_HEAD = """# Faults

What a fault costs. Made by `make faults` from the rows of the test (`tests/support/fault_rows.py`), each of which is played
on real sockets against a proxy of one worker and one of two. After each row the test asks that nothing is left: the workers'
descriptors and memory are as before, no request is in flight, no connection is open, in the proxy's metrics and at the endpoint.

A number with a word is the proxy's own answer with its problem code. *reset*: the connection is cut by RST, so that an answer that
broke off never looks whole. *reused*: on a connection to the endpoint that has served a request before; only there, and only
for GET, HEAD and OPTIONS without a body, is a request sent twice (RFC 9110 §9.2.2). *pipelined*: two GETs in one write, of which
the first meets the fault; *not sent*: the second never left the proxy, and its client may ask again.

One fault has two outcomes, by a hair: a POST that is given a connection in the moment in which its endpoint closes it gets 502
`no-answer`, and the endpoint saw nothing. Nobody may send it again (RFC 9110 §9.2.2).

## The endpoint fails
"""
_MIDDLE = """
## The client fails
"""


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(page())
