"""What an admin writes while people log in, well and badly: no secret is in it."""

import sys

import aiohttp

from admin.tokens import create_token
from tests.integration.admin.conftest import SECRET
from tests.support.browser import Browser, query
from tests.support.oidc_provider import CLIENT, CLIENT_SECRET, oidc_provider

LISTENING = r'"address": "([^"]+)"'
OIDC = """
log_level = "debug"
[admin.oidc]
issuer = "{url}"
client_id = "{client}"
client_secret = "env:CANARY_CLIENT"
roles = {{production = {{release-managers = "operator"}}}}
unknown_key_s = 0.001
"""


async def test_no_secret_is_written(spawn, config_file):
    async with oidc_provider() as provider, aiohttp.ClientSession() as session:
        with config_file.open("a") as file:
            file.write(OIDC.format(url=provider.url, client=CLIENT))
        environment = {"CANARY_CLIENT": CLIENT_SECRET}
        child = spawn(sys.executable, "-m", "admin", "--config", config_file, env=environment)
        browser = Browser(session, (await child.line(LISTENING))[1])
        secrets = {CLIENT_SECRET, SECRET}

        def keep() -> None:
            secrets.update(browser.cookies.values())
            if "turnout" in browser.cookies:
                secrets.add(browser.csrf)

        token = create_token(SECRET, "anna", "operator", 600)
        wrong = create_token("another secret, also of 32 bytes or more", "anna", "admin", 60)
        secrets |= {token, wrong}
        for pasted in (token, wrong, "canary-of-a-token"):
            await browser.log_in(pasted)
            keep()
        spoilt: list[dict[str, object]] = [{}, {"nonce": "canary-n"}, {"aud": "x"}, {"groups": []}]
        for claims in spoilt:
            provider.claims = claims
            back = await browser.consent(await browser.leave_for())
            keep()
            secrets |= {query(back)["code"], query(back)["state"]}
            for _ in range(2):
                await browser.return_by(back)
                keep()
        provider.replies["/token"] = lambda: 1 / 0  # the provider's own fault: 500
        back = await browser.consent(await browser.leave_for())
        keep()
        secrets |= {query(back)["code"], *(asked["nonce"] for asked in provider.authorizations)}
        await browser.return_by(back)
        secrets |= {form["code_verifier"] for form in provider.exchanges}
        await browser.send("GET", "/v1/routing", {})
        child.stop()
        output = child.output()
    assert "a log-in failed" in output
    assert "canary" not in output
    for secret in secrets:
        assert secret not in output
