"""From claims to subject, role and tenants; settings; failed log-ins."""

from typing import Any

import msgspec
import pytest

from admin.config import Settings
from admin.login.config import Login, Oidc
from admin.login.failed import FailedLogins
from admin.login.grants import Grant, NoGrantError, grant_of
from admin.login.provider import UnavailableError, read_description
from admin.migrations.references import ReferenceFault, secret
from admin.tokens import Role
from config import ConfigError, examine, load

ROLES = {
    "production": {"support": Role.VIEWER, "managers": Role.OPERATOR, "owners": Role.ADMIN},
    "staging": {"support": Role.ADMIN},
}


def settings(**more: Any) -> Oidc:
    return Oidc(issuer="https://login.example", client_id="turnout", roles=ROLES, **more)


def grant(claims: dict[str, Any], environment: str = "production", **more: Any) -> Grant:
    return grant_of({"sub": "anna", **claims}, settings(**more), environment)


def test_a_role_is_that_of_the_environment():
    assert grant({"groups": ["support"]}) == Grant("anna", Role.VIEWER, None)
    assert grant({"groups": ["support"]}, "staging").role is Role.ADMIN
    with pytest.raises(NoGrantError, match="no role in test"):
        grant({"groups": ["support"]}, "test")


def test_the_highest_role_counts():
    assert grant({"groups": ["owners", "support", "others"]}).role is Role.ADMIN
    assert grant({"groups": ["support", "managers"]}).role is Role.OPERATOR


@pytest.mark.parametrize(
    "groups", [None, [], ["Support"], ["admin"], {"support": 1}, 5, [["support"]], "support,owners"]
)
def test_without_a_role_nobody_gets_in(groups):
    with pytest.raises(NoGrantError) as refused:
        grant({"groups": groups})
    assert refused.value.subject == "anna"


def test_a_claim_may_be_a_word_or_lie_within_another():
    assert grant({"groups": "support"}).role is Role.VIEWER
    within = {"realm_access": {"roles": ["owners"]}}
    assert grant(within, roles_claim="realm_access.roles").role is Role.ADMIN
    named = {"https://example.com/roles": ["owners"]}
    assert grant(named, roles_claim="https://example.com/roles").role is Role.ADMIN
    with pytest.raises(NoGrantError):
        grant({"realm_access": ["roles"]}, roles_claim="realm_access.roles")


def test_the_name_is_a_claim_of_choice():
    claims = {"groups": ["support"], "email": "anna@example.com", "email_verified": True}
    assert grant(claims, subject_claim="email").subject == "anna@example.com"
    for verified in (False, None, "true", 1):
        with pytest.raises(NoGrantError, match="not verified"):
            grant({**claims, "email_verified": verified}, subject_claim="email")


@pytest.mark.parametrize("sub", [None, "", 5, "x" * 201, "a\nb", "\x00"])
def test_a_name_that_can_not_be_one(sub):
    with pytest.raises(NoGrantError):
        grant({"groups": ["support"], "sub": sub})


def test_tenants_are_those_that_the_token_lists():
    claims = {"groups": ["support"]}
    scoped = {"tenants_claim": "tenants"}
    assert grant({**claims, "tenants": ["acme", "bodoni"]}, **scoped).tenants == frozenset(
        {"acme", "bodoni"}
    )
    assert grant({**claims, "tenants": []}, **scoped).tenants == frozenset()
    assert grant({**claims, "tenants": ["*"]}, **scoped).tenants is None
    assert grant({**claims, "tenants": ["acme"]}).tenants is None
    for listed in (None, "acme", ["Acme"], ["*", "acme"], ["a"] * 1001, [1]):
        with pytest.raises(NoGrantError):
            grant({**claims, "tenants": listed}, **scoped)


# ── settings ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "http://login.example"},
        {"issuer": "https://user@login.example"},
        {"issuer": "https://login.example?x"},
        {"issuer": "https://[login"},
        {"issuer": "", "client_id": "turnout"},
        {"client_id": ""},
        {"client_secret": "the secret itself"},
        {"scopes": ("email",)},
        {"algorithms": ()},
    ],
    ids=str,
)
def test_a_provider_that_can_not_be(changed):
    given = {"issuer": "https://login.example", "client_id": "turnout", **changed}
    with pytest.raises(ValueError) as refused:
        Oidc(**given)
    assert "the secret itself" not in str(refused.value)


