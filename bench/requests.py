"""Lua for wrk: requests that name one tenant after the other."""

from collections.abc import Sequence


def cycling(header: str, values: Sequence[str], method: str = "GET", body_bytes: int = 0) -> str:
    """Requests for / with each value of the header in turn, over and over.

    They are written once, at the start: making one a time would cost wrk more than sending it.
    """
    quoted = ", ".join(f'"{value}"' for value in values)
    body = f'string.rep("x", {body_bytes})' if body_bytes else "nil"
    return f"""
local values, requests, next_one = {{{quoted}}}, {{}}, 0
function init(args)
  local body = {body}
  for i, value in ipairs(values) do
    requests[i] = wrk.format("{method}", "/", {{["{header}"] = value}}, body)
  end
end
function request()
  next_one = next_one % #requests + 1
  return requests[next_one]
end
"""
