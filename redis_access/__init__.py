"""Access to Redis, for both planes: where it is, by which connection, and what is no place to stay.

`access` makes clients of redis-py by the settings that all processes share. `finding` asks sentinels
or a cluster who has our keys, `connection` is redis-py's connection that does so whenever it
connects, `tls` has what it needs for that. Knows neither plane.
"""

from redis_access.access import Access
from redis_access.finding import ElsewhereError

__all__ = ["Access", "ElsewhereError"]
