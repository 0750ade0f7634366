"""The access log's lines whatever stands in a request, and its file whatever becomes of it."""

import contextlib
import fcntl
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from select import PIPE_BUF

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http1.head import RequestHead
from proxy.http1.reply import LocalReply
from proxy.observability.access_log import AccessLog
from proxy.observability.log_sink import LogSink
from proxy.observability.notes import Notes, Observing
from proxy.observability.settings import AccessLogSettings
from proxy.parties import Client
from proxy.router import Route
from proxy.routing.decision import Reason
from proxy.routing.model import Endpoint, Slot

LIMIT = 1 << 20
SECONDS = 10.0
COMBINED = re.compile(
    r'[0-9a-f.:]+ - [a-z0-9-]+ \[[^\]]+\] "((?:[^"\\]|\\.)*)" [0-9]{1,3} [0-9]+ "-" '
    r'"((?:[^"\\]|\\.)*)"'
)
TARGETS = st.from_regex(rb"[!-\"$-~]{1,40}", fullmatch=True) | st.binary(max_size=0).map(
    lambda _: b"/" + b'\\"' * 5_000
)
# What the parser lets through as a field's value.
VALUES = st.from_regex(rb"[\t\x20-\x7e\x80-\xff]{0,400}", fullmatch=True) | st.sampled_from(
    [b'"' * 300, b"\x9b" * 300, b"\\" * 300]
)


def logged(form: str, *, query: bool = False) -> tuple[AccessLog, Callable[[], list[bytes]]]:
    """A log, and what it has taken since the last look."""
    settings = AccessLogSettings(format="json" if form == "json" else "combined", query=query)
    log = AccessLog(settings, LogSink("/dev/null", LIMIT))

    def lines() -> list[bytes]:
        found = list(log.sink._lines)
        log.sink._lines.clear()
        log.sink._size = 0
        return found

    return log, lines


def noted(log: AccessLog, head: RequestHead, request_id: bytes, *, routed: bool) -> Notes:
    notes = Notes(Observing(log), Client(b"2001:db8::1", b"", trusted=True))
    notes.begin(head, request_id, 1.0)
    if routed:
        notes.route = Route(Slot.BLUE, Reason.PIN, b"X-Tenant-ID: acme", "acme")
        notes.tries(Endpoint("erp.example.com", 8000))
    return notes


@pytest.mark.parametrize("form", ["json", "combined"])
@given(
    target=TARGETS, host=VALUES, agent=VALUES,
    method=st.from_regex(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,60}", fullmatch=True),
    request_id=st.from_regex(rb"[!-~]{1,128}", fullmatch=True), query=st.booleans(),
)  # fmt: skip
def test_every_record_is_one_readable_line(
    form: str,
    target: bytes,
    host: bytes,
    agent: bytes,
    method: bytes,
    request_id: bytes,
    query: bool,
) -> None:
    log, lines = logged(form, query=query)
    head = RequestHead()
    head.method, head.target, head.host, head.user_agent = method, target, host, agent
    log.ended(noted(log, head, request_id, routed=False), 400, 1500, 0, "complete")
    head.host = b"erp"
    log.ended(noted(log, head, request_id, routed=True), 200, 1500, 0, "complete")
    written = lines()
    assert len(written) == 2
    for line in written:
        assert len(line) < PIPE_BUF
        text = line.decode("ascii")
        assert text.isprintable()
        if form == "combined":
            assert COMBINED.fullmatch(text.replace("- -", "- x", 1)), text
            continue
        told = json.loads(text)
        assert told["id"] == request_id.decode()
        assert told["method"] == method[:32].decode()
        if len(target) <= 1024:
            whole = target if query else target.partition(b"?")[0]
            assert told.get("path", "") == whole.decode()


@given(st.from_regex(rb"[!-~]{1,128}", fullmatch=True))
def test_what_was_refused_is_one_line_too(request_id: bytes) -> None:
    log, lines = logged("json")
    log.refused(b"192.0.2.1", request_id, LocalReply(400, "bad-request", "what\never"))
    (line,) = lines()
    assert json.loads(line)["code"] == "bad-request"
    assert line.decode("ascii").isprintable()


