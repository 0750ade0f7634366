"""The settings of the slots' side: what is refused, and that the message names the place."""

from typing import Any

import msgspec
import pytest

from proxy.config import Settings


def settings(section: str, **values: Any) -> Settings:
    return msgspec.convert({section: values}, Settings)


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("limits", {"tenant_in_flight": -1}),
        ("limits", {"slot_in_flight": -1}),
        ("limits", {"queue": -1}),
        ("limits", {"endpoint_connections": 0}),
        ("timeouts", {"queue_s": 0.0}),
        ("checks", {"interval_s": 0.01}),
        ("checks", {"interval_s": -1.0}),
        ("checks", {"timeout_s": 0.0}),
        ("checks", {"path": "health"}),
        ("checks", {"path": "/a b"}),
        ("checks", {"path": "/a\r\nX-Evil: 1"}),
        ("checks", {"path": "/a#b"}),
        ("checks", {"path": "/ä"}),
        ("checks", {"host": "a b"}),
        ("checks", {"host": "a\r\nX-Evil: 1"}),
        ("checks", {"rise": 0}),
        ("checks", {"fall": 101}),
        ("ejection", {"failures": -1}),
        ("ejection", {"base_s": 0.0}),
        ("ejection", {"base_s": 20.0, "max_s": 10.0}),
        ("ejection", {"percent": 101}),
        ("balancing", {"slow_start_s": -1.0}),
        ("balancing", {"panic_percent": 101}),
        ("balancing", {"retry_percent": -1}),
        ("balancing", {"retries_per_s": -0.1}),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(section: str, values: dict[str, Any]) -> None:
    name = next(iter(values))
    with pytest.raises(msgspec.ValidationError, match=f"{section}.{name}"):
        settings(section, **values)


def test_what_can_be_turned_off_may_be_0() -> None:
    off = settings("limits", tenant_in_flight=0, slot_in_flight=0, queue=0, tenant_queue=0)
    assert off.limits.queue == 0
    assert settings("checks").checks.interval_s == 0
    assert settings("ejection", failures=0).ejection.failures == 0
    assert settings("balancing", slow_start_s=0.0, panic_percent=0).balancing.panic_percent == 0


def test_one_tenant_can_not_have_all_connections_by_default() -> None:
    limits = Settings().limits
    assert 0 < limits.tenant_in_flight < limits.endpoint_connections


def test_the_time_in_the_queue_keeps_the_promise_of_50_ms() -> None:
    assert Settings().timeouts.queue_s < 0.05
