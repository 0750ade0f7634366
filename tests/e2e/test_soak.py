"""Twenty seconds of the soak with a fixed seed: each fault at least once, the books balance."""

from pathlib import Path

import pytest

from tests.soak.report import document, table
from tests.soak.run import Plan, Soak

SEED = 20
SECONDS = 20.0


@pytest.mark.timeout(180)
async def test_no_request_is_unaccounted_for(tmp_path: Path):
    result = await Soak(Plan(SECONDS, SEED, connections=24), print).run(tmp_path)
    print(table(result))
    assert result.complaints == []
    found = document(result)
    assert found["balanced"]
    assert {"endpoint down", "slot down", "Redis stopped", "worker killed", "reload"} <= {
        *found["events"]
    }
    assert found["outcomes"]["answered"] > 500
    assert len(found["faults"]) >= 6, found["faults"]
