"""The key names: one hash tag for all, and no two the same."""

import pytest

from proxy.routing.keys import Keys


def names(keys: Keys) -> list[str]:
    """Every name that the class has, so that a new one can't be left out."""
    properties = [name for name, value in vars(Keys).items() if isinstance(value, property)]
    return [getattr(keys, name) for name in properties]


def hash_tag(key: str) -> str:
    """What Redis Cluster hashes: between the first { and the next }, if there is anything."""
    start = key.index("{") + 1
    end = key.index("}", start)
    assert end > start, "an empty tag is no tag: the whole key is hashed"
    return key[start:end]


@pytest.mark.parametrize("prefix", ["turnout", "staging:eu", "a"])
def test_all_keys_share_one_hash_tag(prefix: str) -> None:
    assert {hash_tag(name) for name in names(Keys(prefix))} == {prefix}


def test_no_two_keys_are_the_same() -> None:
    found = names(Keys())
    assert len(found) >= 5
    assert len(set(found)) == len(found)


def test_two_installations_share_no_key() -> None:
    assert not set(names(Keys("one"))) & set(names(Keys("two")))


def test_the_names_are_those_that_scripts_rely_on() -> None:
    keys = Keys("x")
    assert [keys.table, keys.log, keys.leases, keys.workers, keys.news] == [
        "{x}:table",
        "{x}:log",
        "{x}:leases",
        "{x}:workers",
        "{x}:news",
    ]
