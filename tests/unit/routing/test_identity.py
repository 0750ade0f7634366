"""Whose request is it: each source, their order, their agreement and their conflicts."""

from itertools import permutations
from typing import TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.routing.identity import Identity, IdentityRules, Rejected, Source, identify
from proxy.routing.model import is_tenant
from tests.support.routing_strategies import tenants

RULES = IdentityRules(
    order=tuple(Source), domains=("example.com", "example.org"), path_prefix="/t/"
)


class Named(TypedDict, total=False):
    certificate: str
    claim: str
    header: str
    host: str
    path: str


def naming(source: Source, tenant: str) -> Named:
    """What a request has that names this tenant by this source."""
    named: dict[Source, Named] = {
        Source.CERTIFICATE: {"certificate": tenant},
        Source.CLAIM: {"claim": tenant},
        Source.HEADER: {"header": tenant},
        Source.SUBDOMAIN: {"host": f"{tenant}.example.com"},
        Source.PATH: {"path": f"/t/{tenant}/jobs"},
    }
    return named[source]


PAIRS = list(permutations(Source, 2))


@pytest.mark.parametrize("source", Source)
def test_each_source_alone_names_the_tenant(source: Source) -> None:
    assert identify(RULES, **naming(source, "acme")) == Identity("acme", source)


@pytest.mark.parametrize("source", Source)
def test_a_source_that_is_not_configured_is_not_read(source: Source) -> None:
    others = tuple(other for other in Source if other is not source)
    rules = IdentityRules(others, RULES.domains, RULES.path_prefix)
    assert identify(rules, **naming(source, "acme")) is None


def test_a_request_that_names_nobody_is_unidentified() -> None:
    assert identify(RULES) is None
    assert identify(RULES, host="example.com", path="/jobs") is None


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_of_agreeing_sources_the_first_configured_is_the_reason(
    first: Source, second: Source
) -> None:
    rules = IdentityRules((first, second), RULES.domains, RULES.path_prefix)
    request = naming(first, "acme") | naming(second, "acme")
    assert identify(rules, **request) == Identity("acme", first)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_any_two_sources_that_disagree_are_refused(first: Source, second: Source) -> None:
    rules = IdentityRules((first, second), RULES.domains, RULES.path_prefix)
    answer = identify(rules, **(naming(first, "acme") | naming(second, "bravo")))
    assert isinstance(answer, Rejected)
    assert (answer.status, answer.code) == (403, "tenant-conflict")
    assert first in answer.detail
    assert second in answer.detail


@pytest.mark.parametrize("odd", Source)
def test_one_dissenter_among_all_is_refused(odd: Source) -> None:
    request: Named = {}
    for source in Source:
        request |= naming(source, "bravo" if source is odd else "acme")
    answer = identify(RULES, **request)
    assert isinstance(answer, Rejected)
    assert answer.status == 403


MALFORMED = [
    "",
    "Acme!",
    "a" * 64,
    "a_b",
    "a b",
    "a.b",
    "acme\n",
    "acme\0",
    "%61cme",
    "größe",
    "acme,acme",
]  # fmt: skip


@pytest.mark.parametrize("tenant", [*MALFORMED, "ACME"])
@pytest.mark.parametrize("source", [Source.CLAIM, Source.HEADER])
def test_a_malformed_tenant_is_refused(source: Source, tenant: str) -> None:
    answer = identify(RULES, **naming(source, tenant))
    assert answer == Rejected(400, "invalid-tenant", f"the {source} names no valid tenant id")


@pytest.mark.parametrize("tenant", [*MALFORMED, "ACME"])
def test_a_malformed_tenant_in_the_path_is_refused(tenant: str) -> None:
    answer = identify(RULES, path=f"/t/{tenant}/jobs")
    assert answer == Rejected(400, "invalid-tenant", "the path names no valid tenant id")


@pytest.mark.parametrize("tenant", MALFORMED)
def test_a_malformed_subdomain_is_refused(tenant: str) -> None:
    answer = identify(RULES, host=f"{tenant}.example.com")
    assert answer == Rejected(400, "invalid-tenant", "the subdomain names no valid tenant id")


@pytest.mark.parametrize(("good", "bad"), PAIRS)
def test_a_malformed_source_is_refused_beside_a_good_one(good: Source, bad: Source) -> None:
    rules = IdentityRules((good, bad), RULES.domains, RULES.path_prefix)
    answer = identify(rules, **(naming(good, "acme") | naming(bad, "a_b")))
    assert isinstance(answer, Rejected)
    assert answer.status == 400


