"""The slots' side: connections to endpoints and their pool. Knows nothing of `downstream`."""
