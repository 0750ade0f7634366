"""Which files are applied, and what is refused."""

import pytest

from admin.schema import Migration, SchemaError, migrations, pending

ONE, TWO = Migration(1, "0001__a.sql", "SELECT 1"), Migration(2, "0002__b.sql", "SELECT 2")


def test_the_files_that_come_with_it_have_no_gap():
    found = migrations()
    assert [migration.number for migration in found] == list(range(1, len(found) + 1))
    assert found[0].name == "0001__routing.sql"


def test_what_is_not_applied_yet_is_pending():
    assert pending([ONE, TWO], {}) == [ONE, TWO]
    assert pending([ONE, TWO], {1: ONE.checksum}) == [TWO]
    assert pending([ONE, TWO], {1: ONE.checksum, 2: TWO.checksum}) == []


def test_a_changed_file_is_refused():
    with pytest.raises(SchemaError, match=r"0001__a.sql was changed after it was applied"):
        pending([ONE, TWO], {1: TWO.checksum})


def test_a_newer_schema_is_refused():
    with pytest.raises(SchemaError, match="run a newer Turnout"):
        pending([ONE], {1: ONE.checksum, 2: TWO.checksum})
