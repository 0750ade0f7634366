"""The names under which the contract lies in Redis.

All keys carry one hash tag, so that scripts that touch several of them work in Redis Cluster.

    {prefix}:table     hash: version, commit      what is published; at, body, mac: a snapshot of it
    {prefix}:log       stream, ids `<version>-0`  one entry a change: body, mac
    {prefix}:leases    sorted set                 worker → end of its lease, ms by Redis' clock
    {prefix}:workers   hash                       worker → its status (`ack.WorkerStatus`), for a while also its last
    {prefix}:news      channel                    a worker's status whenever it changes
    {prefix}:pace:<drain>  string, expires        up to when a drain's closings are paid for, µs;
                                                  :<tenant> at its end: those of one tenant
    {prefix}:census:<worker>  hash, expires       who is connected there; see `census`
    {prefix}:affinity:… string, with expiry       where a key belongs: slot and version
    {prefix}:traffic:<minute>  hash, expires      tenant → its requests in it, see `routing.traffic`
    {prefix}:windows   stream, expires            what each node served, second by second: `routing.windows`
    {prefix}:signals   hash                       signal → its last reading, among admins: `admin.monitor.shared`
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """The key names of one installation. prefix: its name, so that several share a server."""

    prefix: str = "turnout"

    @property
    def table(self) -> str:
        """The table: a hash of version, body and mac."""
        return f"{{{self.prefix}}}:table"

    @property
    def log(self) -> str:
        """The log: a stream whose ids are the versions."""
        return f"{{{self.prefix}}}:log"

    @property
    def leases(self) -> str:
        """Live workers: a sorted set scored by the end of their lease."""
        return f"{{{self.prefix}}}:leases"

    @property
    def workers(self) -> str:
        """What each worker last said of itself."""
        return f"{{{self.prefix}}}:workers"

    @property
    def news(self) -> str:
        """Where a worker says at once that its status changed."""
        return f"{{{self.prefix}}}:news"

    def pace(self, drain: str) -> str:
        """Up to when what the workers have closed for a drain is paid for; see proxy/pace.lua."""
        return f"{{{self.prefix}}}:pace:{drain}"

    def census(self, worker: str) -> str:
        """Who is connected at a worker; see `proxy.routing.census`."""
        return f"{{{self.prefix}}}:census:{worker}"

    def affinity(self, digest: str) -> str:
        """Where a key belongs. digest: the key's, see `proxy.affinity.rules`."""
        return f"{{{self.prefix}}}:affinity:{digest}"

    def traffic(self, minute: int) -> str:
        """Who made how many requests in a minute. minute: since 1970, by Redis' clock."""
        return f"{{{self.prefix}}}:traffic:{minute}"

    @property
    def windows(self) -> str:
        """What each node served, second by second; see `proxy.routing.windows`."""
        return f"{{{self.prefix}}}:windows"

    @property
    def signals(self) -> str:
        """Figures from elsewhere that one admin was told, for all; see `admin.monitor.shared`."""
        return f"{{{self.prefix}}}:signals"
