"""Small answers: 110 bytes of JSON, one tenant after the other out of 1 000."""

from bench.scenarios.scenario import TENANT_HEADER, TENANTS, Scenario
from proxy.routing.model import Slot

BODY_BYTES = 110


def body(slot: Slot) -> str:
    """JSON that names the slot, BODY_BYTES of ASCII."""
    start, end = f'{{"slot":"{slot}","filler":"', '"}'
    return start + "x" * (BODY_BYTES - len(start) - len(end)) + end


def _location(slot: Slot) -> str:
    return f"default_type application/json; return 200 '{body(slot)}';"


# The requests are written once: making one a time would cost wrk more than sending it.
_REQUEST = f"""
local requests, next_one = {{}}, 0
function init(args)
  for i = 0, {TENANTS - 1} do
    local headers = {{["{TENANT_HEADER}"] = string.format("tenant-%04d", i)}}
    requests[i] = wrk.format("GET", "/", headers)
  end
end
function request()
  next_one = (next_one + 1) % {TENANTS}
  return requests[next_one]
end
"""

SMALL = Scenario(
    name="small",
    title=f"{BODY_BYTES} bytes of JSON, {TENANTS} tenants",
    per="request",
    request=_REQUEST,
    location=_location,
)
