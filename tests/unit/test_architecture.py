"""What import-linter can't say: that its lists are complete, and what the standard library does.

The contracts themselves stand in pyproject.toml and are checked by `lint-imports`.
"""

import ast
import sys
import tomllib
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
PROXY = REPOSITORY / "proxy"

# Parts of the standard library by which a pure module would reach a clock, chance or the world.
# A name bans what lies below it too; `http` itself (HTTPStatus) is a table of names.
IMPURE = frozenset({
    "asyncio", "builtins.open", "concurrent", "ctypes", "datetime", "fcntl", "http.client",
    "http.server", "importlib", "io", "logging", "mmap", "multiprocessing", "os", "pathlib",
    "random", "secrets", "select", "selectors", "shutil", "signal", "socket", "socketserver",
    "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "urllib.request", "uuid",
})  # fmt: skip


def contracts() -> list[dict[str, Any]]:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = settings["tool"]["importlinter"]["contracts"]
    return found


def forbidden_to(source: str) -> set[str]:
    """Everything that the contracts forbid to this package, indirect imports included."""
    return {
        module
        for contract in contracts()
        if contract["type"] == "forbidden" and source in contract["source_modules"]
        if not contract.get("allow_indirect_imports") and contract.get("as_packages", True)
        for module in contract["forbidden_modules"]
    }


def modules_of(package: Path) -> set[str]:
    """The package's modules and subpackages by name, from the file system."""
    files = {path.stem for path in package.glob("*.py")} - {"__init__"}
    folders = {path.parent.name for path in package.glob("*/*.py")}
    return {f"{package.name}.{name}" for name in files | folders}


def imports_of(source: str, path: Path) -> set[str]:
    """Every name that the source imports, wherever in it: `a.b` for `from a import b` too.

    path: where the source stands, for its relative imports.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            here = ".".join(path.relative_to(REPOSITORY).parts[: -node.level])
            module = ".".join(filter(None, [here if node.level else "", node.module]))
            names |= {f"{module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Name) and node.id in {"__import__", "open"}:
            names.add("importlib" if node.id == "__import__" else "builtins.open")
    return names


def lies_in(name: str, packages: AbstractSet[str]) -> bool:
    """Whether the name is one of these packages or stands below one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def impurities(source: str, path: Path, may_import: set[str]) -> set[str]:
    """What the source imports beside the pure standard library and the packages named."""
    return {
        name
        for name in imports_of(source, path)
        if not lies_in(name, may_import)
        if lies_in(name, IMPURE) or name.partition(".")[0] not in sys.stdlib_module_names
    }


def test_the_admin_is_forbidden_each_module_of_the_proxy_but_routing() -> None:
    wanted = modules_of(PROXY) - {"proxy.routing"}
    listed = {name for name in forbidden_to("admin") if name.startswith("proxy.")}
    assert wanted - listed == set(), "add these to the contract in pyproject.toml"
    assert listed - wanted == set(), "these are no modules any more: take them off the contract"


def test_the_proxy_is_forbidden_the_admin() -> None:
    assert "admin" in forbidden_to("proxy")


def test_the_configuration_is_forbidden_both_planes() -> None:
    assert {"admin", "proxy"} <= forbidden_to("config")


def test_access_to_redis_is_forbidden_both_planes() -> None:
    assert {"admin", "proxy"} <= forbidden_to("redis_access")


def test_the_pure_packages_are_forbidden_servers_and_loops() -> None:
    for package in ("proxy.routing", "proxy.http1"):
        wanted = {"aiohttp", "asyncpg", "config", "redis", "uvloop"}
        assert wanted <= forbidden_to(package), package


def test_both_sides_of_the_proxy_are_independent() -> None:
    independent = [c for c in contracts() if c["type"] == "independence"]
    assert any({"proxy.downstream", "proxy.upstream"} <= set(c["modules"]) for c in independent)


