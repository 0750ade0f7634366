"""Large answers: a file of 1 MB, passed on as it comes."""

from bench.load import MEGABYTE, Load
from bench.peers.peer import Work
from bench.requests import cycling
from bench.scenarios.scenario import TENANT_HEADER, TURNOUTS, Target, pins
from proxy.routing.model import Slot

FILE = "large"


def _location(_slot: Slot) -> str:
    return f"location / {{ root files; try_files /{FILE} =404; }}"


LARGE = Load(
    name="large",
    title="answers of 1 MB, unbuffered",
    per="MB",
    request=cycling(TENANT_HEADER, list(pins())),
    location=_location,
    targets=(Target(TURNOUTS, 1.2, "nginx"),),
    work=Work(streamed=True),
    by_bytes=True,
    files={FILE: b"x" * MEGABYTE},
)
