"""Systems that stand behind Turnout in its demo, its tests and its scenarios."""
