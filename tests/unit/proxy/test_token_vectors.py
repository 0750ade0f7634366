"""Public vectors of signatures and keys; VECTORS=DIR names the folder that has them."""

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.support.token_vectors import FILES, WHY_REFUSED, run_jws_vectors


@pytest.mark.parametrize("name", FILES)
def test_vectors_are_judged_as_expected(name: str) -> None:
    folder = os.environ.get("VECTORS", "")
    path = Path(folder, name)
    if not folder or not path.exists():
        pytest.skip(f"VECTORS=DIR names no folder with {name}")
    rows = run_jws_vectors(path)
    assert len(rows) > 20
    assert [row for row in rows if not row.good] == []
    refused_on_purpose = {
        (row.file, row.number) for row in rows if row.expected and not row.accepted
    }
    assert refused_on_purpose == {listed for listed in WHY_REFUSED if listed[0] == name}
    print(name, Counter((row.expected, row.accepted) for row in rows))
