"""Uploads: a POST of 64 KB, read whole by the endpoint before it answers."""

from bench.load import Load
from bench.peers.peer import Work
from bench.requests import cycling
from bench.scenarios.scenario import TENANT_HEADER, TURNOUTS, Target, pins
from proxy.routing.model import Slot

BODY_BYTES = 64 * 1024
TENANTS = 100
"""Each request is kept whole in wrk's memory."""


def location(slot: Slot) -> str:
    """`return` answers before the body; a mirror makes nginx read it first.

    The static file's 405 for a POST is then what comes after the body, and is made a 200.
    """
    return f"""location / {{
            mirror /mirror;
            root files;
            try_files /empty =404;
            error_page 405 =200 @answer;
        }}
        location = /mirror {{ internal; return 204; }}
        location @answer {{ default_type text/plain; return 200 '{slot}'; }}"""


UPLOAD = Load(
    name="upload",
    title="a POST of 64 KB, unbuffered",
    per="request",
    request=cycling(TENANT_HEADER, list(pins())[:TENANTS], "POST", BODY_BYTES),
    location=location,
    targets=(Target(TURNOUTS, 1.3, "nginx"),),
    work=Work(streamed=True),
    files={"empty": b""},
)