def test_what_is_wrong_with_a_provider_is_said_with_its_place(tmp_path):
    path = tmp_path / "turnout.toml"
    path.write_text(
        """[admin.oidc]
issuer = "https://login.example"
client_id = "turnout"
client_secret = "the secret itself"
roles = {production = {owners = "emperor"}}
role_claim = "groups"
"""
    )
    said = examine(path, "admin", Settings, {}).text()
    assert f"{path}:5: [admin.oidc] roles: not one of viewer, operator, admin" in said
    assert f"{path}:6: [admin.oidc] role_claim" in said
    assert "the secret itself" not in said
    assert "emperor" not in said
    with pytest.raises(ConfigError) as refused:
        load(path, "admin", Settings, {})
    assert "emperor" not in str(refused.value)
    path.write_text(
        path.read_text().replace("emperor", "admin").replace("role_claim", "roles_claim")
    )
    said = examine(path, "admin", Settings, {}).text()
    assert said.startswith(f"{path}:4: [admin.oidc] client_secret: names where it stands: env:NAME")
    assert "the secret itself" not in said


def test_shared_secrets_are_no_choice():
    document = {"issuer": "https://login.example", "client_id": "t", "algorithms": ["HS256"]}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(document, Oidc)


@pytest.mark.parametrize(
    "url",
    [
        "http://turnout.example",
        "https://turnout.example/",
        "https://turnout.example/ui",
        "https://Turnout.example",
        "https://a@turnout.example",
        "ftp://turnout.example",
        "turnout.example",
        "https://",
    ],
)
def test_an_address_that_browsers_may_not_find_us_at(url):
    with pytest.raises(ValueError, match="public_url"):
        Settings(public_url=url)


def test_an_address_that_browsers_may_find_us_at():
    for url in ("", "https://turnout.example", "https://[2001:db8::1]:8443", "http://127.0.0.1:1"):
        assert Settings(public_url=url).public_url == url


def test_times_of_a_session_fit_together():
    with pytest.raises(ValueError, match="idle_s"):
        Login(idle_s=100, absolute_s=99)
    with pytest.raises(ValueError, match="trusted_networks"):
        Login(trusted_networks=("10.0.0.1/8",))


def test_a_secret_is_looked_up_where_it_stands(tmp_path):
    (tmp_path / "secret").write_text(" s3cret\n")
    assert secret(f"file:{tmp_path}/secret") == "s3cret"
    assert secret("env:A", {"A": "s3cret"}) == "s3cret"
    for missing in (f"file:{tmp_path}/none", "env:B"):
        with pytest.raises(ReferenceFault, match=r"none|env:B"):
            secret(missing, {"A": "s3cret"})
    with pytest.raises(ReferenceFault, match="env:A: more than 4096 characters"):
        secret("env:A", {"A": "s" * 4097})


ISSUER = "https://login.example"
SAID = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/a",
    "token_endpoint": f"{ISSUER}/t",
    "jwks_uri": f"{ISSUER}/k",
}


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"authorization_endpoint": "http://login.example/a"},
        {"token_endpoint": "javascript:x"},
        {"token_endpoint": None},
        {"jwks_uri": 5},
        {"code_challenge_methods_supported": ["plain"]},
        {"code_challenge_methods_supported": []},
        {"code_challenge_methods_supported": "S256"},
    ],
    ids=str,
)
def test_a_description_that_is_of_no_use(changed):
    with pytest.raises(UnavailableError):
        read_description(msgspec.json.encode({**SAID, **changed}), ISSUER)


def test_a_description():
    said = read_description(msgspec.json.encode(SAID), ISSUER)
    assert (said.basic, said.names_itself) == (True, False)
    post = {**SAID, "token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert not read_description(msgspec.json.encode(post), ISSUER).basic


# ── failed log-ins ────────────────────────────────────────────────────────────────────────────


def test_who_fails_too_often_waits_by_address_and_by_name():
    failed = FailedLogins(Login(failed_per_minute=3, failed_per_minute_account=2))
    failed.add("a", "anna", 0.0)
    failed.add("b", "anna", 1.0)
    assert failed.wait_s("c", "anna", 2.0) == 58.0
    assert failed.wait_s("a", "", 2.0) == failed.wait_s("a", "bert", 2.0) == 0
    failed.add("a", "", 2.0)
    failed.add("a", "", 2.0)
    assert failed.wait_s("a", "bert", 3.0) == 57.0


def test_rows_of_failed_log_ins_are_bounded_and_counted():
    failed = FailedLogins(Login(failed_rows_per_minute=2))
    assert [failed.row(float(at)) for at in range(5)] == [0, 0, None, None, None]
    assert [failed.row(60.0 + at) for at in range(3)] == [3, 0, None]
