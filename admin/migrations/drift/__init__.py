"""Drift: what a schema has that it should not have, lacks, or has otherwise.

Rule: a fingerprint says nothing of names of databases and schemas, of owners, sizes and numbers, so that two
schemas that an application can't tell apart have the same one.
"""
