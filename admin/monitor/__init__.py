"""Whether the new version is worse than the old one: figures of each second in, verdicts out.

    windows (a second of one node) ─→ seconds ─→ charts ─→ triggers ─→ verdict
                                                  ↑ what signals and the census say

- `settings` what is tolerated, warned of and critical, and how often a healthy release may be blamed
- `sequential` the statistics: evidence that stays valid while one keeps looking
- `latency` what a histogram says for certain of means and quantiles
- `past` what is compared with where the old slot has no traffic: figures of before
- `subject`, `tenants`, `slots` what is watched: a part of the traffic, single tenants, the slot itself
- `model` a verdict and its parts; `judge` makes it: pure, incremental, deterministic
- `signals` what else there is to be read: Prometheus, or whoever pushes
- `watch` the loop of one admin

Why these statistics, and what they cost: docs/decisions/0039.
"""
