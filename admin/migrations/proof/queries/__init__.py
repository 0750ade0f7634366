"""The queries of an application version: where they come from, and what each of them touches."""
