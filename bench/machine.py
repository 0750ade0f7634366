"""What the run stands on: tools, cores, and the description that goes with every figure."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The source tree."""
TOOLS: Mapping[str, str] = {
    "nginx": "nginx",
    "wrk": "wrk",
    "taskset": "util-linux",
    "setpriv": "util-linux",
}
"""What every run needs: command → its Debian package."""
_SYSTEM_PATH = "/usr/sbin:/usr/local/sbin:/sbin"
INSTALL_S = 300


class MissingError(Exception):
    """Something that the run needs is not here; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core each side runs on, so that they don't compete."""

    proxy: int
    load: int


def find_command(name: str) -> str | None:
    """The path of a command, also where only root's PATH looks; None when there is none."""
    return shutil.which(name) or shutil.which(name, path=_SYSTEM_PATH)


def apt_usable() -> bool:
    """Whether packages may be installed: this is root, and apt is here."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def ensure_tools(tools: Mapping[str, str], *, install: bool) -> None:
    """Install what is missing, or say what: MissingError.

    tools: command → its Debian package. install: whether apt may be used.
    """
    missing = {name: package for name, package in tools.items() if find_command(name) is None}
    packages = sorted(set(missing.values()))
    if packages and install:
        _apt_install(packages)
        missing = {name: package for name, package in tools.items() if find_command(name) is None}
    if missing:
        raise MissingError(
            f"{', '.join(missing)} not found. Install with: "
            f"sudo apt-get install {' '.join(packages)} (or your system's packages of these names)"
        )


def _apt_install(packages: list[str]) -> None:
    print(f"installing {', '.join(packages)} with apt-get …", file=sys.stderr, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *packages]):
        try:
            subprocess.run(
                ["apt-get", *step],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=INSTALL_S,
                check=True,
            )
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip()[-400:]
            raise MissingError(f"apt-get {step[0]} failed: {said}") from error
        except subprocess.TimeoutExpired:
            raise MissingError(f"apt-get {step[0]} took longer than {INSTALL_S} s") from None


def choose_cores(allowed: Collection[int]) -> Cores:
    """The first two of the cores that may be used. MissingError when there is only one."""
    if len(allowed) < 2:
        raise MissingError("two cores are needed: one for the proxy, one for load and endpoint")
    proxy, load, *_ = sorted(allowed)
    return Cores(proxy, load)


def describe() -> dict[str, object]:
    """The machine, as the JSON file tells it."""
    return {
        "cpu": _cpu_model(Path("/proc/cpuinfo").read_text(encoding="utf-8")),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "load_average": list(os.getloadavg()),
    }


def _cpu_model(cpuinfo: str) -> str:
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return "unknown"


def commit() -> dict[str, object]:
    """The commit measured, and whether the tree had changes on top; empty outside of git."""
    identifier = _git("rev-parse", "HEAD")
    if not identifier:
        return {}
    return {"id": identifier, "changed": bool(_git("status", "--porcelain"))}


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def wrk_version() -> str:
    """As in "4.1.0"."""
    said = subprocess.run(["wrk", "-v"], capture_output=True, text=True, timeout=10, check=False)
    words = (said.stdout + said.stderr).split()
    return words[1].removeprefix("debian/") if len(words) > 1 else "unknown"
