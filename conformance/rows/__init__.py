"""behaviour.md's two HTTP tables as data, a file a topic."""
