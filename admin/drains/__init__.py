"""Drains of a slot, as operators ask for them: what lasts there ends, and is told when it has."""
