"""Hooks as the settings have them, and what of their output is kept."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.hooks.model import STATES, Hook, around, check_names, pauses
from admin.hooks.scrub import GONE, scrub, secrets_of
from admin.hooks.webhook import lies_under
from tests.support.examples import examples

GOOD: dict[str, Any] = {"name": "deploy", "before": "validating", "webhook": "https://x.test/hook"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": "De ploy"}, "`name` is 1 to 64"),
        ({"before": "never"}, "`before` is one of planned, deploying"),
        ({"after": "canary"}, "`before` or `after` names the state, and not both"),
        ({"before": "", "after": "done"}, "`after` is one of planned, deploying"),
        ({"before": ""}, "`before` or `after` names the state, and not both"),
        ({"command": ["x"]}, "`webhook` or `command` says what is done, and not both"),
        ({"webhook": ""}, "`webhook` or `command` says what is done, and not both"),
        ({"webhook": "file:///etc/passwd"}, "`webhook` begins with http"),
        ({"secret": "s3cret"}, "`secret` names where the secret stands"),
        ({"on_unknown": "hope"}, "`on_unknown` is one of pause, repeat, back"),
        ({"tries": 0}, "Expected `int` >= 1"),
        ({"timeout_s": 0}, "Expected `float` > 0"),
        ({"retries": 1}, "unknown field `retries`"),
    ],
)
def test_a_hook_that_can_not_be(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(GOOD | changed, Hook)
    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_hooks_stand_around_states_in_their_order() -> None:
    hooks = tuple(
        msgspec.convert(GOOD | {"name": name, "before": before, "after": after}, Hook)
        for name, before, after in (
            ("a", "validating", ""),
            ("b", "", "validating"),
            ("c", "validating", ""),
            ("d", "finalising", ""),
        )
    )
    assert [hook.name for hook in around(hooks, before="validating")] == ["a", "c"]
    assert [hook.name for hook in around(hooks, after="validating")] == ["b"]
    assert not around(hooks, before="canary")
    check_names(hooks)
    with pytest.raises(ValueError, match="two are called a"):
        check_names((*hooks, hooks[0]))
    assert len(STATES) == 12


def test_pauses_double_and_end() -> None:
    assert pauses(1, 1.0) == []
    assert pauses(5, 1.0) == [1.0, 2.0, 4.0, 8.0]
    assert max(pauses(20, 10.0)) == 60.0
    hook = msgspec.convert(GOOD | {"timeout_s": 10, "tries": 3, "backoff_s": 1}, Hook)
    assert hook.longest_s == 33.0


def test_urls_lie_under_prefixes() -> None:
    assert lies_under("https://erp.test/hooks/a", ["https://erp.test/hooks/"])
    assert not lies_under("https://erp.test.evil/", ["https://erp.test/"])
    assert not lies_under("https://erp.test/", [])


# ── what is kept of output ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("deployed 3 of 3", "deployed 3 of 3"),
        ("at postgresql://turnout:s3cret@db/x", f"at postgresql://{GONE}@db/x"),
        ("Authorization: Bearer s3cret", f"Authorization: {GONE}"),
        ('{"cookie": "a=s3cret; b=s3cret"}', f'{{"cookie": {GONE}'),
        ("curl -H 'x: bearer s3cret'", f"curl -H 'x: bearer {GONE}"),
        ("API_KEY=s3cret done", f"API_KEY={GONE} done"),
        ('{"password": "s3cret s3cret", "a": 1}', f'{{"password": {GONE}, "a": 1}}'),
        ("token eyJhbGciOiJI.eyJzdWIiOiJ.c2ln", f"token {GONE}"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\ns3cret\n-----END RSA PRIVATE KEY-----\nok",
            f"-----BEGIN RSA PRIVATE KEY-----{GONE}\nok",
        ),
        ("-----BEGIN PRIVATE KEY-----\ns3cret and no end", f"-----BEGIN PRIVATE KEY-----{GONE}"),
        ("\x1b[31mred\x1b[0m\r\n\x00bell\x07", "red\nbell"),
        ("known-value here", f"{GONE} here"),
    ],
)
def test_secrets_are_not_kept(text: str, kept: str) -> None:
    assert scrub(text, ["known-value", "", "abc"]) == kept


@examples()
@given(st.text(), st.text(alphabet="abcdef0123456789", min_size=8), st.text())
def test_a_known_secret_is_never_kept(before: str, secret: str, after: str) -> None:
    assert secret not in scrub(f"{before}{secret}{after}", [secret]).replace(GONE, " ") or (
        secret in before + after
    )


@examples()
@given(st.text(max_size=300), st.integers(10, 100))
def test_no_more_than_so_much_is_kept(text: str, most: int) -> None:
    assert len(scrub(text, [], most)) <= most
    assert scrub("x" * 500 + "the end", [], most).endswith("the end")


def test_an_environment_says_what_is_secret_in_it() -> None:
    environ = {
        "ERP_DATABASE_URL": "a",
        "GITHUB_TOKEN": "b",
        "AWS_SECRET_ACCESS_KEY": "c",
        "SENTRY_DSN": "d",
        "PGPASSWORD": "e",
        "HOME": "/root",
        "KEYBOARD": "us",
    }
    assert secrets_of(environ) == ["a", "b", "c", "d", "e"]