# ── the file ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def pipe() -> Iterator[tuple[int, str]]:
    """A pipe of one page: the end to read, and a path to write to."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BUF)
    yield reading, f"/proc/self/fd/{writing}"
    for descriptor in (reading, writing):
        os.close(descriptor)


def filled(sink: LogSink, lines: int, size: int = 100) -> list[bytes]:
    written = [b"%06d " % number + b"x" * (size - 7) for number in range(lines)]
    for line in written:
        sink.add(line)
    return written


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until the thread has got so far."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.001)


def test_lines_are_added_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(b"before\n")
    sink = LogSink(str(path), LIMIT)
    sink.flush()
    assert path.read_bytes() == b"before\n"
    written = filled(sink, 2_000)
    sink.close()
    assert path.read_bytes().split(b"\n") == [b"before", *written, b""]
    assert (sink.written, sink.dropped) == (2_000, 0)


def test_a_new_file_is_nobody_else_s(tmp_path: Path) -> None:
    sink = LogSink(str(tmp_path / "access.log"), LIMIT)
    filled(sink, 1)
    sink.close()
    assert (tmp_path / "access.log").stat().st_mode & 0o137 == 0


def test_a_file_that_was_moved_away_gets_no_more_after_reopening(tmp_path: Path) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    sink = LogSink(str(path), LIMIT)
    sink.add(b"one")
    sink.flush()
    until(path.exists, "it is opened")
    path.rename(old)
    sink.add(b"two")
    sink.flush()
    sink.add(b"three")
    sink.reopen()
    until(path.exists, "it is opened anew, though nothing is written")
    sink.add(b"four")
    sink.close()
    assert (old.read_bytes(), path.read_bytes()) == (b"one\ntwo\nthree\n", b"four\n")


def test_a_full_disk_costs_lines_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    sink = LogSink("/dev/full", 16 * 1024)
    for _ in range(5):
        filled(sink, 1_000)
        sink.flush()
    until(lambda: sink._writer is not None and sink._writer.failing, "the disk is full")
    sink.flush()
    assert sink.written == 0
    assert sink._given_bytes + sink._size <= 16 * 1024
    assert sink.dropped == 5_000 - sink._given_lines - len(sink._lines)
    sink.close()
    assert caplog.text.count("can't be written: No space left") == 1
    assert (sink.written, sink.dropped) == (0, 5_000)


def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "access.log"
    sink = LogSink(str(path), LIMIT, flush_s=0.01)
    sink.add(b"one")
    sink.flush()
    until(lambda: sink._writer is not None and sink._writer.failing, "there is no folder")
    path.parent.mkdir()
    until(lambda: sink.written == 1, "it is tried again, though no more comes")
    assert path.read_bytes() == b"one\n"
    sink.close()


def test_a_full_pipe_takes_whole_lines_and_the_rest_waits(pipe: tuple[int, str]) -> None:
    reading, path = pipe
    sink = LogSink(path, LIMIT)
    written = filled(sink, 1_000, size=150)
    sink.flush()
    until(lambda: sink.written > 0, "some are written")
    assert sink.written < 1_000
    got = b""
    while got.count(b"\n") < 1_000:
        piece = os.read(reading, 1 << 20)
        assert piece.endswith(b"\n")
        got += piece
    sink.close()
    assert got.split(b"\n") == [*written, b""]
    assert (sink.written, sink.dropped) == (1_000, 0)


def test_who_hangs_is_waited_for_by_nobody(
    pipe: tuple[int, str], caplog: pytest.LogCaptureFixture
) -> None:
    """The thread stands in its write: lines are taken, dropped and counted, the end is bounded."""
    reading, path = pipe
    sink = LogSink(path, 16 * 1024, close_s=0.05)
    for _ in range(3):
        filled(sink, 500)
        sink.flush()
    assert caplog.text.count("can't be written: it is not taken as fast as it comes") == 1
    until(lambda: sink.written > 0, "some are written")
    until(lambda: sink.written * 100 + 200 > PIPE_BUF, "the pipe is full")
    before = sink.dropped
    assert before > 500
    sink.close()
    assert sink.written + sink.dropped == 1_500
    assert os.read(reading, 1 << 20).endswith(b"\n")


def test_lines_flow_again_when_the_reader_comes(
    pipe: tuple[int, str], caplog: pytest.LogCaptureFixture
) -> None:
    reading, path = pipe
    sink = LogSink(path, 16 * 1024)
    filled(sink, 500)
    sink.flush()
    os.set_blocking(reading, False)
    got = b""

    def has_taken_all() -> bool:
        nonlocal got
        with contextlib.suppress(BlockingIOError):
            got += os.read(reading, 1 << 20)
        sink.flush()
        return sink.written + sink.dropped == 500

    until(has_taken_all, "every line is written or dropped")
    os.set_blocking(reading, True)
    sink.add(b"the last")
    sink.flush()
    while not got.endswith(b"the last\n"):
        got += os.read(reading, 1 << 20)
    sink.close()
    assert got.count(b"\n") == sink.written == 501 - sink.dropped
    assert "is written again" in caplog.text


def test_a_fifo_is_opened_when_its_reader_comes(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    sink = LogSink(str(path), LIMIT)
    sink.add(b"nobody reads yet")
    sink.flush()
    reading = os.open(path, os.O_RDONLY)
    assert os.read(reading, 100) == b"nobody reads yet\n"
    os.close(reading)
    sink.close()


def test_a_closed_pipe_costs_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    sink = LogSink(str(path), LIMIT)
    sink.add(b"read")
    sink.flush()
    reading = os.open(path, os.O_RDONLY)
    assert os.read(reading, 100) == b"read\n"
    os.close(reading)
    sink.add(b"nobody reads any more")
    sink.close()
    assert "Broken pipe" in caplog.text
    assert (sink.written, sink.dropped) == (1, 1)


def test_a_fifo_that_nobody_opens_does_not_hold_up_the_end(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    sink = LogSink(str(path), LIMIT, close_s=0.05)
    sink.add(b"nobody reads")
    sink.close()
    assert (sink.written, sink.dropped) == (0, 1)
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))  # the thread goes on, and ends


LIMITED = """
import resource, sys, time
sys.path.insert(0, {root!r})
from proxy.observability.log_sink import LogSink
sink = LogSink({path!r}, 1 << 20)
resource.setrlimit(resource.RLIMIT_FSIZE, (1050, resource.RLIM_INFINITY))
for number in range(30):
    sink.add(b"%06d " % number + b"x" * 93)
