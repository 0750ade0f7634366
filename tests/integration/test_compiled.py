"""The data plane compiled: it builds, and passes the same tests as plain Python.

What mypyc makes of the sources is the point, so the C compiler need not optimise: that takes a
minute more. TEST_OPTIMISED=3 has it as in a release, and CI does so once.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from deploy.compile import MODULES, build, compiled_files

ROOT = Path(__file__).parents[2]
TREES = ("admin", "config", "deploy", "examples", "proxy", "tests")
PER_REQUEST = ("proxy/http1", "proxy/downstream", "proxy/exchange", "proxy/upstream")
NOT_PER_REQUEST = {
    "proxy/downstream/client_hello.py",
    "proxy/downstream/handshake.py",
    "proxy/downstream/proxy_protocol.py",
    "proxy/downstream/listener.py",
    "proxy/downstream/share.py",
    "proxy/downstream/tcp.py",
    "proxy/exchange/drains.py",
    "proxy/exchange/lines.py",
    "proxy/upstream/checks.py",
    "proxy/upstream/plain.py",
}


def missing() -> str:
    """What is needed to compile and is not here."""
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        return "there is no C compiler"
    headers = Path(sysconfig.get_paths()["include"], "Python.h")
    return "" if headers.exists() else f"there is no {headers}"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources with the compiled modules beside them."""
    if missing():
        pytest.skip(missing())
    copy = tmp_path_factory.mktemp("compiled")
    for name in TREES:
        shutil.copytree(
            ROOT / name, copy / name, ignore=shutil.ignore_patterns("*.so", "__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", copy)
    build(copy, os.environ.get("TEST_OPTIMISED", "0"))
    return copy


def run(tree: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.timeout(300)
def test_every_module_of_the_list_is_compiled(tree: Path) -> None:
    built = {str(path.relative_to(tree)).partition(".")[0] + ".py" for path in compiled_files(tree)}
    assert set(MODULES) <= built


def test_the_list_holds_what_runs_for_each_request() -> None:
    for folder in PER_REQUEST:
        for path in (ROOT / folder).glob("*.py"):
            name = str(path.relative_to(ROOT))
            if path.name != "__init__.py" and name not in NOT_PER_REQUEST:
                assert name in MODULES


@pytest.mark.timeout(300)
def test_the_wire_tests_pass_on_the_compiled_data_plane(tree: Path) -> None:
    where = run(tree, "-c", "import proxy.exchange.forward; print(proxy.exchange.forward.__file__)")
    assert where.strip().endswith(".so"), "the tests would run on plain Python"
    said = run(tree, "-m", "pytest", "-q", "--hypothesis-profile", "fast", "tests/unit/proxy")
    assert " passed" in said


@pytest.mark.timeout(300)
def test_a_compiled_fleet_serves(tree: Path) -> None:
    said = run(tree, "-m", "pytest", "-q", "tests/integration/proxy/test_fleet_streams.py")
    assert " passed" in said
