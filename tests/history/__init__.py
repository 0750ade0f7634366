"""A run of the real system under faults, its recorded history, and a checker that reads it.

See docs/testing.md. `record` is the history's form; `checker` and the files that it names judge it
and do no I/O. `system` is what runs, `nemesis` what befalls it, `clients` and `operators` who use
it, `run` the whole of it.
"""
