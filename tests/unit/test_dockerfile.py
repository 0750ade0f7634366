"""No container engine runs in the tests, so the Dockerfile is read against the repository."""

import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from admin.cli.main import main

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def instructions(name: str) -> list[str]:
    joined = re.sub(r"\\\n\s*", " ", DOCKERFILE)
    return [line.split(maxsplit=1)[1] for line in joined.splitlines() if line.startswith(name)]


@pytest.mark.parametrize("copied", [c for c in instructions("COPY") if "--from" not in c])
def test_what_is_copied_is_in_the_repository(copied: str):
    *sources, _ = copied.split()
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source


def test_every_package_of_the_wheel_is_copied():
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]
    copied = " ".join(instructions("COPY"))
    for package in hatch["build"]["targets"]["wheel"]["packages"]:
        assert f"COPY {package} " in DOCKERFILE, package
    for source in hatch["build"]["targets"]["wheel"]["force-include"]:
        assert source in copied, source


def test_two_stages_on_slim_and_no_root():
    bases = instructions("FROM")
    assert [base.split()[0] for base in bases] == ["python:3.13-slim"] * 2
    assert bases[0].endswith(" AS build")
    last_stage = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert re.search(r"^USER turnout$", last_stage, re.MULTILINE)
    assert "useradd" in last_stage


def test_the_entry_point_and_the_commands_exist():
    assert instructions("ENTRYPOINT") == ['["turnout"]']
    assert PROJECT["scripts"]["turnout"] == "admin.cli.main:main"
    listed = CliRunner().invoke(main, ["--help"]).output
    for command in ("proxy", "admin", "health"):
        assert re.search(rf"^  {command}\s", listed, re.MULTILINE), command


def test_the_health_check_is_a_command_that_exists():
    (check,) = instructions("HEALTHCHECK")
    assert check.endswith('CMD ["turnout", "health"]')


def test_its_lock_covers_what_the_processes_need():
    locked = (ROOT / "deploy" / "image.lock").read_text("utf-8")
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["admin"]
    for requirement in wanted:
        name = re.match(r"[a-z0-9-]+", requirement)
        assert name is not None
        assert re.search(rf"^{name[0]}==", locked, re.MULTILINE), requirement
    assert "http" not in locked.replace("aiohttp", "")
    assert "sha256:" in locked


def test_settings_given_by_environment_exist():
    settings = (ROOT / "config" / "turnout.toml").read_text("utf-8")
    document = tomllib.loads(settings)
    for name in re.findall(r"TURNOUT_(PROXY|ADMIN)_([A-Z_]+)=", DOCKERFILE):
        assert name[1].lower() in document[name[0].lower()], name
