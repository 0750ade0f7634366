"""Readings that are pushed, and what is taken of Prometheus' answers."""

import json

import msgspec
import pytest

from admin.monitor.model import Reading
from admin.monitor.settings import Settings, SignalSettings
from admin.monitor.signals import AnswerError, Signals, UnknownSignalError, number_in


def test_the_latest_reading_of_a_known_signal_is_kept():
    signals = Signals(Settings())
    signals.put("database-cpu", 50.0, 100.0)
    signals.put("database-cpu", 60.0, 99.0)
    assert signals.latest() == {"database-cpu": Reading(50.0, 100.0)}
    with pytest.raises(UnknownSignalError):
        signals.put("anything", 1.0, 1.0)
    for value, at in ((float("nan"), 1.0), (1.0, float("inf"))):
        with pytest.raises(ValueError):
            signals.put("database-cpu", value, at)


def answer(kind: str, result: object) -> bytes:
    return json.dumps(
        {"status": "success", "data": {"resultType": kind, "result": result}}
    ).encode()


def test_a_vector_of_one_and_a_scalar_are_numbers():
    assert number_in(answer("scalar", [7.5, "70.25"])) == (70.25, 7.5)
    assert number_in(answer("vector", [{"metric": {}, "value": [7.5, "1e3"]}])) == (1000.0, 7.5)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"status": "error"}',
        answer("vector", []),
        answer("vector", [{"value": [1, "2"]}, {"value": [1, "2"]}]),
        answer("vector", [{}]),
        answer("matrix", []),
        answer("scalar", [1]),
        answer("scalar", ["x", "y"]),
        answer("scalar", [1, "NaN"]),
        answer("scalar", [1, "+Inf"]),
        b"[" * 100_000,
    ],
)
def test_anything_else_is_not(body):
    with pytest.raises(AnswerError):
        number_in(body)


@pytest.mark.parametrize(
    "wrong",
    [
        {"signals": [{"name": "a b", "warning": 1, "critical": 2}]},
        {"signals": [{"name": "a", "warning": 3, "critical": 2}]},
        {"signals": [{"name": "a", "warning": 1, "critical": 2, "is_bad": "below"}]},
        {"signals": [{"name": "a", "warning": 1, "critical": 2, "query": "up"}]},
        {"signals": [{"name": "a", "warning": 1, "critical": 2}] * 2},
        {"prometheus_url": "http://prometheus:9090"},
        {"prometheus_bearer": "secret"},
        {"alpha": 0.1, "alpha_warning": 0.01},
        {"slower_tolerated_percent": 60.0},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Settings)


def test_thresholds_may_be_the_same():
    assert SignalSettings("a", 1.0, 1.0).critical == 1.0
    assert SignalSettings("a", 2.0, 1.0, is_bad="below").critical == 1.0
