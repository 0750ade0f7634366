"""The control plane: the API, the desired routing, its publication, and what follows from it.

Of the data plane it may import `proxy.routing` and nothing else: that package is the whole
contract between the planes. `bootstrap` is the composition root; read it first.
"""
