"""The client's side: accepting connections and carrying exchanges. Knows nothing of `upstream`."""
