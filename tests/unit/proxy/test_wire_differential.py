"""What is sent on is read alike by everybody: random requests through the data plane.

The strict reading and llhttp here; nginx behind real processes in tests/integration.
"""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.request_strategies import SEEDS, streams
from tests.support.through import through, wrong_with
from tests.support.wire import byte_by_byte, whole

CUTS = st.sampled_from([whole, byte_by_byte])


@settings(deadline=None)
@given(data=streams(), cut=CUTS, trusted=st.booleans())
@example(
    data=b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    cut=whole,
    trusted=False,
)
def test_what_is_sent_on_is_what_the_client_asked_for(data, cut, trusted) -> None:
    assert wrong_with(data, through(data, cut=cut, trusted=trusted)) == []


def test_every_seed_goes_through() -> None:
    for data in SEEDS:
        assert wrong_with(data, through(data)) == [], data
