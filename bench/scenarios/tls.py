"""Small answers over TLS at the listener; the way to the endpoint is plain."""

from bench.load import Load
from bench.peers.peer import Work
from bench.scenarios import small

TLS = Load(
    name="tls",
    title="small, over TLS (ECDSA P-256), connections kept",
    per="request",
    request=small.REQUEST,
    location=small.location,
    work=Work(tls=True),
)
