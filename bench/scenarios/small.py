"""Small answers: 110 bytes of JSON, one tenant after the other out of 1 000."""

from bench.load import Load
from bench.requests import cycling
from bench.scenarios.scenario import TENANT_HEADER, TENANTS, TURNOUTS, Target, pins
from proxy.routing.model import Slot

BODY_BYTES = 110
TARGETS = (
    Target(("turnout",), 1.40, "nginx"),
    Target(("turnout-compiled",), 1.00, "nginx"),
    *(Target(TURNOUTS, 0.35, peer) for peer in ("envoy", "traefik", "caddy")),
)
REQUEST = cycling(TENANT_HEADER, list(pins()))


def body(slot: Slot) -> str:
    """JSON that names the slot, BODY_BYTES of ASCII."""
    start, end = f'{{"slot":"{slot}","filler":"', '"}'
    return start + "x" * (BODY_BYTES - len(start) - len(end)) + end


def location(slot: Slot) -> str:
    """The endpoint's directives."""
    answer = f"default_type application/json; return 200 '{body(slot)}';"
    return f"location / {{ {answer} }}"


SMALL = Load(
    name="small",
    title=f"{BODY_BYTES} bytes of JSON, {TENANTS} tenants",
    per="request",
    request=REQUEST,
    location=location,
    targets=TARGETS,
    seconds=2,
)
