"""Random requests for hypothesis: a grammar with its odd corners, the rows' bytes, mutations."""

from hypothesis import strategies as st

from conformance.catalogue import ROWS

SEEDS = tuple(row.sends for row in ROWS if row.play is None and 0 < len(row.sends) < 1500)
CANARY = b"GET /smuggled HTTP/1.1\r\nHost: erp.test\r\n\r\n"

_METHODS = st.sampled_from(
    [b"GET"] * 5
    + [b"POST"] * 5
    + [b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"CONNECT", b"get", b"PRI", b"X!"]
)
_TARGETS = st.sampled_from(
    [b"/"] * 20
    + [b"/a?b=c"] * 9
    + [b"//x", b"/%00", b"*", b"http://a.test/x", b"http://a.test?x", b"a", b"/#f", b"/\xff"]
)
_VERSIONS = st.sampled_from(
    [b"HTTP/1.1"] * 60 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b""]
)
_SPACES = st.sampled_from([b" "] * 80 + [b"  ", b"\t"])
_ENDS = st.sampled_from([b"\r\n"] * 150 + [b"\n", b"\r", b"\r\r\n", b" \r\n"])
_COLONS = st.sampled_from([b": "] * 60 + [b":", b" : ", b":\t ", b"\r\n :"])
_NAMES = st.sampled_from(
    [
        b"Content-Length", b"Transfer-Encoding", b"content_length", b"Host", b"X-Tenant-ID", b"x_tenant_id",
        b"Connection", b"Upgrade", b"Expect", b"TE", b"Trailer", b"X-Forwarded-For", b"X-A", b"Bad[", b"",
    ]
)  # fmt: skip
_VALUES = st.sampled_from(
    [
        b"0", b"5", b"05", b"+5", b"5, 5", b"43", b"999999999999999999999", b"chunked", b"Chunked", b"gzip, chunked",
        b"chunked, chunked", b"identity", b"xchunked", b"\x0bchunked", b"close", b"keep-alive", b"upgrade", b"Host",
        b"X-Tenant-ID, Content-Length", b"websocket", b"h2c", b"100-continue", b"erp.test", b"acme", b"a\0b", b"a\rb", b"",
    ]
)  # fmt: skip
_SIZES = st.sampled_from(
    [b"5"] * 40
    + [
        b"0",
        b"5;a",
        b'5;a="b"',
        b"0x5",
        b"05",
        b" 5",
        b"5 ",
        b"2b",
        b"ffffffffffffffff",
        b"00000000000000005",
        b"-5",
        b"",
    ]
)
_DATA = st.sampled_from([b"hello"] * 30 + [b"", b"hello!", CANARY, b"0\r\n\r\n"])
_TOKENS = st.sampled_from(
    [
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\t",
        b":",
        b"0\r\n\r\n",
        b"\r\n\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"\xff",
        b";",
        CANARY,
    ]
)


_PLAIN = st.sampled_from(
    [
        b"X-A: a", b"X-Tenant-ID: acme", b"Connection: close", b"Connection: X-A", b"Expect: 100-continue", b"TE: trailers",
        b"Connection: Upgrade\r\nUpgrade: websocket", b"X-Forwarded-For: 1.2.3.4", b"x_tenant_id: a", b"Authorization: Bearer x",
    ]
)  # fmt: skip


@st.composite
def field_lines(draw: st.DrawFn) -> bytes:
    if draw(st.integers(0, 4)):
        return draw(_PLAIN) + draw(_ENDS)
    return draw(_NAMES) + draw(_COLONS) + draw(_VALUES) + draw(_ENDS)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """The fields that frame a body, and the body; not always in agreement."""
    kind = draw(st.sampled_from(["none", "length", "chunked"] * 8 + ["both"]))
    data = draw(_DATA)
    if kind == "none":
        return b"", draw(st.sampled_from([b""] * 9 + [CANARY]))
    length = b"Content-Length: %d\r\n" % len(data)
    if kind == "length":
        return length, data
    ends = st.sampled_from([b"\r\n"] * 80 + [b"\n", b""])
    pieces = [
        draw(_SIZES) + draw(ends) + draw(_DATA) + draw(ends) for _ in range(draw(st.integers(0, 2)))
    ]
    last = draw(
        st.sampled_from(
            [b"0\r\n\r\n"] * 40 + [b"0\r\nX-T: a\r\n\r\n", b"0\n\n", b"00\r\n\r\n", b""]
        )
    )
    framing = b"Transfer-Encoding: chunked\r\n"
    return (length + framing if kind == "both" else framing), b"".join(pieces) + last


@st.composite
def grammatical(draw: st.DrawFn) -> bytes:
    line = (
        draw(_METHODS)
        + draw(_SPACES)
        + draw(_TARGETS)
        + draw(_SPACES)
        + draw(_VERSIONS)
        + draw(_ENDS)
    )
    host = draw(
        st.sampled_from(
            [b"Host: erp.test\r\n"] * 60 + [b"", b"Host: a\r\nHost: b\r\n", b"Host: a b\r\n"]
        )
    )
    framing, body = draw(bodies())
    fields = b"".join(draw(st.lists(field_lines(), max_size=3)))
    return line + host + framing + fields + draw(_ENDS) + body


@st.composite
def mutated(draw: st.DrawFn, base: st.SearchStrategy[bytes]) -> bytes:
    data = draw(base)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2, 3]))):
        place = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["insert", "cut", "replace", "double"]))
        size = draw(st.integers(1, 8))
        if kind == "insert":
            data = data[:place] + draw(_TOKENS) + data[place:]
        elif kind == "cut":
            data = data[:place] + data[place + size :]
        elif kind == "replace":
            data = data[:place] + draw(_TOKENS) + data[place + 1 :]
        else:
            data = data[: place + size] + data[place:]
    return data


def streams() -> st.SearchStrategy[bytes]:
    """What a client sends on one connection: one to three requests, more or less."""
    one = mutated(st.sampled_from(SEEDS)) | mutated(grammatical()) | grammatical()
    return st.lists(one, min_size=1, max_size=3).map(b"".join)


ANSWERS = tuple(
    row.script[0].at_end for row in ROWS if row.script and 0 < len(row.script[0].at_end) < 1500
)


def answers() -> st.SearchStrategy[bytes]:
    """What an endpoint answers, more or less."""
    seeds = st.sampled_from(ANSWERS)
    return seeds | mutated(seeds) | st.lists(mutated(seeds), min_size=2, max_size=2).map(b"".join)
