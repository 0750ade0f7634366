"""A report as people and programs read it: terminal, JSON, SARIF, GitHub's annotations. Pure."""
