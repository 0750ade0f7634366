"""The routing contract: the whole of what the data plane and the control plane agree on.

Pure: standard library only, no I/O, no clock, no randomness (import-linter keeps it so).
Read in this order: `model` (the table) → `identity` (whose request is it) → `canary` →
`decision` (where it goes, and why) → `change` (how the table changes) → `codec` (the written
form) → `ack` (who serves which version) → `keys` and `envelope` (how all this lies in Redis).
"""
