"""Migrations of the tenants' databases: what there is, what it may break, and carrying it out.

A migration's way: a file → `catalogue` → lint → plan → job → ledger.
"""
