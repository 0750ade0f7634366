"""Checklists: what is due when, and how a plan names what it takes."""

import pytest

from admin.gates.checklist import PARTS, Item, NoItemError
from admin.gates.checklist_file import shipped
from admin.gates.config import Census, Gates, Replication
from admin.gates.signoff import fault, is_role

ALL = [item.name for item in shipped().items]


def names(*asked: str) -> list[str]:
    return [item.name for item in shipped().taken(asked)]


def test_what_a_plan_can_take() -> None:
    assert names() == []
    assert names("*") == ALL
    assert names("validation") == ["integration", "smoke", "performance", "qa", "stakeholder"]
    assert names("qa", "smoke", "qa") == ["smoke", "qa"]
    assert names("validation", "-performance", "-qa") == ["integration", "smoke", "stakeholder"]
    assert names("*", "-validation", "qa") == [
        name for name in ALL if name not in names("validation") or name == "qa"
    ]
    assert names("-*") == []


@pytest.mark.parametrize("asked", ["smok", "-smok", "phase-3"])
def test_what_there_is_not_is_said(asked: str) -> None:
    with pytest.raises(NoItemError, match=asked):
        names("*", asked)


def test_items_are_due_by_their_part_or_as_they_say() -> None:
    due = {item.name: item.due for item in shipped().items}
    assert set(PARTS.values()) == {1, 2, 3, 5, 6}
    assert (due["team"], due["deployed"], due["qa"], due["switched"]) == (1, 2, 3, 5)
    # Who approves has seen the canary; and the window is over before the way back closes.
    assert (due["stakeholder"], due["window"], due["communicate"]) == (4, 5, 6)
    for phase in range(1, 7):
        assert {item.name for item in shipped().due(phase)} == {
            name for name, at in due.items() if at == phase
        }


@pytest.mark.parametrize("name", [*PARTS, "-qa", "", "QA"])
def test_an_item_is_called_as_no_part(name: str) -> None:
    with pytest.raises(ValueError, match="`name`"):
        Item(name, "cutover", "It is so", gate="smoke")


def test_the_settings_say_what_does_not_apply() -> None:
    assert Gates().not_applicable() == {"replication-lag"}
    linked = Gates(replication=Replication(url="env:X"), census=Census(applies=False))
    assert linked.not_applicable() == {"census"}


def test_who_refuses_says_why() -> None:
    assert fault(" ", approve=False) == "who refuses says why, in a note"
    assert fault("the colours are wrong", approve=False) == fault("", approve=True) == ""
    assert [is_role(each) for each in ("qa", "release-manager", "QA", "", "9")] == [
        *(True, True, False, False, False),
    ]
