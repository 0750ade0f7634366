"""The linter: what each statement means for a version that may come back, and whom it blocks."""
