import pytest

from bench.wrk import Load, LoadError, command, parse, script

# As wrk 4.1.0 printed it.
CAPTURED = """Running 1s test @ http://127.0.0.1:41175/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.26ms  482.02us   6.81ms   88.55%
    Req/Sec    46.56k     6.40k   54.13k    70.00%
  46326 requests in 1.00s, 11.73MB read
Requests/sec:  46220.06
Transfer/sec:     11.70MB

turnout-bench {"requests":46326,"bytes":12299553,"duration_us":1002292,"p50_us":1156,\
"p99_us":3066,"connect":0,"read":0,"write":0,"status":0,"timeout":0}
"""


def test_the_exact_line_is_read_not_the_rounded_report() -> None:
    assert parse(CAPTURED) == Load(46326, 1.002292, 12299553, 1156, 3066, {})


def test_each_kind_of_error_is_counted_by_its_name() -> None:
    damaged = CAPTURED.replace('"read":0', '"read":64').replace('"status":0', '"status":3')
    assert parse(damaged).errors == {"read": 64, "status": 3}


@pytest.mark.parametrize(
    "text",
    [
        "",
        CAPTURED.partition("turnout-bench")[0],
        CAPTURED + CAPTURED,
        CAPTURED.replace('"requests"', '"request"'),
        CAPTURED.replace('"timeout":0}', '"timeout":'),
    ],
    ids=["nothing", "no line", "two lines", "a field missing", "cut short"],
)
def test_anything_else_is_an_error_not_a_figure(text: str) -> None:
    with pytest.raises(LoadError):
        parse(text)


def test_the_script_holds_the_requests_and_the_exact_line() -> None:
    made = script("function request() end\n")
    assert made.startswith("function request() end\n")
    assert "function done(summary, latency, requests)" in made


def test_the_command_line_has_one_thread_and_whole_seconds() -> None:
    argv = command("http://127.0.0.1:1/", "load.lua", 64, 2)
    assert argv == [
        "wrk", "--threads", "1", "--connections", "64", "--duration", "2s",
        "--timeout", "5s", "--script", "load.lua", "http://127.0.0.1:1/",
    ]  # fmt: skip
