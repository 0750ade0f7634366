"""How many examples a property draws: so many in the whole suite, a part in the fast one."""

from typing import Any

from hypothesis import settings

_USUAL = 100


def examples(count: int = _USUAL, **more: Any) -> settings:
    """Hypothesis settings for so many examples, or the profile's share of them; no deadline."""
    share = settings().max_examples / _USUAL
    return settings(deadline=None, max_examples=max(1, round(count * share)), **more)
