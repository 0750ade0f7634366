"""The OpenAPI document against a real admin: every operation, as it is meant, and with all that it isn't."""

import pytest

from admin.api.app import ROUTES
from tests.integration.admin.api.stage import Stage
from tests.integration.admin.api.story import Story
from tests.support.documented import Seen


async def test_every_operation_does_what_it_is_for(staged: Stage) -> None:
    """The client judges each answer by the document as it is."""
    seen = staged.call.seen = Seen()
    await Story(staged).tell()
    print(f"\n{seen.table()}")
    never = [place for place, counts in seen.statuses.items() if not any(200 <= s < 300 for s in counts)]
    assert never == []
