"""The diagrams of the documents are those of the code."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_diagrams_are_drawn_from_the_tables():
    spec = importlib.util.spec_from_file_location("diagrams", ROOT / "docs" / "diagrams.py")
    assert spec is not None
    assert spec.loader is not None
    diagrams = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(diagrams)
    page = diagrams.PAGE.read_text("utf-8")
    for name in diagrams.DIAGRAMS:
        assert f"<!-- diagram: {name} -->" in page
    assert diagrams.drawn(page) == page, "run `make diagrams`"
