"""The proof of a migration: the old version's own queries and tests, run against the new schema.

Rules:
1. The source is read, never written. All that is tried runs in a scratch clone of it.
2. A clone is removed whatever happens. One that a `kill -9` left behind is known by its name.
3. What is found is found by PostgreSQL alone: no rule of the linter takes part.
4. What did not work before the migrations says nothing of them, and is told apart.
5. Values that a log holds, and rows, are used and not kept: neither report nor evidence has them.
"""
