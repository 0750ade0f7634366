"""What is counted and written down of requests. Knows nothing of either side."""
