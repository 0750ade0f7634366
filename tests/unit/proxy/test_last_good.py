"""The table on disk: whole and signed, or not used; replaced as a whole, and never by an older one."""

from pathlib import Path

import pytest

from proxy.last_good import LastGood, Sealed
from proxy.routing.change import ContractError
from proxy.routing.codec import encode_table
from proxy.routing.envelope import seal
from proxy.routing.model import RoutingTable

KEY = b"a routing key of tests, long enough"


def sealed(version: int, key: bytes = KEY) -> Sealed:
    body = encode_table(RoutingTable(version))
    return Sealed(version, body, seal("table", version, body, key), 1_700_000_000)


@pytest.fixture
def file(tmp_path: Path) -> LastGood:
    return LastGood(tmp_path / "state", "turnout", KEY)


def test_what_is_written_is_read(file: LastGood) -> None:
    assert file.write(sealed(7)) == 7
    assert file.read() == sealed(7)
    assert [path.name for path in file.folder.iterdir()] == ["table-turnout"]
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.folder.stat().st_mode & 0o777 == 0o700


def test_without_a_file_there_is_none(file: LastGood) -> None:
    assert file.read() is None


def test_an_older_one_never_replaces_it(file: LastGood) -> None:
    file.write(sealed(7))
    assert file.write(sealed(6)) == 7
    assert file.write(sealed(7)) == 7
    assert file.read() == sealed(7)
    assert file.write(sealed(8)) == 8
    assert file.read() == sealed(8)


def test_one_that_is_torn_anywhere_is_not_used(file: LastGood) -> None:
    file.write(sealed(7))
    whole = file.path.read_bytes()
    for end in range(len(whole)):
        file.path.write_bytes(whole[:end])
        with pytest.raises(ContractError):
            file.read()


def test_one_with_any_other_byte_is_not_used(file: LastGood) -> None:
    unsigned = LastGood(file.folder, "turnout", b"")
    unsigned.write(sealed(7, b""))
    whole = unsigned.path.read_bytes()
    for place in range(len(whole)):
        other = bytearray(whole)
        other[place] ^= 1
        unsigned.path.write_bytes(other)
        with pytest.raises(ContractError):
            unsigned.read()


def test_a_forged_one_is_not_used(file: LastGood) -> None:
    forger = LastGood(file.folder, "turnout", b"another key, of somebody else's")
    forger.write(sealed(9, forger.key))
    with pytest.raises(ContractError, match="wrong signature"):
        file.read()
    LastGood(file.folder, "turnout", b"").write(sealed(10, b""))
    with pytest.raises(ContractError, match="wrong signature"):
        file.read()


def test_what_must_not_be_used_is_replaced(file: LastGood) -> None:
    LastGood(file.folder, "turnout", b"").write(sealed(9, b""))
    assert file.write(sealed(3)) == 3
    assert file.read() == sealed(3)


def test_what_a_crash_left_behind_is_in_nobodys_way(file: LastGood) -> None:
    file.write(sealed(7))
    (file.folder / "table-turnout.new").write_bytes(b"half of")
    assert file.read() == sealed(7)
    assert file.write(sealed(8)) == 8


@pytest.mark.parametrize("prefix", ["a/b", "..", "turnout"])
def test_installations_have_files_of_their_own(tmp_path: Path, prefix: str) -> None:
    file = LastGood(tmp_path, prefix, KEY)
    file.write(sealed(7))
    assert file.path.parent == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == [file.path.name]
