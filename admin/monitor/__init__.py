"""What is seen of a release while it runs: what was served by slot, and what to think of it."""
