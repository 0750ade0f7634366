"""Ports for what a test starts and has to name beforehand."""

from admin.embedded.ports import free_port


def free_ports(count: int) -> list[int]:
    """Loopback ports that nothing listens on now, each another: the kernel may give one twice."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)
