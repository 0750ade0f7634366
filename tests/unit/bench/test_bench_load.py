import subprocess
import sys
from pathlib import Path

from bench.load import CPU, Runner, measure
from bench.peers.peer import Proxy
from bench.requests import cycling
from bench.scenarios.upload import BODY_BYTES, UPLOAD


def test_a_proxy_that_died_is_a_fault_of_the_round_not_an_end_of_the_run() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    proxy = Proxy("gone", 1, lambda: (process.pid,))
    reading = measure(Runner(proxy, Path("load.lua"), 0, 1, tls=False), 1)
    assert not reading.valid
    assert reading.faults == (f"process {process.pid} is gone", "no request was completed")
    assert CPU not in reading.values


def test_requests_name_one_value_after_the_other() -> None:
    text = cycling("X-Tenant-ID", ["acme", "brix"])
    assert '{"acme", "brix"}' in text
    assert 'wrk.format("GET", "/", {["X-Tenant-ID"] = value}, body)' in text
    assert "local body = nil" in text


def test_an_upload_posts_its_body() -> None:
    assert f'string.rep("x", {BODY_BYTES})' in UPLOAD.request
    assert 'wrk.format("POST"' in UPLOAD.request
