"""The acceptance harness: what clients and endpoints do to a proxy, and what must come of it.

Black box: real processes, real sockets, raw bytes. It knows nothing of how Turnout is built.
"""