sink.flush()
while not sink._writer.failing:
    time.sleep(0.001)
print(sink.written, sink.dropped)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
sink.close()
print(sink.written, sink.dropped)
"""


def test_a_line_that_was_cut_is_lost_alone(tmp_path: Path) -> None:
    """The disk is full within a line, then has room again."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    path = tmp_path / "access.log"
    program = LIMITED.format(root=str(Path(__file__).parents[3]), path=str(path))
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert told.stdout.split() == [b"10", b"1", b"29", b"1"]
    lines = path.read_bytes().splitlines()
    whole = [line for line in lines if len(line) == 100]
    assert [int(line[:6]) for line in whole] == [*range(10), *range(11, 30)]
    assert len(lines) == 30


def test_standard_output_is_left_as_it_is(tmp_path: Path) -> None:
    """O_NONBLOCK is a property of what all heirs of a descriptor share."""
    program = (
        f"import sys, os; sys.path.insert(0, {str(Path(__file__).parents[3])!r})\n"
        "from proxy.observability.log_sink import LogSink\n"
        "sink = LogSink('', 1 << 20); sink.add(b'a line'); sink.close()\n"
        "sys.stderr.write(str(os.get_blocking(1))); os.write(1, b'after')\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert (told.stdout, told.stderr) == (b"a line\nafter", b"True")
