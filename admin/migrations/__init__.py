"""Migrations: read, linted, proved, planned, and applied to every tenant's schema.

`worker` applies what the `ledger` in Turnout's PostgreSQL gives out, by `executor`, to a `target`.
"""
