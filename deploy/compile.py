"""Compile the data plane with mypyc: `make compile` in place, or into a wheel.

The same sources run as plain Python and compiled, and the same tests run on both; compiled, a
request costs the worker about a third of the time in Python. Only what runs for each request is
compiled: the rest stays readable in a traceback and costs nothing.

A wheel is compiled when TURNOUT_COMPILE=1 is set (`make wheel` and the Dockerfile do), for that
needs a C compiler and Python's headers where it is built.
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent.parent
GROUP = "turnout"
MODULES = (
    "proxy/downstream/connection.py",
    "proxy/downstream/flow.py",
    "proxy/downstream/peer.py",
    "proxy/exchange/binding.py",
    "proxy/exchange/fence.py",
    "proxy/exchange/forward.py",
    "proxy/exchange/parking.py",
    "proxy/exchange/placing.py",
    "proxy/exchange/services.py",
    "proxy/exchange/states.py",
    "proxy/exchange/tunnel.py",
    "proxy/http1/chunks.py",
    "proxy/http1/events.py",
    "proxy/http1/fields.py",
    "proxy/http1/framing.py",
    "proxy/http1/head.py",
    "proxy/http1/parser.py",
    "proxy/http1/reply.py",
    "proxy/http1/rewrite.py",
    "proxy/http1/trace.py",
    "proxy/observability/access_log.py",
    "proxy/observability/fault_log.py",
    "proxy/observability/log_sink.py",
    "proxy/observability/notes.py",
    "proxy/observability/telemetry.py",
    "proxy/parties.py",
    "proxy/router.py",
    "proxy/tokens/bearer.py",
    "proxy/upstream/admission.py",
    "proxy/upstream/balance.py",
    "proxy/upstream/budget.py",
    "proxy/upstream/cluster.py",
    "proxy/upstream/connection.py",
    "proxy/upstream/health.py",
    "proxy/upstream/pool.py",
    "proxy/upstream/slots.py",
    "proxy/websocket.py",
)


def compiled_files(root: Path) -> list[Path]:
    """What `build` has put into a tree."""
    return [*root.glob(f"{GROUP}__mypyc*.so"), *(root / "proxy").rglob("*.so")]


def build(target: Path, optimised: str = "3") -> list[Path]:
    """Compile the modules of this tree; their shared objects in `target`, by package.

    optimised: how far the C compiler goes, 0 to 3; further takes longer. SystemExit with the
    compiler's words if it fails.
    """
    # Only here: the wheel's other builds need neither.
    from mypyc.build import mypycify  # noqa: PLC0415
    from setuptools import Distribution  # noqa: PLC0415
    from setuptools.command.build_ext import build_ext  # noqa: PLC0415

    before = Path.cwd()
    os.chdir(ROOT)  # mypyc names modules by their path from here
    try:
        with TemporaryDirectory(prefix="turnout-compile-") as work:
            # `make check` is where types are checked; here missing stubs must not matter.
            flags = ["--config-file=", "--ignore-missing-imports", f"--cache-dir={work}/cache"]
            extensions = mypycify(
                [*flags, *MODULES], opt_level=optimised, target_dir=work, group_name=GROUP
            )
            command = build_ext(Distribution({"name": GROUP, "ext_modules": extensions}))
            command.build_lib = str(target)
            command.build_temp = work
            command.ensure_finalized()
            command.run()
    finally:
        os.chdir(before)
    return compiled_files(target)


class CompileHook(BuildHookInterface[Any]):
    """Puts the compiled modules into a wheel."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Hatchling's: what building needs beside itself. msgspec's types make the settings'."""
        return ["mypy[mypyc]>=1.17", "setuptools>=75", "msgspec>=0.20"] if _wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Hatchling's: called before a wheel is written. version: standard or editable."""
        if version != "standard" or not _wanted():
            return
        self._built = TemporaryDirectory(prefix="turnout-wheel-")
        target = Path(self._built.name)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for path in build(target):
            build_data["force_include"][str(path)] = str(path.relative_to(target))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Hatchling's: called after it."""
        if hasattr(self, "_built"):
            self._built.cleanup()


def _wanted() -> bool:
    return os.environ.get("TURNOUT_COMPILE") == "1"


def main() -> None:
    """In place; `--remove` takes it away again."""
    for path in compiled_files(ROOT):
        path.unlink()
    if "--remove" in sys.argv[1:]:
        return
    for path in build(ROOT):
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
