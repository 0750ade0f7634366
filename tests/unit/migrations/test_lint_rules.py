"""Each rule has its page, each page its rule, and the page's example is found by it."""

import re
from pathlib import Path

import pytest

from admin.migrations.catalogue.grammar import statements
from admin.migrations.lint import locking, rules
from admin.migrations.lint.locking_parts import DEPENDS
from admin.migrations.lint.rules import NAMES, RULES
from admin.migrations.lint.run import lint_text

PAGES = Path(__file__).parents[3] / "docs" / "lint"
KNOWN = {*locking.TABLE, *DEPENDS}
SILENT = {
    # Adds something that no older version knows.
    *("Create", "CreateTableAs:OBJECT_TABLE", "CreateSeq"),
    *("CreateSchema", "CreateEnum", "CreateDomain", "CompositeType", "CreateRange", "CreateRole"),
    *("CreateExtension", "CreateCast", "CreateOpClass", "CreateOpFamily", "CreateConversion"),
    *("Define:OBJECT_AGGREGATE", "Define:OBJECT_OPERATOR", "Define:OBJECT_COLLATION"),
    *("Define:OBJECT_TYPE", "Define:OBJECT_TSCONFIGURATION", "Define:OBJECT_TSDICTIONARY"),
    *("CreateStats", "Partition", "Inheritance", "NewColumn:CHECK"),
    # Gives, and takes nothing.
    *("Grant", "GrantRole", "Comment"),
    # How rows are stored, planned and vacuumed; no query names it.
    *("AT_SetStatistics", "AT_SetOptions", "AT_ResetOptions", "AT_SetStorage", "AT_SetCompression"),
    *("AT_SetRelOptions", "AT_ResetRelOptions", "AT_ClusterOn", "AT_DropCluster", "AlterStats"),
    *("AT_SetLogged", "AT_SetTableSpace", "AT_SetAccessMethod", "Cluster", "Vacuum"),
    *("OBJECT_INDEX:AT_SetRelOptions", "OBJECT_INDEX:AT_ResetRelOptions"),
    *(
        "OBJECT_INDEX:AT_AttachPartition",
        "Drop:OBJECT_STATISTIC_EXT",
    ),
    *("Reindex:REINDEX_OBJECT_TABLE", "Reindex:REINDEX_OBJECT_INDEX"),
    *("Reindex:REINDEX_OBJECT_SCHEMA", "Reindex:REINDEX_OBJECT_DATABASE"),
    # No query names them.
    *("Rename:OBJECT_INDEX", "Rename:OBJECT_TRIGGER", "Rename:OBJECT_POLICY"),
    *("Rename:OBJECT_RULE", "Rename:OBJECT_STATISTIC_EXT"),
    # A part of what another kind is judged for; here for its lock.
    *("Read", "Named", "Copied", "Referred", "Attached", "Detached"),
    # Only looks, or is for the migration's own session.
    *("AT_ValidateConstraint", "VariableSet", "ConstraintsSet"),
}
"""Kinds that no rule looks at, each group for its reason."""


def example(page: str) -> str:
    found = re.search(
        r"^```sql\n(.*?)^```", (PAGES / f"{page}.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found, page
    return found[1]


def test_each_rule_has_its_page_and_each_page_its_rule():
    assert {path.stem for path in PAGES.glob("*.md")} - {"README"} == set(NAMES)
    assert len(set(NAMES)) == len(NAMES)


def test_each_rule_lies_in_the_file_of_its_name():
    folder = Path(rules.__file__).parent
    files = {path.stem.replace("_", "-") for path in folder.glob("*.py")} - {"--init--"}
    assert files == {rule.name for rule in RULES}


def test_the_list_of_pages_has_all_of_them():
    listed = re.findall(r"\]\(([a-z-]+)\.md\)", (PAGES / "README.md").read_text("utf-8"))
    assert listed == sorted(NAMES)


@pytest.mark.parametrize("rule", NAMES)
def test_the_example_of_a_page_is_found(rule: str):
    found = {each.rule for one in lint_text(example(rule)).statements for each in one.findings}
    assert rule in found


@pytest.mark.parametrize("rule", NAMES)
def test_a_page_says_why_and_what_to_do(rule: str):
    text = (PAGES / f"{rule}.md").read_text("utf-8")
    assert text.startswith(f"# {rule}\n\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Why", "Instead"]


def test_each_kind_is_looked_at_by_a_rule_or_left_out_for_a_reason():
    looked_at = {kind for rule in RULES for kind in rule.kinds}
    assert looked_at <= KNOWN, looked_at - KNOWN
    assert KNOWN - looked_at == SILENT


def test_every_remedy_is_sql():
    for name in NAMES:
        for linted in lint_text(example(name)).statements:
            for finding in linted.findings:
                # Comments alone are a remedy too, and no statement.
                statements(finding.remedy.replace("…", ""))
