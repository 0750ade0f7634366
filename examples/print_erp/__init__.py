"""A small print-shop ERP: what Turnout's demo and integration tests put behind the proxy.

One program runs as v1.2.0 or v1.3.0, in either slot, on one shared PostgreSQL database. Each
answer says which slot and version served it. It imports nothing of Turnout: all that it knows of
the proxy is the header X-Tenant-ID.

    argv -> settings -> serve (life cycle) -> app (routes) -> one file per resource -> store

Rules. Every table has tenant_id and every statement filters by it. The schema only expands, and a
version names its columns, so that 1.2.0 runs unchanged on the schema of 1.3.0. Everything that a
client can make grow has a bound.
"""
