"""Copies of the tree with one line made wrong, which the checker has to catch.

A run that can't fail proves nothing. Rules: a mutation says which line of which file becomes what,
which faults bring it out, and which invariants it breaks. The line must be there, once.
"""

from dataclasses import dataclass
from pathlib import Path

from bench import trees


@dataclass(frozen=True, slots=True)
class Mutation:
    """file: of the tree. before, after: its lines. faults: of `nemesis.KINDS`. breaks: of
    `checker.INVARIANTS`, by the beginning of their names; one of them at least. policy: of all
    nodes; empty: of each as usual.
    """

    file: str
    before: str
    after: str
    faults: tuple[str, ...]
    breaks: tuple[str, ...]
    policy: str = ""


MUTATIONS: dict[str, Mutation] = {
    "ack-before-swap": Mutation(
        "proxy/follow.py",
        "        self._on_table(table)\n        self._table = table\n",
        "        asyncio.get_running_loop().call_later(0.2, self._on_table, table)\n"
        "        self._table = table\n",
        (),
        ("1 ", "2 "),
    ),
    "lease-ignored": Mutation(
        "proxy/router.py",
        "        if self._leased or self.without_lease is None:\n",
        "        if self._leased or self.without_lease is not None:\n",
        ("part-node-for-long",),
        ("1 ",),
        policy="park",
    ),
    "nothing-under-way": Mutation(
        "proxy/exchange/fence.py",
        "                switch = table.held_by(_name(tenant))\n",
        '                switch = ""\n',
        (),
        ("2 ",),
    ),
    "converged-anyway": Mutation(
        "admin/routing/fleet.py",
        "        return self.convergence(version).converged\n",
        "        return True\n",
        ("part-node-for-long", "pause-worker"),
        ("1 ", "10 "),
    ),
    "version-goes-back": Mutation(
        "proxy/follow.py",
        "        if version <= self.version and not"
        " (self._from_disk and version == self.version):\n",
        "        if version == self.version:\n",
        ("failover",),
        ("9 ",),
    ),
    "silent-believed": Mutation(
        "admin/routing/fleet.py",
        "        return self._view.silent\n",
        "        return ()\n",
        ("part-node-for-long",),
        ("2 ",),
        policy="serve",
    ),
    "expected-version-ignored": Mutation(
        "admin/routing/store.py",
        "    if proposal.expected_version not in {None, before.version}:\n",
        "    if proposal.expected_version == -1:\n",
        (),
        ("14 ",),
    ),
}


def mutated(name: str, target: Path) -> Path:
    """A copy of the sources in a new folder, with this mutation. ValueError if it doesn't fit."""
    mutation = MUTATIONS[name]
    tree = trees.copy(target)
    file = tree / mutation.file
    file.write_text(changed(name, file.read_text("utf-8")), "utf-8")
    return tree


def changed(name: str, text: str) -> str:
    """The text of its file with this mutation. ValueError if it doesn't fit."""
    mutation = MUTATIONS[name]
    if text.count(mutation.before) != 1:
        raise ValueError(f"{name}: its lines stand {text.count(mutation.before)} times there")
    return text.replace(mutation.before, mutation.after)
