"""Fenced switches: hold the tenants, wait until nothing is under way, step, commit, let go."""