def test_the_contracts_cover_each_package_of_the_product() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    roots = set(settings["tool"]["importlinter"]["root_packages"])
    wheel = set(settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert roots == wheel
    assert settings["tool"]["importlinter"]["include_external_packages"] is True


ROUTING = sorted((PROXY / "routing").rglob("*.py"))
LOGIN = [
    REPOSITORY / f"admin/login/{name}.py"
    for name in ("grants", "headers", "id_token", "keys", "local", "tokens", "transaction")
]
HTTP1 = sorted((PROXY / "http1").rglob("*.py"))
PURE_FILES = [
    REPOSITORY / "config/redis_url.py",
    PROXY / "downstream/client_hello.py",
    PROXY / "websocket.py",
]


@pytest.mark.parametrize("path", ROUTING, ids=lambda path: path.stem)
def test_the_routing_contract_is_pure(path: Path) -> None:
    assert impurities(path.read_text(encoding="utf-8"), path, {"proxy.routing"}) == set()


@pytest.mark.parametrize("path", PURE_FILES, ids=lambda path: path.stem)
def test_these_files_are_pure(path: Path) -> None:
    assert impurities(path.read_text(encoding="utf-8"), path, set()) == set()


def test_the_rules_of_affinity_are_pure() -> None:
    path = PROXY / "affinity/rules.py"
    assert impurities(path.read_text(encoding="utf-8"), path, {"proxy.affinity.settings"}) == set()


@pytest.mark.parametrize("path", LOGIN, ids=lambda path: path.stem)
def test_what_a_log_in_must_be_is_pure(path: Path) -> None:
    others = {"admin.login", "admin.tokens", "cryptography", "jwt", "proxy.routing"}
    assert impurities(path.read_text(encoding="utf-8"), path, others) == set()


MONITOR = [
    path
    for path in sorted((REPOSITORY / "admin/monitor").glob("*.py"))
    if path.stem not in {"reading", "settings", "shared", "signals", "watch"}
]


@pytest.mark.parametrize("path", MONITOR, ids=lambda path: path.stem)
def test_the_judge_of_a_release_is_pure(path: Path) -> None:
    """But for its settings, whose structs are msgspec's."""
    may_import = {"admin.monitor", "proxy.routing"}
    assert impurities(path.read_text(encoding="utf-8"), path, may_import) == set()


PURE_GATES = [
    REPOSITORY / "admin/gates" / f"{name}.py"
    for name in ("checklist", "compare", "expect", "model", "pointer", "settle", "words")
] + [REPOSITORY / "admin/hooks/scrub.py"]


@pytest.mark.parametrize("path", PURE_GATES, ids=lambda path: path.stem)
def test_what_gates_conclude_is_pure(path: Path) -> None:
    may = {"admin.gates", "proxy.routing", "msgspec"}
    assert impurities(path.read_text(encoding="utf-8"), path, may) == set()


@pytest.mark.parametrize("path", HTTP1, ids=lambda path: path.stem)
def test_http1_is_pure(path: Path) -> None:
    assert impurities(path.read_text(encoding="utf-8"), path, {"proxy.http1"}) == set()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import time", {"time"}),
        ("from time import monotonic", {"time.monotonic"}),
        ("def f():\n    import random", {"random"}),
        ("if TYPE_CHECKING:\n    import asyncio.events", {"asyncio.events"}),
        ("from os import path", {"os.path"}),
        ("import redis.asyncio", {"redis.asyncio"}),
        ("from proxy import worker", {"proxy.worker"}),
        ("from .. import worker", {"proxy.worker"}),
        ("from ..worker import run", {"proxy.worker.run"}),
        ("__import__('time')", {"importlib"}),
        ("open('x')", {"builtins.open"}),
        ("from http import HTTPStatus\nimport json, re\nfrom . import model", set()),
        ("from proxy.routing.model import Slot\nimport collections.abc", set()),
    ],
)
def test_an_impurity_is_found_wherever_it_stands(source: str, found: set[str]) -> None:
    path = PROXY / "routing" / "beside.py"
    assert impurities(source, path, {"proxy.routing"}) == found
