"""What is asked of a proxy: one file a scenario, listed in `bench.catalogue`."""
