"""Every row of the acceptance table at Turnout alone, by real processes and raw bytes.

All rows that were asked for are played once, in two lanes at the same time; each test then looks
at its own.
"""

from collections.abc import Mapping

import pytest

from conformance import catalogue, run
from conformance.peers.turnout import Turnout
from conformance.rows.row import Row
from conformance.run import Result

# A row that fails today, and why; strict, so that mending it turns the test red.
SHORTFALLS: Mapping[str, str] = {}


def _marked(row: Row) -> object:
    marks = [pytest.mark.xfail(reason=SHORTFALLS[row.id])] if row.id in SHORTFALLS else []
    return pytest.param(row, id=row.id, marks=marks)


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest, run_seed: int) -> dict[str, Result]:
    """Row id → what came of it. The seed of the cuts follows that of the run."""
    wanted = [
        item.callspec.params["row"]
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and hasattr(item, "callspec")
        and "row" in item.callspec.params
    ]
    rows = [row for row in catalogue.ROWS if row in wanted]
    found = run.results([Turnout()], rows, run_seed)
    return {result.row.id: result for result in found}


@pytest.mark.parametrize(
    "row", [_marked(row) for row in catalogue.ROWS if row.site in Turnout().sites]
)
def test_row(row: Row, results: dict[str, Result]) -> None:
    result = results[row.id]
    told = {name: (got.seen, faults) for name, (got, faults) in result.runs.items() if faults}
    assert result.passed, f"{row.case}: required is {row.words}; got {told}"


def test_every_shortfall_names_a_row() -> None:
    assert set(SHORTFALLS) <= {row.id for row in catalogue.ROWS}
