"""Certificates of clients: who is let in, whom they name, what the endpoint is told."""

import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.observability import telemetry
from tests.support.certificates import Authority
from tests.support.front import Front, client, front, talk

ASK = b"GET / HTTP/1.1\r\nHost: erp.test\r\nConnection: close\r\n\r\n"
FIELD = "X-Client-Cert-Subject"


@asynccontextmanager
async def serving(authority: Authority, verify: str, **proxy: Any) -> AsyncIterator[Front]:
    certificate, key = authority.issue("erp", "erp.test")
    tls = {
        "certificates": [{"certificate": str(certificate), "key": str(key)}],
        "verify_clients": verify,
        "client_ca": "" if verify == "off" else str(authority.ca),
        **proxy.pop("tls", {}),
    }
    async with front(tls_listen="127.0.0.1:0", tls=tls, **proxy) as found:
        yield found


async def test_a_good_certificate_s_subject_is_told_to_the_endpoint(authority: Authority) -> None:
    context = authority.trusted(*authority.issue("client", common_name="Jörg, Druck GmbH\r\nX: y"))
    async with serving(authority, "required") as found:
        said = await talk(found.tls_port, context, "erp.test", ASK)
        assert said.got.startswith(b"HTTP/1.1 200")
        (request,) = found.behind.requests
        assert request[FIELD] == b"CN=J%C3%B6rg%5C, Druck GmbH%0D%0AX:%20y".replace(b"%20", b" ")


@pytest.mark.parametrize("verify", ["off", "optional"])
async def test_what_clients_say_of_their_certificate_is_dropped(
    authority: Authority, verify: str
) -> None:
    async with serving(authority, verify, trusted_networks=["127.0.0.0/8"]) as found:
        forged = {"host": "erp.test", FIELD: "CN=root", "X_Client_Cert_Subject".lower(): "CN=root"}
        for port, context in ((found.tls_port, authority.trusted()), (found.port, None)):
            async with client(port, context, "erp.test") as connection:
                assert (await connection.get(**forged)).status == 200
        assert len(found.behind.requests) == 2
        for request in found.behind.requests:
            assert FIELD not in request
            assert "X_Client_Cert_Subject" not in request


@pytest.mark.parametrize("kind", ["none", "another authority", "expired"])
async def test_a_client_without_a_good_certificate_is_refused(
    authority: Authority, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = Authority(tmp_path, "other")
    pair = {
        "none": (),
        "another authority": other.issue("client"),
        "expired": authority.issue("client", days=(-3, -1)),
    }[kind]
    async with serving(authority, "required") as found:
        # In TLS 1.3 the client learns of it at its first read.
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            said = await talk(found.tls_port, authority.trusted(*pair), "erp.test", ASK)
            assert said.got == b""
        await found.until(
            lambda: found.count(telemetry.HANDSHAKE_FAILURES) == 1, "the failure is counted"
        )
        assert not found.behind.requests
        assert ("refused a client's certificate" in caplog.text) is (kind != "none")


async def test_an_optional_certificate_may_be_missing_but_not_bad(
    authority: Authority, tmp_path: Path
) -> None:
    async with serving(authority, "optional") as found:
        said = await talk(found.tls_port, authority.trusted(), "erp.test", ASK)
        assert said.got.startswith(b"HTTP/1.1 200")
        bad = authority.trusted(*Authority(tmp_path, "other").issue("client"))
        bad.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await talk(found.tls_port, bad, "erp.test", ASK)


@pytest.mark.parametrize(
    ("source", "made", "tenant"),
    [
        ("common-name", {"common_name": "acme"}, b"acme"),
        ("dns", {"names": ["acme.clients.test", "acme.elsewhere.test"]}, b"acme"),
        ("uri", {"uris": ("spiffe://clients.test/tenant/acme",)}, b"acme"),
        ("common-name", {"common_name": "Acme Inc."}, None),
        ("dns", {"names": ["acme.clients.test", "other.clients.test"]}, None),
        ("dns", {}, None),
        ("uri", {"names": ["acme.clients.test"]}, None),
    ],
)
async def test_a_certificate_names_its_tenant(
    authority: Authority, source: str, made: dict[str, Any], tenant: bytes | None
) -> None:
    given = dict(made)
    pair = authority.issue("client", *given.pop("names", ()), **given)
    async with serving(
        authority,
        "optional",
        tls={"client_tenant": source},
        identity={"order": ["certificate", "header"], "unidentified": "refuse"},
        trusted_networks=["127.0.0.0/8"],
    ) as found:
        said = await talk(found.tls_port, authority.trusted(*pair), "erp.test", ASK)
        if tenant is None:
            assert said.got.startswith(b"HTTP/1.1 400")
            assert b"invalid-tenant" in said.got
        else:
            assert said.got.startswith(b"HTTP/1.1 200")
            assert found.behind.requests[0]["X-Tenant-ID"] == tenant


async def test_a_header_that_names_another_tenant_than_the_certificate_is_refused(
    authority: Authority,
) -> None:
    context = authority.trusted(*authority.issue("client", common_name="acme"))
    async with serving(
        authority,
        "optional",
        identity={"order": ["certificate", "header"], "unidentified": "refuse"},
        trusted_networks=["127.0.0.0/8"],
    ) as found:
        async with client(found.tls_port, context, "erp.test") as connection:
            statuses = [
                (await connection.get(host="erp.test", tenant=tenant)).status
                for tenant in ("acme", "other", "acme")
            ]
        assert statuses == [200, 403, 200]
        async with client(found.tls_port, authority.trusted(), "erp.test") as connection:
            answers = [await connection.get(host="erp.test")]
            answers.append(await connection.get(host="erp.test", tenant="other"))
        assert [answer.status for answer in answers] == [401, 200]


async def test_without_the_source_a_certificate_names_nobody(authority: Authority) -> None:
    context = authority.trusted(*authority.issue("client", common_name="acme"))
    async with serving(authority, "required") as found:
        await talk(found.tls_port, context, "erp.test", ASK)
        assert "X-Tenant-ID" not in found.behind.requests[0]


async def test_a_resumed_session_keeps_its_certificate(authority: Authority) -> None:
    context = authority.trusted(*authority.issue("client", common_name="acme"))
    async with serving(authority, "required") as found:
        first = await talk(found.tls_port, context, "erp.test", ASK)
        again = await talk(found.tls_port, context, "erp.test", ASK, first.session)
        assert again.resumed
        assert [request[FIELD] for request in found.behind.requests] == [b"CN=acme"] * 2
