"""Releases: a new version brought to all by way of the standby slot, watched, and brought back.

`model` is a release's life as a table, `plan` what is done by kind of release, `course` what is next:
all pure. `controller` does it; `store` and `chain` keep what happened. May import: admin.routing,
admin.switches, admin.drains, admin.migrations.version and .slots, and the routing contract.
"""
