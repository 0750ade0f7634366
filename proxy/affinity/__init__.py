"""Affinity: what belongs together stays on the slot where it began, by rules."""
