"""How a person logs in to the dashboard, and what every request of a browser has to show.

Beside bearer tokens (admin.tokens), which scripts send with each call. Read in this order:

    config.py       the settings [admin.login] and [admin.oidc]
    local.py        PURE: paths of our own, cookies, whether a request comes from our own page
    headers.py      PURE: what every page carries
    transaction.py  PURE: a log-in on its way to the provider and back
    tokens.py       PURE: a provider's tokens taken apart, strictly
    keys.py         PURE: a provider's keys, and which of them judges a token
    id_token.py     PURE: what an ID token must say
    grants.py       PURE: from its claims to subject, role and tenants
    secret.py       where the client's secret stands
    fetch.py        one bounded request to the provider
    provider.py     discovery, keys, and the exchange of a code
    store.py        sessions in PostgreSQL
    failed.py       log-ins that failed
    door.py         who asks: by token or by session
    pages.py        /ui/login, /ui/logout
"""
