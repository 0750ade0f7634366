"""What the data plane imports at its start: what it needs, and before the workers are forked."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HEAVY = {"aiohttp", "click", "cryptography.x509", "jwt", "prometheus_client", "rich"}
"""Each takes 20 ms or more to import, and a supervisor with plain settings needs none of them."""
PROGRAM = """
import sys
from pathlib import Path
import proxy.__main__
from config import load
from proxy.config import Settings
from proxy.supervision.plan import Plan
import proxy.supervision.supervisor

Plan.of(lambda: load(Path(sys.argv[1]), "proxy", Settings, {}), 65536)
print(*sys.modules)
"""
ISSUER = """
[[proxy.identity.issuers]]
issuer = "https://id.example.com"
audiences = ["erp"]
algorithms = ["RS256"]
"""


def imported(tmp_path: Path, text: str) -> set[str]:
    """Which modules a supervisor has when it forks its workers."""
    path = tmp_path / "turnout.toml"
    path.write_text(text, "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)], cwd=ROOT, capture_output=True, check=True
    )
    return set(done.stdout.decode().split())


def test_plain_settings_import_nothing_heavy(tmp_path: Path) -> None:
    assert not imported(tmp_path, "[proxy]\n") & HEAVY


@pytest.mark.parametrize(
    ("key", "needed"),
    [
        ('jwks_url = "file:///absent/keys.json"', {"jwt", "proxy.tokens.jwks"}),
        ('jwks_url = "https://id.example.com/keys"', {"jwt", "proxy.tokens.jwks", "aiohttp"}),
    ],
)
def test_what_tokens_need_is_there_before_the_fork(
    tmp_path: Path, key: str, needed: set[str]
) -> None:
    assert needed <= imported(tmp_path, f"{ISSUER}{key}\n")
