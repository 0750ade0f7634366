"""The corpus of statements is checked as it is read: a case that proves nothing is refused."""

from pathlib import Path

import pytest

from tests.support.statement_corpus import CorpusError, cases, read

WHOLE = {
    "name": '"one"',
    "sql": '"DROP TABLE jobs"',
    "old": '["SELECT id FROM jobs"]',
    "table": '"jobs"',
    "lock": '"AccessExclusiveLock"',
    "cost": '"instant"',
    "compatibility": '"breaking"',
}


def written(folder: Path, **other: str | None) -> Path:
    """A file with one case; other: a key's TOML, or None to leave it out."""
    keys = {**WHOLE, **other}
    lines = ["[[case]]", *(f"{key} = {value}" for key, value in keys.items() if value is not None)]
    path = folder / "topic.toml"
    path.write_text("\n".join(lines), "utf-8")
    return path


def test_a_whole_case_is_read(tmp_path):
    (case,) = read(written(tmp_path))
    assert str(case) == "topic: one"
    assert case.old == ("SELECT id FROM jobs",)
    assert case.new == ()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"old": None}, "unknown or missing: old"),
        ({"lok": '""'}, "unknown or missing: lok"),
        ({"old": "[]"}, "no query of the old version"),
        ({"old": '"SELECT 1"'}, "old is a list of queries"),
        ({"sql": "7"}, "sql is a string"),
        ({"lock": '"ACCESS SHARE"'}, "'ACCESS SHARE' is none of"),
        ({"cost": '"slow"'}, "'slow' is none of"),
        ({"compatibility": '"fine"'}, "'fine' is none of"),
        ({"table": '""'}, "a lock, and no table"),
        ({"compatibility": '"conditional"'}, "what breaks it"),
        ({"breaks_old": '["SELECT 1"]'}, "what breaks it"),
        ({"held": '"jobs"'}, "held is a table and a lock"),
        ({"new": '["SELECT 1"]'}, "what breaks it"),
    ],
)
def test_what_is_wrong_with_a_case_is_said(tmp_path, other, said):
    with pytest.raises(CorpusError, match=said):
        read(written(tmp_path, **other))


def test_another_table_is_refused(tmp_path):
    path = tmp_path / "topic.toml"
    path.write_text("[case]\nname = 'one'\n[[kase]]\n", "utf-8")
    with pytest.raises(CorpusError, match="nothing else"):
        read(path)


def test_the_committed_cases_are_whole_and_have_names_of_their_own():
    assert len({str(case) for case in cases()}) == len(cases())
