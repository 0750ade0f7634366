"""The switch benchmark with real parts, small: what it counts for Turnout is zero."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.cpu import tree
from bench.machine import ROOT, find_command

SMALL = ("--switches", "6", "--rounds", "2", "--rate", "200", "--workers", "2")
SECONDS = 110.0


def ran(*arguments: str, out: Path) -> tuple[int, dict[str, Any], str]:
    """(exit code, the JSON document, what it said)."""
    argv = [
        sys.executable,
        "-m",
        "bench",
        "switch",
        *SMALL,
        *arguments,
        "--out",
        str(out),
        "--json",
    ]
    done = subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    said = done.stderr[-2000:]
    assert done.stdout, said
    return done.returncode, json.loads(done.stdout), said


@pytest.mark.parametrize("move", ["all", "tenant"])
def test_turnout_fails_no_request_and_misroutes_none(move: str, tmp_path: Path) -> None:
    code, found, said = ran("--only", "turnout", "--move", move, "--tenants", "3", out=tmp_path)
    (own,) = found["contenders"]
    assert own["faults"] == [], said
    assert (own["failed"], own["misrouted"], own["unacked"]) == ({}, 0, 0)
    assert own["switches"] == 6
    assert own["judged"] > 0
    assert all(value is not None for value in own["true_ms"].values())
    sockets = own["websockets"]
    assert (sockets["opened"], sockets["survived"]) == (64, 64)
    assert (sockets["astray"], sockets["away"], sockets["left"]) == (0, 0, 0)
    assert sockets["drained"] == sum(sockets["closes"].values()) > 0
    assert set(sockets["closes"]) == {"1012"}
    assert code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"switch.json", "switch.md", "switch.svg"}


def test_fenced_switches_fail_nothing_and_no_request_goes_back(tmp_path: Path) -> None:
    code, found, said = ran("--only", "turnout", "--mode", "fenced", out=tmp_path)
    (own,) = found["contenders"]
    assert own["faults"] == [], said
    assert (own["failed"], own["misrouted"], own["went_back"]) == ({}, 0, 0)
    assert (own["websockets"]["astray"], own["websockets"]["away"]) == (0, 0)
    assert code == 0


@pytest.mark.skipif(find_command("haproxy") is None, reason="HAProxy is not installed")
def test_the_same_checker_judges_a_peer(tmp_path: Path) -> None:
    _, found, said = ran("--only", "haproxy-map", out=tmp_path)
    (own,) = found["contenders"]
    assert own["faults"] == [], said
    assert (own["switches"], own["misrouted"]) == (6, 0)


def test_a_run_that_is_interrupted_leaves_nothing_behind(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "bench", "switch", "--only", "turnout", "--out", str(tmp_path)]
    run = subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert run.stderr is not None
    line = run.stderr.readline()
    assert line.startswith("  round 1"), line
    family = [pid for pid in tree(run.pid) if pid != run.pid]
    assert len(family) > 4
    run.send_signal(signal.SIGTERM)
    assert run.wait(60) == 130
    run.stderr.close()
    assert [pid for pid in family if _lives(pid)] == []


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
