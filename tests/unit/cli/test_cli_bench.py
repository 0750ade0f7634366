"""`turnout bench switch` becomes the source tree's benchmark, or says where that is."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from admin.cli import bench
from admin.cli.main import main


def test_it_becomes_the_benchmark_with_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[tuple[str, tuple[str, ...]]] = []
    monkeypatch.setattr(bench, "become", lambda *given: became.append(given))
    result = CliRunner().invoke(main, ["bench", "switch", "--quick", "--only", "turnout", "--help"])
    assert result.exit_code == 0, result.output
    assert became == [("bench", ("switch", "--quick", "--only", "turnout", "--help"))]


def test_without_a_source_tree_it_says_where_the_benchmarks_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    result = CliRunner().invoke(main, ["bench", "switch"])
    assert result.exit_code == 1
    assert "make bench-switch" in result.output
