"""Settings that can't be used are refused with their name, before anything starts."""

import pytest

from admin.config import Settings
from config import ConfigError, load


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("listen", "nonsense"),
        ("listen", "127.0.0.1:99999"),
        ("endpoint_networks", ["10.0.0.1/8"]),
        ("database_pool_min", "13"),
        ("database_pool_max", "0"),
        ("redis_timeout_s", "0"),
        ("redis_timeout_s", "inf"),
        ("redis_timeout_s", "nan"),
        ("ack_timeout_ms", "60001"),
        ("log_level", "loud"),
        ("body_limit_bytes", "-1"),
    ],
)
def test_a_setting_that_can_not_be_used(name, value):
    text = ",".join(value) if isinstance(value, list) else value
    with pytest.raises(ConfigError, match=name):
        load(None, "admin", Settings, {f"TURNOUT_ADMIN_{name.upper()}": text})


def test_the_defaults_can_be_used():
    assert load(None, "admin", Settings, {})[1] == Settings()


def test_a_secret_has_to_be_there_and_long():
    assert "without a token secret" in Settings().secret_fault()
    short = Settings(token_secret="x" * 31)
    assert "under 32 bytes" in short.secret_fault()
    assert "x" not in short.secret_fault()
    assert Settings(token_secret="x" * 32).secret_fault() == ""


def test_a_shown_setting_does_not_show_the_secret():
    assert "hush" not in repr(Settings(token_secret="hush" * 8))
