"""A soak: mixed traffic, faults at random, and books that must balance. `python -m tests.soak`."""
