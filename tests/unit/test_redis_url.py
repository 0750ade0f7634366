"""The forms of `redis_url`, what goes with which, and that no error tells a secret."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import ConfigError, Kind, Shared, load
from config.redis_url import RedisUrl, parse_redis_url
from redis_access import Access

CANARY = "c4nary-s3cret"


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("redis://h", RedisUrl(Kind.DIRECT, False, (("h", 6379),), "", "")),
        ("rediss://u:p@h:1/2", RedisUrl(Kind.DIRECT, True, (("h", 1),), "u", "p", "", 2)),
        ("redis://:p%40%2F@[::1]:7/", RedisUrl(Kind.DIRECT, False, (("::1", 7),), "", "p@/")),
        ("unix:///r/s", RedisUrl(Kind.SOCKET, False, (), "", "", path="/r/s")),
        (
            "unix://u:p@/r/s?db=3",
            RedisUrl(Kind.SOCKET, False, (), "u", "p", database=3, path="/r/s"),
        ),
        (
            "redis+sentinel://u:p@a,b:5,[::1]/my%20master/4",
            RedisUrl(
                Kind.SENTINEL,
                False,
                (("a", 26379), ("b", 5), ("::1", 26379)),
                *("u", "p", "my master", 4),
            ),
        ),
        (
            "rediss+sentinel://a/m",
            RedisUrl(Kind.SENTINEL, True, (("a", 26379),), "", "", "m"),
        ),
        (
            "rediss+cluster://u:p@a:1,b",
            RedisUrl(Kind.CLUSTER, True, (("a", 1), ("b", 6379)), "u", "p"),
        ),
        ("redis+cluster://a/0", RedisUrl(Kind.CLUSTER, False, (("a", 6379),), "", "")),
    ],
)
def test_each_form_says_what_it_says(url: str, parsed: RedisUrl) -> None:
    assert parse_redis_url(url) == parsed


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"http://{CANARY}@h", "begins with redis://"),
        (f"redis:{CANARY}", "begins with redis://"),
        (f"redis://u:{CANARY}@h:0", "host:port"),
        (f"redis://u:{CANARY}@h:x", "host:port"),
        (f"redis://u:{CANARY}/more@h", "percent-encoded"),
        (f"redis://u:{CANARY}@", "host:port"),
        (f"redis://u:{CANARY}@[::1", "is no URL"),
        (f"redis://u:{CANARY}\u2100@h", "is no URL"),
        (f"redis://u:{CANARY}@a,b", "several hosts"),
        (f"redis://u:{CANARY}@a/{CANARY}", "is no number"),
        (f"redis://u:{CANARY}@a?ssl_ca_certs=x", "redis_ca_file"),
        (f"redis://u:{CANARY}#x@a", "%23"),
        (f"redis+sentinel://u:{CANARY}@a,b", "names no master"),
        (f"redis+cluster://u:{CANARY}@a,b/1", "only 0"),
        (f"unix://u:{CANARY}@h/r", "whole path"),
        (f"unix://u:{CANARY}@/r?timeout=1", "but a database"),
    ],
)
def test_what_is_no_such_url_is_refused_and_not_repeated(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as refusal:
        parse_redis_url(url)
    assert words in str(refusal.value)
    assert CANARY not in str(refusal.value)


@given(st.text(), st.sampled_from(["redis", "rediss+sentinel", "redis+cluster", "unix"]))
def test_nothing_ends_in_another_error(text: str, scheme: str) -> None:
    try:
        said = repr(parse_redis_url(f"{scheme}://u:{CANARY}@{text}"))
    except ValueError as error:
        said = str(error)
    assert CANARY not in said


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"redis_url": f"redis://:{CANARY}@h", "redis_password_file": "/p"}, "give one"),
        ({"redis_ca_file": "/ca"}, "rediss"),
        ({"redis_url": "rediss://h", "redis_certificate_file": "/c"}, "go together"),
        ({"redis_sentinel_password": CANARY}, "+sentinel"),
        ({"redis_url": "redis+sentinel://h/m", "redis_sentinel_user": "u"}, "needs"),
        ({"redis_recheck_s": 0.0}, "redis_recheck_s"),
    ],
)
def test_settings_that_do_not_go_together(given: dict[str, Any], words: str) -> None:
    with pytest.raises(msgspec.ValidationError) as refusal:
        msgspec.convert(given, Shared)
    assert words in str(refusal.value)
    assert CANARY not in str(refusal.value)


def test_the_environment_may_give_all_of_it() -> None:
    environ = {
        "TURNOUT_REDIS_URL": "rediss+sentinel://a,b,c/m",
        "TURNOUT_REDIS_CHECK_NAME": "false",
        "TURNOUT_REDIS_SENTINEL_PASSWORD": CANARY,
        "TURNOUT_REDIS_RECHECK_S": "0.5",
    }
    shared, _ = load(None, "proxy", Nothing, environ)
    assert (shared.redis_check_name, shared.redis_recheck_s) == (False, 0.5)
    for shown in (repr(shared), repr(shared.redis()), repr(Access(shared, "k"))):
        assert CANARY not in shown


def test_an_error_of_the_environment_tells_no_secret() -> None:
    with pytest.raises(ConfigError) as refusal:
        load(None, "proxy", Nothing, {"TURNOUT_REDIS_URL": f"redis+sentinel://:{CANARY}@h"})
    assert "TURNOUT_REDIS_URL" in str(refusal.value)
    assert CANARY not in str(refusal.value)


class Nothing(msgspec.Struct):
    """A section without settings."""
