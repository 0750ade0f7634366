"""All features on: the tenant comes from a verified bearer token, every other one by the canary.

Who can't verify tokens is measured with the requests of `small`.
"""

from bench.credentials import tokens
from bench.load import Load
from bench.peers.peer import Work
from bench.requests import cycling
from bench.scenarios import small
from bench.scenarios.scenario import TENANTS, pins

JWT = Load(
    name="jwt",
    title=f"small, with {TENANTS} bearer tokens (HS256) and a canary",
    per="request",
    request=cycling("Authorization", [f"Bearer {token}" for token in tokens(list(pins()))]),
    location=small.location,
    targets=small.TARGETS,
    work=Work(token=True, canary=True),
    seconds=2,
    instead=small.REQUEST,
)
