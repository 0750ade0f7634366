"""Copies of the source tree's packages, so that plain and compiled Turnout run side by side.

An interpreter takes a compiled module before the source beside it. So the plain copy has none,
and the compiled copy has those of the build on top.
"""

import shutil
from pathlib import Path

from bench.machine import ROOT

PACKAGES = ("proxy", "config", "admin", "bench")
"""What the proxy and the measuring programs beside it need. admin: nothing that serves requests."""
_LEFT_OUT = ("*.so", "__pycache__", "out")


def build() -> Path | None:
    """Where the compiled modules lie: beside the sources, where `make compile` puts them, or None."""
    return ROOT if any((ROOT / "proxy").rglob("*.so")) else None


def stale(base: Path) -> list[str]:
    """Compiled modules of a build whose source has changed since, by path without suffix."""
    found = []
    for module in (base / "proxy").rglob("*.so"):
        inside = module.relative_to(base)
        source = ROOT / inside.parent / f"{inside.name.partition('.')[0]}.py"
        if not source.exists() or source.stat().st_mtime > module.stat().st_mtime:
            found.append(str(source.relative_to(ROOT).with_suffix("")))
    return sorted(found)


def copy(target: Path, compiled_from: Path | None = None) -> Path:
    """A new folder with the packages; gives its path. compiled_from: a build, for a compiled one."""
    for name in PACKAGES:
        ignored = shutil.ignore_patterns(*_LEFT_OUT)
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    for module in _modules(compiled_from) if compiled_from else ():
        shutil.copy2(module, target / module.relative_to(compiled_from or ROOT))
    return target


def _modules(base: Path) -> list[Path]:
    """A build's modules, and the library that mypyc puts at its top for all of them."""
    inside = [path for name in PACKAGES for path in (base / name).rglob("*.so")]
    return [*base.glob("*.so"), *inside]