@pytest.mark.parametrize(
    "host",
    [
        "acme.example.com",
        "acme.example.com:8080",
        "acme.example.com.",
        "acme.example.com.:8080",
        "ACME.Example.COM",
        "ACME.EXAMPLE.COM.:80",
        "acme.example.org",
    ],
)
def test_the_subdomain_is_read_through_port_dot_and_case(host: str) -> None:
    assert identify(RULES, host=host) == Identity("acme", Source.SUBDOMAIN)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "example.com",
        "example.com:8080",
        "EXAMPLE.com.",
        "acmeexample.com",
        "acme.example.net",
        "acme.example.com.evil.net",
        "127.0.0.1:8080",
        "[::1]",
        "[::1]:8080",
        "[2001:db8::acde]:443",
    ],
)
def test_a_host_under_no_domain_names_nobody(host: str) -> None:
    assert identify(RULES, host=host) is None


@pytest.mark.parametrize("host", ["a.b.example.com", "www.acme.example.com:80", ".example.com"])
def test_a_nested_or_empty_subdomain_is_refused_rather_than_guessed(host: str) -> None:
    answer = identify(RULES, host=host)
    assert answer == Rejected(400, "invalid-tenant", "the subdomain names no valid tenant id")


def test_no_domain_configured_means_no_subdomain_is_read() -> None:
    assert identify(IdentityRules(), host="acme.example.com") is None


@pytest.mark.parametrize(
    "path",
    ["/t/acme", "/t/acme/", "/t/acme/jobs/7", "/t/acme?page=2", "/t/acme?next=/t/bravo/x"],
)
def test_the_path_prefix_names_the_tenant_up_to_slash_or_query(path: str) -> None:
    assert identify(RULES, path=path) == Identity("acme", Source.PATH)


@pytest.mark.parametrize("path", ["/", "", "/t", "/T/acme", "/tt/acme", "/x/t/acme", "*", "/?/t/a"])
def test_a_path_without_the_prefix_names_nobody(path: str) -> None:
    assert identify(RULES, path=path) is None


@pytest.mark.parametrize(
    "path",
    [
        "//t/acme",
        "/./t/acme",
        "/x/../t/acme",
        "/t/acme/../bravo",
        "/t//bravo",
        "/t/./bravo",
        "/%74/acme",
        "/t%2Facme",
        "/t/acme/%2e%2E/bravo/jobs",
        "/t/acme/..%2fbravo",
        "\\t\\acme",
        "/t;x/acme",
        "/t/acme/..;/bravo",
    ],
)
def test_a_path_that_might_name_another_tenant_is_refused(path: str) -> None:
    answer = identify(RULES, path=path)
    assert isinstance(answer, Rejected)
    assert answer.status == 400


@pytest.mark.parametrize(
    "path", ["/t/acme//jobs", "/t/acme/./a/../b", "/t/acme/a%20b;v=1", "/t/acme/?a=//t/x/../y"]
)
def test_what_lies_behind_the_tenant_may_be_written_in_any_way(path: str) -> None:
    assert identify(RULES, path=path) == Identity("acme", Source.PATH)


def test_no_prefix_configured_means_no_path_is_read() -> None:
    assert identify(IdentityRules(), path="/t/acme") is None


@settings(deadline=None)
@given(st.sampled_from(Source), tenants)
def test_every_valid_tenant_can_be_named_by_every_source(source: Source, tenant: str) -> None:
    assert identify(RULES, **naming(source, tenant)) == Identity(tenant, source)


@settings(deadline=None)
@given(
    st.none() | st.text(max_size=80),
    st.none() | st.text(max_size=80),
    st.text(max_size=40) | st.text(max_size=40).map("{}.example.com".format),
    st.text(max_size=40) | st.text(max_size=40).map("/t/{}/x".format),
)
def test_whatever_is_named_is_a_valid_tenant_or_refused(
    claim: str | None, header: str | None, host: str, path: str
) -> None:
    answer = identify(RULES, claim=claim, header=header, host=host, path=path)
    if isinstance(answer, Identity):
        assert is_tenant(answer.tenant)
        assert {claim, header} <= {None, answer.tenant}
    if isinstance(answer, Rejected):
        assert answer.status in (400, 403)
        assert answer.detail.isprintable()
