"""What routing is wanted, how it gets to the workers, and who serves it.

`store` (PostgreSQL: decided) → `publish` (Redis: one script, compare and set) → `fleet` (who
serves which version). `control` takes one change through the three; `reconcile` makes Redis
follow PostgreSQL when it lost something; `events` tells whoever listens.
"""
