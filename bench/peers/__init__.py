"""The proxies measured: one file a peer, listed in `bench.catalogue`."""
