"""Short runs of `tests.history`: every kind of fault, and mutations that the checker has to catch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.history.checker import check
from tests.history.mutations import MUTATIONS
from tests.history.places import Namespaces
from tests.history.record import Fault, read
from tests.support.fleet import ROOT

SECONDS = 20
MUTATED_S = 9
UNPLUGGED_S = 12
PARTS = ("kill-worker,part-node,empty-store,failover-kill,kill-admin,part-database",)
"""Some of those that broke something before; `make history` plays all kinds."""


def run(out: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """`python -m tests.history` with two nodes; a process of its own, as `make history` starts it."""
    command = [sys.executable, "-m", "tests.history", "--nodes", "2", "--out", out, "--json"]
    words = [str(word) for word in (*command, *arguments)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("seed", "faults"), list(enumerate(PARTS, 41)))
def test_every_invariant_holds_under_faults(tmp_path: Path, seed: int, faults: str) -> None:
    done = run(tmp_path, "--seconds", SECONDS, "--seed", seed, "--faults", faults)
    assert done.returncode == 0, done.stdout + done.stderr
    verdict = msgspec.json.decode(done.stdout)
    assert verdict["good"]
    history = read(tmp_path / "history.jsonl")
    assert {"kill worker"} < {fault.name for fault in history.all(Fault)} or seed != 41
    judged = {name: result["judged"] for name, result in verdict["invariants"].items()}
    assert judged["1 after the ack, only the new slot"] > 500
    assert judged["10 converged means served"] > 500
    assert verdict["figures"]["converged"] > 20
    assert check(history).document() == verdict, "what is kept is what was judged"


def has_namespaces() -> bool:
    """Whether network namespaces can be made here: by root, with `ip`, and wires between them."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    try:
        made = Namespaces()
    except subprocess.CalledProcessError:
        return False
    made.close()
    return True


@pytest.mark.timeout(240)
@pytest.mark.skipif("not has_namespaces()", reason="network namespaces can't be made here")
def test_every_invariant_holds_where_wires_are_pulled(tmp_path: Path) -> None:
    faults = ("--faults", "unplug-node,unplug-admin,kill-worker")
    done = run(tmp_path, "--namespaces", "--seconds", UNPLUGGED_S, "--seed", 44, *faults)
    assert done.returncode == 0, done.stdout + done.stderr
    details = {fault.detail for fault in read(tmp_path / "history.jsonl").all(Fault)}
    assert "unplugged" in details


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", ["ack-before-swap"])
def test_a_fault_in_the_code_is_caught(tmp_path: Path, name: str) -> None:
    done = run(tmp_path, "--seconds", MUTATED_S, "--seed", 43, "--mutate", name)
    assert done.returncode == 1, done.stdout + done.stderr
    found = msgspec.json.decode(done.stdout)["invariants"]
    broken = [which for which, result in found.items() if result["violations"]]
    assert any(which.startswith(MUTATIONS[name].breaks) for which in broken), broken
