"""The ledger in Turnout's own PostgreSQL: plans, their waves and jobs, what each target has.

Rules:
1. A row moves only from the states that `admin.migrations.states` allows.
2. Whoever moves a plan or a wave holds the plan's row; jobs are locked after it, never before.
3. What happens is in the history, in the same transaction.
"""
