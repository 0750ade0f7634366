"""Failed tokens are counted by address, in a bounded memory."""

from admin.api.auth import MAX_ADDRESSES, Failures


def test_an_address_waits_for_the_rest_of_its_minute():
    failures = Failures(2)
    failures.add("a", 100.0)
    assert failures.wait_s("a", 101.0) == 0
    failures.add("a", 110.0)
    assert failures.wait_s("a", 110.0) == 50.0
    assert failures.wait_s("b", 110.0) == 0
    assert failures.wait_s("a", 160.0) == 0


def test_after_the_minute_it_starts_anew():
    failures = Failures(2)
    failures.add("a", 100.0)
    failures.add("a", 100.0)
    failures.add("a", 160.0)
    assert failures.wait_s("a", 160.0) == 0
    failures.add("a", 161.0)
    assert failures.wait_s("a", 161.0) == 59.0


def test_the_address_not_seen_for_longest_is_forgotten():
    failures = Failures(1)
    for number in range(MAX_ADDRESSES):
        failures.add(str(number), 100.0)
    failures.add("0", 100.0)
    failures.add("one more", 100.0)
    assert failures.wait_s("1", 101.0) == 0
    assert failures.wait_s("0", 101.0) > 0
    assert failures.wait_s("one more", 101.0) > 0
